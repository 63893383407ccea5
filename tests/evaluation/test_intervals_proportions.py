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


def test_design_effect_of_patients_of_two_sizes_is_the_jackknifes():
    rng = np.random.default_rng(0)
    of_case = np.repeat(np.arange(40), np.tile([1, 2, 3, 14], 10))
    hit = rng.random(len(of_case)) < 0.7
    size = np.bincount(of_case)
    without = np.asarray([hit[of_case != u].mean() for u in range(40)])
    moved = ((without - hit.mean()) ** 2).sum() * 39 / 40
    p, n = hit.mean(), len(hit)
    seen, alike = moved / (p * (1 - p) / n), (size**2).sum() / n
    expected = (2 * alike + (n / alike - 1) * seen) / (n / alike + 1)
    assert design_effect(hit, every(hit), units_of(of_case)) == pytest.approx(expected)


def test_one_patient_with_most_of_the_cases_gets_no_interval():
    of_case = np.r_[np.zeros(100, np.int64), np.arange(1, 30)]
    found = proportion(np.arange(129) % 3 > 0, every(of_case), units_of(of_case))
    assert (found.value, found.low) == (pytest.approx(2 / 3), None)
    assert found.reason == (
        "one patient holds 78% of the cases in its denominator: the 30 patients tell as much as "
        "1.7 of equal size"
    )


@pytest.mark.parametrize("spread", [1.0, 1.5])
def test_patients_of_very_different_sizes_are_covered(spread):
    rng, held = np.random.default_rng(0), []
    for _ in range(400):
        sizes = np.maximum(1, np.round(np.exp(rng.normal(0.7, spread, 100)))).astype(int)
        of_case = np.repeat(np.arange(100), sizes)
        x = np.sqrt(0.6) * rng.normal(size=100)[of_case]
        hit = x + np.sqrt(0.4) * rng.normal(size=len(of_case)) < 0.8416
        found = proportion(hit, every(hit), units_of(of_case))
        if found.low is not None:
            held.append(found.low <= 0.8 <= found.high)
    assert len(held) > 300
    assert 0.92 < np.mean(held) < 0.985


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
