"""Words to stored values: shift, mask, sign (PS3.5 8.1.1, 8.2; PS3.3 C.7.6.3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.image import ImagePixel


def stored_values(
    words: NDArray[Any],
    image: ImagePixel,
    precision: int,
    *,
    lossy: bool = False,
    stream_signed: bool = False,
) -> NDArray[Any]:
    """Return the stored values of words: BitsStored bits up to HighBit, and nothing else.

    What stands in the other bits (overlays of old files, rubbish) never leaks: PS3.5 8.1.1
    leaves them to whoever wrote the file. Where the values are signed the highest stored bit
    is the sign, also of a codestream that says it is unsigned: it holds two's complement. One
    of fewer bits never reaches that bit, and is positive.

    Parameters
    ----------
    words : unsigned or float (...)
    image : ImagePixel
        Its `signed` is that of the header or of the codestream, see `frames`.
    precision : int
        Bits that the coding speaks of: BitsAllocated of native data, those of a codestream.
    lossy : bool
        Whether a value beyond BitsStored is an overshoot of lossy compression, which is held
        at the end of the range: masked, the brightest would turn black.
    stream_signed : bool
        Whether the codestream says that its words have a sign, which then is their highest bit.

    Returns
    -------
    int8, int16, int32, uint8, uint16, uint32 or float (...)
        A view of `words` where no bit has to change.
    """
    if image.is_float:
        return words
    bits, shift = _place(image, precision)
    signed = image.signed and (stream_signed or precision >= image.bits)
    if lossy and bits < precision and shift == 0 and (stream_signed or (words >> bits).any()):
        low, high = _ends(bits, signed=image.signed)
        held: NDArray[Any] = np.clip(_field(words, precision, 0, signed=image.signed), low, high)
        return held
    return _field(words, bits, shift, signed=signed)


def _field(words: NDArray[Any], bits: int, shift: int, *, signed: bool) -> NDArray[Any]:
    """Return `bits` bits of words, from `shift` on, with or without sign."""
    width = 8 * words.dtype.itemsize
    kind = np.dtype(f"i{words.dtype.itemsize}")
    if bits == width:
        return words.view(kind) if signed else words
    if signed:
        raised: NDArray[Any] = (words << (width - bits - shift)).view(kind)
        values: NDArray[Any] = raised >> (width - bits)
        return values
    moved = words >> shift if shift else words
    masked: NDArray[Any] = moved & words.dtype.type((1 << bits) - 1)
    return masked


def _place(image: ImagePixel, precision: int) -> tuple[int, int]:
    """Return how many bits of a word are the stored value, and how many lie below it.

    A codestream of fewer bits than HighBit + 1 holds the stored bits alone (PS3.5 8.2).
    """
    if precision > image.high_bit:
        return image.bits, image.high_bit + 1 - image.bits
    return min(precision, image.bits), 0


def stored_range(image: ImagePixel) -> tuple[float, float] | None:
    """Return what BitsStored can hold; None for floats."""
    if image.is_float:
        return None
    low, high = _ends(image.bits, signed=image.signed)
    return float(low), float(high)


def _ends(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
