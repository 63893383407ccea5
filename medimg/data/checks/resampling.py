"""Linear resampling of many small pictures at once, as products with small matrices.

N pictures, h x w pixels. Along one axis of a picture places are measured in half lengths from
its centre: its edges lie at -1 and 1, whatever its pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def centres(length: int) -> Floats:
    """Return where the pixels of an axis have their centres, (length,) in [-1, 1]."""
    return ((np.arange(length) + 0.5) / length * 2 - 1).astype(np.float32)


def reading(places: NDArray[np.floating[Any]], length: int) -> Floats:
    """Return the matrices (..., M, length) that read an axis at `places` (..., M), linearly.

    Beyond the outermost centres the outermost pixel holds.
    """
    pixel = np.clip((places + 1) * (length / 2) - 0.5, 0, length - 1)
    weight = 1 - np.abs(pixel[..., None] - np.arange(length, dtype=np.float32))
    return np.asarray(np.maximum(weight, 0), np.float32)


def read_crops(crops: Floats, length: int) -> Floats:
    """Return the matrices (M, length, length) that stretch crops of an axis over all of it.

    Parameters
    ----------
    crops : float32 (M, 2)
        Half length and centre of each, in half sides.
    """
    return reading(crops[:, :1] * centres(length) + crops[:, 1:], length)


def averaging(length: int, wanted: int) -> Floats:
    """Return the matrix (wanted, length) that takes the mean over the area of each new pixel."""
    edges = np.linspace(0, length, wanted + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weight = np.maximum(overlap, 0)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)


def smoothing(length: int, width: float) -> Floats:
    """Return the matrix (length, length) of a Gaussian of standard deviation `width` pixels."""
    pixel = np.arange(length)
    weight = np.exp(-0.5 * ((pixel[:, None] - pixel) / max(width, 1e-3)) ** 2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)


def shrink(planes: NDArray[Any], shape: tuple[int, int]) -> Floats:
    """Return pictures (N, h, w) at a `shape` no larger, by area."""
    rows, columns = (averaging(a, b) for a, b in zip(planes.shape[1:], shape, strict=True))
    return np.asarray(rows @ planes.astype(np.float32, copy=False) @ columns.T, np.float32)


def smooth(planes: Floats, width: float) -> Floats:
    """Return pictures (N, h, w) after a Gaussian of `width` times their sides."""
    rows, columns = (smoothing(length, width * length) for length in planes.shape[1:])
    return np.asarray(rows @ planes @ columns.T, np.float32)


def mirror(planes: NDArray[Any], flips: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Return each picture mirrored: bit 1 of its flip left to right, bit 2 top to bottom."""
    out = planes.copy()
    for flip in (1, 2, 3):
        mine = flips == flip
        out[mine] = planes[mine][:, :: -1 if flip & 2 else 1, :: -1 if flip & 1 else 1]
    return out


def unit(vectors: Floats) -> Floats:
    """Return vectors (..., K) at length 1."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9), np.float32)
