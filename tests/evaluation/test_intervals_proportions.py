"""Wilson's interval of independent cases and of patients with several."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from medimg.evaluation.intervals.proportions import design_effect, proportion, wilson
from medimg.evaluation.intervals.units import Units


def units_of(of_case, kind="patient"):
    of_case = np.asarray(of_case)
    return Units(of_case, int(of_case.max()) + 1, kind)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_the_published_values(k, n, low, high):
    assert wilson(k, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (7, 9), (500, 501), (50, 50)])
def test_wilson_equals_scipy(k, n):
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k, n) == (pytest.approx(theirs.low, abs=1e-12), pytest.approx(theirs.high))


def test_wilson_covers_a_proportion_near_its_end():
    rng = np.random.default_rng(0)
    hits = rng.binomial(60, 0.95, size=2000)
    ends = np.asarray([wilson(k, 60) for k in hits])
    assert 0.93 < ((ends[:, 0] <= 0.95) & (ends[:, 1] >= 0.95)).mean() < 0.985


def every(values):
    return np.ones(len(values), bool)


def test_independent_cases_get_wilsons_interval():
    hit = np.arange(80) < 60
    rows = np.arange(80) % 2 == 0
    found = proportion(hit, rows, units_of(np.arange(80)))
    assert (found.value, found.n, found.n_patients, found.method) == (0.75, 40, 40, "wilson")
    assert (found.low, found.high) == wilson(30, 40)


def test_design_effect_of_two_images_by_hand():
    """Ten patients of two images: four all right, two all wrong, four half right; p = .6.

    Between patients: 4 * .8**2 + 2 * 1.2**2 + 4 * .2**2 = 5.6, times 10 / 9, over 20 * .24.
    """
    hit = np.asarray([1, 1] * 4 + [0, 0] * 2 + [1, 0] * 4, bool)
    units = units_of(np.repeat(np.arange(10), 2))
    seen = 5.6 * (10 / 9) / (20 * 0.24)
    assert design_effect(hit, every(hit), units) == pytest.approx((2 * 2 + 9 * seen) / 11)
    found = proportion(hit, every(hit), units)
    effective = 20 / design_effect(hit, every(hit), units)
    assert (found.low, found.high) == pytest.approx(wilson(0.6 * effective, effective))
    assert (found.method, found.n, found.n_patients) == ("wilson_clustered", 20, 10)


def test_images_that_are_all_alike_count_as_one():
    rng = np.random.default_rng(0)
    hit = np.repeat(rng.random(400) < 0.8, 5)
    found = proportion(hit, every(hit), units_of(np.repeat(np.arange(400), 5)))
    assert (found.low, found.high) == pytest.approx(wilson(hit.sum() / 5, 400), abs=1e-4)


def test_images_that_are_independent_lose_little():
    rng = np.random.default_rng(0)
    hit = rng.random(2000) < 0.8
    found = proportion(hit, every(hit), units_of(np.repeat(np.arange(400), 5)))
    low, high = wilson(hit.sum(), 2000)
    assert high - low <= found.high - found.low < 1.1 * (high - low)


def test_images_of_one_patient_never_make_it_narrower():
    hit = np.tile([True, False], 200)  # one of each a patient: no spread between patients
    found = proportion(hit, every(hit), units_of(np.repeat(np.arange(200), 2)))
    assert (found.low, found.high) == wilson(200, 400)


@pytest.mark.parametrize("value", [True, False])
def test_where_all_cases_are_right_each_patient_counts_once(value):
    hit = np.full(60, value)
    found = proportion(hit, every(hit), units_of(np.repeat(np.arange(20), 3)))
    assert (found.low, found.high) == pytest.approx(wilson(20 * value, 20))


def test_fewer_than_ten_patients_in_the_denominator_get_none():
    hit = np.ones(45, bool)
    found = proportion(hit, every(hit), units_of(np.repeat(np.arange(9), 5)))
    assert (found.value, found.low, found.method) == (1.0, None, "none")
    assert found.reason == "fewer than ten patients in its denominator (9)"
    cases = units_of(np.arange(9), "case")
    assert "fewer than ten cases" in proportion(hit[:9], every(hit[:9]), cases).reason
    nothing = proportion(hit, ~every(hit), units_of(np.repeat(np.arange(9), 5)))
    assert (nothing.value, nothing.reason) == (None, "no case")
