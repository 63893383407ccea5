"""Choosing among calibrators: by patient, only for a gain that is more than chance."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from medimg.calibrator import log_likelihood_terms
from medimg.evaluation.calibrators.choose import MIN_CASES, candidates, trials
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.calibrators.folds import stratified_folds
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing import make_predictions

TWO = LabelSpace(("benign", "malignant"), positive="malignant")
FOUR = LabelSpace(("a", "b", "c", "d"))
LABELS = LabelSpace(("x", "y", "z"), "multilabel")
ENOUGH = {"temperature", "platt", "beta", "isotonic"}


def loss(predictions):
    targets = predictions.targets.astype(float)
    return log_likelihood_terms(predictions.calibrated_logits, targets, predictions.space)


def renamed(predictions, names):
    return Predictions(
        predictions.case_id,
        predictions.scores,
        predictions.kind,
        predictions.space,
        predictions.targets,
        patient_id=names,
        split=predictions.split,
    )


@pytest.mark.parametrize("space", [TWO, FOUR, LABELS], ids=lambda s: s.kind + str(s.k))
def test_a_calibrated_model_is_left_as_it_is(space):
    found = fit_calibrator(make_predictions(1000, space, seed=0))
    assert found.method == "identity"
    assert found.parameters == {}
    assert all(gain <= error for gain, error in found.tried.values())


@pytest.mark.parametrize("space", [TWO, FOUR, LABELS], ids=lambda s: s.kind + str(s.k))
def test_a_model_that_is_too_sure_is_calibrated_with_what_gains_most(space):
    calib, test = (make_predictions(1000, space, seed=s, temperature=3.0) for s in (1, 2))
    found = fit_calibrator(calib)
    assert found.method != "identity"
    gains = {name: gain for name, (gain, _) in found.tried.items()}
    assert gains[found.method] == max(gains.values())
    assert loss(test.with_calibrator(found)).mean() < loss(test).mean() - 0.1
    alone = fit_calibrator(calib, found.method)
    assert alone.parameters == found.parameters
    assert found.fitted_on == calib.fingerprint


def test_an_offset_calls_for_more_than_a_temperature():
    calib = make_predictions(2000, TWO, seed=4, shift=1.5)
    found = fit_calibrator(calib)
    assert found.method in ("platt", "beta")
    assert found.tried["platt"][0] > found.tried["temperature"][0] + 0.05


def test_few_cases_of_a_class_get_one_or_two_numbers():
    rare = np.zeros(400, int)
    rare[: MIN_CASES - 1] = 1
    assert candidates(TWO.one_hot(rare), TWO) == ["temperature", "platt"]
    rare[:MIN_CASES] = 1
    assert set(candidates(TWO.one_hot(rare), TWO)) == ENOUGH
    several = FOUR.one_hot(np.arange(400) % 4)
    assert candidates(several, FOUR) == ["temperature", "vector", "dirichlet", "isotonic"]
    assert candidates(several[:40], FOUR) == ["temperature"]
    labels = np.tile([[1.0, 0.0, 1.0], [0.0, 1.0, np.nan]], (60, 1))
    assert candidates(labels, LABELS) == ["temperature", "platt"]
    labels[1::2, 2] = 0
    assert set(candidates(labels, LABELS)) == ENOUGH


def test_dirichlet_calibration_is_not_tried_on_more_than_twenty_classes():
    many = LabelSpace(tuple(f"class {k}" for k in range(21)))
    targets = many.one_hot(np.arange(21 * 60) % 21)
    assert candidates(targets, many) == ["temperature", "vector", "isotonic"]


def test_the_gain_is_what_folds_by_hand_give():
    p = make_predictions(200, TWO, seed=5, temperature=2.0)
    (found,) = trials(p, ["platt"])
    folds = stratified_folds(p.targets, np.arange(200), 5, 0)
    gains = np.empty(200)
    for fold in range(5):
        fitted = fit_calibrator(p.take(folds != fold), "platt")
        held = p.take(folds == fold)
        gains[folds == fold] = loss(held) - loss(held.with_calibrator(fitted))
    assert found.gain == pytest.approx(gains.mean(), abs=1e-12)
    assert found.error == pytest.approx(gains.std(ddof=1) / np.sqrt(200), abs=1e-12)


def test_the_standard_error_is_by_patient():
    """Each case five times over: the same gain, and the error of a fifth of the cases."""
    p = make_predictions(200, TWO, seed=5, temperature=2.0)
    rows = np.repeat(np.arange(200), 5)
    many = Predictions(
        [f"{p.case_id[r]}-{i % 5}" for i, r in enumerate(rows)],
        p.scores[rows],
        "logits",
        TWO,
        p.targets[rows],
        patient_id=p.case_id[rows],
    )
    (once,), (often,) = trials(p, ["temperature"]), trials(many, ["temperature"])
    assert often.gain == pytest.approx(once.gain, rel=0.02)
    assert often.error == pytest.approx(once.error, rel=0.02)


def test_no_patient_stands_in_two_folds_and_the_classes_are_spread():
    rng = np.random.default_rng(0)
    units = rng.integers(0, 60, 300)
    targets = TWO.one_hot((units % 4 == 0).astype(int))
    folds = stratified_folds(targets, units, 5, 0)
    assert all(len(set(folds[units == u])) == 1 for u in set(units))
    each = [len(set(units[(folds == f) & (units % 4 == 0)])) for f in range(5)]
    assert max(each) - min(each) <= 1
    np.testing.assert_array_equal(folds, stratified_folds(targets, units, 5, 0))


def test_names_of_patients_and_the_order_of_rows_change_nothing(shuffled):
    p = make_predictions(400, TWO, seed=6, temperature=2.0, patients=80)
    names = np.array([f"z{hash_of(i)}" for i in p.patient_id], object)
    assert fit_calibrator(renamed(p, names)) == fit_calibrator(p)
    assert fit_calibrator(shuffled(p)) == fit_calibrator(p)


def hash_of(name):
    return sum(ord(c) ** 3 for c in name) % 9973 + int(name[1:]) * 10_000


def test_too_few_patients_for_folds_leave_the_raw_output():
    space = TWO
    p = make_predictions(40, space, seed=7, temperature=3.0)
    one = renamed(p, np.full(40, "p", object))
    found = fit_calibrator(one)
    assert (found.method, dict(found.tried)) == ("identity", {})
    by_class = np.where(p.targets[:, 1] == 1, "a", "b").astype(object)
    assert fit_calibrator(renamed(p, by_class)).method == "identity"


def simulated(space, n, temperature, shift, rounds):
    """Return by how much `auto` changed the loss on fresh cases, and how often it changed it."""
    gains, changed = [], []
    for seed in range(rounds):
        calib = make_predictions(n, space, seed=seed, temperature=temperature, shift=shift)
        test = make_predictions(
            4000, space, seed=10_000 + seed, temperature=temperature, shift=shift
        )
        found = fit_calibrator(calib)
        gains.append(float((loss(test) - loss(test.with_calibrator(found))).mean()))
        changed.append(found.method != "identity")
    return np.array(gains), float(np.mean(changed))


@pytest.mark.parametrize("space", [TWO, FOUR], ids=["two", "four"])
def test_automatic_choice_costs_a_calibrated_model_next_to_nothing(space):
    gains, changed = simulated(space, 200, 1.0, 0.0, 30)
    assert changed < 0.35
    assert gains.mean() > -0.005


@pytest.mark.slow
@pytest.mark.parametrize("space", [TWO, FOUR, LABELS], ids=["two", "four", "labels"])
@pytest.mark.parametrize("n", [60, 200, 1000])
@pytest.mark.parametrize("temperature, shift", [(1.0, 0.0), (1.3, 0.0), (2.0, 0.0), (1.0, 1.0)])
def test_automatic_choice_is_never_worse_than_raw_by_more_than_chance(space, n, temperature, shift):
    gains, changed = simulated(space, n, temperature, shift, 100)
    print(f"{space.kind} {space.k} n={n} T={temperature} b={shift}: ", end="")
    print(f"gain {gains.mean():+.4f}, worst {gains.min():+.4f}, changed {changed:.2f}")
    # A gain below what n cases can show is left alone, and may go either way.
    plain = (temperature == 2.0 and n >= 200) or (shift == 1.0 and n >= 1000)
    assert gains.mean() > (0 if plain else -0.5 / n)
    assert (temperature, shift) != (1.0, 0.0) or changed < 0.1
    assert not (plain and n == 1000) or changed == 1


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", ["breastmnist_cnn", "retinamnist_cnn"])
def test_real_predictions_are_not_worse_than_raw_by_more_than_two_standard_errors(
    name: str, data_root: Path, tmp_path: Path
) -> None:
    import medimg as mi
    from medimg.config import builtin_config, load_config

    source = data_root / "medmnist" / f"{name.removesuffix('_cnn')}.npz"
    overrides = ["fit.epochs=6", "calibration.method=none", "evaluate.resamples=100"]
    overrides += [f"data.source={os.fspath(source)}", f"data.cache={os.fspath(tmp_path / 'c')}"]
    mi.run(load_config(builtin_config(name), overrides), tmp_path / "run")
    calib, test = (
        Predictions.load(tmp_path / f"run/predictions/{s}.csv") for s in ("calib", "test")
    )
    gains = loss(test) - loss(test.with_calibrator(fit_calibrator(calib)))
    assert gains.mean() >= -2 * gains.std(ddof=1) / np.sqrt(len(gains))
