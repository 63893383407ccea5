"""Lookup tables (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5): descriptor, data and their use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.elements import has, header, items, numbers, signed16, words


class Lut(NamedTuple):
    """`table[0]` is for inputs up to `first`, the last entry for all beyond the end.

    `table` is uint16 (N,), of `bits` bits.
    """

    first: int
    table: NDArray[np.uint16]
    bits: int


def read_lut(
    dataset: pydicom.Dataset,
    descriptor: str,
    data: str,
    *,
    signed: bool,
    little: bool,
    reach: tuple[float, float] | None = None,
) -> Lut:
    """Return the table of two elements.

    Parameters
    ----------
    descriptor, data : str
        Keywords, such as ``LUTDescriptor`` and ``LUTData``.
    signed : bool
        Whether the input of the table is signed: the first mapped value is read so, whatever
        its VR.
    reach : (low, high), optional
        What the input can be: where the table lies there in the other reading of its first
        mapped value alone, that counts.

    Raises
    ------
    PixelError
        ``header``: missing, too short, or entries beyond the bits that the descriptor names.
    """
    first, count, bits = lut_descriptor(dataset, descriptor, signed=signed)
    if reach is not None and not _overlap(first, count, reach):
        other = lut_descriptor(dataset, descriptor, signed=not signed)[0]
        first = other if _overlap(other, count, reach) else first
    found = words(dataset, data, little=little)
    if found is None:
        raise header(f"{data} is missing")
    table = found
    if len(found) < count:
        # 8-bit entries may be packed two a word, the first in the low byte (C.11.1.1.1).
        table = found.astype("<u2").view(np.uint8).astype(np.uint16)
        if bits > 8 or len(table) < count:
            raise header(f"{data} has {len(found)} words for {count} entries")
    table = table[:count]
    if int(table.max()) >= 1 << bits:
        raise header(f"{data} has entries of more than {bits} bits")
    return Lut(first, table, bits)


def _overlap(first: int, count: int, reach: tuple[float, float]) -> bool:
    return first <= reach[1] and first + count - 1 >= reach[0]


def tables(dataset: pydicom.Dataset, sequence: str) -> list[pydicom.Dataset]:
    """Return the items of a sequence of tables; some writers leave an empty item behind."""
    found = items(dataset, sequence)
    return [item for item in found if has(item, "LUTDescriptor") or has(item, "LUTData")]


def lut_descriptor(dataset: pydicom.Dataset, keyword: str, *, signed: bool) -> tuple[int, int, int]:
    """Return first mapped value, entries (0 stands for 65536) and bits of an entry.

    The first mapped value is signed as its input is, the rest never, whatever the VR.
    """
    found = numbers(dataset, keyword)
    if len(found) != 3:
        raise header(f"{keyword} has {len(found)} values where 3 are lawful")
    count, first, bits = (signed16(found[0], signed=False), found[1], int(found[2]))
    if not 8 <= bits <= 16:
        raise header(f"{keyword} speaks of {bits} bits an entry")
    return signed16(first, signed=signed), count or 65536, bits


def look_up(lut: Lut, values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the entries of values (...); fractions are rounded to the nearest input."""
    if values.dtype.kind == "f":
        index = np.rint(values.astype(np.float64)) - lut.first
    else:
        index = values.astype(np.int64) - lut.first
    index = np.clip(index, 0, len(lut.table) - 1)
    if index.dtype.kind == "f":
        index = np.where(np.isfinite(index), index, 0).astype(np.int64)
    found: NDArray[np.uint16] = lut.table[index]
    return found
