"""Pixel padding (PS3.3 C.7.5.1.1.2): values that stand where there is no picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.elements import number, signed16
from medimg.data.sources.dicom.pixels.image import ImagePixel

_FLOATS = {
    "FloatPixelData": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    "DoubleFloatPixelData": ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
}


def padding_span(dataset: pydicom.Dataset, image: ImagePixel) -> tuple[float, float] | None:
    """Return the lowest and highest stored value that is padding; None where there is none.

    Both ends are stored values, before any transform, in the signedness of the pixels:
    63536 written as US under signed pixels is -2000. PixelPaddingRangeLimit may lie above
    (MONOCHROME2) or below (MONOCHROME1) PixelPaddingValue. Colours have no padding.

    Raises
    ------
    PixelError
        ``header``: malformed.
    """
    if not image.is_grey:
        return None
    if image.is_float:
        value, limit = (number(dataset, keyword) for keyword in _FLOATS[image.keyword])
    else:
        value, limit = (
            None if found is None else float(signed16(found, signed=image.signed))
            for found in (
                number(dataset, "PixelPaddingValue"),
                number(dataset, "PixelPaddingRangeLimit"),
            )
        )
    if value is None:
        return None
    other = value if limit is None else limit
    return min(value, other), max(value, other)


def valid_pixels(
    stored: NDArray[Any], span: tuple[float, float] | None
) -> NDArray[np.bool_] | None:
    """Return where there is picture, bool of the shape of `stored`; None where it is everywhere."""
    if span is None:
        return None
    low, high = span
    if stored.dtype.kind == "f":
        # The limits of float pixels are written as floats of their own width.
        low, high = float(stored.dtype.type(low)), float(stored.dtype.type(high))
        padded = (stored >= low) & (stored <= high)
    elif low == high:
        info = np.iinfo(stored.dtype)
        if not info.min <= low <= info.max:
            return None
        padded = stored == stored.dtype.type(int(low))
    else:
        padded = (stored >= low) & (stored <= high)
    return ~padded if padded.any() else None


def padding_step(span: tuple[float, float]) -> str:
    """Return what the steps say of it."""
    low, high = span
    return f"padding {low:g} masked" if low == high else f"padding {low:g} to {high:g} masked"
