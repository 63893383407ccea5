"""Native pixel data (PS3.5 8.1, 8.2 and annex D): words as they stand, views where possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.dataset import PixelElement, corrupt
from medimg.data.sources.dicom.pixels.elements import header
from medimg.data.sources.dicom.pixels.image import ImagePixel


def native_words(
    pixels: PixelElement, image: ImagePixel, frames: Sequence[int], *, little: bool
) -> NDArray[Any]:
    """Return words (F, H, W), or (F, H, W, 3) with colours by pixel.

    All frames must be there even where one is asked for. YBR_FULL_422 gets its shared colours
    doubled along the rows.

    Raises
    ------
    PixelError
        ``corrupt``: there are less data than the header promises. ``header``: there are as
        many more as would make another frame. ``unsupported``: YBR_PARTIAL_420.
    """
    if pixels.length is None:
        raise corrupt("native pixels of undefined length")
    bits = _frame_bits(image)
    needed = (bits * image.frames + 7) // 8
    there = len(pixels.value)
    if there < needed:
        raise corrupt(f"{there:,} bytes of pixels where the header promises {needed:,}")
    if (there - needed) * 8 >= bits and there - needed > 1:
        raise header(
            f"{there:,} bytes of pixels where NumberOfFrames ({image.frames}) and the size make "
            f"{needed:,}"
        )
    if not little and pixels.vr == "OW" and image.allocated < 16:
        pixels = pixels._replace(value=_swapped(pixels.value))
    if image.allocated == 1:
        return np.stack([_one_bit_frame(pixels.value, image, frame) for frame in frames])
    return _byte_words(pixels.value, image, frames, little=little)


def _frame_bits(image: ImagePixel) -> int:
    """Return the bits of one frame; two samples a pixel where colours are shared (C.7.6.3.1.2)."""
    pixels = image.rows * image.columns
    if image.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        if image.columns % 2 or image.planar:
            raise header(f"{image.photometric} with {image.columns} columns, or by plane")
        return pixels * 2 * image.allocated
    if image.photometric in ("YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"):
        raise header(f"{image.photometric} without compression")
    return pixels * image.samples * image.allocated


def _swapped(value: memoryview) -> memoryview:
    """Return bytes that stand as big endian 16-bit words in their own order (PS3.5 7.3)."""
    whole = bytes(value) + b"\0" * (len(value) % 2)
    return memoryview(np.frombuffer(whole, ">u2").astype("<u2").tobytes())


def _byte_words(
    value: memoryview, image: ImagePixel, frames: Sequence[int], *, little: bool
) -> NDArray[Any]:
    letter = "f" if image.is_float else "u"
    kind = np.dtype(f"{'<' if little else '>'}{letter}{image.allocated // 8}")
    count = _frame_bits(image) // image.allocated
    if len(frames) == image.frames:
        flat = np.frombuffer(value, kind, count * image.frames).reshape(image.frames, count)
    else:
        size = count * kind.itemsize
        flat = np.stack([np.frombuffer(value, kind, count, size * frame) for frame in frames])
    if not little:
        flat = flat.astype(kind.newbyteorder("="))
    return _arranged(flat, image)


def _arranged(flat: NDArray[Any], image: ImagePixel) -> NDArray[Any]:
    """Return (F, H, W) or (F, H, W, 3), whatever the planar configuration (C.7.6.3.1.3)."""
    if image.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        pairs = flat.reshape(len(flat), image.rows, image.columns // 2, 4)  # Y Y Cb Cr
        words = np.empty((len(flat), image.rows, image.columns, 3), flat.dtype)
        words[..., 0] = pairs[..., :2].reshape(len(flat), image.rows, image.columns)
        words[..., 1] = np.repeat(pairs[..., 2], 2, axis=2)
        words[..., 2] = np.repeat(pairs[..., 3], 2, axis=2)
        return words
    if image.samples == 1:
        return flat.reshape(len(flat), image.rows, image.columns)
    if image.planar == 0:
        return flat.reshape(len(flat), image.rows, image.columns, 3)
    return flat.reshape(len(flat), 3, image.rows, image.columns).transpose(0, 2, 3, 1)


def _one_bit_frame(value: memoryview, image: ImagePixel, frame: int) -> NDArray[np.uint8]:
    """Return one frame of 1-bit pixels; frames follow each other without padding (8.1.1)."""
    count = image.rows * image.columns
    first = frame * count
    piece = np.frombuffer(value, np.uint8)[first // 8 : (first + count + 7) // 8]
    return one_bit(piece, image, skip=first % 8)


def one_bit(piece: NDArray[np.uint8], image: ImagePixel, *, skip: int = 0) -> NDArray[np.uint8]:
    """Return (H, W) of 0 and 1, from the least significant bit on (PS3.5 8.1.1)."""
    count = image.rows * image.columns
    flat = np.unpackbits(piece, bitorder="little", count=skip + count)
    return flat[skip:].reshape(image.rows, image.columns)
