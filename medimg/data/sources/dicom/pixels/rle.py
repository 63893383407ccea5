"""RLE Lossless (PS3.5 annex G): one frame, never more of it than its header asks for."""

from __future__ import annotations

from array import array
from itertools import pairwise
from struct import unpack_from

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.dataset import corrupt

#: By the header of a run (G.3.1): the bytes that it becomes, and those that it takes.
_MADE = [*range(1, 129), 0, *range(128, 1, -1)]
_TAKEN = [*range(2, 130), 1, *([2] * 127)]


def rle_bytes(frame: bytes, count: int, samples: int, width: int) -> NDArray[np.uint8]:
    """Return the byte planes of a frame (G.3 to G.5).

    Parameters
    ----------
    count : int
        Bytes of one plane: the pixels of a frame, or an eighth of them where they have 1 bit.
    samples, width : int
        Samples of a pixel, and bytes of a sample.

    Returns
    -------
    uint8 (samples, count, width)
        The bytes of each sample, least significant first; segments stand most significant first.

    Raises
    ------
    PixelError
        ``corrupt``: the number of segments is wrong, or one of them is too short.
    """
    segments = samples * width
    if len(frame) < 64:
        raise corrupt("an RLE frame is shorter than its header")
    found, *offsets = unpack_from("<16L", frame)
    if found != segments:
        raise corrupt(f"an RLE frame of {found} segments where {segments} are needed")
    ends = [*offsets[:segments], len(frame)]
    if ends[0] < 64 or any(a >= b for a, b in pairwise(ends)):
        raise corrupt("the segments of an RLE frame overlap")
    if any((b - a) * 64 < count for a, b in pairwise(ends)):  # two bytes make 128 at most
        raise corrupt("an RLE segment is too short")
    planes = np.empty((samples, count, width), np.uint8)
    for number, (start, end) in enumerate(pairwise(ends)):
        sample, significance = divmod(number, width)
        planes[sample, :, width - 1 - significance] = _segment(frame[start:end], count)
    return planes


def _segment(data: bytes, count: int) -> NDArray[np.uint8]:
    """Return the `count` bytes of a PackBits segment (G.3.1); more than that is refused.

    A last run may overshoot by the byte that makes an odd row even, and filling may follow.
    """
    starts = array("Q")
    position = made = 0
    try:
        while made < count:
            head = data[position]
            starts.append(position)
            made += _MADE[head]
            position += _TAKEN[head]
    except IndexError:
        raise corrupt("an RLE segment ends too early") from None
    if position > len(data):
        raise corrupt("an RLE segment ends too early")
    if made > count + 1 or data[position:].strip(b"\0\x80"):
        raise corrupt("an RLE segment is longer than its frame")
    return np.frombuffer(_unpacked(data, np.frombuffer(starts, np.uint64)), np.uint8, count)


def _unpacked(data: bytes, starts: NDArray[np.uint64]) -> bytearray:
    """Return the bytes of runs, each of a header and either one byte or those of the run."""
    values = np.frombuffer(data, np.uint8)
    heads = values[starts]
    lengths = np.array(_MADE)[heads]
    plain = bytearray(np.repeat(values[starts + 1], lengths))  # but for runs of several bytes
    several = np.flatnonzero((heads > 0) & (heads < 128))
    ends = np.cumsum(lengths)[several]
    for start, length, end in zip(
        (starts[several] + 1).tolist(), lengths[several].tolist(), ends.tolist(), strict=True
    ):
        plain[end - length : end] = data[start : start + length]
    return plain
