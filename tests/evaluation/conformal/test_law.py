"""The law of the coverage of a correct method."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.evaluation.conformal.law import coverage_bounds, covered_law


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize(("n", "m"), [(19, 1), (78, 156), (500, 40), (9, 2000)])
def test_law_is_the_beta_binomial(n, m, alpha):
    from scipy.stats import betabinom

    k = int(np.ceil((1 - alpha) * (n + 1) - 1e-9))
    theirs = betabinom(m, k, n + 1 - k).pmf(np.arange(m + 1)) if k <= n else np.eye(m + 1)[-1]
    np.testing.assert_allclose(covered_law(n, m, alpha), theirs, atol=1e-9)


def test_law_of_two_calibration_cases_worked_by_hand():
    # Of 3 exchangeable scores the new one is above the greatest of 2 once in 3 times.
    np.testing.assert_allclose(covered_law(2, 1, 1 / 3), [1 / 3, 2 / 3])
    # One calibration score, two new: 6 equally likely orders.
    np.testing.assert_allclose(covered_law(1, 2, 0.5), [1 / 3, 1 / 3, 1 / 3])


def test_whole_sets_cover_everything():
    assert coverage_bounds([(8, 50)], 0.1) == (1.0, 1.0)
    assert coverage_bounds([(9, 50)], 0.1) != (1.0, 1.0)
    assert coverage_bounds([], 0.1) is None
    assert coverage_bounds([(100, 0)], 0.1) is None


def test_bounds_hold_95_per_cent_of_the_law_and_no_more_than_they_must():
    low, high = coverage_bounds([(78, 156)], 0.1)
    law = covered_law(78, 156, 0.1)
    a, b = round(low * 156), round(high * 156)
    assert law[a : b + 1].sum() >= 0.95
    assert law[:a].sum() <= 0.025 < law[: a + 1].sum()
    assert law[b + 1 :].sum() <= 0.025 < law[b:].sum()


def test_bounds_of_several_thresholds_are_those_of_their_sum():
    rng = np.random.default_rng(0)
    # k = ceil(.9 * 31) = 28 and ceil(.9 * 61) = 55.
    first = rng.binomial(40, rng.beta(28, 3, 100_000))
    second = rng.binomial(100, rng.beta(55, 6, 100_000))
    shares = (first + second) / 140
    low, high = coverage_bounds([(30, 40), (60, 100)], 0.1)
    assert low == pytest.approx(np.quantile(shares, 0.025), abs=0.01)
    assert high == pytest.approx(np.quantile(shares, 0.975), abs=0.01)
