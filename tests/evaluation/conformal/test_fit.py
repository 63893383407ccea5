"""Fitting prediction sets: what is refused, what is ignored, and what comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medimg.calibrator import Calibrator
from medimg.errors import PredictionsError, UsageError
from medimg.evaluation.conformal import Conformal, fit_conformal
from medimg.evaluation.conformal.scores import SCORES
from medimg.evaluation.conformal.sets import BLANK, LEVELS
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing import make_predictions

GRADES = LabelSpace(("a", "b", "c", "d"))
LABELS = LabelSpace(("a", "b", "c"), "multilabel")
EXCLUSIVE = ("lac", "aps", "raps")


def made(method="lac", n=150, seed=0, **more):
    space = LABELS if method == "risk" else GRADES
    return make_predictions(n, space, seed, **more)


def with_column(predictions, values, name="site"):
    return replace(predictions, metadata=pd.DataFrame({name: values}, dtype=object))


@pytest.mark.parametrize("by", ["", "class", "site"])
@pytest.mark.parametrize("method", SCORES)
def test_prediction_sets_are_the_same_after_json(method, by):
    calib = with_column(made(method), ["x", "y", ""] * 50)
    test = with_column(made(method, seed=1), ["x", "", "z"] * 50)
    found = fit_conformal(calib, method, by=by)
    again = Conformal.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again == found
    np.testing.assert_array_equal(again.sets(test), found.sets(test))


@pytest.mark.parametrize("method", SCORES)
def test_neither_order_calibrator_nor_the_targets_of_others_change_a_set(method):
    calib, test = made(method, patients=40), made(method, seed=1)
    found = fit_conformal(calib, method)
    order = np.random.default_rng(0).permutation(len(calib))
    assert fit_conformal(calib.take(order), method) == found
    hot = Calibrator("temperature", {"temperature": 3.0})
    assert fit_conformal(calib.with_calibrator(hot), method) == found
    blind = replace(test, targets=None, calibrator=hot)
    np.testing.assert_array_equal(found.sets(blind), found.sets(test))
    some = found.sets(test.take(np.arange(5, 50)))
    np.testing.assert_array_equal(some, found.sets(test)[5:50])


@pytest.mark.parametrize("method", SCORES)
def test_unknown_targets_take_no_part(method):
    calib = made(method, unknown=0.3)
    known = ~np.isnan(calib.targets).any(axis=1)
    if method == "risk":
        targets = np.where(known[:, None], calib.targets, np.nan)
        calib = replace(calib, targets=targets)
    found, clean = fit_conformal(calib, method), fit_conformal(calib.take(known), method)
    assert (found.thresholds, found.units) == (clean.thresholds, clean.units)


@pytest.mark.parametrize("method", EXCLUSIVE)
def test_lower_alpha_gives_sets_that_hold_the_others(method):
    calib, test = made(method), made(method, seed=1)
    sets = [fit_conformal(calib, method, alpha).sets(test) for alpha in (0.3, 0.1, 0.02)]
    assert (sets[0] <= sets[1]).all() and (sets[1] <= sets[2]).all()
    assert sets[0].sum() < sets[1].sum() < sets[2].sum()


@pytest.mark.parametrize("by", ["", "class"])
def test_levels_are_those_of_a_fit_of_their_own(by):
    calib, test = made(), made(seed=1)
    found = fit_conformal(calib, by=by)
    for i, alpha in enumerate(LEVELS):
        own = fit_conformal(calib, alpha=alpha, by=by)
        assert found.at(i).thresholds == own.thresholds
        np.testing.assert_array_equal(found.at(i).sets(test), own.sets(test))


def test_auto_is_least_ambiguous_sets_or_risk_control():
    assert fit_conformal(made()).method == "lac"
    assert fit_conformal(made("risk")).method == "risk"


def test_thresholds_by_class_are_those_of_the_cases_of_each():
    calib = made()
    found = fit_conformal(calib, by="class")
    for k, c in enumerate(GRADES.classes):
        alone = fit_conformal(calib.take(calib.targets[:, k] == 1))
        assert found.thresholds[c] == alone.thresholds["all"]
        assert found.units[c] == alone.n_units


def test_class_without_enough_cases_is_held_by_every_set():
    calib = made(n=200)
    rare = np.flatnonzero(calib.targets[:, 2] == 1)
    found = fit_conformal(calib.take(np.setdiff1d(np.arange(200), rare[8:])), by="class")
    assert found.thresholds["c"] is None
    assert found.units["c"] == 8
    sets = found.sets(made(seed=1))
    assert sets[:, 2].all()
    assert not sets[:, 0].all()
    none = fit_conformal(calib.take(np.setdiff1d(np.arange(200), rare)), by="class")
    assert none.thresholds["c"] is None


def test_groups_of_a_column_have_thresholds_of_their_own_and_unknown_ones_whole_sets():
    calib = with_column(made(n=200), (["x"] * 100) + ["y"] * 92 + [""] * 8)
    found = fit_conformal(calib, by="site")
    x = fit_conformal(calib.take(np.arange(100)))
    assert found.thresholds["x"] == x.thresholds["all"]
    assert found.thresholds[BLANK] is None
    test = with_column(made(n=90, seed=1), ["x", "z", ""] * 30)
    sets = found.sets(test)
    np.testing.assert_array_equal(sets[::3], x.sets(test)[::3])
    assert sets[1::3].all() and sets[2::3].all()


def test_same_patients_written_otherwise_give_the_same_sets():
    calib = made(patients=30)
    renamed = replace(calib, patient_id=np.asarray([f"q{i[::-1]}" for i in calib.patient_id]))
    found, again = fit_conformal(calib), fit_conformal(renamed)
    assert found == again
    assert (found.n_cases, found.n_units, found.unit) == (150, 30, "patient")


def test_method_that_is_unknown_or_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="'lacc' are unknown; did you mean lac"):
        fit_conformal(made(), "lacc")
    with pytest.raises(UsageError, match="'risk' do not fit multiclass") as error:
        fit_conformal(made(), "risk")
    assert error.value.remedy == "use lac, aps, raps or auto"
    with pytest.raises(UsageError, match="'aps' do not fit multilabel"):
        fit_conformal(made("risk"), "aps")


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_alpha_out_of_its_range_is_refused(alpha):
    with pytest.raises(UsageError, match="alpha is"):
        fit_conformal(made(), alpha=alpha)


def test_column_that_is_missing_or_no_grouping_is_refused():
    calib = with_column(made(), [str(i) for i in range(150)])
    with pytest.raises(UsageError, match=r"no column 'sit'.*did you mean site"):
        fit_conformal(calib, by="sit")
    with pytest.raises(UsageError, match="'site' has 150 values"):
        fit_conformal(calib, by="site")
    found = fit_conformal(with_column(made(), ["x", "y"] * 75), by="site")
    with pytest.raises(UsageError, match="no column 'site'"):
        found.sets(made(seed=1))


def test_other_classes_are_refused_by_name():
    found = fit_conformal(made())
    other = make_predictions(20, LabelSpace(("a", "b", "d", "c")))
    with pytest.raises(PredictionsError, match=r"\['a', 'b', 'd', 'c'\]"):
        found.sets(other)


def test_nothing_to_calibrate_on_is_refused():
    with pytest.raises(PredictionsError, match="known target"):
        fit_conformal(replace(made(), targets=None))
    negative = replace(made("risk"), targets=np.zeros((150, 3), np.float32))
    with pytest.raises(PredictionsError, match="has any label"):
        fit_conformal(negative)
    split = np.asarray(["calib", "test"] * 75)
    with pytest.raises(UsageError, match="several splits"):
        fit_conformal(replace(made(), split=split))


def test_two_tied_scores_share_their_fate():
    space = LabelSpace(("a", "b"))
    p = np.asarray([[0.9, 0.1]] * 5 + [[0.6, 0.4]] * 5)
    ids = [f"c{i}" for i in range(10)]
    calib = Predictions(ids, p, "probabilities", space, space.one_hot([0] * 10))
    found = fit_conformal(calib, alpha=0.3)
    assert found.sets(calib).sum(axis=0).tolist() == [10, 0]
