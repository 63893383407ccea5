"""How far a mean by patient reaches."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.evaluation.intervals.means import reach_of_mean
from medimg.evaluation.intervals.units import Units


def units(of_case: np.ndarray) -> Units:
    return Units(of_case.astype(np.int64), int(of_case.max()) + 1, "patient")


def test_of_independent_cases_it_is_students() -> None:
    from scipy.stats import sem, t

    values = np.random.default_rng(0).normal(size=31)
    rows = np.arange(31) < 25
    found = reach_of_mean(values, rows, units(np.arange(31)))
    assert found == pytest.approx(t.ppf(0.975, 24) * sem(values[:25]))


def test_copies_of_cases_do_not_narrow_it() -> None:
    values = np.random.default_rng(0).normal(size=20)
    once = reach_of_mean(values, np.ones(20, bool), units(np.arange(20)))
    copies, of_case = np.tile(values, 5), np.tile(np.arange(20), 5)
    assert reach_of_mean(copies, np.ones(100, bool), units(of_case)) == pytest.approx(once)


def test_one_more_patient_who_is_off_gives_values_that_are_alike_a_reach() -> None:
    from scipy.stats import t

    alike, of_case = np.ones(30), np.arange(30)
    assert reach_of_mean(alike, np.ones(30, bool), units(of_case)) == 0
    found = reach_of_mean(alike, np.ones(30, bool), units(of_case), off=1.0)
    assert found == pytest.approx(t.ppf(0.975, 29) / 30)


def test_the_mean_of_patients_of_whom_one_has_a_third_of_the_images_covers() -> None:
    rng = np.random.default_rng(0)
    of_case = np.concatenate([np.arange(60), np.zeros(29)])
    hits = 0
    for _ in range(1000):
        values = rng.normal(size=60)[of_case.astype(int)]
        hits += abs(values.mean()) <= reach_of_mean(values, np.ones(89, bool), units(of_case))
    assert hits >= 920
