"""Segmented palettes (PS3.3 C.7.9.2): runs, slopes and repetitions to plain tables."""

from __future__ import annotations

import numpy as np
import pydicom

from medimg.data.sources.dicom.pixels.elements import header, words
from medimg.data.sources.dicom.pixels.lut import Lut, lut_descriptor

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


def read_segmented(
    dataset: pydicom.Dataset, descriptor: str, data: str, *, signed: bool, little: bool
) -> Lut:
    """Return the table of a descriptor and its segmented data.

    Raises
    ------
    PixelError
        ``header``: missing, malformed, or of another length than the descriptor says.
    """
    first, count, bits = lut_descriptor(dataset, descriptor, signed=signed)
    found = words(dataset, data, little=little)
    if found is None:
        raise header(f"{data} is missing")
    if bits == 8:
        found = found.astype("<u2").view(np.uint8).astype(np.uint16)
    try:
        table = _expanded([int(v) for v in found], 1 if bits == 8 else 2, count)
    except IndexError:
        raise header(f"a segment of {data} is cut") from None
    if len(table) != count:
        raise header(f"{data} makes {len(table)} entries where {count} are named")
    return Lut(first, np.asarray(table, np.uint16), bits)


def _expanded(data: list[int], width: int, count: int) -> list[int]:
    """Return the entries of segments, at most a segment more than `count` of them.

    `width` is the bytes of a value: an indirect segment names its target by a byte offset, of
    four values of 8 bits or two of 16, the least significant first.
    """
    table: list[int] = []
    position = 0
    while len(table) < count:
        kind, length = data[position], data[position + 1]
        if kind == _INDIRECT:
            values = data[position + 2 : position + 2 + 4 // width]
            offset = sum(value << 8 * width * i for i, value in enumerate(values))
            target = offset // width
            for _ in range(length):
                if len(table) >= count:
                    break
                target = _segment(data, target, table)
            position += 2 + 4 // width
        else:
            position = _segment(data, position, table)
    return table


def _segment(data: list[int], position: int, table: list[int]) -> int:
    """Append one discrete or linear segment; return where the next one begins."""
    kind, length = data[position], data[position + 1]
    if kind == _DISCRETE:
        end = position + 2 + length
        if end > len(data):
            raise IndexError(end)
        table += data[position + 2 : end]
        return end
    if kind != _LINEAR or not table or not length:
        raise header("a segment of a palette has no lawful kind, or nothing before it")
    start, stop = table[-1], data[position + 2]
    steps = np.arange(1, length + 1)
    table += [int(v) for v in np.rint(start + (stop - start) * steps / length)]
    return position + 3
