"""Fitting a temperature."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.calibrator import Calibrator, log_likelihood_terms
from medimg.errors import PredictionsError, UsageError
from medimg.evaluation import metrics as m
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.calibrators.temperature import BOUNDS
from medimg.labels import LabelSpace
from medimg.predictions import Predictions


def fit_temperature(predictions):
    return fit_calibrator(predictions, "temperature")


def calibrated(n, factor=1.0, k=3, seed=0, kind="multiclass"):
    """Return cases whose labels are drawn from the probabilities of logits / factor."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, size=(n, k))
    space = LabelSpace(tuple("abcdef"[:k]), kind)
    if kind == "multilabel":
        targets = (rng.random((n, k)) < 1 / (1 + np.exp(-z))).astype(np.float32)
    else:
        targets = space.one_hot((z + rng.gumbel(size=(n, k))).argmax(axis=1))
    ids = np.asarray([f"c{i:06d}" for i in range(n)])
    return Predictions(ids, (factor * z).astype(np.float32), "logits", space, targets)


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_undoes_a_known_scaling(kind, factor):
    found = fit_temperature(calibrated(20_000, factor, kind=kind))
    assert found.parameters["temperature"] == pytest.approx(factor, rel=0.04)


def test_temperature_is_where_the_loss_is_least():
    predictions = calibrated(500, 2.0)
    best = fit_temperature(predictions)

    def loss(t):
        logits = Calibrator("temperature", {"temperature": t}).apply(predictions.logits)
        return log_likelihood_terms(logits, predictions.targets, predictions.space).mean()

    t = best.parameters["temperature"]
    assert loss(t) < min(loss(t * 1.01), loss(t / 1.01), loss(1.0))


def test_fit_ignores_a_calibrator_and_names_what_it_was_fitted_on():
    predictions = calibrated(500, 2.0)
    found = fit_temperature(predictions)
    again = fit_temperature(predictions.with_calibrator(found))
    assert again.parameters == found.parameters
    assert found.fitted_on == predictions.fingerprint


def test_fit_does_not_depend_on_the_order_of_rows(shuffled):
    p = calibrated(400, 2.0)
    assert fit_temperature(shuffled(p)) == fit_temperature(p)


def test_probabilities_are_calibrated_through_their_logarithm():
    logits = calibrated(3000, 2.0)
    p = Predictions(
        logits.case_id,
        logits.probabilities.astype(np.float32),
        "probabilities",
        logits.space,
        logits.targets,
    )
    assert fit_temperature(p).parameters["temperature"] == pytest.approx(
        fit_temperature(logits).parameters["temperature"], rel=1e-3
    )


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_perfect_calibration_cases_do_not_make_the_model_infinitely_sure(kind):
    space = LabelSpace(("a", "b"), kind)
    t = space.one_hot([0, 1] * 20)
    p = Predictions([f"c{i:02d}" for i in range(40)], 8 * t - 4, "logits", space, t)
    sure = p.with_calibrator(fit_temperature(p)).probabilities.max(axis=1)
    n = 40 if space.exclusive else 80
    np.testing.assert_allclose(sure, (n + 1) / (n + 2), atol=1e-6)


def test_temperature_stays_within_its_bounds():
    space = LabelSpace(("a", "b"))
    t = space.one_hot([0, 1] * 20)
    p = Predictions([f"c{i:02d}" for i in range(40)], -4 * t, "logits", space, t)
    assert fit_temperature(p).parameters["temperature"] == pytest.approx(BOUNDS[1], rel=1e-3)


def test_temperature_stays_one_where_nothing_can_be_gained():
    space = LabelSpace(("a", "b"))
    t = space.one_hot([0, 1] * 20)
    p = Predictions([f"c{i:02d}" for i in range(40)], np.zeros((40, 2)), "logits", space, t)
    assert fit_temperature(p).parameters["temperature"] == 1.0


def test_unknown_targets_take_no_part():
    p = calibrated(600, 2.0)
    targets = p.targets.copy()
    targets[::3] = np.nan
    masked = Predictions(p.case_id, p.scores, "logits", p.space, targets)
    known = p.take(~np.isnan(targets).any(axis=1))
    assert fit_temperature(masked).parameters == fit_temperature(known).parameters


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_nothing_known_or_one_class_alone_is_refused(kind):
    space = LabelSpace(("a", "b"), kind)
    ids, scores = ["1", "2"], np.zeros((2, 2))
    with pytest.raises(PredictionsError, match="has a known target"):
        fit_temperature(Predictions(ids, scores, "logits", space))
    one = np.asarray([[1, 0], [1, 0]]) if kind == "multiclass" else np.ones((2, 2))
    with pytest.raises(PredictionsError, match="is 'a'"):
        fit_temperature(Predictions(ids, scores, "logits", space, one))


def test_several_splits_or_an_unknown_method_are_refused():
    p = calibrated(4)
    mixed = Predictions(
        p.case_id, p.scores, "logits", p.space, p.targets, split=["calib"] * 2 + ["test"] * 2
    )
    with pytest.raises(UsageError, match="calib, test"):
        fit_temperature(mixed)
    with pytest.raises(UsageError, match="did you mean temperature"):
        fit_calibrator(p, "temperatur")


def test_class_weights_must_be_taken_back_before_the_temperature():
    """Weights 399 / 147 shift the logit by 1; a temperature hides that from the top label alone."""
    rng = np.random.default_rng(0)
    n, space = 200_000, LabelSpace(("benign", "malignant"), positive="malignant")
    z = rng.normal(-1, 1, n)
    targets = space.one_hot((rng.random(n) < 1 / (1 + np.exp(-z))).astype(int))
    log_weights = np.log([147.0, 399.0])
    ids = np.asarray([f"c{i:06d}" for i in range(n)])
    half = np.arange(n) % 2 == 0

    def errors(logits):
        """Return the ECE of the predicted class and of the positive one, and the AUROC."""
        p = Predictions(ids, logits, "logits", space, targets)
        test = p.take(~half).with_calibrator(fit_temperature(p.take(half)))
        found = test.probabilities, test.targets
        return m.ece_top_label(*found), m.ece_positive(*found), float(m.auroc(*found)[1])

    shifted = np.stack([np.zeros(n), z], axis=1) + log_weights
    raw, corrected = errors(shifted), errors(shifted - log_weights)
    assert raw[0] < 0.01 < 0.15 < raw[1]
    assert max(corrected[:2]) < 0.01
    assert corrected[2] == pytest.approx(raw[2], abs=1e-6)
