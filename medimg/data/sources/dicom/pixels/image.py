"""The Image Pixel module (PS3.3 C.7.6.3): what the header says about the pixels, checked."""

from __future__ import annotations

from typing import NamedTuple

from medimg.data.sources.dicom.pixels.dataset import Parsed, shown
from medimg.data.sources.dicom.pixels.elements import code, header, number, whole
from medimg.errors import PixelError

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = (
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_PARTIAL_422",
    "YBR_PARTIAL_420",
    "YBR_ICT",
    "YBR_RCT",
)
_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


class ImagePixel(NamedTuple):
    """Shape and coding of the pixels.

    `photometric` is as the header says; `signed` is PixelRepresentation; for float pixels
    `bits` is `allocated`.
    """

    keyword: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: int
    allocated: int
    bits: int
    high_bit: int
    signed: bool

    @property
    def is_float(self) -> bool:
        """Whether the pixels are floating point numbers (PS3.3 C.7.6.24, C.7.6.25)."""
        return self.keyword in _FLOAT_BITS

    @property
    def is_grey(self) -> bool:
        """Whether the stored values are grey values."""
        return self.photometric in MONOCHROME


def image_pixel(parsed: Parsed) -> ImagePixel:
    """Return the Image Pixel module of a data set (PS3.3 C.7.6.3.1).

    Raises
    ------
    PixelError
        ``no_image``: there are no pixels. ``corrupt``: the file ends before them. ``header``:
        an element is missing, malformed or contradicts another. ``unsupported``: a lawful
        coding that is not read.
    """
    dataset = parsed.dataset
    if parsed.pixels is None:
        raise _without_pixels(parsed)
    keyword = parsed.pixels.keyword
    rows, columns = _needed(parsed, "Rows"), _needed(parsed, "Columns")
    if not (0 < rows < 65536 and 0 < columns < 65536):
        raise header(f"Rows is {rows} and Columns is {columns}")
    photometric = code(dataset, "PhotometricInterpretation")
    samples = _needed(parsed, "SamplesPerPixel")
    _check_samples(photometric, samples)
    planar = (whole(dataset, "PlanarConfiguration") or 0) if samples > 1 else 0
    if planar not in (0, 1):
        raise header(f"PlanarConfiguration is {planar}")
    frames = _frames(parsed)
    allocated, bits, high_bit, signed = _bits(parsed, keyword)
    return ImagePixel(
        keyword,
        rows,
        columns,
        frames,
        samples,
        photometric,
        planar,
        allocated,
        bits,
        high_bit,
        signed,
    )


def _without_pixels(parsed: Parsed) -> PixelError:
    promised = number(parsed.dataset, "Rows") is not None
    if promised or parsed.cut:
        return PixelError(
            "corrupt", "the file ends before its pixels", remedy="copy or export it again"
        )
    return PixelError("no_image", "the file holds no pixels", remedy="leave it out: it is no image")


def _needed(parsed: Parsed, keyword: str) -> int:
    value = whole(parsed.dataset, keyword)
    if value is None:
        raise header(f"{keyword} is missing")
    return value


def _check_samples(photometric: str, samples: int) -> None:
    """Refuse a photometric interpretation that is not read, or does not fit (C.7.6.3.1.2)."""
    if photometric in ("HSV", "ARGB", "CMYK", "XYB"):
        raise PixelError(
            "unsupported", f"colours in {photometric}", remedy="convert the file to RGB"
        )
    if photometric not in (*MONOCHROME, PALETTE, *COLOUR):
        raise header(f"PhotometricInterpretation is {shown(photometric)}")
    expected = 3 if photometric in COLOUR else 1
    if samples != expected:
        raise header(f"SamplesPerPixel is {samples} where {photometric} has {expected}")


def _frames(parsed: Parsed) -> int:
    """Return NumberOfFrames (PS3.3 C.7.6.6.1.1); 1 where it is absent or empty."""
    frames = whole(parsed.dataset, "NumberOfFrames")
    if frames is None:
        return 1
    if not 0 < frames < 1 << 31:
        raise header(f"NumberOfFrames is {frames}")
    return frames


def _bits(parsed: Parsed, keyword: str) -> tuple[int, int, int, bool]:
    """Return bits allocated, bits stored, high bit and signedness (PS3.5 8.1.1)."""
    allocated = _needed(parsed, "BitsAllocated")
    if keyword in _FLOAT_BITS:
        if allocated != _FLOAT_BITS[keyword]:
            raise header(f"BitsAllocated is {allocated} for {keyword}")
        return allocated, allocated, allocated - 1, True
    bits = _needed(parsed, "BitsStored")
    high_bit = _needed(parsed, "HighBit")
    representation = _needed(parsed, "PixelRepresentation")
    if allocated not in (1, 8, 16, 32):
        if allocated in (12, 24, 64):
            raise PixelError(
                "unsupported", f"{allocated} bits allocated", remedy="convert the file to 16 bits"
            )
        raise header(f"BitsAllocated is {allocated}")
    if not 0 < bits <= allocated:
        raise header(f"BitsStored is {bits} of {allocated} allocated")
    if not bits - 1 <= high_bit < allocated:
        raise header(f"HighBit is {high_bit} for {bits} of {allocated} bits")
    if representation not in (0, 1):
        raise header(f"PixelRepresentation is {representation}")
    return allocated, bits, high_bit, representation == 1
