"""`Planes`: the pictures of a set as small grey planes, read when they are wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.resampling import Floats, shrink
from medimg.data.preprocess import Integers

#: Planes have this side at most. At 64 pixels most detail that JPEG leaves is still there.
SIDE = 64
#: So many bytes are read at once.
_BYTES = 2**25


@dataclass(frozen=True, eq=False)
class Planes:
    """N pictures as planes of 0 to 255, the mean over channels.

    Parameters
    ----------
    pictures : uint8 or uint16 (M, C, [D,] H, W)
    rows : int (N,)
        Which rows of `pictures` take part.
    axis : int, optional
        Of volumes: which of D, H, W the mean is taken along.
    """

    pictures: Integers
    rows: NDArray[np.integer[Any]]
    axis: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: NDArray[np.integer[Any]]) -> Floats:
        """Return the planes (n, h, w) at places (n,)."""
        read = self.pictures[self.rows[places]]
        along = (1,) if self.axis is None else (1, 2 + self.axis)
        plane = read.mean(axis=along, dtype=np.float32)
        plane *= np.float32(255 / np.iinfo(self.pictures.dtype).max)
        return self.shrunk(plane, SIDE)

    @staticmethod
    def shrunk(planes: Floats, side: int) -> Floats:
        """Return planes of at most `side` pixels a side."""
        high, wide = (min(side, length) for length in planes.shape[1:])
        return shrink(planes, (high, wide))

    def coarse(self, side: int) -> Floats:
        """Return all planes, of at most `side` pixels a side."""
        parts = [self.shrunk(self[places], side) for places in pieces(self.pictures, len(self))]
        return np.concatenate(parts)


def pieces(pictures: Integers, count: int) -> Iterator[NDArray[np.int64]]:
    """Yield the places 0 to `count` in pieces that fit into memory."""
    size = max(1, _BYTES // max(1, int(pictures[:1].nbytes)))
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
