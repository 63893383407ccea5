"""The threshold, against hand-worked cases and the definition of conformal risk control."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.evaluation.conformal.points import Points


def alone(scores):
    n = np.arange(len(scores))
    return Points(np.asarray(scores, float), n, n)


@pytest.mark.parametrize(
    ("n", "alpha", "place"), [(9, 0.1, 9), (9, 0.2, 8), (10, 0.2, 9), (19, 0.05, 19), (99, 0.3, 70)]
)
def test_threshold_is_the_split_conformal_quantile(n, alpha, place):
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert alone(scores).threshold(alpha) == place


@pytest.mark.parametrize(("alpha", "least"), [(0.1, 9), (0.05, 19), (0.2, 4), (0.01, 99)])
def test_fewer_cases_than_one_over_alpha_less_one_give_whole_sets(alpha, least):
    assert alone(np.arange(least)).threshold(alpha) is not None
    assert alone(np.arange(least - 1)).threshold(alpha) is None


def test_no_points_at_all_give_whole_sets():
    assert alone([]).threshold(0.1) is None
    assert alone([]).n_units == 0


def test_patients_with_many_cases_weigh_no_more_than_others():
    # Patients of scores (1, 2), (3), (4): needed is .5 * 4 = 2 patients' worth: 1/2 + 1/2 + 1.
    points = Points(np.asarray([1.0, 2, 3, 4]), np.arange(4), np.asarray([0, 0, 1, 2]))
    assert points.threshold(0.5) == 3
    assert points.n_units == 3
    # A fourth case of the first patient at 5: 1/3 + 1/3 + 1 is not enough, with 4 it is.
    more = Points(np.asarray([1.0, 2, 3, 4, 5]), np.arange(5), np.asarray([0, 0, 1, 2, 0]))
    assert more.threshold(0.5) == 4


def test_copies_of_a_case_change_nothing_for_its_patient():
    rng = np.random.default_rng(0)
    scores, unit = rng.normal(size=60), np.arange(60)
    copied = Points(np.repeat(scores, 3), np.arange(180), np.repeat(unit, 3))
    for alpha in (0.05, 0.1, 0.37):
        assert copied.threshold(alpha) == alone(scores).threshold(alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_threshold_of_several_labels_is_that_of_conformal_risk_control(alpha, seed):
    """The least t with (sum of patients' losses + 1) / (n + 1) <= alpha, by trying all."""
    rng = np.random.default_rng(seed)
    present = rng.random((80, 6)) < 0.4
    present[~present.any(axis=1), 0] = True
    scores, patient = rng.random((80, 6)), rng.integers(0, 30, 80)
    case, label = np.nonzero(present)

    def risk(t):
        missed = ((scores > t) & present).sum(axis=1) / present.sum(axis=1)
        losses = [missed[patient == p].mean() for p in np.unique(patient)]
        return (sum(losses) + 1) / (len(losses) + 1)

    fine = [t for t in np.sort(scores[present]) if risk(t) <= alpha + 1e-12]
    found = Points(scores[case, label], case, patient[case]).threshold(alpha)
    assert found == (fine[0] if fine else None)


def test_order_of_points_does_not_matter():
    rng = np.random.default_rng(0)
    case = np.sort(rng.integers(0, 50, 120))
    points = Points(rng.random(120), case, case // 3)
    order = rng.permutation(120)
    mixed = Points(points.scores[order], points.case[order], points.unit[order])
    assert [mixed.threshold(a) for a in (0.1, 0.2)] == [points.threshold(a) for a in (0.1, 0.2)]
