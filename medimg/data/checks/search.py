"""`Search`: every pair of a set compared by sketch, in tiles.

Time grows with the square of the number of pictures, memory with the number itself.

R pictures a tile, k others that are kept of each, K numbers a sketch, M crops along an axis.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.planes import Planes
from medimg.data.checks.resampling import Floats, unit
from medimg.data.checks.sketch import COARSE, Sketch

#: Others that are kept of each picture after all pairs, and after the closer look.
_KEPT, _LIKELIEST = 16, 4
#: All pairs are compared by so many numbers; the least likeness of a candidate in these, and in
#: all numbers after the closer look.
_FEW, _LEAST, _LIKELY = 24, 0.5, 0.85
#: Half length and centre, in half sides, of the crops along an axis. For all pairs: two places
#: stand for every crop of up to 8%, which moves what a picture shows by up to 0.08.
_PLACES = np.array([[1, -0.07], [1, 0.07]], np.float32)
#: For the closer look: of either picture, on the other as it is.
_CROPS = np.array(
    [[1, 0], [0.96, -0.04], [0.96, 0.04], [0.92, -0.08], [0.92, 0], [0.92, 0.08]], np.float32
)
_WHOLE = np.array([[1, 0]], np.float32)
#: Pictures a tile: what is computed of one stays in a core's cache.
_ROWS, _COLUMNS = 128, 2048


class Candidates(NamedTuple):
    """Pairs that may be copies (P,), and where in the first the second lies.

    first, second : int (P,)
        `first` < `second`.
    flip : int (P,)
        How the second is mirrored: bit 1 left to right, bit 2 top to bottom.
    edges : float32 (P, 2, 2)
        Along rows and columns, how far the lower and the upper edge of the second lie from
        those of the first, in half sides.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    flip: NDArray[np.int64]
    edges: Floats


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_core_each() -> AbstractContextManager[Any]:
    """Keep matrix products on the thread that asks for them.

    Work is dealt out to threads in larger pieces than one product; small products that are each
    spread over the cores take half as long again, and many times as long on a busy machine.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


@dataclass(frozen=True, eq=False)
class Search:
    """The sketches of a set, and who is like whom.

    Parameters
    ----------
    sketch : Sketch
    coarse : float32 (N, h, w)
    whole : float32 (N, K)
        The sketch of each picture as it is.
    """

    sketch: Sketch
    coarse: Floats
    whole: Floats

    @classmethod
    def of(cls, planes: Planes) -> Search:
        """Sketch every picture."""
        coarse = planes.coarse(COARSE)
        sketch = Sketch.fit(coarse, np.random.default_rng(0))
        whole = [
            sketch(coarse[i : i + _COLUMNS], _WHOLE)[:, 0] for i in range(0, len(coarse), _COLUMNS)
        ]
        return cls(sketch, coarse, np.concatenate(whole))

    def candidates(self) -> Candidates:
        """Return the few likeliest candidates of each picture."""

        def work(start: int) -> Candidates:
            return self._closer(start, self._others(start), _LIKELIEST, _LIKELY)

        with ThreadPoolExecutor(cores()) as pool:
            parts = list(pool.map(work, range(0, len(self.coarse), _ROWS)))
        return Candidates(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def sample(self) -> Candidates:
        """Return all candidates of the first pictures, which are compared to all others."""
        return self._closer(0, self._others(0), _KEPT, -1.0)

    def _others(self, start: int) -> NDArray[np.int64]:
        """Return the likeliest later pictures (R, k) of the tile that begins at `start`.

        As codes: four times the other's number plus the flip; -1 where there are fewer.
        """
        own = self.sketch(self.coarse[start : start + _ROWS], _PLACES)[..., :_FEW]
        queries = self.sketch.mirrored[:, None, None, :_FEW] * unit(own).transpose(1, 0, 2)
        best = _Best(len(own))
        for left in range(start, len(self.coarse), _COLUMNS):
            others = unit(self.whole[left : left + _COLUMNS, :_FEW]).T
            scores = np.stack([_largest(query, others) for query in queries])
            if left < start + _ROWS:  # a pair once, and no picture with itself
                later = (
                    np.arange(left, left + others.shape[1]) > start + np.arange(len(own))[:, None]
                )
                scores[:, ~later] = -1
            best.take(scores, left)
        return best.codes

    def _closer(self, start: int, codes: NDArray[np.int64], most: int, least: float) -> Candidates:
        """Return at most `most` others of each picture of a tile, after all crops were tried."""
        second, flip = codes // 4, codes % 4
        signs = self.sketch.mirrored[flip]  # (R, k, K)
        own = self.whole[start : start + len(codes), None]
        cut = self.sketch(self.coarse[start : start + len(codes)], _CROPS)  # (R, M * M, K)
        others, which = np.unique(second, return_inverse=True)
        theirs = self.sketch(self.coarse[others], _CROPS)[which.reshape(codes.shape)]
        likeness = np.concatenate(
            [
                (self.whole[second] * signs) @ cut.transpose(0, 2, 1),
                (theirs @ (own * signs)[..., None])[..., 0],
            ],
            axis=-1,
        )  # (R, k, 2 * M * M)
        best, likeness = likeness.argmax(axis=-1), likeness.max(axis=-1)
        likeness[codes < 0] = -2
        rank = np.argsort(np.argsort(-likeness, axis=1), axis=1)
        at = np.nonzero((likeness > least) & (rank < most))
        edges = _edges(best[at], flip[at])
        return Candidates(start + at[0], second[at], flip[at], edges)


def _edges(best: NDArray[np.int64], flip: NDArray[np.int64]) -> Floats:
    """Return the edges (P, 2, 2) that a crop stands for: of the first, then of the second."""
    reverse, crop = np.divmod(best, len(_CROPS) ** 2)
    along = np.stack(np.divmod(crop, len(_CROPS)), axis=1)
    half, centre = _CROPS[along, 0], _CROPS[along, 1]
    # The first as a crop of the mirrored second: turned round to say where the second lies.
    mirrored = np.stack([flip & 2, flip & 1], axis=1) > 0
    back = -np.where(mirrored, -centre, centre) / half
    turn = reverse[:, None] > 0
    half, centre = np.where(turn, 1 / half, half), np.where(turn, back, centre)
    return np.stack([centre - half + 1, centre + half - 1], axis=2).astype(np.float32)


def _largest(queries: Floats, others: Floats) -> Floats:
    """Return the largest likeness (R, C) of queries (places, R, few) to others (few, C)."""
    largest: Floats = queries[0] @ others
    for query in queries[1:]:
        np.maximum(largest, query @ others, out=largest)
    return largest


class _Best:
    """The k best of each of R rows, out of what comes in tile after tile."""

    def __init__(self, rows: int) -> None:
        self.codes = np.full((rows, _KEPT), -1, np.int64)
        self.scores = np.full((rows, _KEPT), _LEAST, np.float32)

    def take(self, scores: Floats, left: int) -> None:
        """Take in scores (flips, R, C) of pictures from the number `left` on."""
        rows, columns = scores.shape[1:]
        bound = self.scores[:, -1:]
        if (self.codes < 0).all() and columns > _KEPT:  # or nearly all of the first would come in
            bound = np.maximum(bound, np.partition(scores[0], -_KEPT, axis=1)[:, -_KEPT, None])
        hits = np.flatnonzero(scores >= bound)
        flip, row, column = np.unravel_index(hits, scores.shape)
        row = np.concatenate([np.repeat(np.arange(rows), _KEPT), row])
        code = np.concatenate([self.codes.ravel(), 4 * (left + column) + flip])
        score = np.concatenate([self.scores.ravel(), scores.ravel()[hits]])
        order = np.lexsort((-score, row))
        rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
        best = order[rank < _KEPT]
        self.codes = code[best].reshape(rows, _KEPT)
        self.scores = score[best].reshape(rows, _KEPT)
