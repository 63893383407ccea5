"""DeLong's and Obuchowski's variance against their definitions, and the interval made of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medimg.evaluation.intervals.delong import auroc_covariance, auroc_interval
from medimg.evaluation.intervals.units import Units


def units_of(of_case):
    of_case = np.asarray(of_case)
    return Units(of_case, int(of_case.max()) + 1, "patient")


def alone(n):
    return Units(np.arange(n), n, "case")


def by_definition(scores, target, of_case):
    """Return areas and covariance of scores (M, N) by the jackknife in each class, pair by pair."""
    true, false = np.flatnonzero(target == 1), np.flatnonzero(target == 0)
    psi = np.asarray(
        [[[(s[i] > s[j]) + (s[i] == s[j]) / 2 for j in false] for i in true] for s in scores]
    )
    areas, moved = psi.mean(axis=(1, 2)), []
    for rows, each in ((true, psi.mean(axis=2)), (false, psi.mean(axis=1))):
        out = np.zeros((len(scores), max(of_case) + 1))
        patients = sorted(set(of_case[rows]))
        for u in patients:
            out[:, u] = areas - each[:, of_case[rows] != u].mean(axis=1)
        moved.append(out * np.sqrt((len(patients) - 1) / len(patients)))
    a, b = moved
    return areas, (a + b) @ (a + b).T


def by_obuchowski(score, target, of_case):
    """Return the variance of patients who have one class each, by Obuchowski's formula."""
    true, false = np.flatnonzero(target == 1), np.flatnonzero(target == 0)
    psi = (score[true][:, None] > score[false]) + (score[true][:, None] == score[false]) / 2
    total = 0.0
    for rows, each in ((true, psi.mean(axis=1)), (false, psi.mean(axis=0))):
        sums = np.bincount(of_case[rows], each - psi.mean())
        n = len(set(of_case[rows]))
        total += n / (n - 1) * (sums**2).sum() / len(rows) ** 2
    return total


def simulated(seed=0, n=120, models=3, patients=None):
    rng = np.random.default_rng(seed)
    target = (rng.random(n) < 0.3).astype(float)
    scores = np.round(rng.normal(size=(models, n)) + rng.normal(size=n) + target, 1)
    of_case = np.arange(n) if patients is None else rng.integers(0, patients, n)
    return scores, target, np.unique(of_case, return_inverse=True)[1]


@pytest.mark.parametrize("patients", [None, 40])
def test_covariance_equals_the_quadratic_definition(patients):
    scores, target, of_case = simulated(patients=patients)
    areas, covariance = auroc_covariance(scores, target, units_of(of_case))
    expected_areas, expected = by_definition(scores, target, of_case)
    np.testing.assert_allclose(areas, expected_areas, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-12)


def test_independent_cases_have_delongs_variance():
    scores, target, _ = simulated(models=2)
    psi = [
        (s[target == 1][:, None] > s[target == 0]) + (s[target == 1][:, None] == s[target == 0]) / 2
        for s in scores
    ]
    with_class = np.cov([p.mean(axis=1) for p in psi]) / (target == 1).sum()
    without = np.cov([p.mean(axis=0) for p in psi]) / (target == 0).sum()
    _, covariance = auroc_covariance(scores, target, alone(len(target)))
    np.testing.assert_allclose(covariance, with_class + without, rtol=0, atol=1e-14)


def test_patients_of_equal_size_have_obuchowskis_variance():
    rng = np.random.default_rng(0)
    of_case = np.repeat(np.arange(60), 4)
    target = (of_case < 20).astype(float)
    score = np.round(rng.normal(size=60)[of_case] + rng.normal(size=240) + target, 1)
    _, covariance = auroc_covariance([score], target, units_of(of_case))
    assert covariance[0, 0] == pytest.approx(by_obuchowski(score, target, of_case), abs=1e-15)


def test_variance_of_four_cases_by_hand():
    # The cases score 3 and 1, the others 2 and 0: placements 1, 1/2 and 1/2, 1.
    areas, covariance = auroc_covariance([[3, 1, 2, 0]], [1, 1, 0, 0], alone(4))
    assert areas.tolist() == [0.75]
    assert covariance[0, 0] == pytest.approx(0.125 / 2 + 0.125 / 2, abs=1e-15)


def test_areas_are_those_of_sklearn_where_scores_are_tied():
    scores, target, _ = simulated(n=500)
    areas, _ = auroc_covariance(scores, target, alone(500))
    expected = [roc_auc_score(target, score) for score in scores]
    np.testing.assert_allclose(areas, expected, rtol=0, atol=1e-12)


def test_copies_of_a_patients_case_tell_nothing_new():
    scores, target, of_case = simulated()
    once = auroc_covariance(scores, target, units_of(of_case))
    thrice = auroc_covariance(
        np.repeat(scores, 3, axis=1), np.repeat(target, 3), units_of(np.repeat(of_case, 3))
    )
    for one, three in zip(once, thrice, strict=True):
        np.testing.assert_allclose(one, three, rtol=0, atol=1e-13)


