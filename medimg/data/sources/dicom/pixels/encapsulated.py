"""Encapsulated pixel data: items to fragments, fragments to frames (PS3.5 A.4)."""

from __future__ import annotations

from itertools import pairwise
from struct import unpack_from

import pydicom

from medimg.data.sources.dicom.pixels.dataset import PixelElement, corrupt
from medimg.data.sources.dicom.pixels.elements import numbers
from medimg.data.sources.dicom.pixels.walk import ITEM, SEQUENCE_END

#: How each frame of JPEG, JPEG-LS and JPEG 2000 begins.
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")


def encoded_frames(
    dataset: pydicom.Dataset, pixels: PixelElement, frames: int, *, one_fragment: bool
) -> list[bytes]:
    """Return the encoded frames.

    One fragment a frame, or all fragments of one frame; else the Extended Offset Table (PS3.3
    C.7.6.3.1.8), the Basic Offset Table, or where a fragment begins like a codestream.

    Parameters
    ----------
    frames : int
        NumberOfFrames.
    one_fragment : bool
        Whether the transfer syntax has one fragment a frame: RLE (PS3.5 A.4.2) and deflated
        frames.

    Raises
    ------
    PixelError
        ``corrupt``: a fragment is cut, or there are not as many frames as the header says.
    """
    offsets, fragments, starts = _fragments(pixels.value)
    if len(fragments) == frames:
        return fragments
    if frames == 1 and fragments and not one_fragment:
        return [b"".join(fragments)]
    if len(fragments) > frames and not one_fragment:
        table = _extended_offsets(dataset) or offsets or _begins(fragments, starts)
        if len(table) == frames and table[0] == 0 and set(table) <= set(starts):
            first = [starts.index(offset) for offset in table]
            if first == sorted(set(first)):
                return [b"".join(fragments[a:b]) for a, b in pairwise([*first, len(fragments)])]
    raise corrupt(f"{len(fragments)} fragments for {frames} frames")


def _fragments(value: memoryview) -> tuple[list[int], list[bytes], list[int]]:
    """Return the Basic Offset Table, the fragments, and where each begins after the table.

    A missing delimiter at the end is tolerated: all fragments are whole.
    """
    position = 0
    found: list[bytes] = []
    starts: list[int] = []
    while position + 8 <= len(value):
        group, element, length = unpack_from("<HHL", value, position)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            break
        if tag != ITEM:
            raise corrupt("something else stands where a fragment should")
        starts.append(position)
        position += 8 + length
        if position > len(value):
            raise corrupt("it ends within a fragment")
        found.append(bytes(value[position - length : position]))
    if not found or 0 < len(value) - position < 8:
        raise corrupt("it ends within its fragments")
    table = list(unpack_from(f"<{len(found[0]) // 4}L", found[0]))
    return table, found[1:], [start - starts[1] for start in starts[1:]]


def _extended_offsets(dataset: pydicom.Dataset) -> list[int]:
    return [int(v) for v in numbers(dataset, "ExtendedOffsetTable")]


def _begins(fragments: list[bytes], starts: list[int]) -> list[int]:
    """Return the offsets of the fragments that begin like a codestream."""
    return [at for at, piece in zip(starts, fragments, strict=True) if piece.startswith(_STARTS)]
