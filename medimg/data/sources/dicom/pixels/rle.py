"""RLE Lossless (PS3.5 annex G): one frame, never more of it than its header asks for."""

from __future__ import annotations

from itertools import pairwise
from struct import unpack_from

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.dataset import corrupt


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
        planes[sample, :, width - 1 - significance] = np.frombuffer(
            _segment(frame[start:end], count), np.uint8
        )
    return planes


def _segment(data: bytes, count: int) -> bytearray:
    """Return the `count` bytes of a PackBits segment (G.3.1); more than that is refused.

    A last run may overshoot by the byte that makes an odd row even, and filling may follow.
    """
    plain = bytearray()
    position, end = 0, len(data)
    while len(plain) < count:
        if position >= end:
            raise corrupt("an RLE segment ends too early")
        head = data[position]
        if head < 128:
            stop = position + head + 2
            if stop > end:
                raise corrupt("an RLE segment ends too early")
            plain += data[position + 1 : stop]
            position = stop
        else:
            if head > 128:
                plain += data[position + 1 : position + 2] * (257 - head)
            position += 2 if head > 128 else 1
    if len(plain) > count + 1 or data[position:].strip(b"\0\x80"):
        raise corrupt("an RLE segment is longer than its frame")
    del plain[count:]
    return plain
