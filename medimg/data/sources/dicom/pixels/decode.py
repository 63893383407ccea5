"""Frames to words, by the one decoder that is pinned for each transfer syntax (PS3.5 annex A).

Words are what the codestream or the native data hold: unsigned, in the byte order of the
machine, neither shifted nor masked (`stored` does that), colours as the file has them but for
JPEG and JPEG 2000, whose decoders turn YCbCr into RGB on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.pixels import check_cap
from medimg.data.sources.dicom.pixels import codecs
from medimg.data.sources.dicom.pixels.dataset import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Parsed,
    corrupt,
    shown,
)
from medimg.data.sources.dicom.pixels.encapsulated import encoded_frames
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.native import native_words
from medimg.errors import PixelError


class Decoded(NamedTuple):
    """Words (F, H, W) or (F, H, W, 3) of frames.

    `precision` is how many bits of a word the coding speaks of, `signed` whether it says that
    they have a sign, `lossy` whether they may overshoot; `photometric` is the colour space of
    `words`; `how` one line for a report.
    """

    words: NDArray[Any]
    precision: int
    photometric: str
    how: str
    signed: bool = False
    lossy: bool = False


class _Codec(NamedTuple):
    name: str
    decoder: str
    decode: Callable[[bytes, ImagePixel], codecs.Words]
    one_fragment: bool = False
    lossy: bool = False


def decode(parsed: Parsed, image: ImagePixel, frames: Sequence[int]) -> Decoded:
    """Return the words of the frames asked for.

    Raises
    ------
    PixelError
        ``too_large``: over the cap, told from the header. ``unsupported``: no decoder for the
        transfer syntax. ``corrupt``: fewer data than the header promises, or a codestream of
        other dimensions than the header's.
    """
    assert parsed.pixels is not None
    check_cap((len(frames), image.rows, image.columns, image.samples))
    syntax = parsed.transfer_syntax
    if syntax in _NATIVE:
        words = native_words(parsed.pixels, image, frames, little=parsed.little_endian)
        photometric = "YBR_FULL" if image.photometric == "YBR_FULL_422" else image.photometric
        how = f"read as it stands ({_NATIVE[syntax]})"
        return Decoded(words, image.allocated, photometric, how)
    codec = _CODECS.get(syntax)
    if codec is None:
        raise _unsupported(syntax)
    if image.is_float:
        raise corrupt(f"{image.keyword} in a compressed transfer syntax")
    encoded = encoded_frames(
        parsed.dataset, parsed.pixels, image.frames, one_fragment=codec.one_fragment
    )
    found = [codec.decode(encoded[frame], image) for frame in frames]
    first = found[0]
    if any((one.array.dtype, one[1:]) != (first.array.dtype, first[1:]) for one in found):
        raise corrupt("its frames are coded differently")
    words = first.array[None] if len(found) == 1 else np.stack([one.array for one in found])
    how = f"decoded by {codec.decoder} ({codec.name})"
    return Decoded(words, first.precision, first.photometric, how, first.signed, codec.lossy)


def _unsupported(syntax: str) -> PixelError:
    name = _REFUSED.get(syntax) or f"the transfer syntax {shown(syntax)}"
    return PixelError(
        "unsupported",
        f"no decoder for {name}",
        remedy="convert the file to Explicit VR Little Endian",
    )


_NATIVE = {
    IMPLICIT_LITTLE: "Implicit VR Little Endian",
    EXPLICIT_LITTLE: "Explicit VR Little Endian",
    DEFLATED_LITTLE: "Deflated Explicit VR Little Endian",
    EXPLICIT_BIG: "Explicit VR Big Endian",
}
_CODECS = {
    "1.2.840.10008.1.2.4.50": _Codec("JPEG Baseline", "Pillow", codecs.jpeg, lossy=True),
    "1.2.840.10008.1.2.4.51": _Codec("JPEG Extended", "Pillow", codecs.jpeg, lossy=True),
    "1.2.840.10008.1.2.4.57": _Codec("JPEG Lossless", "GDCM", codecs.jpeg_lossless),
    "1.2.840.10008.1.2.4.70": _Codec("JPEG Lossless, SV1", "GDCM", codecs.jpeg_lossless),
    "1.2.840.10008.1.2.4.80": _Codec("JPEG-LS Lossless", "CharLS", codecs.jpeg_ls),
    "1.2.840.10008.1.2.4.81": _Codec("JPEG-LS Near-lossless", "CharLS", codecs.jpeg_ls, lossy=True),
    "1.2.840.10008.1.2.4.90": _Codec("JPEG 2000 Lossless", "OpenJPEG", codecs.jpeg_2000),
    "1.2.840.10008.1.2.4.91": _Codec("JPEG 2000", "OpenJPEG", codecs.jpeg_2000, lossy=True),
    "1.2.840.10008.1.2.4.201": _Codec("HTJ2K Lossless", "OpenJPEG", codecs.jpeg_2000),
    "1.2.840.10008.1.2.4.202": _Codec("HTJ2K Lossless RPCL", "OpenJPEG", codecs.jpeg_2000),
    "1.2.840.10008.1.2.4.203": _Codec("HTJ2K", "OpenJPEG", codecs.jpeg_2000, lossy=True),
    "1.2.840.10008.1.2.5": _Codec("RLE Lossless", "medimg", codecs.rle, one_fragment=True),
    "1.2.840.10008.1.2.8.1": _Codec(
        "Deflated Image Frame", "zlib", codecs.deflated, one_fragment=True
    ),
}
_REFUSED = {
    "1.2.840.10008.1.2.4.52": "JPEG Extended (processes 3 and 5)",
    "1.2.840.10008.1.2.4.53": "JPEG Spectral Selection",
    "1.2.840.10008.1.2.4.54": "JPEG Spectral Selection",
    "1.2.840.10008.1.2.4.55": "JPEG Full Progression",
    "1.2.840.10008.1.2.4.56": "JPEG Full Progression",
    "1.2.840.10008.1.2.4.92": "JPEG 2000 Part 2",
    "1.2.840.10008.1.2.4.93": "JPEG 2000 Part 2",
    "1.2.840.10008.1.2.4.94": "JPIP: the pixels are elsewhere",
    "1.2.840.10008.1.2.4.95": "JPIP: the pixels are elsewhere",
    "1.2.840.10008.1.2.4.100": "MPEG-2 video",
    "1.2.840.10008.1.2.4.101": "MPEG-2 video",
    "1.2.840.10008.1.2.4.102": "MPEG-4 video",
    "1.2.840.10008.1.2.4.103": "MPEG-4 video",
    "1.2.840.10008.1.2.4.104": "MPEG-4 video",
    "1.2.840.10008.1.2.4.105": "MPEG-4 video",
    "1.2.840.10008.1.2.4.106": "MPEG-4 video",
    "1.2.840.10008.1.2.4.107": "HEVC video",
    "1.2.840.10008.1.2.4.108": "HEVC video",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.111": "JPEG XL",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.204": "JPIP: the pixels are elsewhere",
    "1.2.840.10008.1.2.4.205": "JPIP: the pixels are elsewhere",
    "1.2.840.113619.5.2": "GE's private big endian",
}
