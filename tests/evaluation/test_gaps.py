"""Intervals of differences, alone and of several groups together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from medimg.evaluation.intervals.differences import Difference, simultaneous
from medimg.evaluation.intervals.proportions import wilson
from medimg.evaluation.results.estimate import Estimate


def share(k, n):
    return Estimate(k / n, *wilson(k, n), n, None, "wilson", "case")


def between(value, low, high):
    return Estimate(value, low, high, 50, None, "bootstrap", "case")


def test_two_proportions_give_newcombes_published_intervals():
    # Newcombe, Stat. Med. 17 (1998) 873, table II, method 10, examples (a) to (d) and (g).
    published = [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ]
    for one, two, low, high in published:
        d = Difference.of(share(*one), share(*two))
        assert (d.value - d.below, d.value + d.above) == pytest.approx((low, high), abs=5e-5)


def test_a_correlation_narrows_the_interval_by_hand():
    one, two = between(0.8, 0.7, 0.9), between(0.6, 0.5, 0.7)
    apart, alike = Difference.of(one, two), Difference.of(one, two, 0.5)
    assert (apart.below, apart.above) == pytest.approx((math.sqrt(0.02), math.sqrt(0.02)))
    assert alike.below == pytest.approx(0.1)
    assert Difference.of(one, two, 1.0).below == pytest.approx(0, abs=1e-8)


def test_without_one_interval_there_is_none_of_the_difference():
    bare = Estimate(0.5, None, None, 5, None, "none", "case", "few")
    assert Difference.of(bare, between(0.6, 0.5, 0.7)) is None
    assert Difference.of(between(0.6, 0.5, 0.7), bare) is None


def normal(values, errors):
    """Return differences with intervals of +-1.96 standard errors."""
    z = stats.norm.ppf(0.975)
    return [Difference(v, z * e, z * e) for v, e in zip(values, errors, strict=True)]


def test_independent_normal_groups_give_the_point_of_their_maximum():
    rng, errors = np.random.default_rng(0), np.asarray([0.1, 0.2, 0.3, 0.4, 0.5])
    draws = errors[:, None] * rng.normal(size=(5, 200_000))
    values = np.asarray([0.0, 0.5, -0.75, 1.2, 0.01])
    found = simultaneous(normal(values, errors), draws + values[:, None])
    point = stats.norm.ppf((1 + 0.95 ** (1 / 5)) / 2)
    for value, error, (low, high, p) in zip(values, errors, found, strict=True):
        assert (low, high) == pytest.approx(
            (value - point * error, value + point * error), rel=0.01, abs=0.001
        )
        expected = 1 - (1 - 2 * stats.norm.sf(abs(value) / error)) ** 5
        assert p == pytest.approx(expected, abs=0.004)


def test_two_groups_that_mirror_each_other_are_one_comparison():
    rng = np.random.default_rng(0)
    one = rng.normal(size=100_000)
    found = simultaneous(normal([0.0, 0.0], [1, 1]), np.stack([one, -one]))
    assert found[0][1] == pytest.approx(1.96, abs=0.02)


def test_interval_and_p_value_say_the_same():
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(3, 999))
    for value in np.linspace(-4, 4, 41):
        skewed = [Difference(value, 1.5, 2.5), *normal([0, 0], [1, 1])]
        low, high, p = simultaneous(skewed, draws)[0]
        assert (p > 0.05) == (low <= 0 <= high)
        assert 0 < p <= 1


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("resamples", [100, 199, 999, 2000])
def test_interval_and_p_value_agree_wherever_the_difference_lies(n, resamples):
    """Also of one group, whose largest deviation may stay under 1.96, and between two draws."""
    for seed in range(20):
        draws = np.random.default_rng(seed).uniform(-1, 1, size=(n, resamples))
        draws[:, 0] *= 3
        for value in np.r_[np.linspace(1.5, 3, 61), np.nextafter(1.959964, 2)]:
            low, _, p = simultaneous(normal([value] + [0] * (n - 1), [1] * n), draws)[0]
            assert (low > 0) == (p < 0.05)


def test_one_resample_without_any_defined_value_keeps_the_intervals_wide():
    draws = np.random.default_rng(0).normal(size=(20, 4000))
    holes = draws.copy()
    holes[:, 17] = np.nan
    differences = normal([0.0] * 20, [1] * 20)
    low, high, _ = simultaneous(differences, holes)[0]
    assert (low, high) == pytest.approx(simultaneous(differences, draws)[0][:2], rel=0.01)
    assert high > 2.8
    never = np.vstack([draws, np.full(4000, np.nan)])
    assert simultaneous([*differences, *normal([0.0], [1])], never)[0] == pytest.approx(
        simultaneous(differences, draws)[0]
    )


def test_differences_that_do_not_spread_have_no_interval_and_do_not_disturb_others():
    draws = np.random.default_rng(0).normal(size=(2, 4000))
    assert simultaneous(normal([0.0], [1]), np.zeros((1, 400))) is None
    with_flat = np.vstack([draws, np.zeros(4000)])
    one = simultaneous(normal([0, 1], [1, 1]), draws)
    assert simultaneous(normal([0, 1, 0], [1, 1, 1]), with_flat)[:2] == one


def test_resamples_in_which_one_is_not_defined_are_left_out_of_it_alone():
    draws = np.random.default_rng(0).normal(size=(2, 4000))
    holes = draws.copy()
    holes[0, :5] = np.nan
    found = simultaneous(normal([0, 0], [1, 1]), holes)
    assert found[0][:2] == pytest.approx(
        simultaneous(normal([0, 0], [1, 1]), draws)[0][:2], rel=0.02
    )
