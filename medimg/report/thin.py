"""Fewer points of a line where nobody can see the difference."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]

#: How far a line may move, in SVG units: a tenth of a pixel is not seen.
TOLERANCE = 0.15


def thin(points: Sequence[Point], tolerance: float = TOLERANCE) -> list[Point]:
    """Return the corners of a line: no point of it lies farther than `tolerance` from what is left.

    Douglas and Peucker, Cartographica 10 (1973) 112. The first and the last point are kept.
    """
    kept = {0, len(points) - 1}
    open_ = [(0, len(points) - 1)]
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        far, at = max(
            (_distance(points[i], points[first], points[last]), -i) for i in range(first + 1, last)
        )
        if far > tolerance:
            kept.add(-at)
            open_ += [(first, -at), (-at, last)]
    return [points[i] for i in sorted(kept)]


def _distance(point: Point, start: Point, end: Point) -> float:
    """Return the distance of a point from the stretch between two others."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    x, y = point[0] - start[0], point[1] - start[1]
    length = dx * dx + dy * dy
    along = 0.0 if length == 0 else min(max((x * dx + y * dy) / length, 0.0), 1.0)
    return float(((x - along * dx) ** 2 + (y - along * dy) ** 2) ** 0.5)
