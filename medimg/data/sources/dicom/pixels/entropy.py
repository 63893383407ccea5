"""Whether the entropy-coded data of a JPEG frame are all there, whatever end marker they have.

libjpeg fills what is missing with grey and says so in a warning that nobody hears.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.codestream import END, SCAN, segments
from medimg.data.sources.dicom.pixels.dataset import corrupt

_TABLES, _RESTART = 0xC4, 0xDD
#: As many bits as libjpeg reads ahead: all 1, which is no code of JPEG (F.1.2.1.2), or mixed.
ONES, MIXED = b"\xff\0" * 8, b"\xf2\xd8\xb5\xe9\x7a\xcb\xdd\x96"

#: Prediction of a sample from those to its left, above it and above left (H.1.2.1, table H.1).
_PREDICTORS: dict[int, Callable[[Any, Any, Any], Any]] = {
    1: lambda a, b, c: a,
    2: lambda a, b, c: b,
    3: lambda a, b, c: c,
    4: lambda a, b, c: a + b - c,
    5: lambda a, b, c: a + (b - c >> 1),
    6: lambda a, b, c: b + (a - c >> 1),
    7: lambda a, b, c: a + b >> 1,
}


def open_ended(frame: bytes, ahead: bytes = ONES) -> bytes:
    """Return a baseline frame without its end: a decoder that lacks data then asks for more.

    What it reads ahead may still stand in for the last two blocks; where it does, `ONES` and
    `MIXED` give different pixels. A frame of several scans is left as it is: it is complete
    when its end marker comes.
    """
    *_, (_, _, start) = segments(frame)
    end = frame.rfind(END)
    several = frame.find(bytes([0xFF, SCAN]), start, end) >= 0
    return frame if several else frame[:end] + ahead


def check_lossless(frame: bytes, words: NDArray[Any], precision: int) -> None:
    """Refuse a lossless frame that holds fewer bits than its samples take (ISO 10918-1 H).

    The samples, predicted again, tell the length of every code that they were decoded from.
    Frames with restart intervals or several scans are not looked at.

    Parameters
    ----------
    frame : bytes
    words : unsigned (H, W) or (H, W, 3)
        What it was decoded to.
    precision : int

    Raises
    ------
    PixelError
        ``corrupt``
    """
    tables: dict[int, bytes] = {}
    scan, start = b"", 0
    for marker, begin, end in segments(frame):
        body = frame[begin:end]
        if marker == _TABLES:
            tables.update(_huffman(body))
        elif marker == _RESTART and any(body):
            return
        scan, start = body, end
    planes = words[..., None] if words.ndim == 2 else words
    if not scan or scan[0] != planes.shape[-1] or len(scan) < 4 + 2 * scan[0]:
        return
    selection, shift = scan[-3], scan[-1] & 15
    if selection not in _PREDICTORS:
        raise corrupt("a lossless frame without predictor")
    coded = frame[start : frame.rfind(END)]
    there = 8 * (len(coded) - coded.count(b"\xff\0"))
    needed = 0
    for number in range(scan[0]):
        lengths = tables.get(scan[2 + 2 * number] >> 4)
        if lengths is None:
            raise corrupt("a lossless frame without its table")
        differences = _differences(planes[..., number] >> shift, selection, precision - shift)
        needed += int(_bits(lengths)[differences].sum(dtype=np.int64))
    if needed > there:
        raise corrupt("a frame ends before its last pixel")


def _huffman(body: bytes) -> dict[int, bytes]:
    """Return the code length of each category, by table (B.2.4.2); 0 where it has no code."""
    found, position = {}, 0
    while position + 17 <= len(body):
        counts = body[position + 1 : position + 17]
        symbols = body[position + 17 : position + 17 + sum(counts)]
        lengths = bytearray(256)
        widths = [width for width, count in enumerate(counts, 1) for _ in range(count)]
        for symbol, width in zip(symbols, widths, strict=False):
            lengths[symbol] = width
        found[body[position] & 15] = bytes(lengths)
        position += 17 + sum(counts)
    return found


def _differences(samples: NDArray[Any], selection: int, bits: int) -> NDArray[np.uint16]:
    """Return samples (H, W) less their prediction, modulo 65536 (H.1.2.1)."""
    found = np.empty(samples.shape, np.uint16)
    values = samples if selection == 1 else samples.astype(np.int32)
    found[0, 0] = (int(samples[0, 0]) - (1 << bits - 1)) & 0xFFFF
    found[0, 1:] = samples[0, 1:].astype(np.uint16) - samples[0, :-1]
    found[1:, 0] = samples[1:, 0].astype(np.uint16) - samples[:-1, 0]
    predicted = _PREDICTORS[selection](values[1:, :-1], values[:-1, 1:], values[:-1, :-1])
    found[1:, 1:] = samples[1:, 1:].astype(np.uint16) - predicted.astype(np.uint16)
    return found


@cache
def _categories() -> NDArray[np.uint8]:
    """Return the category of each difference: the bits of its magnitude (table H.2)."""
    magnitude = np.abs(np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32))
    found: NDArray[np.uint8] = np.ceil(np.log2(magnitude + 1)).astype(np.uint8)
    return found


def _bits(lengths: bytes) -> NDArray[np.uint8]:
    """Return the bits that each difference takes: its code, and the category's own bits."""
    categories = np.arange(17, dtype=np.uint8)
    extra = np.where(categories == 16, 0, categories).astype(np.uint8)
    widths = np.frombuffer(lengths, np.uint8)[:17] + extra
    found: NDArray[np.uint8] = widths[_categories()]
    return found
