"""`Estimates`: which interval each kind of metric gets, and what stands where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medimg.evaluation import metrics as m
from medimg.evaluation.estimates.estimates import TWO_CLASSES, Estimates
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.intervals.delong import auroc_interval
from medimg.evaluation.intervals.likelihood import likelihood_ratio
from medimg.evaluation.intervals.mover import mean_ends
from medimg.evaluation.intervals.proportions import proportion, wilson
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.reliability.checks import calibration_checks, calibration_metrics
from medimg.evaluation.sample import Lacking, Resampled, Sample, known_cases
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

RULES = {
    "accuracy": "wilson",
    "no_information_rate": "wilson",
    "top_2_accuracy": "wilson",
    "balanced_accuracy": "mover",
    "recall_macro": "mover",
    "specificity_macro": "mover",
    "precision_macro": "bootstrap",
    "f1_macro": "bootstrap",
    "mcc": "bootstrap",
    "kappa": "bootstrap",
    "auroc_macro": "mover",
    "auroc_weighted": "mover",
    "auroc_micro": "obuchowski",
    "auroc_ovo": "bootstrap",
    "average_precision_macro": "bootstrap",
    "brier": "bootstrap",
    "nll": "bootstrap",
}
RULES_OF_CLASS = {
    **dict.fromkeys(("recall", "specificity", "precision", "npv", "prevalence"), "wilson"),
    **dict.fromkeys(("lr_positive", "lr_negative"), "mover"),
    **dict.fromkeys(("f1", "class_mcc", "average_precision", "auroc_partial"), "bootstrap"),
    "auroc": "delong",
}
SHARES = {"wilson": "wilson_clustered", "delong": "obuchowski"}


def estimates(predictions, resamples=200):
    sample = Sample.of(known_cases(predictions, "test"))
    draws, _ = bootstrap(
        Resampled(sample), sample.units.n, resamples=resamples, seed=0, lacking=Lacking(sample)
    )
    return Estimates(sample, sample.point(), draws)


@pytest.fixture
def three(make):
    return estimates(make(300, 3, images=1))


@pytest.mark.parametrize("images", [1, 2])
def test_each_kind_of_metric_gets_its_method(make, images):
    made = estimates(make(400, 3, images=images))
    found, first = made.metrics(), made.per_class()["a"]
    for name, method in RULES.items():
        assert found[name].method == (method if images == 1 else SHARES.get(method, method)), name
    for name, method in RULES_OF_CLASS.items():
        assert first[name].method == (method if images == 1 else SHARES.get(method, method)), name


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
def test_every_metric_of_the_sample_is_there(make, kind):
    made = estimates(make(300, 3, kind=kind, unknown=0.1))
    overall = {name for name, v in made.point.items() if v.ndim == 1}
    assert set(made.metrics()) == overall
    for row in made.per_class().values():
        assert set(row) == {name for name, v in made.point.items() if v.ndim == 2}
    for name, e in made.metrics().items():
        assert e.value == pytest.approx(made.point[name][0], abs=1e-12), name


def test_metrics_of_the_target_condition_are_those_of_its_class(make):
    made = estimates(make(300, 2, positive="a"))
    found, row = made.metrics(), made.per_class()["a"]
    for name, of in TWO_CLASSES.items():
        assert found[name] == row[of], name


def test_shares_and_aurocs_are_those_of_their_own_functions(three):
    sample = three.sample
    for k, c in enumerate(sample.space.classes):
        row, truth = three.per_class()[c], sample.targets[:, k] == 1
        decided = sample.decisions[:, k]
        assert row["recall"] == proportion(decided, truth, sample.units)
        assert row["npv"] == proportion(~truth, ~decided, sample.units)
        assert row["auroc"] == auroc_interval(
            sample.ranking[:, k], sample.targets[:, k], sample.units
        )


def test_balanced_accuracy_of_two_classes_by_hand():
    """45 of 50 and 30 of 60: no case of one class is in the other's denominator."""
    space = LabelSpace(("well", "ill"), positive="ill")
    y = np.repeat([1, 0], [50, 60])
    p1 = np.concatenate([[0.9] * 45, [0.2] * 5, [0.7] * 30, [0.1] * 30])
    p = np.stack([1 - p1, p1], axis=1)
    ids = [f"{i:03d}" for i in range(110)]
    made = estimates(Predictions(ids, p, "probabilities", space, space.one_hot(y)), 2000)
    found = made.metrics()
    one, two = (45 / 50, *wilson(45, 50)), (30 / 60, *wilson(30, 60))
    ends = mean_ends(np.asarray([one, two]), np.asarray([0.5, 0.5]), np.eye(2))
    e = found["balanced_accuracy"]
    assert (e.low, e.high) == pytest.approx(ends, abs=4e-3)
    e = found["lr_positive"]
    assert e.value == pytest.approx(1.8)
    down = np.hypot(np.log(0.9 / one[1]), np.log((1 - two[1]) / 0.5))
    up = np.hypot(np.log(one[2] / 0.9), np.log(0.5 / (1 - two[2])))
    assert (e.low, e.high) == pytest.approx((1.8 * np.exp(-down), 1.8 * np.exp(up)))


