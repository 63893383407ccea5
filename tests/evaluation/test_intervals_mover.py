"""Intervals of means against published examples, and against what they must equal."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.evaluation.intervals.mover import correlation_of, mean_ends
from medimg.evaluation.intervals.proportions import wilson


def part(successes, n):
    return (successes / n, *wilson(successes, n))


def test_mean_of_two_proportions_by_hand():
    parts = np.asarray([[0.8, 0.7, 0.86], [0.9, 0.78, 0.98]])
    low, high = mean_ends(parts, np.asarray([0.5, 0.5]), np.eye(2))
    assert low == pytest.approx(0.85 - np.hypot(0.05, 0.06))
    assert high == pytest.approx(0.85 + np.hypot(0.03, 0.04))


def test_parts_at_one_still_reach_up():
    parts = np.asarray([[1.0, 0.7, 1.0], [0.9, 0.8, 0.96]])
    _, high = mean_ends(parts, np.asarray([0.5, 0.5]), np.eye(2))
    assert high == 1
    _, high = mean_ends(parts, np.asarray([0.1, 0.9]), np.eye(2))
    assert high == pytest.approx(0.91 + np.hypot(0.1 * 0.1, 0.9 * 0.06))


def test_newcombes_difference_follows_with_a_weight_below_zero():
    """56/70 less 48/80: .0524 to .3339 (Newcombe, Stat. Med. 17 (1998) 873, method 10)."""
    one, two = part(56, 70), part(48, 80)
    mirrored = (1 - two[0], 1 - two[2], 1 - two[1])
    parts = np.asarray([one, mirrored])
    low, high = mean_ends(parts, np.asarray([0.5, 0.5]), np.eye(2))
    assert (2 * low - 1, 2 * high - 1) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_mean_of_copies_is_the_interval_of_one():
    parts = np.asarray([[0.8, 0.7, 0.86]] * 3)
    weights = np.asarray([0.5, 0.3, 0.2])
    assert mean_ends(parts, weights, np.ones((3, 3))) == pytest.approx((0.7, 0.86))


def test_a_part_without_an_interval_is_refused():
    parts = np.asarray([[0.8, 0.7, 0.86], [1.0, np.nan, np.nan]])
    with pytest.raises(ValueError, match="a part has no interval"):
        mean_ends(parts, np.asarray([0.5, 0.5]), np.eye(2))


def test_correlation_of_draws_without_spread_is_none():
    rng = np.random.default_rng(0)
    first = rng.normal(size=500)
    draws = np.stack([first, 2 - first, np.full(500, 0.3), rng.normal(size=500)])
    draws[0, 7] = np.nan
    found = correlation_of(draws)
    assert found[0, 1] == pytest.approx(-1)
    assert (found[2] == [0, 0, 1, 0]).all()
    assert abs(found[0, 3]) < 0.15
    np.testing.assert_allclose(found, found.T)
