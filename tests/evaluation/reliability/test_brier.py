"""The Brier score's interval against the plain jackknife, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from medimg.evaluation.intervals.units import Units
from medimg.evaluation.reliability.brier import brier_score


def units_of(p):
    return Units(p.unit, int(p.unit.max()) + 1, "patient")


def test_interval_is_the_jackknifes_where_patients_have_different_numbers_of_images(
    simulated, as_probability
):
    rng = np.random.default_rng(0)
    every = simulated(600)
    p = as_probability(every.confidence, every.hit, rng.integers(0, 120, 600))
    terms = (p.confidence - p.hit) ** 2
    patients = np.unique(p.unit)
    moved = np.asarray([terms[p.unit != u].mean() for u in patients]) - terms.mean()
    n = len(patients)
    freedom = 3 * (moved**2).sum() ** 2 / (moved**4).sum()
    half = t.ppf(0.975, freedom) * np.sqrt((n - 1) / n * (moved**2).sum())
    far = np.exp(half / terms.mean())
    found = brier_score(p, units_of(p))
    assert (found.low, found.high) == pytest.approx((terms.mean() / far, terms.mean() * far))
    assert (found.method, found.value) == ("jackknife", pytest.approx(terms.mean()))


def test_fewer_than_fifty_patients_have_no_interval(simulated):
    few, enough = simulated(49), simulated(50)
    found = brier_score(few, units_of(few))
    assert found.value is not None and found.low is None
    assert found.reason == "fewer than 50 patients (49): a few can decide it"
    assert brier_score(enough, units_of(enough)).low is not None


def test_one_patient_with_half_of_the_images_leaves_no_interval(simulated, as_probability):
    every = simulated(600)
    p = as_probability(every.confidence, every.hit, np.maximum(np.arange(600) - 299, 0))
    found = brier_score(p, units_of(p))
    assert found.low is None
    assert found.reason.startswith("one patient holds")


def test_probabilities_that_decide_every_case_right_have_no_interval(as_probability):
    hit = np.arange(100) % 2
    p = as_probability(np.where(hit == 1, 0.8, 0.1) + np.arange(100) / 1000, hit)
    found = brier_score(p, units_of(p))
    assert found.value > 0 and found.low is None
    assert found.reason.startswith("no case is decided wrong")
