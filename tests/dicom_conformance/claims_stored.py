"""Stored values and padding: PS3.5 section 8 and annexes A and G, PS3.3 C.7.5.1.1.2."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from dicom_conformance.claims import At, Claim, Make

from medimg.testing import make_dicom, write_dicom
from medimg.testing.dicom_bytes import encapsulate


def cells(*values: int, columns: int, **options: Any) -> Make:
    """Return a maker of 16-bit cells, as they stand in the file: no rescale, no window."""

    def make(folder: Path) -> Path:
        array = np.array(values, np.uint16).reshape(-1, columns)
        raw = struct.pack(f"<{len(values)}H", *values)
        extra = {"PixelData": ("OW", raw)}
        return make_dicom(folder / "a.dcm", array, modality="OT", extra=extra, **options)

    return make


def picture(values: Any, dtype: str, **options: Any) -> Make:
    """Return a maker of stored values."""

    def make(folder: Path) -> Path:
        settings = {"modality": "OT", **options}
        return make_dicom(folder / "a.dcm", np.array(values, dtype), **settings)

    return make


def bits(data: bytes, rows: int, columns: int, frames: int | None = None) -> Make:
    """Return a maker of pixels of 1 bit."""

    def make(folder: Path) -> Path:
        shape = (rows, columns) if frames is None else (frames, rows, columns)
        extra = {"PixelData": ("OB", data)}
        return make_dicom(folder / "a.dcm", np.zeros(shape, bool), modality="OT", extra=extra)

    return make


def rle_of_two_segments(folder: Path) -> Path:
    """Write 2x2 pixels of 16 bits as PS3.5 annex G says, by hand."""
    header = struct.pack("<16I", 2, 64, 70, *[0] * 13)
    # byte 3: four literal bytes follow; the most significant bytes are the first segment
    segments = bytes([3, 0x01, 0x03, 0x05, 0x07, 0]) + bytes([3, 0x02, 0x04, 0x06, 0x08, 0])
    extra = {"PixelData": encapsulate([header + segments])}
    array = np.zeros((2, 2), np.uint16)
    return make_dicom(folder / "a.dcm", array, modality="OT", transfer_syntax="RLE", extra=extra)


def rle_runs(folder: Path) -> Path:
    """Write 2x4 pixels of 8 bits: a run of five and three literal bytes."""
    header = struct.pack("<16I", 1, 64, *[0] * 14)
    # 252 = -4: repeat the next byte 5 times; 2: three literal bytes
    extra = {"PixelData": encapsulate([header + bytes([252, 9, 2, 1, 2, 3])])}
    array = np.zeros((2, 4), np.uint8)
    return make_dicom(folder / "a.dcm", array, modality="OT", transfer_syntax="RLE", extra=extra)


def without_preamble(folder: Path) -> Path:
    """Write a bare data set in implicit little endian, as archives of the nineties hold them."""
    path = write_dicom(
        folder / "a.dcm",
        {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
            "SOPInstanceUID": "1.2.3",
            "Modality": "OT",
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": 1,
            "Columns": 2,
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "PixelData": struct.pack("<2H", 258, 7),
        },
        "implicit",
    )
    data = path.read_bytes()
    meta = 132 + 12 + struct.unpack_from("<I", data, 140)[0]
    path.write_bytes(data[meta:])
    return path


def with_tiff_preamble(folder: Path) -> Path:
    """Write an image whose preamble is that of a TIFF file, as dual files have it."""
    path = make_dicom(folder / "a.dcm", np.array([[1, 200, 50]], np.uint8), modality="OT")
    path.write_bytes(b"II*\0\x08\0\0\0" + path.read_bytes()[8:])
    return path


SIGNED = {"signed": True, "bits_stored": 12}
WIDE = {"range": (0.0, 5e9)}

STORED = [
    Claim(
        "twelve bits of sixteen are the value",
        "PS3.5 8.1.1",
        cells(0, 4095, 2048, 1, columns=2, bits_stored=12),
        "stored",
        [[0, 4095], [2048, 1]],
    ),
    Claim(
        "a value below the high bit 15 is shifted down",
        "PS3.5 8.1.1; PS3.3 C.7.6.3 High Bit",
        cells(0xABC0, 0x0010, columns=2, bits_stored=12, high_bit=15),
        "stored",
        [[2748, 1]],  # 0xABC0 >> 4 = 0xABC = 10*256 + 11*16 + 12
    ),
    Claim(
        "bits below the value are not part of it",
        "PS3.5 8.1.1",
        cells(0xABC5, 0x001F, columns=2, bits_stored=12, high_bit=15),
        "stored",
        [[2748, 1]],
    ),
    Claim(
        "overlay bits above the value are not part of it",
        "PS3.5 8.1.2; PS3.3 C.9.2 (retired overlays in unused bits)",
        cells(0xF123, 0x1FFF, columns=2, bits_stored=12),
        "stored",
        [[291, 4095]],  # 0x123 = 1*256 + 2*16 + 3
    ),
    Claim(
        "a signed value of twelve bits has its sign in bit 11",
        "PS3.5 8.1.1; PS3.3 C.7.6.3 Pixel Representation",
        cells(0x0FFF, 0x0800, 0x07FF, 0x0000, columns=2, **SIGNED),
        "stored",
        [[-1, -2048], [2047, 0]],
    ),
    Claim(
        "the bits above a signed value do not change its sign",
        "PS3.5 8.1.1",
        cells(0xF7FF, 0x1800, columns=2, **SIGNED),
        "stored",
        [[2047, -2048]],
    ),
    Claim(
        "a signed value may stand in the middle of its cell",
        "PS3.5 8.1.1",
        cells(0x3FFF, 0x2000, 0x0005, 0xC004, columns=2, high_bit=13, **SIGNED),
        "stored",
        [[-1, -2048], [1, 1]],  # bits 13 to 2: 0xFFF, 0x800, 0x001, 0x001
    ),
    Claim(
        "sixteen bits unsigned reach 65535",
        "PS3.5 8.1.1",
        cells(65535, 32768, columns=2),
        "stored",
        [[65535, 32768]],
    ),
    Claim(
        "an odd number of bytes is padded at its end, not in its rows",
        "PS3.5 8.1.1 (the value field has an even length)",
        picture([[1, 2, 3], [4, 5, 6], [7, 8, 9]], "u1"),
        "stored",
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    ),
    Claim(
        "the first of eight pixels of one bit is the lowest bit",
        "PS3.5 8.1.1; PS3.5 annex D",
        bits(b"\x05\x01", 3, 3),
        "stored",
        [[1, 0, 1], [0, 0, 0], [0, 0, 1]],  # 0x05 = 0b00000101; ninth pixel: bit 0 of 0x01
    ),
    Claim(
        "frames of one bit follow each other without padding",
        "PS3.5 8.1.1",
        bits(b"\x05\x1d\x02\x00", 3, 3, frames=2),
        "stored",
        # frame 1 begins at bit 9: 0x1d = 0b00011101 from bit 1: 0 1 1 1 0 0 0, 0x02: 0 1
        [[0, 1, 1], [1, 0, 0], [0, 0, 1]],
        frame=1,
    ),
    Claim(
        "thirty-two bits hold more than 65535",
        "PS3.5 8.1.1; PS3.3 C.8.8.3 (RT Dose)",
        picture([[4294967295, 65536], [65537, 0]], "u4"),
        "stored",
        [[4294967295, 65536], [65537, 0]],
        ask=WIDE,
    ),
    Claim(
        "thirty-two bits may be signed",
        "PS3.5 8.1.1",
        picture([[-2147483648, -1], [1, 2147483647]], "i4"),
        "stored",
        [[-2147483648, -1], [1, 2147483647]],
        ask=WIDE,
    ),
    Claim(
        "float pixel data are read as they are",
        "PS3.3 C.7.6.24",
        picture([[0.5, -1.25], [1e6, 0.0]], "f4"),
        "values",
        [[0.5, -1.25], [1e6, 0.0]],
        ask={"range": (-2.0, 2e6)},
    ),
    Claim(
        "double float pixel data are read as they are",
        "PS3.3 C.7.6.25",
        picture([[0.5, -1.25], [1e6, 0.0]], "f8"),
        "values",
        [[0.5, -1.25], [1e6, 0.0]],
        ask={"range": (-2.0, 2e6)},
    ),
    Claim(
        "big endian words have their high byte first",
        "PS3.5 A.3 (retired), 7.3",
        picture([[258, 65280]], "u2", transfer_syntax="big endian"),
        "stored",
        [[258, 65280]],
    ),
    Claim(
        "implicit little endian is read",
        "PS3.5 A.1",
        picture([[258, 65280]], "u2", transfer_syntax="implicit"),
        "stored",
        [[258, 65280]],
    ),
    Claim(
        "a deflated data set is read",
        "PS3.5 A.5",
        picture([[258, 65280]], "u2", transfer_syntax="deflated"),
        "stored",
        [[258, 65280]],
    ),
    Claim(
        "a data set without preamble and file meta information is read",
        "PS3.10 7.1 (files from before it); PS3.5 A.1",
        without_preamble,
        "stored",
        [[258, 7]],
    ),
    Claim(
        "a preamble may be that of another format",
        "PS3.10 7.1 (for use by an application profile, such as TIFF)",
        with_tiff_preamble,
        "order",
        [(0, 0), (0, 2), (0, 1)],
    ),
    Claim(
        "the first RLE segment holds the most significant bytes",
        "PS3.5 G.2",
        rle_of_two_segments,
        "stored",
        [[0x0102, 0x0304], [0x0506, 0x0708]],
    ),
    Claim(
        "RLE repeats a byte 1 - n times and copies n + 1",
        "PS3.5 G.3.2",
        rle_runs,
        "stored",
        [[9, 9, 9, 9], [9, 1, 2, 3]],
    ),
    Claim(
        "JPEG lossless of an image is the image",
        "PS3.5 A.4.1; ITU-T T.81 annex H",
        picture(
            np.add.outer([0, 1000, 2000, 4000], [0, 7]).tolist(),
            "u2",
            bits_stored=12,
            transfer_syntax="JPEG lossless",
        ),
        "stored",
        [[0, 7], [1000, 1007], [2000, 2007], [4000, 4007]],
    ),
]

PADDING = [
    Claim(
        "pixels of the padding value are no picture",
        "PS3.3 C.7.5.1.1.2",
        picture([[-2000, -1999], [0, -2000]], "i2", padding=-2000),
        "valid",
        [[False, True], [True, False]],
    ),
    Claim(
        "a padding value written as unsigned means the same bits",
        "PS3.3 C.7.5.1.1.2 (VR by Pixel Representation); PS3.5 6.2",
        # 65536 - 63536 = 2000
        picture([[-2000, -1999], [0, -2000]], "i2", padding=63536),
        "valid",
        [[False, True], [True, False]],
    ),
    Claim(
        "padding is a range up to its limit, both ends with it",
        "PS3.3 C.7.5.1.1.2, Pixel Padding Range Limit",
        picture(
            [[-2001, -2000, -1700], [-1500, -1499, 0]], "i2", padding=-2000, padding_limit=-1500
        ),
        "valid",
        [[True, False, False], [False, True, True]],
    ),
    Claim(
        "the padding value may be the upper end of its range",
        "PS3.3 C.7.5.1.1.2, Pixel Padding Range Limit",
        picture([[4000, 4001, 4095]], "u2", bits_stored=12, padding=4095, padding_limit=4001),
        "valid",
        [[True, False, False]],
    ),
    Claim(
        "padding is looked for before the rescale, not after it",
        "PS3.3 C.7.5.1.1.2",
        # stored 1024 is 0 HU, which equals the padding value, and is picture
        picture(
            [[0, 1024]], "u2", bits_stored=12, padding=0, slope=1, intercept=-1024, modality="CT"
        ),
        "valid",
        [[False, True]],
    ),
    Claim(
        "float data have a float padding value",
        "PS3.3 C.7.6.24.1, Float Pixel Padding Value",
        picture([[-1.5, 2.0]], "f4", extra={"FloatPixelPaddingValue": -1.5}),
        "valid",
        [[False, True]],
        ask={"range": (0.0, 4.0)},
    ),
    Claim(
        "padded pixels are the lowest output",
        "PS3.3 C.7.5.1.1.2 (shown as background)",
        picture([[255, 0, 51]], "u1", padding=255, modality="CR"),
        "grey",
        [[0.0, 0.0, 0.2]],  # 51 / 255
    ),
    Claim(
        "padded pixels are the lowest output after the inversion too",
        "PS3.3 C.7.5.1.1.2; C.7.6.3.1.2 MONOCHROME1",
        picture([[255, 0, 204]], "u1", padding=255, modality="CR", photometric="MONOCHROME1"),
        "grey",
        [[0.0, 1.0, 0.2]],  # 255 - 0 = 255; (255 - 204) / 255
    ),
]

FRAMES = [
    Claim(
        "frames follow each other in the order of the file",
        "PS3.3 C.7.6.6; PS3.5 8.2",
        picture([[[1, 2]], [[3, 4]], [[5, 6]]], "u1"),
        "stored",
        [[3, 4]],
        frame=1,
    ),
    Claim(
        "the last frame is the last",
        "PS3.3 C.7.6.6",
        picture([[[1, 2]], [[3, 4]], [[5, 6]]], "u2", transfer_syntax="RLE"),
        "stored",
        [[5, 6]],
        frame=2,
    ),
    Claim(
        "an image without Number of Frames has one",
        "PS3.3 C.7.6.6.1.1",
        picture([[1, 2], [3, 4]], "u1", extra={"NumberOfFrames": None}),
        "stored",
        [[1, 2], [3, 4]],
    ),
    Claim(
        "rows come first: an image is not transposed",
        "PS3.3 C.7.6.3.1.1; PS3.5 8.2 (left to right, then down)",
        picture([[1, 2, 3], [4, 5, 6]], "u1"),
        "stored",
        At((2, 3), {(0, 0): 1, (0, 2): 3, (1, 0): 4}),
    ),
]

CLAIMS = [*STORED, *PADDING, *FRAMES]
