"""The Image Pixel module of an array, and its pixels in each transfer syntax."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.testing.dicom_bytes import DataSet, Elements, encapsulate

Array = NDArray[Any]

#: Name -> UID (PS3.6 annex A).
SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "deflated": "1.2.840.10008.1.2.1.99",
    "big endian": "1.2.840.10008.1.2.2",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}
#: UID -> pydicom's plugin that encodes a frame of it; JPEG lossless is written by hand.
ENCODERS = {
    SYNTAXES["RLE"]: "pydicom",
    SYNTAXES["JPEG lossless"]: "",
    SYNTAXES["JPEG-LS"]: "pyjpegls",
    SYNTAXES["JPEG 2000"]: "pylibjpeg",
}


def image_module(
    array: Array,
    photometric: str,
    bits_stored: int | None,
    high_bit: int | None,
    signed: bool | None,
    planar: int,
) -> Elements:
    """Return the Image Pixel module (PS3.3 C.7.6.3) but for the pixels."""
    colour = photometric.startswith(("RGB", "YBR"))
    shape = array.shape[:-1] if colour else array.shape
    allocated = 1 if array.dtype == bool else 8 * array.dtype.itemsize
    module: Elements = {
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": photometric,
        "PlanarConfiguration": planar if colour else None,
        "NumberOfFrames": shape[0] if len(shape) == 3 else None,
        "Rows": shape[-2],
        "Columns": shape[-1],
        "BitsAllocated": allocated,
    }
    if array.dtype.kind != "f":
        stored = bits_stored or allocated
        module["BitsStored"] = stored
        module["HighBit"] = stored - 1 if high_bit is None else high_bit
        module["PixelRepresentation"] = int(array.dtype.kind == "i" if signed is None else signed)
    return module


def pixel_element(array: Array, image: DataSet, other_bits: int | Array, uid: str) -> Elements:
    """Return the element that holds the pixels, in the transfer syntax."""
    if array.dtype.kind == "f":
        return {"FloatPixelData" if array.dtype.itemsize == 4 else "DoubleFloatPixelData": array}
    if array.dtype == bool:
        data = np.packbits(array.ravel(), bitorder="little").tobytes()
        return {"PixelData": ("OB", data)}
    stored, shift = image["BitsStored"], image["HighBit"] + 1 - image["BitsStored"]
    cells = (array.astype(np.int64) & ((1 << stored) - 1)) << shift | other_bits
    cells = cells.astype(f"u{array.dtype.itemsize}")
    if uid not in ENCODERS:
        if image["PlanarConfiguration"] == 1:
            cells = np.moveaxis(cells, -1, -3)
        return {"PixelData": ("OB" if cells.itemsize == 1 else "OW", cells)}
    frames = cells.reshape(image["NumberOfFrames"] or 1, image["Rows"], image["Columns"], -1)
    packed = [_compressed(np.ascontiguousarray(frame), image, uid) for frame in frames]
    return {"PixelData": ("OB", encapsulate(packed))}


def _compressed(cells: Array, image: DataSet, uid: str) -> bytes:
    """Return one frame (H, W, samples) as a codestream."""
    if uid == SYNTAXES["JPEG lossless"]:
        whole = int(cells.max()) >> (image["HighBit"] + 1)
        return _jpeg_lossless(cells, image["BitsAllocated"] if whole else image["HighBit"] + 1)
    from pydicom.pixels.encoders.base import get_encoder

    return get_encoder(uid).encode(
        cells.astype(cells.dtype.newbyteorder("<")).tobytes(),
        encoding_plugin=ENCODERS[uid],
        rows=image["Rows"],
        columns=image["Columns"],
        samples_per_pixel=image["SamplesPerPixel"],
        number_of_frames=1,
        bits_allocated=image["BitsAllocated"],
        bits_stored=image["BitsStored"],
        pixel_representation=image["PixelRepresentation"],
        photometric_interpretation=image["PhotometricInterpretation"],
        planar_configuration=0,
    )


def _jpeg_lossless(cells: Array, precision: int) -> bytes:
    """Return JPEG lossless with first-order prediction (ITU-T T.81 annex H, selection value 1).

    The 17 categories of difference have codes of 5 bits each (T.81 table H.2).
    """
    rows, columns, samples = cells.shape
    values = cells.astype(np.int64)
    before = np.roll(values, 1, axis=1)
    before[1:, 0] = values[:-1, 0]
    before[0, 0] = 1 << (precision - 1)
    difference = ((values - before + 0x7FFF) % 0x10000 - 0x7FFF).ravel()  # modulo 2**16, H.1.2.1
    size = np.frexp(np.abs(difference))[1].astype(np.int64)
    rest = np.where(difference < 0, difference + (1 << size) - 1, difference)
    kept = np.where(size == 16, 0, size)
    code = np.where(size == 16, size, size << kept | rest)
    shifts = (5 + kept)[:, None] - 1 - np.arange(20)
    bits = (code[:, None] >> shifts.clip(0) & 1)[shifts >= 0]
    tail = np.ones(-len(bits) % 8, np.int64)
    scan = np.packbits(np.concatenate([bits, tail]).astype(bool)).tobytes()
    ids = range(1, samples + 1)
    frame = struct.pack(">BHHB", precision, rows, columns, samples)
    table = bytes([0, *(17 * (length == 5) for length in range(1, 17)), *range(17)])
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xC3, frame + b"".join(bytes([i, 0x11, 0]) for i in ids)),
            _segment(0xC4, table),
            _segment(0xDA, bytes([samples, *(b for i in ids for b in (i, 0)), 1, 0, 0])),
            scan.replace(b"\xff", b"\xff\0"),
            b"\xff\xd9",
        ]
    )


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data
