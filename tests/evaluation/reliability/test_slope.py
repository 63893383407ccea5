"""Slope and intercept against another fit and the plain jackknife, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import t

from medimg.evaluation.reliability import slope as recalibration
from medimg.evaluation.reliability.linear import Spread
from medimg.evaluation.reliability.probability import Probability


def fitted(p):
    logit = recalibration.log_odds(p)
    return recalibration.slope(p, logit), recalibration.intercept(p, logit)


def by_minimizing(p, *, fixed):
    """Return (intercept,) with the slope at 1, or (intercept, slope)."""
    logit = recalibration.log_odds(p)

    def loss(at):
        line = at[0] + (1.0 if fixed else at[1]) * logit
        return np.logaddexp(0, line).sum() - p.hit @ line

    def gradient(at):
        line = at[0] + (1.0 if fixed else at[1]) * logit
        left = expit(line) - p.hit
        return np.asarray([left.sum()] if fixed else [left.sum(), left @ logit])

    start = np.zeros(1) if fixed else np.asarray([0.0, 1.0])
    return minimize(loss, start, jac=gradient, method="BFGS", options={"gtol": 1e-9}).x


@pytest.mark.parametrize("power", [0.4, 1.0, 2.5])
def test_slope_and_intercept_are_those_of_another_minimizer(simulated, power):
    p = simulated(500, power=power)
    (slope, _), (intercept, _) = fitted(p)
    assert slope == pytest.approx(by_minimizing(p, fixed=False)[1], abs=1e-6)
    assert intercept == pytest.approx(by_minimizing(p, fixed=True)[0], abs=1e-6)


def test_a_slope_worked_by_hand(as_probability):
    # Two groups: log-odds -1 and 1 came true with odds 1/3 and 3: slope log 3, intercept 0.
    chance = expit(np.repeat([-1.0, 1.0], 8))
    hit = np.asarray([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0])
    (slope, _), (intercept, _) = fitted(as_probability(chance, hit))
    assert slope == pytest.approx(np.log(3), abs=1e-9)
    assert intercept == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("images", [1, 4])
def test_the_spread_is_close_to_the_jackknife_over_patients(simulated, images):
    p = simulated(240, power=0.7, images=images)
    without = []
    for unit in np.unique(p.unit):
        rows = p.unit != unit
        left = Probability.of_cases(
            "", p.confidence[rows], p.rest[rows], p.hit[rows], p.start[rows], p.unit[rows]
        )
        without.append([value for value, _ in fitted(left)])
    n = len(without)
    plain = np.sqrt((n - 1) / n * np.square(without - np.mean(without, axis=0)).sum(axis=0))
    for (_, spread), theirs in zip(fitted(p), plain, strict=True):
        assert spread.error == pytest.approx(theirs, rel=0.03)


def test_log_odds_keep_the_digits_of_a_rest_near_0():
    one = np.ones(2)
    p = Probability.of_cases("", one - 1e-17, one * 1e-20, one, one * 0, np.arange(2))
    assert recalibration.log_odds(p) == pytest.approx(20 * np.log(10))


@pytest.mark.parametrize(
    ("confidence", "hit", "words"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], "separate"),
        ([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0], "separate"),
        ([0.1, 0.5, 0.5, 0.9], [0, 0, 1, 1], "separate"),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], "equal"),
        ([0.2, 0.5, 0.6, 0.9], [1, 1, 1, 1], "every case"),
        ([0.2, 0.5, 0.6, 0.9], [0, 0, 0, 0], "no case"),
        ([0.0, 0.5, 0.6, 1.0], [0, 1, 0, 1], "exactly 0 or 1 (2)"),
    ],
)
def test_there_is_no_slope_without_overlap(as_probability, confidence, hit, words):
    p = as_probability(confidence, hit)
    assert words in recalibration.without_fit(p, recalibration.log_odds(p), free=True)


def test_the_intercept_needs_no_overlap(as_probability):
    p = as_probability([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    logit = recalibration.log_odds(p)
    assert recalibration.without_fit(p, logit, free=False) is None
    value, _ = recalibration.intercept(p, logit)
    assert expit(logit + value).sum() == pytest.approx(2)


def test_extreme_log_odds_are_fitted_or_refused_without_a_warning():
    logit = np.asarray([-700.0, -600.0, 500.0, 600.0, 700.0])
    hit = np.asarray([0.0, 1.0, 0.0, 1.0, 1.0])
    p = Probability.of_cases("", expit(logit), expit(-logit), hit, hit * 0, np.arange(5))
    recalibration.slope(p, recalibration.log_odds(p))
    recalibration.intercept(p, recalibration.log_odds(p))


def test_degrees_of_freedom_are_the_units_that_carry_the_value():
    rng = np.random.default_rng(0)
    assert Spread.of(rng.normal(size=20_000)).freedom == pytest.approx(20_000, rel=0.1)
    few = np.zeros(20_000)
    few[:10] = rng.choice([-1, 1], 10)
    assert Spread.of(few).freedom == pytest.approx(30)


def test_interval_and_p_value_are_students(simulated):
    spread = Spread.of(np.random.default_rng(1).normal(size=12))
    half = t.ppf(0.975, spread.freedom) * spread.error
    assert spread.half() == pytest.approx(half)
    assert spread.p_value(half) == pytest.approx(0.05)
    assert Spread.of(np.zeros(5)).half() is None
