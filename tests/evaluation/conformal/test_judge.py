"""What is said of prediction sets, against hand-worked cases."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from medimg.errors import UsageError
from medimg.evaluation.conformal import conformal_result, fit_conformal
from medimg.evaluation.conformal.held import Held, mean
from medimg.evaluation.conformal.law import coverage_bounds
from medimg.evaluation.intervals.proportions import wilson
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.results.sections import ConformalResult
from medimg.labels import LabelSpace
from medimg.testing import make_predictions

GRADES = LabelSpace(("a", "b", "c"))
LABELS = LabelSpace(("a", "b", "c", "d"), "multilabel")


def judge(calib, test, **how):
    return conformal_result(fit_conformal(calib, **how), test)


def with_site(predictions, values):
    return replace(predictions, metadata=pd.DataFrame({"site": values}, dtype=object))


def values(metrics):
    return {name: e.value for name, e in metrics.items()}


def units(patients):
    ids = np.asarray([f"c{i:02d}" for i in range(len(patients))], dtype=object)
    return Units.of(ids, np.asarray(patients, dtype=object))


def test_numbers_of_four_sets_worked_by_hand():
    sets = np.asarray([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], bool)
    truth = np.eye(3, dtype=bool)[[0, 1, 2, 2]]
    held = Held(sets, truth, True, units(["p", "p", "q", "q"]))
    assert held.sizes() == (1, 2, 1, 0)
    found = held.metrics(np.ones(4, bool))
    assert values(found) == {
        "coverage": 0.5,
        "coverage_by_patient": 0.5,
        "size": 1.0,
        "singleton": 0.5,
        "singleton_accuracy": 0.5,
        "empty": 0.25,
    }
    assert found["size"].reason == "fewer than ten patients with another value than 1 (2)"
    assert found["coverage_by_patient"].low is None


def test_each_patient_counts_once_beside_the_cases():
    # One patient of 9 cases that are missed, eleven of one that is covered.
    sets = np.asarray([[0]] * 9 + [[1]] * 11, bool)
    held = Held(sets, np.ones((20, 1), bool), False, units(["p"] * 9 + list("abcdefghijk")))
    found = held.metrics(np.ones(20, bool))
    assert found["coverage"].value == 11 / 20
    by_patient = found["coverage_by_patient"]
    assert by_patient.value == pytest.approx(11 / 12)
    assert (by_patient.low, by_patient.high) == pytest.approx(wilson(11, 12))
    assert (by_patient.method, by_patient.n, by_patient.n_patients) == ("wilson", 20, 12)


def test_share_of_labels_is_averaged_over_the_cases_that_have_any():
    truth = np.asarray([[1, 1, 0], [0, 0, 0], [0, 1, 0]], bool)
    sets = np.asarray([[1, 0, 1], [0, 0, 0], [1, 1, 1]], bool)
    held = Held(sets, truth, False, units(["", "", ""]))
    found = held.metrics(np.ones(3, bool))
    assert values(found) == {"coverage": 0.75, "size": 5 / 3, "singleton": 0, "empty": 1 / 3}
    assert found["coverage"].n == 2


def test_mean_share_rests_on_as_many_patients_as_weigh():
    # 40 patients of 1 case and one of 10: (50 ** 2) / (40 + 100) patients.
    sets = np.asarray([[1, 0]] * 40 + [[1, 1]] * 10, bool)
    people = [f"p{i}" for i in range(40)] + ["q"] * 10
    held = Held(sets, np.ones((50, 2), bool), False, units(people))
    found = held.metrics(np.ones(50, bool))["coverage"]
    assert found.value == 0.6
    assert (found.low, found.high) == pytest.approx(wilson(0.6 * 2500 / 140, 2500 / 140))


@pytest.mark.parametrize("by", ["", "class", "site"])
@pytest.mark.parametrize("space", [GRADES, LABELS])
@pytest.mark.parametrize("patients", [None, 40])
def test_result_is_plain_numbers_that_json_gives_back(space, by, patients):
    calib, test = (make_predictions(200, space, s, patients=patients) for s in (0, 1))
    calib = with_site(calib, ["x", "y"] * 100)
    test = with_site(test, ["x", "y", "z", ""] * 50)
    found = judge(calib, test, by=by)
    adapter = TypeAdapter(ConformalResult)
    text = json.dumps(adapter.dump_python(found, mode="json"), allow_nan=False)
    assert adapter.validate_python(json.loads(text)) == found
    assert sum(found.sizes) == found.metrics["size"].n == 200
    assert list(found.per_class) == list(space.classes)
    assert found.metrics["coverage"].low < found.metrics["coverage"].value
    labelled = int((calib.targets == 1).any(axis=1).sum())
    expected = ("patient", 40) if patients else ("case", labelled)
    assert (found.unit, found.n_calibration) == expected


def test_numbers_are_those_of_the_sets():
    calib, test = make_predictions(200, GRADES, 0), make_predictions(300, GRADES, 1)
    conformal = fit_conformal(calib)
    found = conformal_result(conformal, test)
    sets, truth = conformal.sets(test), test.targets == 1
    assert found.metrics["coverage"].value == (sets & truth).any(axis=1).mean()
    assert found.metrics["size"].value == sets.sum(axis=1).mean()
    assert found.bounds == coverage_bounds([(200, 300)], 0.1)
    for k, c in enumerate(GRADES.classes):
        assert found.per_class[c]["coverage"].value == sets[truth[:, k], k].mean()
    at = found.curve.x.index(0.9)
    assert found.curve.y[at] == found.metrics["coverage"].value
    assert (found.curve.low[at], found.curve.high[at]) == found.bounds
    assert list(found.curve.y) == sorted(found.curve.y)


def test_bounds_by_class_are_of_the_sizes_of_each():
    calib, test = make_predictions(200, GRADES, 0), make_predictions(300, GRADES, 1)
    found = judge(calib, test, by="class")
    sizes = list(
        zip(
            (calib.targets == 1).sum(axis=0).tolist(),
            (test.targets == 1).sum(axis=0).tolist(),
            strict=True,
        )
    )
    assert found.group_bounds == {
        c: coverage_bounds([size], 0.1) for c, size in zip(GRADES.classes, sizes, strict=True)
    }
    assert found.bounds == coverage_bounds(sizes, 0.1)


def test_labels_are_judged_by_their_sensitivity():
    calib, test = make_predictions(200, LABELS, 0), make_predictions(300, LABELS, 1)
    conformal = fit_conformal(calib, by="class")
    found = conformal_result(conformal, test)
    sets, truth = conformal.sets(test), test.targets == 1
    for k, c in enumerate(LABELS.classes):
        assert values(found.per_class[c]) == {
            "coverage": sets[truth[:, k], k].mean(),
            "held": sets[:, k].mean(),
        }
    assert found.bounds is None
    assert set(found.group_bounds) == set(LABELS.classes)


def test_class_with_whole_sets_is_named():
    calib = make_predictions(100, GRADES, 0)
    keep = (calib.targets[:, 1] == 0) | (np.cumsum(calib.targets[:, 1]) <= 5)
    found = judge(calib.take(keep), make_predictions(300, GRADES, 1), by="class")
    assert found.whole == ("b",)
    assert found.thresholds["b"] is None
    assert found.group_bounds["b"] == (1.0, 1.0)
    assert found.per_class["b"]["coverage"].value == 1


def test_groups_under_ten_patients_are_counted_and_not_named():
    calib = with_site(make_predictions(200, GRADES, 0), ["x"] * 100 + ["secret"] * 100)
    test = with_site(
        make_predictions(300, GRADES, 1), ["x"] * 280 + ["secret"] * 9 + ["other"] * 2 + [""] * 9
    )
    found = judge(calib, test, by="site")
    assert list(found.per_group) == ["x"]
    assert "secret" not in repr(found) and "other" not in repr(found)
    assert found.note == (
        "groups with fewer than ten cases, not shown: 3 (20 cases); "
        "groups not there to calibrate on, whole sets: 2 (11 cases)"
    )
    assert found.bounds == coverage_bounds([(100, 280), (100, 9), (0, 2), (0, 9)], 0.1)


def test_new_group_of_ten_patients_is_named_with_whole_sets():
    calib = with_site(make_predictions(100, GRADES, 0), ["x"] * 100)
    found = judge(
        calib, with_site(make_predictions(60, GRADES, 1), ["x"] * 40 + ["y"] * 20), by="site"
    )
    assert found.whole == ("y",)
    assert found.per_group["y"]["coverage"].value == 1
    assert found.per_group["y"]["size"].value == 3


def test_no_patient_is_named():
    calib, test = (make_predictions(200, GRADES, s, patients=40) for s in (0, 1))
    found = judge(calib, test)
    assert not any(p in repr(found) for p in set(test.patient_id))
    assert found.calibrated_on == "test: 200 cases of 40 patients"
    assert found.note == "bounds and curve count each patient once"


def test_cases_that_the_sets_were_fitted_on_are_refused():
    calib = make_predictions(100, GRADES, 0)
    with pytest.raises(UsageError, match="fitted on the cases"):
        judge(calib, calib)


def test_unknown_targets_are_left_out():
    calib = make_predictions(200, GRADES, 0)
    test = make_predictions(300, GRADES, 1, unknown=0.2)
    assert judge(calib, test) == judge(calib, test.take(test.known))


def test_same_seed_gives_the_same_answer_in_any_order():
    calib, test = make_predictions(200, GRADES, 0), make_predictions(300, GRADES, 1, patients=50)
    order = np.random.default_rng(0).permutation(300)
    assert judge(calib, test) == judge(calib, test.take(order))


def test_interval_of_a_mean_worked_by_hand():
    from scipy.stats import t

    values = np.asarray([1.0, 2.0] * 10)
    found = mean(values, np.ones(20, bool), units([""] * 20), most=2)
    half = t.ppf(0.975, 19) * np.sqrt(20 * 0.25 * 20 / 19 + 1) / 20
    assert (found.low, found.high) == pytest.approx((1.5 - half, 1.5 + half))
    assert found.method == "student"


def test_copies_of_a_patients_case_leave_the_interval_of_a_mean_as_it_is():
    values = np.random.default_rng(0).integers(0, 4, 40).astype(float)
    alone = mean(values, np.ones(40, bool), units([""] * 40), most=4)
    ids = np.repeat([f"p{i}" for i in range(40)], 3)
    copied = mean(np.repeat(values, 3), np.ones(120, bool), units(ids), most=4)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("shares", [(0.05, 0.7, 0.25), (0, 0.6, 0.2, 0.15, 0.05)])
def test_intervals_of_a_mean_hold_the_truth(shares, images):
    rng, hits = np.random.default_rng(0), []
    true = float(np.arange(len(shares)) @ np.asarray(shares))
    patients = np.repeat([f"p{i}" for i in range(60)], images)
    of_whom = units(patients) if images > 1 else units([""] * 60)
    for _ in range(400):
        sizes = rng.choice(len(shares), p=shares, size=60)
        # Half of the images of a patient are alike.
        own = rng.choice(len(shares), p=shares, size=(60, images))
        values = np.where(rng.random((60, images)) < 0.5, sizes[:, None], own).ravel().astype(float)
        found = mean(values, np.ones(60 * images, bool), of_whom, most=4)
        if found.low is not None:
            hits.append(found.low <= true <= found.high)
    assert len(hits) > 380
    assert 0.95 - 3.3 * np.sqrt(0.95 * 0.05 / 400) < np.mean(hits) < 0.985
