"""Colours: palettes and YCbCr to RGB (PS3.3 C.7.6.3.1.2, C.7.6.3.1.5, C.7.9)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.elements import has, header
from medimg.data.sources.dicom.pixels.image import PALETTE, ImagePixel
from medimg.data.sources.dicom.pixels.lut import Lut, look_up, lut_descriptor, read_lut
from medimg.data.sources.dicom.pixels.segmented import read_segmented

_CHANNELS = ("Red", "Green", "Blue")


def to_rgb(values: NDArray[Any], photometric: str, bits: int) -> NDArray[Any]:
    """Return RGB (..., 3) of colours (..., 3), unsigned, of the same number of bits.

    YBR_FULL (and YBR_FULL_422 with its colours doubled) is ITU-R BT.601 over the full range:
    C.7.6.3.1.2 gives the way there, this is its inverse, rounded to the nearest. YBR_PARTIAL_422
    is retired and spans 16 to 235.

    Raises
    ------
    PixelError
        ``header``: a colour space that only a codestream can have.
    """
    if photometric == "RGB":
        return values
    if photometric not in ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"):
        raise header(f"{photometric} outside JPEG 2000")
    half, top = float(1 << bits - 1), float((1 << bits) - 1)
    y, cb, cr = (values[..., i].astype(np.float32) for i in range(3))
    cb -= half
    cr -= half
    if photometric.startswith("YBR_PARTIAL"):
        unit = float(1 << bits) / 256
        y = (y - 16 * unit) * (255 / 219)
        cb *= 255 / 224
        cr *= 255 / 224
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    found: NDArray[Any] = np.clip(np.rint(rgb), 0, top).astype(values.dtype)
    return found


def has_sign(dataset: pydicom.Dataset, image: ImagePixel) -> bool:
    """Return whether colours that PixelRepresentation calls signed are so.

    RGB and YBR never are: their lowest value is the least of a colour (C.7.6.3.1.2). Indices of
    a palette are where it begins below 0 (C.7.6.3.1.5).
    """
    descriptor = "RedPaletteColorLookupTableDescriptor"
    return image.photometric == PALETTE and lut_descriptor(dataset, descriptor, signed=True)[0] < 0


def has_palette(dataset: pydicom.Dataset) -> bool:
    """Return whether there are palette tables, of whatever use."""
    return has(dataset, "RedPaletteColorLookupTableDescriptor")


def through_palette(
    stored: NDArray[Any], dataset: pydicom.Dataset, image: ImagePixel, *, little: bool
) -> tuple[NDArray[np.uint16], int]:
    """Return RGB (..., 3) of PALETTE COLOR and the bits of its entries (C.7.6.3.1.5, C.7.9).

    The first mapped value is a stored value. Segmented tables are expanded. An alpha table is
    left out: it speaks of blending with another image.

    Raises
    ------
    PixelError
        ``header``: a table is missing, malformed, or one of them has other bits.
    """
    tables = [_table(dataset, channel, image, little=little) for channel in _CHANNELS]
    if len({table.bits for table in tables}) > 1:
        raise header("the palettes of red, green and blue have different bits")
    return np.stack([look_up(table, stored) for table in tables], axis=-1), tables[0].bits


def _table(dataset: pydicom.Dataset, channel: str, image: ImagePixel, *, little: bool) -> Lut:
    descriptor = f"{channel}PaletteColorLookupTableDescriptor"
    data = f"{channel}PaletteColorLookupTableData"
    segmented = f"Segmented{data}"
    if has(dataset, data) or not has(dataset, segmented):
        return read_lut(dataset, descriptor, data, signed=image.signed, little=little)
    return read_segmented(dataset, descriptor, segmented, signed=image.signed, little=little)
