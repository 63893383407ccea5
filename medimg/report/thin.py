"""Fewer points of a line where nobody can see the difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Places = NDArray[np.float64]

#: How far a line may move, in SVG units: a tenth of a pixel is not seen.
TOLERANCE = 0.15


def thin(points: Sequence[Point], tolerance: float = TOLERANCE) -> list[Point]:
    """Return the corners of a line: no point of it lies farther than `tolerance` from what is left.

    Douglas and Peucker, Cartographica 10 (1973) 112. The first and the last point are kept.
    """
    kept = {0, len(points) - 1}
    open_ = [(0, len(points) - 1)]
    places = np.asarray(points, np.float64)
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        distances = _distances(places[first + 1 : last], places[first], places[last])
        at = first + 1 + int(distances.argmax())
        if distances.max() > tolerance:
            kept.add(at)
            open_ += [(first, at), (at, last)]
    return [points[i] for i in sorted(kept)]


def _distances(points: Places, start: Places, end: Places) -> Places:
    """Return the distances of points (N, 2) from the stretch between two others (2,)."""
    step = end - start
    length = float(step @ step)
    along = np.clip((points - start) @ step / length, 0, 1) if length else np.zeros(len(points))
    return np.asarray(np.hypot(*(points - start - along[:, None] * step).T))
