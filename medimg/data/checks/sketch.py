"""`Sketch`: a picture in some sixty numbers, that a crop, a gain or JPEG hardly change.

The numbers are low coefficients of the cosine transform, in a basis fitted to the set itself:
the directions in which its pictures differ most for how little crops of one picture do
(discriminant analysis, Fisher 1936), so that the sketches of a homogeneous set spread as well.
A sketch has length 1; the product of two is their likeness.

N pictures, F coefficients, K numbers a sketch, M readings an axis, Q coefficients an axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.resampling import Floats, read_crops, unit

#: Pictures are reduced to this side; this many coefficients an axis are kept.
COARSE, LOW = 16, 8
#: Crops of the fit: the largest share of a side that is cut off, how many, of how many pictures.
_CUT, _CROPS, _SAMPLE = 0.08, 48, 4000
#: Added to the spread within, in units of the mean spread between: what no crop makes.
_NOISE = 1e-2


@dataclass(frozen=True, eq=False)
class Sketch:
    """The basis of a set's sketches.

    Parameters
    ----------
    weights : float32 (F, K)
        The most telling direction first.
    mirrored : float32 (4, K) in {-1, 1}
        What mirroring (bit 1 left to right, bit 2 top to bottom) does to each number: every
        direction is even or odd along either axis.
    """

    weights: Floats
    mirrored: Floats

    @classmethod
    def fit(cls, coarse: Floats, rng: np.random.Generator) -> Sketch:
        """Fit the basis to pictures (N, h, w) of the set."""
        from scipy.linalg import eigh

        coarse = coarse[:_SAMPLE]
        between = _coefficients(coarse)
        within = _crops(coarse, rng) - _crops(coarse, rng)
        parity = _parity(coarse.shape)
        found = []
        for kind in range(4):
            mine = np.flatnonzero(parity == kind)
            if not len(mine):
                continue
            spread, noise = (f[:, mine].T @ f[:, mine] / len(f) for f in (between, within))
            floor = _NOISE * max(float(np.trace(between.T @ between)) / between.size, 1e-12)
            floor += 1e-3 * float(np.trace(noise)) / len(mine)
            values, vectors = eigh(spread, noise + floor * np.eye(len(mine)))
            whole = np.zeros((between.shape[1], len(mine)))
            whole[mine] = vectors
            found += [(v, kind, whole[:, column]) for column, v in enumerate(values)]
        found.sort(key=lambda one: -one[0])
        kinds = np.array([kind for _, kind, _ in found])
        signs = np.ones((4, len(kinds)), np.float32)
        for flip in range(4):
            signs[flip] = (-1.0) ** ((kinds & flip & 1) + (kinds & flip & 2) // 2)
        return cls(np.stack([one[2] for one in found], axis=1).astype(np.float32), signs)

    def __call__(self, coarse: Floats, crops: Floats) -> Floats:
        """Return the sketches (N, M * M, K) of crops of pictures.

        Parameters
        ----------
        coarse : float32 (N, h, w)
        crops : float32 (M, 2)
            Half lengths and centres along an axis, in half sides; each is taken along the rows
            with each along the columns.
        """
        down, across = (_cosines(n) @ read_crops(crops, n) for n in coarse.shape[1:])
        (m, high, _), wide = down.shape, across.shape[1]
        read = np.concatenate(list(down)) @ coarse @ np.concatenate(list(across)).T
        read = read.reshape(-1, m, high, m, wide).transpose(0, 1, 3, 2, 4)
        low = read.reshape(-1, high * wide)[:, 1:]  # without the mean
        return unit(low @ self.weights).reshape(len(coarse), m * m, -1)


def _cosines(length: int) -> Floats:
    """Return the lowest cosines (Q, length), orthonormal (DCT-II)."""
    order = np.arange(min(LOW, length))[:, None]
    waves = np.cos(np.pi * order * (np.arange(length) + 0.5) / length)
    return np.asarray(waves / np.linalg.norm(waves, axis=1, keepdims=True), np.float32)


def _coefficients(coarse: Floats) -> Floats:
    """Return the coefficients (N, F) but the mean, as a vector of length 1."""
    high, wide = coarse.shape[1:]
    low = (_cosines(high) @ coarse @ _cosines(wide).T).reshape(len(coarse), -1)[:, 1:]
    return np.asarray(
        low / np.maximum(np.linalg.norm(low, axis=1, keepdims=True), 1e-6), np.float32
    )


def _parity(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return of each coefficient (F,) bit 1: odd along the columns, bit 2: along the rows."""
    rows, columns = (np.arange(min(LOW, length)) % 2 for length in shape[1:])
    return np.asarray((2 * rows[:, None] + columns).ravel()[1:], np.int64)


def _crops(coarse: Floats, rng: np.random.Generator) -> Floats:
    """Return the coefficients of a random crop of each picture."""
    out = np.empty_like(coarse)
    which = np.arange(len(coarse)) % _CROPS
    for number in range(min(_CROPS, len(coarse))):
        cut = rng.uniform(0, _CUT, 2)
        place = rng.uniform(-1, 1, 2) * cut
        rows, columns = (
            read_crops(np.array([[1 - c, p]], np.float32), n)[0]
            for n, c, p in zip(coarse.shape[1:], cut, place, strict=True)
        )
        out[which == number] = rows @ coarse[which == number] @ columns.T
    return _coefficients(out)
