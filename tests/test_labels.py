"""Classes, targets, and the only way from logits to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimg.calibrator import Calibrator, log_likelihood_terms, to_logits, to_probabilities
from medimg.errors import LabelError, PredictionsError
from medimg.labels import LabelSpace, check_targets, class_index

TWO = LabelSpace(("benign", "malignant"), positive="malignant")
MANY = LabelSpace(("a", "b", "c"), "multilabel")


def test_one_class_is_too_few_and_names_are_checked() -> None:
    for classes in [("a",), ("a", "a"), ("a", ""), ("a", " b"), ("a", "b\nc")]:
        with pytest.raises(LabelError):
            LabelSpace(classes)


def test_the_target_condition_is_a_class_of_two() -> None:
    assert TWO.positive_index == 1
    with pytest.raises(LabelError, match="did you mean malignant"):
        LabelSpace(("benign", "malignant"), positive="malignnt")
    with pytest.raises(LabelError, match="two classes"):
        LabelSpace(("a", "b", "c"), positive="a")


def test_unknown_targets_are_nan_and_come_back_as_minus_one() -> None:
    targets = TWO.one_hot([0, -1, 1])
    assert np.isnan(targets[1]).all()
    assert class_index(targets).tolist() == [0, -1, 1]
    with pytest.raises(LabelError, match="outside"):
        TWO.one_hot([2])


def test_a_target_of_minus_one_or_of_two_classes_is_refused() -> None:
    with pytest.raises(LabelError, match="neither"):
        check_targets(np.array([[-1.0, 1.0]]), TWO, 1)
    with pytest.raises(LabelError, match="several"):
        check_targets(np.array([[1.0, 1.0]]), TWO, 1)
    assert check_targets(np.array([[1.0, np.nan, 1.0]]), MANY, 1).shape == (1, 3)


def test_a_label_space_survives_json() -> None:
    assert LabelSpace.from_dict(TWO.to_dict()) == TWO
    assert LabelSpace.from_dict(MANY.to_dict()).fingerprint == MANY.fingerprint


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3))
def test_logits_and_probabilities_lead_to_each_other(row: list[float]) -> None:
    for space in (LabelSpace(("a", "b", "c")), MANY):
        p = to_probabilities(np.array([row]), "logits", space)
        again = to_probabilities(to_logits(p, "probabilities", space), "logits", space)
        assert np.allclose(p, again, atol=1e-11)


def test_probabilities_are_not_put_through_a_softmax_again() -> None:
    p = np.array([[0.9, 0.1]])
    assert np.array_equal(to_probabilities(p, "probabilities", TWO), p)


def test_temperature_divides_the_logits() -> None:
    z = np.array([[0.0, 2.0]])
    p = to_probabilities(z, "logits", TWO, Calibrator("temperature", {"temperature": 2.0}))
    assert p[0, 1] == pytest.approx(1 / (1 + np.exp(-1)))
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(PredictionsError):
            Calibrator("temperature", {"temperature": wrong})


def test_the_log_likelihood_stays_finite_where_probabilities_round_to_zero() -> None:
    z = np.array([[0.0, 2000.0]])
    assert log_likelihood_terms(z, TWO.one_hot([0]), TWO).tolist() == [2000.0]


def test_unknown_targets_have_no_log_likelihood() -> None:
    z = np.zeros((2, 3))
    targets = np.array([[np.nan, np.nan, np.nan], [1, np.nan, np.nan]])
    terms = log_likelihood_terms(z, targets, MANY)
    assert np.isnan(terms[0])
    assert terms[1] == pytest.approx(np.log(2))
