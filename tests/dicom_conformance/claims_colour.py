"""Colour: PS3.3 C.7.6.3.1.2, C.7.6.3.1.3, C.7.6.3.1.5, C.7.9."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dicom_conformance.claims import Claim, Make
from dicom_conformance.claims_grey import enhanced
from dicom_conformance.claims_stored import picture

from medimg.testing import make_dicom

#: One of 256 levels: what rounding to 8 bits may cost.
LEVEL = 1 / 255


def colour(data: bytes, rows: int, columns: int, photometric: str, planar: int = 0) -> Make:
    """Return a maker of one native colour image whose bytes are given."""

    def make(folder: Path) -> Path:
        return make_dicom(
            folder / "a.dcm",
            np.zeros((rows, columns, 3), np.uint8),
            modality="US",
            photometric=photometric,
            planar=planar,
            extra={"PixelData": ("OB", data)},
        )

    return make


def palette(
    values: Any, descriptor: list[int], red: Any, green: Any, blue: Any, *, segmented: bool = False
) -> Make:
    """Return a maker of an image with red, green and blue tables."""
    names = ("Red", "Green", "Blue")
    prefix = "Segmented" if segmented else ""
    extra: dict[str | int, Any] = {}
    for name, table in zip(names, (red, green, blue), strict=True):
        extra[f"{name}PaletteColorLookupTableDescriptor"] = descriptor
        extra[f"{prefix}{name}PaletteColorLookupTableData"] = table
    return picture(values, "u1", modality="US", photometric="PALETTE COLOR", extra=extra)


SUPPLEMENTAL: dict[str | int, Any] = {"PixelPresentation": "COLOR"}
for _name in ("Red", "Green", "Blue"):
    SUPPLEMENTAL[f"{_name}PaletteColorLookupTableDescriptor"] = [2, 1000, 16]
    SUPPLEMENTAL[f"{_name}PaletteColorLookupTableData"] = [0, 65535]

CLAIMS = [
    Claim(
        "colour by pixel: red, green, blue of one pixel stand together",
        "PS3.3 C.7.6.3.1.3, Planar Configuration 0",
        colour(bytes([255, 0, 51, 0, 255, 102]), 1, 2, "RGB"),
        "colour",
        [[[1.0, 0.0, 0.2], [0.0, 1.0, 0.4]]],
    ),
    Claim(
        "colour by plane: all red, then all green, then all blue",
        "PS3.3 C.7.6.3.1.3, Planar Configuration 1",
        colour(bytes([255, 0, 0, 255, 51, 102]), 1, 2, "RGB", planar=1),
        "colour",
        [[[1.0, 0.0, 0.2], [0.0, 1.0, 0.4]]],
    ),
    Claim(
        "planes are those of a frame, not of the file",
        "PS3.3 C.7.6.3.1.3; C.7.6.6",
        picture(
            [[[[255, 0, 51]]], [[[0, 255, 102]]]], "u1", modality="US", photometric="RGB", planar=1
        ),
        "colour",
        [[[0.0, 1.0, 0.4]]],
        frame=1,
    ),
    Claim(
        "YBR_FULL becomes red, green and blue",
        "PS3.3 C.7.6.3.1.2 YBR_FULL",
        # red: Y .2990*255 = 76, Cb -.1687*255 + 128 = 85, Cr .5*255 + 128 = 255
        # green: Y .5870*255 = 150, Cb -.3313*255 + 128 = 44, Cr -.4187*255 + 128 = 21
        # blue: Y .1140*255 = 29, Cb .5*255 + 128 = 255, Cr -.0813*255 + 128 = 107
        colour(bytes([76, 85, 255, 150, 44, 21, 29, 255, 107]), 1, 3, "YBR_FULL"),
        "colour",
        [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]],
        tolerance=2 * LEVEL,
    ),
    Claim(
        "YBR_FULL without colour is grey",
        "PS3.3 C.7.6.3.1.2 YBR_FULL (half scale: no colour)",
        colour(bytes([0, 128, 128, 102, 128, 128, 255, 128, 128]), 1, 3, "YBR_FULL"),
        "colour",
        [[[0.0, 0.0, 0.0], [0.4, 0.4, 0.4], [1.0, 1.0, 1.0]]],
        tolerance=LEVEL / 2,
    ),
    Claim(
        "YBR_FULL_422 has one pair of chroma for two pixels",
        "PS3.3 C.7.6.3.1.2 YBR_FULL_422; PS3.5 8.2 (Y1 Y2 Cb Cr)",
        # two red pixels, then a black and a white one without colour
        colour(bytes([76, 76, 85, 255, 0, 255, 128, 128]), 1, 4, "YBR_FULL_422"),
        "colour",
        [[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]],
        tolerance=2 * LEVEL,
    ),
    Claim(
        "a palette of eight bits gives red, green and blue",
        "PS3.3 C.7.6.3.1.5, C.7.6.3.1.6",
        palette(
            [[0, 1, 2]],
            [4, 0, 8],
            bytes([0, 51, 255, 7]),
            bytes([255, 0, 102, 7]),
            bytes([0, 0, 153, 7]),
        ),
        "colour",
        [[[0.0, 1.0, 0.0], [0.2, 0.0, 0.0], [1.0, 0.4, 0.6]]],
    ),
    Claim(
        "a palette maps what is below and above it to its first and last entry",
        "PS3.3 C.7.6.3.1.5",
        palette([[9, 10, 11, 12]], [2, 10, 16], [0, 65535], [13107, 0], [0, 39321]),
        "colour",
        # 13107 / 65535 = 0.2, 39321 / 65535 = 0.6
        [[[0.0, 0.2, 0.0], [0.0, 0.2, 0.0], [1.0, 0.0, 0.6], [1.0, 0.0, 0.6]]],
        tolerance=LEVEL,
    ),
    Claim(
        "a segmented palette has runs of entries and straight lines",
        "PS3.3 C.7.9.2",
        # discrete: 0, 2 entries, 0 and 13107; linear: 1, 2 entries, to 39321, the first halfway:
        # 13107 + 13107 = 26214. Fractions of 65535: 0, 0.2, 0.4, 0.6
        palette(
            [[0, 1, 2, 3]],
            [4, 0, 16],
            [0, 2, 0, 13107, 1, 2, 39321],
            [0, 4, 0, 0, 65535, 65535],
            [0, 1, 65535, 1, 3, 65535],
            segmented=True,
        ),
        "colour",
        [[[0.0, 0.0, 1.0], [0.2, 0.0, 1.0], [0.4, 1.0, 1.0], [0.6, 1.0, 1.0]]],
        tolerance=LEVEL,
    ),
    Claim(
        "a segmented palette may point at segments that it had before",
        "PS3.3 C.7.9.2.3",
        # discrete 0, 2, (0, 13107); then indirect: 2, 1 segment, from byte 0
        palette(
            [[0, 1, 2, 3]],
            [4, 0, 16],
            [0, 2, 0, 13107, 2, 1, 0, 0],
            [0, 4, 0, 0, 0, 0],
            [0, 4, 0, 0, 0, 65535],
            segmented=True,
        ),
        "colour",
        [[[0.0, 0.0, 0.0], [0.2, 0.0, 0.0], [0.0, 0.0, 0.0], [0.2, 0.0, 1.0]]],
        tolerance=LEVEL,
    ),
    Claim(
        "below a supplemental palette the pixels are grey values",
        "PS3.3 C.8.16.2.1.1.1 (values below the first one mapped are grey)",
        enhanced([[[10, 999]]], modality="MR", extra=SUPPLEMENTAL),
        "values",
        [[10, 999]],
        frame=0,
    ),
]