def test_unknown_cases_are_left_out():
    scores, target, of_case = simulated(patients=40)
    target[::5] = np.nan
    kept = ~np.isnan(target)
    one = auroc_interval(scores[0], target, units_of(of_case))
    places = np.unique(of_case[kept], return_inverse=True)[1]
    assert one == auroc_interval(scores[0][kept], target[kept], units_of(places))
    assert one.n == kept.sum()


def test_method_and_unit_say_what_was_independent():
    scores, target, of_case = simulated(patients=60)
    one = auroc_interval(scores[0], target, alone(len(target)))
    many = auroc_interval(scores[0], target, units_of(of_case))
    assert (one.method, one.unit, one.n_patients) == ("delong", "case", None)
    assert (many.method, many.unit) == ("obuchowski", "patient")
    assert many.n_patients == len(set(of_case))
    assert one.value == many.value == pytest.approx(roc_auc_score(target, scores[0]), abs=1e-12)


def test_large_samples_get_the_normal_interval():
    scores, target, _ = simulated(n=40_000, models=1)
    area, variance = (float(v.ravel()[0]) for v in auroc_covariance(scores, target, alone(40_000)))
    half = 1.959964 * np.sqrt(variance)
    found = auroc_interval(scores[0], target, alone(40_000))
    assert (found.low, found.high) == pytest.approx((area - half, area + half), abs=2e-4)


def test_turning_the_scores_round_mirrors_the_interval():
    scores, target, _ = simulated()
    one, other = (auroc_interval(s, target, alone(120)) for s in (scores[0], -scores[0]))
    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_perfect_ranking_gets_a_one_sided_interval(sign):
    target = np.repeat([1.0, 0.0], [12, 60])
    found = auroc_interval(sign * target, target, alone(72))
    ends = (found.low, found.high) if sign == 1 else (1 - found.high, 1 - found.low)
    assert ends == (pytest.approx(0.9, abs=0.03), 1)


def test_scores_that_are_all_tied_get_no_interval():
    target = np.repeat([1.0, 0.0, np.nan], [120, 600, 1])
    found = auroc_interval(np.r_[np.zeros(720), 1], target, alone(721))
    assert (found.value, found.low, found.method) == (0.5, None, "none")
    assert found.reason == "no spread: all cases have one score"


def test_one_patient_with_most_of_a_class_leaves_no_interval():
    of_case = np.r_[np.zeros(180, np.int64), np.repeat(np.arange(1, 120), 3)]
    target = (of_case < 60).astype(float)
    found = auroc_interval(np.arange(len(target)) % 7, target, units_of(of_case))
    assert found.value is not None and found.low is None
    assert found.reason == (
        "one patient holds 50% of the cases with the class: the 60 patients tell as much as "
        "3.9 of equal size"
    )


@pytest.mark.parametrize("spread", [1.0, 1.5])
def test_patients_of_very_different_sizes_are_covered(spread):
    rng, held = np.random.default_rng(0), []
    for _ in range(200):
        sizes = np.maximum(1, np.round(np.exp(rng.normal(0.7, spread, 150)))).astype(int)
        of_case = np.repeat(np.arange(150), sizes)
        target = (rng.random(150) < 0.35)[of_case].astype(float)
        score = np.sqrt(0.6) * rng.normal(size=150)[of_case] + 1.8124 * target
        score += np.sqrt(0.4) * rng.normal(size=len(of_case))
        found = auroc_interval(score, target, units_of(of_case))
        if found.low is not None:
            held.append(found.low <= 0.9 <= found.high)
    assert len(held) > 120
    assert np.mean(held) > 0.92


@pytest.mark.parametrize(("m", "words"), [(9, "with the class (9)"), (91, "without the class (9)")])
def test_fewer_than_ten_patients_get_no_interval(m, words):
    target = np.repeat([1.0, 0.0], [m, 100 - m])
    found = auroc_interval(np.arange(100), target, alone(100))
    assert (found.low, found.high, found.method) == (None, None, "none")
    assert found.value == 0
    assert found.reason == f"fewer than ten cases {words}"


def test_one_class_alone_has_no_auroc():
    found = auroc_interval(np.arange(30), np.ones(30), alone(30))
    assert (found.value, found.reason) == (None, "no case without the class")


def test_patients_of_both_classes_are_told_by_their_covariance():
    """An effect that all images of a patient share is no noise where each has both classes."""
    rng = np.random.default_rng(0)
    shift = np.repeat(2 * rng.normal(size=60), 4)
    target = np.tile([1.0, 1.0, 0.0, 0.0], 60)
    score = shift + 0.5 * rng.normal(size=240) + target
    _, together = auroc_covariance([score], target, units_of(np.repeat(np.arange(60), 4)))
    _, apart = auroc_covariance([score], target, units_of(np.repeat(np.arange(120), 2)))
    assert together[0, 0] < 0.3 * apart[0, 0]
