"""Applying a calibrator: plain numbers, finite at every extreme, the same after JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from medimg.calibrator import Calibrator, log_odds, to_probabilities
from medimg.errors import PredictionsError
from medimg.labels import LabelSpace

TWO = LabelSpace(("benign", "malignant"), positive="malignant")
THREE = LabelSpace(("a", "b", "c"))
LABELS = LabelSpace(("x", "y", "z"), "multilabel")

LINE = {"exclusive": True, "slope": [2.0], "offset": [-1.0]}
CURVE = {"exclusive": False, "a": [1.0, 2.0, 0.5], "b": [1.0, 0.5, 3.0], "c": [0.0, -1.0, 1.0]}
STEPS = {
    "exclusive": True,
    "points": [[-2.0, 0.0, 1.0]] * 3,
    "values": [[0.1, 0.25, 0.8]] * 3,
}
EACH: list[tuple[LabelSpace, str, dict[str, Any]]] = [
    (TWO, "identity", {}),
    (LABELS, "temperature", {"temperature": 1.7}),
    (TWO, "platt", LINE),
    (LABELS, "beta", CURVE),
    (THREE, "isotonic", STEPS),
    (TWO, "isotonic", {"exclusive": True, "points": [[-1.0, 1.0]], "values": [[0.1, 0.9]]}),
    (LABELS, "isotonic", {**STEPS, "exclusive": False}),
    (THREE, "vector", {"weight": [1.0, 2.0, 0.5], "bias": [0.0, 1.0, -1.0]}),
    (THREE, "dirichlet", {"weight": [[1.0, 0.1, 0.0]] * 3, "bias": [0.0, 1.0, -1.0]}),
]
each = pytest.mark.parametrize("space, method, numbers", EACH)


@each
def test_a_calibrator_is_the_same_after_json(
    space: LabelSpace, method: str, numbers: dict[str, Any]
) -> None:
    made = Calibrator(method, numbers, "of these", {"platt": (0.1, 0.05)})
    again = Calibrator.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.to_dict() == made.to_dict()
    z = np.random.default_rng(0).normal(size=(20, space.k))
    np.testing.assert_array_equal(again.apply(z), made.apply(z))


@each
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e4, 3e38])
def test_every_finite_score_stays_finite(
    space: LabelSpace, method: str, numbers: dict[str, Any], size: float
) -> None:
    z = size * np.array([[1.0, -1.0, 0.5], [-1.0, 1.0, -1.0], [1.0, 1.0, 1.0]])[:, : space.k]
    out = Calibrator(method, numbers).apply(z.astype(np.float32))
    assert out.shape == z.shape
    assert out.dtype == np.float64
    assert np.isfinite(out).all()
    p = to_probabilities(z, "logits", space, Calibrator(method, numbers))
    assert np.isfinite(p).all()
    if space.exclusive:
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)


def test_a_bundle_of_before_is_read_and_written_as_it_was() -> None:
    old = {"method": "temperature", "parameters": {"temperature": 1.25}, "fitted_on": "abc"}
    assert Calibrator.from_dict(old).to_dict() == old


def test_platt_scaling_works_on_the_log_odds_of_two_classes() -> None:
    z = np.array([[3.0, 3.5], [-1.0, 2.0]])
    p = to_probabilities(z, "logits", TWO, Calibrator("platt", LINE))[:, 1]
    np.testing.assert_allclose(p, [0.5, 1 / (1 + np.exp(-5.0))], atol=1e-15)


def test_beta_calibration_weighs_the_two_log_probabilities() -> None:
    p = np.array([0.2, 0.5, 0.9])
    z = np.stack([np.log(p / (1 - p))] * 3, axis=1)
    found = to_probabilities(z, "logits", LABELS, Calibrator("beta", CURVE))
    for k in range(3):
        a, b, c = (CURVE[name][k] for name in "abc")
        odds = p**a / (1 - p) ** b * np.exp(c)
        np.testing.assert_allclose(found[:, k], odds / (1 + odds), atol=1e-14)


def test_an_isotonic_line_is_interpolated_and_level_beyond_its_ends() -> None:
    numbers = {"exclusive": True, "points": [[-1.0, 1.0]], "values": [[0.2, 0.6]]}
    z = np.array([[0.0, x] for x in (-9.0, -1.0, 0.0, 0.5, 9.0)])
    p = to_probabilities(z, "logits", TWO, Calibrator("isotonic", numbers))[:, 1]
    np.testing.assert_allclose(p, [0.2, 0.2, 0.4, 0.5, 0.6], atol=1e-14)


def test_one_against_the_rest_is_divided_by_the_sum() -> None:
    z = np.log([[0.5, 0.25, 0.25]])
    values = [[q, q] for q in (0.6, 0.2, 0.4)]
    numbers = {"exclusive": True, "points": [[-1.0, 1.0]] * 3, "values": values}
    p = to_probabilities(z, "logits", THREE, Calibrator("isotonic", numbers))
    np.testing.assert_allclose(p, [[0.5, 1 / 6, 1 / 3]], atol=1e-14)


def test_a_label_without_points_keeps_its_own() -> None:
    numbers = {"exclusive": False, "points": [[], [0.0], []], "values": [[], [0.5], []]}
    out = Calibrator("isotonic", numbers).apply(np.array([[1.5, 4.0, -2.0]]))
    np.testing.assert_allclose(out, [[1.5, 0.0, -2.0]], atol=1e-15)


def test_matrices_multiply_log_probabilities() -> None:
    z = np.array([[1.0, 2.0, 0.0], [11.0, 12.0, 10.0]])
    p = to_probabilities(z, "logits", THREE)
    whole = Calibrator("dirichlet", {"weight": np.eye(3).tolist(), "bias": [0.0, 0.0, 1.0]})
    found = to_probabilities(z, "logits", THREE, whole)
    wanted = p * np.exp([0, 0, 1])
    np.testing.assert_allclose(found, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-14)
    diagonal = Calibrator("vector", {"weight": [1.0, 1.0, 2.0], "bias": [0.0] * 3})
    wanted = p ** np.array([1, 1, 2])
    found = to_probabilities(z, "logits", THREE, diagonal)
    np.testing.assert_allclose(found, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-14)


def test_log_odds_are_those_of_the_probabilities() -> None:
    z = np.random.default_rng(1).normal(size=(50, 3))
    p = to_probabilities(z, "logits", THREE)
    np.testing.assert_allclose(log_odds(z, exclusive=True), np.log(p / (1 - p)), atol=1e-12)
    np.testing.assert_allclose(
        log_odds(z[:, :2], exclusive=True)[:, 0], z[:, 1] - z[:, 0], atol=1e-15
    )
    np.testing.assert_array_equal(log_odds(z, exclusive=False), z)


def test_log_odds_keep_the_digits_that_a_probability_loses() -> None:
    z = np.array([[50.0, 0.0, 0.0], [60.0, 0.0, -5.0], [0.0, 0.0, 900.0]])
    assert (to_probabilities(z, "logits", THREE).max(axis=1) == 1).all()
    rest = np.log([[2.0, np.exp(50) + 1, np.exp(50) + 1]])
    np.testing.assert_allclose(log_odds(z, exclusive=True)[:1], z[:1] - rest, rtol=1e-14)
    found = log_odds(z, exclusive=True)[[1, 2], [0, 2]]
    np.testing.assert_allclose(found, [60 - np.log1p(np.exp(-5)), 900 - np.log(2)], rtol=1e-14)
    assert np.isfinite(log_odds(z, exclusive=True)).all()


@pytest.mark.parametrize(
    "method, numbers, message",
    [
        ("plat", LINE, "did you mean platt"),
        ("temperature", {"temperature": 0.0}, "no positive number"),
        ("temperature", {}, "no positive number"),
        ("temperature", {"temperature": 1.0, "bias": 1.0}, "temperature has the parameters"),
        ("platt", {"slope": [1.0], "offset": [0.0]}, "exclusive, slope, offset are wanted"),
        ("platt", {**LINE, "slope": [float("nan")]}, "platt has the parameters"),
        ("vector", {"weight": ["1", "2"], "bias": [0.0, 0.0]}, "vector has the parameters"),
        ("identity", {"a": 1.0}, "none are wanted"),
    ],
)
def test_numbers_that_are_no_calibration_are_refused(
    method: str, numbers: dict[str, Any], message: str
) -> None:
    with pytest.raises(PredictionsError, match=message):
        Calibrator(method, numbers)


@pytest.mark.parametrize(
    "method, numbers",
    [
        ("platt", {**LINE, "exclusive": False}),
        ("beta", CURVE),
        ("isotonic", STEPS),
        ("vector", EACH[-2][2]),
        ("dirichlet", EACH[-1][2]),
    ],
)
def test_a_calibrator_of_other_classes_is_refused(method: str, numbers: dict[str, Any]) -> None:
    with pytest.raises(PredictionsError, match="of other classes than these 5"):
        Calibrator(method, numbers).apply(np.zeros((4, 5)))