def test_one_number_has_one_interval_wherever_it_stands(make):
    """Likelihood ratios as at an operating point, the Brier score as among the calibration."""
    made = estimates(make(200, 2, images=2, positive="b"))
    sample, found = made.sample, made.metrics()
    called, target = sample.decisions[:, 1], sample.targets[:, 1]
    assert found["lr_positive"] == likelihood_ratio(called, target, sample.units)
    assert found["lr_negative"] == likelihood_ratio(~called, target, sample.units)
    checks = calibration_checks(sample, EvaluateOptions())
    check = calibration_metrics(checks, sample)["brier"]
    assert replace(check, expected=None, p=None, reason=None) == found["brier"]
    assert (found["brier"].method, check.expected is None) == ("jackknife", False)
    assert found["brier"].value == pytest.approx(made.point["brier"][0], abs=1e-14)


def test_mean_over_labels_of_which_one_has_no_interval_has_none(make):
    """A label known in five cases, all with it: its recall has no interval, nor has the mean."""
    p = make(200, 3, kind="multilabel")
    targets = p.targets.copy()
    targets[:, 2] = np.nan
    targets[:5, 2] = 1
    found = estimates(replace(p, targets=targets)).metrics()
    e = found["recall_macro"]
    assert (e.low, e.high, e.method) == (None, None, "none")
    assert e.value is not None
    assert e.reason.startswith("recall of 'c': fewer than ten cases in its denominator (5)")
    assert found["specificity_macro"].low > 0 and found["specificity_macro"].high < 1


def test_one_patient_who_holds_half_of_the_cases_leaves_no_interval(make):
    p = make(600, 2, positive="b")
    one = np.where(np.arange(600) < 300, "whose", [f"P{i // 2:03d}" for i in range(600)])
    found = estimates(replace(p, patient_id=one)).metrics()
    for name in ("auroc", "sensitivity", "accuracy", "mcc", "f1", "brier", "balanced_accuracy"):
        assert found[name].value is not None and found[name].low is None, name
        assert "one patient holds" in found[name].reason and "whose" not in found[name].reason
    assert "50% of the cases in its denominator" in found["accuracy"].reason
    assert "the 151 patients tell as much as 4.0 of equal size" in found["accuracy"].reason


def test_macro_auroc_of_two_classes_is_the_auroc(make):
    found = estimates(make(200, 2)).metrics()
    assert found["auroc_macro"] == found["auroc"]


def test_pooled_metrics_count_cases_and_resample_whole_patients(make):
    found = estimates(make(200, 3, kind="multilabel", unknown=0.2)).metrics()
    assert (found["accuracy"].method, found["auroc_micro"].method) == (
        "wilson_clustered",
        "obuchowski",
    )
    assert found["accuracy"].n == found["auroc_micro"].n <= 200
    assert found["accuracy"].unit == "case"


def test_fewer_than_ten_patients_of_a_class_are_named(make):
    made = estimates(make(200, 3, share=(0.57, 0.4, 0.03), seed=1, images=1))
    few = int((made.sample.targets[:, 2] == 1).sum())
    assert 1 < few < 10
    found, row = made.metrics(), made.per_class()["c"]
    for name in ("balanced_accuracy", "auroc_macro", "f1_macro", "mcc", "brier"):
        assert found[name].reason.startswith(f"fewer than ten patients with 'c' ({few})"), name
        assert (found[name].low, found[name].method) == (None, "none")
        assert found[name].value is not None
    assert row["auroc"].reason == row["lr_positive"].reason == row["f1"].reason
    assert row["auroc"].reason == f"fewer than ten patients with 'c' ({few})"
    assert row["recall"].reason == f"fewer than ten patients in its denominator ({few})"
    assert found["accuracy"].low is not None


