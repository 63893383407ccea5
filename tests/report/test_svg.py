"""The parts that figures are made of."""

from __future__ import annotations

import re

import numpy as np
import pytest

from medimg.report.svg import Frame, band, line, shorten, ticks, wide
from medimg.report.thin import TOLERANCE, thin

FRAME = Frame(0, 0, 100, 100)


def far(points: np.ndarray, kept: np.ndarray) -> float:
    """Return the largest distance of points (N, 2) from a line through others (M, 2)."""
    start, step = kept[:-1], np.diff(kept, axis=0)
    along = ((points[:, None] - start) * step).sum(2) / np.maximum((step**2).sum(1), 1e-12)
    nearest = start + np.clip(along, 0, 1)[:, :, None] * step
    return float(np.sqrt(((points[:, None] - nearest) ** 2).sum(2)).min(1).max())


def test_thinned_line_stays_within_its_tolerance_and_drops_most_points():
    x = np.linspace(0, 320, 2000)
    for y in (np.sqrt(x), 10 * np.sin(x / 40), np.floor(x / 25), np.zeros_like(x)):
        points = np.stack([x, y], axis=1)
        kept = np.array(thin([tuple(p) for p in points]))
        assert len(kept) < 140 and far(points, kept) <= TOLERANCE + 1e-9
        assert (kept[0] == points[0]).all() and (kept[-1] == points[-1]).all()


def test_thinning_leaves_lone_points_and_corners():
    assert thin([(1, 1)]) == [(1, 1)]
    assert thin([(0, 0), (0, 0), (0, 5), (0, 9), (9, 9)]) == [(0, 0), (0, 9), (9, 9)]


def test_staircase_keeps_its_corners():
    xs = [i / 1000 for i in range(1001)]
    path = line(FRAME, [0, *[0.0] * 5, *xs], [0, *xs[1:6], *[0.5] * 1001], "curve")
    assert 'd="M0 100L0 50L100 50"' in path


def test_missing_point_breaks_a_line_and_a_band():
    ys = [0.1, 0.2, None, 0.3, 0.4]
    xs = [0, 0.2, 0.4, 0.6, 0.8]
    assert line(FRAME, xs, ys, "curve").count("M") == 2
    assert band(FRAME, xs, ys, [None if y is None else y + 0.1 for y in ys], "area").count("Z") == 2


def test_band_that_is_not_there_is_not_drawn():
    assert band(FRAME, [0, 1], (), (), "area") == ""
    assert band(FRAME, [0, 1], [None, None], [0, 1], "area") == ""


def test_band_stays_inside_its_frame():
    numbers = re.findall(r"-?[0-9.]+", band(FRAME, [0, 1], [-3, -3], [9, 9], "area"))
    assert all(0 <= float(n) <= 100 for n in numbers)


def test_long_names_are_shortened_in_their_middle_and_stay_apart():
    names = ("squamous cell carcinoma, left", "squamous cell carcinoma, right", "血管" * 20)
    short = [shorten(name) for name in names]
    assert len(set(short)) == 3 and all(wide(s) <= 20 for s in short)
    assert shorten("melanoma") == "melanoma"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 20), (0, 3000), (0.61, 0.92), (-3, 4e-3)])
def test_ticks_are_few_and_inside(low, high):
    made = ticks(low, high)
    assert 2 <= len(made) <= 6 and low <= made[0] and made[-1] <= high


def test_ticks_are_found_for_every_range() -> None:
    for low in (0.0, 0.3, -2.0):
        for exponent in range(-9, 6):
            for share in range(1, 100):
                found = ticks(low, low + share * 10.0**exponent)
                assert 1 <= len(found) <= 6
