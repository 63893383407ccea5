"""Thresholds are chosen on cases of their own and only then applied to others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medimg.calibrator import Calibrator
from medimg.errors import PredictionsError, UsageError
from medimg.evaluation.sample import Sample
from medimg.evaluation.thresholds.apart import require_apart
from medimg.evaluation.thresholds.choose import choose_points, operating_results
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing import make_predictions

LABELS = LabelSpace(("x", "y", "rare"), "multilabel")
GRADES = LabelSpace(("none", "mild", "severe"), "ordinal")


def made(name: str, n: int = 300, seed: int = 0, **more: Any) -> Predictions:
    """Return calibrated predictions whose cases and patients go by names of their own."""
    predictions = make_predictions(n, seed=seed, split=name, **more)
    patients = predictions.patient_id
    return replace(
        predictions,
        case_id=np.array([f"{name}/{i}" for i in predictions.case_id], object),
        patient_id=None if patients is None else np.array([f"{name}-{p}" for p in patients]),
        calibrator=Calibrator("temperature", {"temperature": 1.3}),
    )


def test_a_threshold_is_one_of_the_calibrated_probability() -> None:
    calib = made("calib", patients=100, temperature=1.3)
    (point,) = choose_points(calib, ["sensitivity=.9"])
    found, sick = calib.probabilities[:, 1] >= point.threshold, calib.targets[:, 1] == 1
    assert (found & sick).sum() / sick.sum() == point.value >= 0.9
    above = np.sort(calib.probabilities[sick, 1])
    assert (above > point.threshold).sum() == np.ceil(0.9 * sick.sum())
    on = point.chosen_on
    assert (point.label, on.split, on.n, on.n_patients) == ("malignant", "calib", 300, 100)
    assert on.prevalence == sick.mean()
    assert str(on) == "calib (300 cases of 100 patients)"


def test_youden_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import roc_curve

    calib = made("calib")
    (point,) = choose_points(calib, ["youden"])
    false, true, _ = roc_curve(calib.targets[:, 1], calib.probabilities[:, 1])
    assert point.value == pytest.approx((true - false).max(), abs=1e-12)


def test_every_label_gets_a_threshold_and_one_without_cases_is_passed_over() -> None:
    calib = made("calib", space=LABELS, unknown=0.2)
    targets = calib.targets.copy()
    targets[:, 2] = 0
    calib = replace(calib, targets=targets)
    points = choose_points(calib, ["youden", "x:specificity=.9"])
    assert [(p.label, p.rule) for p in points] == [
        ("x", "youden"),
        ("y", "youden"),
        ("x", "specificity=0.9"),
    ]
    assert points[0].chosen_on.n == (~np.isnan(targets[:, 0])).sum() < 300
    with pytest.raises(PredictionsError, match="rare"):
        choose_points(calib, ["rare:youden"])


def test_a_grade_is_named_or_refused() -> None:
    calib = made("calib", space=GRADES)
    (point,) = choose_points(calib, ["severe:youden"])
    assert point.label == "severe"
    with pytest.raises(UsageError, match="severe:youden"):
        choose_points(calib, ["youden"])


def test_what_cannot_be_chosen_is_said() -> None:
    calib = made("calib")
    with pytest.raises(UsageError, match="youdn"):
        choose_points(calib, ["youdn"])
    ones = replace(calib, scores=np.zeros_like(calib.scores))
    with pytest.raises(PredictionsError, match=r"youden of 'malignant' .*both sides"):
        choose_points(ones, ["youden"])
    with pytest.raises(PredictionsError, match="both with and without"):
        choose_points(calib.take(calib.targets[:, 1] == 1), ["youden"])
    with pytest.raises(PredictionsError, match="two operating points"):
        choose_points(calib, ["sensitivity=.95", "sensitivity=0.950"])
    several = replace(calib, split=np.array(["val", "calib"] * 150, object))
    with pytest.raises(UsageError, match="several splits"):
        choose_points(several, ["youden"])


def test_the_order_of_the_rows_changes_no_threshold() -> None:
    calib = made("calib", patients=100)
    order = np.random.default_rng(0).permutation(len(calib))
    assert choose_points(calib.take(order), ["youden"]) == choose_points(calib, ["youden"])


def test_cases_and_patients_on_both_sides_are_refused_and_no_patient_is_named() -> None:
    calib, test = made("calib", patients=100), made("test", seed=1, patients=100)
    require_apart(calib, test)
    both = replace(test, case_id=np.append(test.case_id[1:], calib.case_id[0]))
    with pytest.raises(UsageError, match=f"1 cases .*{calib.case_id[0]}"):
        require_apart(calib, both)
    assert calib.patient_id is not None and test.patient_id is not None
    shared = replace(test, patient_id=np.append(test.patient_id[1:], calib.patient_id[0]))
    with pytest.raises(UsageError, match="1 patients") as error:
        require_apart(calib, shared)
    assert calib.patient_id[0] not in str(error.value)
    blank = replace(test, patient_id=np.full(300, "", object))
    require_apart(replace(calib, patient_id=np.full(300, "", object)), blank)


def test_cases_that_another_model_predicted_are_refused_where_it_is_known() -> None:
    calib, test = made("calib"), made("test", seed=1)
    require_apart(replace(calib, uncalibrated_id="a" * 64), replace(test, bundle_id="b" * 64))
    mine = replace(test, uncalibrated_id="a" * 64, bundle_id="c" * 64)
    require_apart(replace(calib, uncalibrated_id="a" * 64, bundle_id="a" * 64), mine)
    with pytest.raises(UsageError, match="another model \\(bbbb"):
        require_apart(replace(calib, uncalibrated_id="b" * 64), mine)


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("calibrator", [None, Calibrator("temperature", {"temperature": 2.0})])
def test_a_frozen_threshold_knows_its_cases_again(
    share: float, calibrator: Calibrator | None
) -> None:
    calib = made("calib")
    points = choose_points(calib, ["youden"])
    scored = calib.with_calibrator(calibrator).take(np.arange(int(share * len(calib))))
    with pytest.raises(UsageError, match="chosen on cases that are scored here"):
        require_apart(None, scored.with_points(points))
    noisy = replace(scored, scores=scored.scores * np.float32(1 + 1e-6), thresholds=points)
    with pytest.raises(UsageError, match="chosen on cases that are scored here"):
        require_apart(None, noisy)


def test_another_set_that_goes_by_the_same_names_is_scored() -> None:
    calib = made("calib")
    points = choose_points(calib, ["youden"])
    elsewhere = replace(made("other", seed=7), case_id=calib.case_id)
    require_apart(None, elsewhere.with_points(points))


def test_a_frozen_threshold_is_applied_to_other_cases_by_hand() -> None:
    calib, test = made("calib"), made("test", seed=1, patients=60)
    points = choose_points(calib, ["sensitivity=.9", "benign:cost=2"])
    sample = Sample.of(test)
    first, second = operating_results(sample, points)
    called, sick = test.probabilities[:, 1] >= points[0].threshold, test.targets[:, 1] == 1
    assert first.counts == {
        "true_positives": (called & sick).sum(),
        "false_positives": (called & ~sick).sum(),
        "false_negatives": (~called & sick).sum(),
        "true_negatives": (~called & ~sick).sum(),
    }
    values = {name: estimate.value for name, estimate in first.metrics.items()}
    sensitivity, specificity = called[sick].mean(), 1 - called[~sick].mean()
    assert values == pytest.approx(
        {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": sick[called].mean(),
            "npv": 1 - sick[~called].mean(),
            "accuracy": (called == sick).mean(),
            "flagged": called.mean(),
            "lr_positive": sensitivity / (1 - specificity),
            "lr_negative": (1 - sensitivity) / specificity,
        }
    )
    assert all(e.low <= e.value <= e.high for e in first.metrics.values())
    assert first.metrics["sensitivity"].n_patients is not None
    assert (first.rule, first.chosen_on) == ("sensitivity=0.9", "calib (300 cases)")
    assert (second.label, second.rule) == ("benign", "cost=2")
    assert second.counts["true_positives"] + second.counts["false_negatives"] == (~sick).sum()


def test_unknown_labels_have_no_part_in_what_a_threshold_does() -> None:
    calib, test = made("calib", space=LABELS), made("test", space=LABELS, seed=1, unknown=0.3)
    (point, *_) = choose_points(calib, ["x:youden"])
    (result,) = operating_results(Sample.of(test), [point])
    known = int((~np.isnan(test.targets[:, 0])).sum())
    assert sum(result.counts.values()) == known == result.metrics["accuracy"].n < 300


def test_a_label_that_nobody_has_gives_reasons_in_place_of_numbers() -> None:
    calib, test = made("calib"), made("test", seed=1)
    points = choose_points(calib, ["youden"])
    healthy = test.take(test.targets[:, 1] == 0)
    (result,) = operating_results(Sample.of(healthy), points)
    for name in ("sensitivity", "lr_positive"):
        assert result.metrics[name].value is None
        assert result.metrics[name].reason
    assert result.metrics["specificity"].low is not None
