"""Pixel padding (PS3.3 C.7.5.1.1.2): values that stand where there is no picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.elements import number, signed16
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.stored import stored_range

_FLOATS = {
    "FloatPixelData": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    "DoubleFloatPixelData": ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
}


def padding_span(dataset: pydicom.Dataset, image: ImagePixel) -> tuple[float, float] | None:
    """Return the lowest and highest stored value that is padding; None where there is none.

    Both ends are stored values, before any transform, in the signedness of the pixels:
    63536 written as US under signed pixels is -2000, and 2048 under signed pixels of 12 bits,
    which end at 2047, is the pattern of -2048. PixelPaddingRangeLimit may lie above
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
            None if found is None else float(_stored(found, image))
            for found in (
                number(dataset, "PixelPaddingValue"),
                number(dataset, "PixelPaddingRangeLimit"),
            )
        )
    if value is None:
        return None
    other = value if limit is None else limit
    return min(value, other), max(value, other)


def _stored(value: float, image: ImagePixel) -> int:
    """Return a 16-bit value as a stored value; its sign may stand in the highest stored bit."""
    found = signed16(value, signed=image.signed)
    half = 1 << image.bits - 1
    return found - 2 * half if image.signed and half <= found < 2 * half else found


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


def padding_step(span: tuple[float, float], image: ImagePixel, *, found: bool) -> str:
    """Return what the steps say of it: that it is masked, or is what no pixel can be; else ""."""
    low, high = span
    what = f"padding {low:g}" if low == high else f"padding {low:g} to {high:g}"
    if found:
        return f"{what} masked"
    ends = stored_range(image)
    if ends is not None and (high < ends[0] or low > ends[1]):
        return f"{what} is no stored value, which lie in {ends[0]:g} to {ends[1]:g}"
    return ""