def test_mean_losses_want_a_hundred_and_fifty_patients(make):
    found = estimates(make(149, 3, images=1)).metrics()
    for name in ("brier", "nll"):
        assert found[name].reason == "fewer than 150 patients (149): a single one can decide it"
    assert found["f1_macro"].low is not None
    assert estimates(make(150, 3, images=1)).metrics()["brier"].low is not None
    ordered = estimates(make(200, 3, images=1, kind="ordinal")).metrics()
    assert ordered["quadratic_kappa"].reason.startswith("fewer than 300 patients (200)")
    assert ordered["grade_error"].low is not None


@pytest.mark.parametrize("k", [2, 3])
def test_mean_losses_of_which_no_case_is_wrong_have_no_interval(make, k):
    p = make(300, k)
    sure = np.where(p.targets == 1, 3.0, 0.0) + p.scores / 10
    found = estimates(replace(p, scores=sure.astype(np.float32))).metrics()
    assert found["accuracy"].value == 1 and found["accuracy"].low is not None
    for name in ("brier", "nll"):
        assert found[name].value > 0 and found[name].low is None
        assert found[name].reason.startswith("no case is decided wrong")


def test_threshold_in_the_tail_of_a_class_wants_many_patients_of_it(make):
    rows = estimates(make(200, 2, share=(0.88, 0.12), images=1)).per_class()
    few = rows["b"]["recall"].n
    assert few < 40
    e = rows["b"]["specificity_at_sensitivity"]
    assert e.reason == f"fewer than 400 patients with 'b' ({few})"
    assert rows["b"]["sensitivity_at_specificity"].low is not None
    e = rows["a"]["sensitivity_at_specificity"]
    assert e.reason == f"fewer than 40 patients without 'a' ({few})"
    row = estimates(make(900, 2, images=1)).per_class()["b"]
    assert row["specificity_at_sensitivity"].low is not None


def test_calibration_errors_get_no_interval(three):
    e = three.metrics()["ece"]
    assert (e.low, e.method) == (None, "none")
    assert "plug-in" in e.reason


def test_ratio_without_a_bound_says_so():
    space = LabelSpace(("well", "ill"), positive="ill")
    y = np.repeat([1, 0], [30, 40])
    p1 = np.where(y == 1, np.linspace(0.3, 0.9, 70), 0.2)
    p = np.stack([1 - p1, p1], axis=1)
    ids = [f"{i:03d}" for i in range(70)]
    found = estimates(Predictions(ids, p, "probabilities", space, space.one_hot(y))).metrics()
    assert found["lr_positive"].value is None
    assert "no case without 'ill' was predicted as it" in found["lr_positive"].reason
    assert found["lr_negative"].low is not None
    assert found["balanced_accuracy"].high < 1


def test_class_without_cases_is_left_out_of_means_and_named(make):
    p = make(200, 3, share=(0.5, 0.5, 0.0))
    found = estimates(p).metrics()
    for name in ("recall_macro", "auroc_macro", "average_precision_macro"):
        assert found[name].low is not None
        assert found[name].reason == "left out, not defined: c"
    y, hat = p.targets.argmax(axis=1), p.probabilities.argmax(axis=1)
    expected = np.mean([(hat[y == k] == k).mean() for k in (0, 1)])
    assert found["balanced_accuracy"].value == pytest.approx(expected)


def test_names_that_metrics_bring_anew_are_taken(make):
    """A metric over all classes and one of each, which nothing here knows, get the bootstrap."""
    made = estimates(make(200, 3))
    for figures in (made.point, made.draws):
        figures["fresh"], figures["fresh_of_class"] = figures["f1_macro"], figures["f1"]
    e, row = made.metrics()["fresh"], made.per_class()["b"]["fresh_of_class"]
    assert e.method == row.method == "bootstrap"
    assert (e.low, e.high) == (made.metrics()["f1_macro"].low, made.metrics()["f1_macro"].high)
    assert m.f1_macro(made.sample.probabilities, made.sample.targets) == pytest.approx(e.value)
