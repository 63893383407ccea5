"""Candidates laid over each other: least squares over crop and gain, then how like they are.

P pairs of pictures of h x w pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.resampling import Floats, centres, reading, shrink, smooth

#: An edge moves at most so far in all, and in one step, in half sides.
_FARTHEST, _STEP = 0.22, 0.06
#: Added to the squares on the diagonal, as a share of their mean (Levenberg 1944): an edge that
#: the picture does not hold on to stays where it is.
_DAMPING = 1e-2
#: Standard deviations, in sides, of the Gaussians that take away noise, and all but detail.
_FINE, _BROAD = 0.0125, 0.07
#: Standard deviation of what JPEG and resizing leave in a copy, of 255; detail below it says
#: nothing, and below this correlation it is no copy.
_NOISE, _SURE = 1.5, 0.75
#: Of 255: from here on a picture may be clipped.
_CLIPPED = 245
#: Of the pixels, the least share to be compared.
_ENOUGH = 0.3
#: Likeness after the first, coarse pass below which a pair is given up.
_HOPELESS = 0.5


class Aligned(NamedTuple):
    """How like pairs are after alignment (P,).

    similarity : float32 (P,)
        The share of the detail of one that the other explains, 0 to 1; what may be noise of
        compression counts as explained.
    edges : float32 (P, 2, 2)
        As in `Candidates`; of the first in the second where the first shows less.
    gain : float32 (P,)
        By which the contrast of what shows more is multiplied in the other.
    """

    similarity: Floats
    edges: Floats
    gain: Floats


def align(first: Floats, second: Floats, edges: Floats) -> Aligned:
    """Lay pictures of 0 to 255 (P, h, w) over each other, from a first guess of the edges."""
    first, second, edges = _wider_first(first, second, edges)
    shape = first.shape[1] // 2, first.shape[2] // 2
    a, b = (shrink(smooth(planes, 2.5 * _FINE), shape) for planes in (first, second))
    edges, gain = _register(a, b, edges, 6)
    similarity = _similarity(a, b, edges)
    good = similarity > _HOPELESS
    if good.any():
        a, b = (smooth(planes[good], _FINE) for planes in (first, second))
        edges[good], gain[good] = _register(a, b, edges[good], 4)
        similarity[good] = _similarity(a, b, edges[good])
    return Aligned(similarity, edges, gain)


def _wider_first(first: Floats, second: Floats, edges: Floats) -> tuple[Floats, Floats, Floats]:
    """Exchange the two where the first looks like a crop of the second.

    What shows more is read at the pixels of what shows less: so nothing is read from outside,
    and the softer of the two is not made softer still.
    """
    centre = edges.mean(axis=2, keepdims=True)
    half = 1 + (edges[..., 1:] - edges[..., :1]) / 2
    turn = half.mean(axis=(1, 2)) > 1
    back = np.concatenate([1 - (centre + 1) / half, (1 - centre) / half - 1], axis=2)
    chosen = turn[:, None, None]
    return (
        np.where(chosen, second, first),
        np.where(chosen, first, second),
        np.where(chosen, back, edges).astype(np.float32),
    )


def _read(planes: Floats, edges: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the pictures between new edges, and which pixels were within the old ones."""
    matrices, inside = [], []
    for axis, length in enumerate(planes.shape[1:]):
        u = centres(length)
        places = u + edges[:, axis, :1] * (1 - u) / 2 + edges[:, axis, 1:] * (1 + u) / 2
        matrices.append(reading(places, length))
        inside.append(np.abs(places) <= 1)
    read = np.asarray(matrices[0] @ planes @ matrices[1].transpose(0, 2, 1), np.float32)
    return read, inside[0][:, :, None] & inside[1][:, None, :]


def _register(first: Floats, second: Floats, edges: Floats, steps: int) -> tuple[Floats, Floats]:
    """Return edges and gain after `steps` of Gauss and Newton (Lucas and Kanade 1981)."""
    high, wide = first.shape[1:]
    v, u = centres(high)[:, None], centres(wide)
    for _ in range(steps):
        read, inside = _read(first, edges)
        down = np.gradient(read, axis=1) * np.float32(high / 2)
        across = np.gradient(read, axis=2) * np.float32(wide / 2)
        upper, lower = down * (1 - v) / 2, down * (1 + v) / 2
        left, right = across * (1 - u) / 2, across * (1 + u) / 2
        design = np.stack([upper, lower, left, right, read, np.ones_like(read)], axis=1)
        design *= inside[:, None]
        design = design.reshape(len(first), 6, high * wide)
        squares = (design @ design.transpose(0, 2, 1)).astype(np.float64)
        target = design @ second.reshape(len(first), high * wide, 1)
        diagonal = squares[:, range(4), range(4)]
        squares[:, range(4), range(4)] += _DAMPING * diagonal.mean(axis=1, keepdims=True)
        squares[:, range(6), range(6)] += 1e-3
        solved = np.linalg.solve(squares, target.astype(np.float64))[..., 0]
        gain = np.maximum(solved[:, 4], 0.3)
        half = 1 + (edges[..., 1:] - edges[..., :1]) / 2
        step = np.clip((solved[:, :4] / gain[:, None]).reshape(-1, 2, 2), -_STEP, _STEP)
        edges = np.clip(edges + step * half, -_FARTHEST, _FARTHEST).astype(np.float32)
    return edges, gain.astype(np.float32)


def _similarity(first: Floats, second: Floats, edges: Floats) -> Floats:
    """Return the share of detail that is explained, where neither picture may be clipped."""
    read, inside = _read(first, edges)
    weight = inside & (read < _CLIPPED) & (second < _CLIPPED)
    few = weight.mean(axis=(1, 2)) < _ENOUGH
    weight[few] = inside[few]
    count = np.maximum(weight.sum(axis=(1, 2)), 1).astype(np.float32)
    a, b = _details(read, second, weight.astype(np.float32))
    ab, aa, bb = (np.einsum("phw,phw->p", x, y) / count for x, y in ((a, b), (a, a), (b, b)))
    correlation = ab / np.sqrt(np.maximum(aa * bb, 1e-6))
    power = np.minimum(aa, bb)
    left = np.maximum((1 - correlation**2) * power - _NOISE**2, 0)
    sure = (correlation > _SURE) & (power > _NOISE**2)
    explained = 1 - left / np.maximum(power, 1e-6)
    similarity = np.where(sure, explained, np.clip(correlation, 0, _SURE**2))
    return np.asarray(similarity, np.float32)


def _details(first: Floats, second: Floats, weight: Floats) -> list[Floats]:
    """Return what of each is finer than `_BROAD` and its mean 0, out of what `weight` lets in."""
    around = np.maximum(smooth(weight, _BROAD), 1e-3)
    count = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1)
    found = []
    for planes in (first, second):
        fine = (planes - smooth(planes * weight, _BROAD) / around) * weight
        found.append(fine - weight * (fine.sum(axis=(1, 2), keepdims=True) / count))
    return found
