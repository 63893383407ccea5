"""`evaluate`: values, intervals, reasons, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn import metrics as sk

from medimg.errors import PredictionsError, UsageError
from medimg.evaluation import metrics as m
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.intervals.proportions import wilson
from medimg.evaluation.options import EvaluateOptions
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

FEW = EvaluateOptions(resamples=200)
COMMON = set(m.TWO_CLASSES) & set(m.MULTICLASS)


def from_labels(y, p1, **more):
    """Return two-class predictions of labels (N,) and probabilities of the second class."""
    space = more.pop("space", LabelSpace(("well", "ill"), positive="ill"))
    p = np.stack([1 - np.asarray(p1), p1], axis=1).astype(np.float32)
    ids = [f"c{i:05d}" for i in range(len(y))]
    return Predictions(ids, p, "probabilities", space, space.one_hot(y), **more)


@pytest.mark.parametrize(
    ("k", "kind", "family"),
    [
        (4, "multiclass", m.MULTICLASS),
        (2, "multiclass", m.TWO_CLASSES),
        (4, "ordinal", m.ORDINAL),
        (4, "multilabel", m.MULTILABEL),
        (1, "multilabel", m.MULTILABEL),
    ],
)
def test_every_metric_is_there_with_its_interval(make, k, kind, family):
    result = evaluate(make(300, k, kind=kind, positive="b" if k == 2 else None), FEW)
    top = {f"top_{n}_accuracy" for n in range(2, 10) if n >= k}
    assert set(family) - top <= set(result.metrics)
    assert not top & set(result.metrics)
    assert set(result.per_class) == set(result.space.classes)
    unsure = {"ece", "ece_top_label", "specificity_at_sensitivity"}
    for name in set(family) - top - unsure:
        estimate = result.metrics[name]
        assert estimate.low < estimate.value < estimate.high, name
        assert estimate.method != "none"
    for row in result.per_class.values():
        assert set(m.PER_CLASS) <= set(row)
        assert all(e.low < e.value < e.high for n, e in row.items() if n not in unsure)


def test_values_agree_with_sklearn(make):
    predictions = make(400, 4)
    y, p = predictions.targets.argmax(axis=1), predictions.probabilities
    hat, found = p.argmax(axis=1), evaluate(predictions, FEW).metrics
    expected = {
        "accuracy": sk.accuracy_score(y, hat),
        "balanced_accuracy": sk.balanced_accuracy_score(y, hat),
        "precision_macro": sk.precision_score(y, hat, average="macro"),
        "f1_macro": sk.f1_score(y, hat, average="macro"),
        "auroc_macro": sk.roc_auc_score(y, p, multi_class="ovr"),
        "average_precision_macro": sk.average_precision_score(predictions.targets, p),
        "nll": sk.log_loss(y, p),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name


def test_target_condition_defines_sensitivity_and_its_neighbours():
    y = [1] * 20 + [0] * 80
    p1 = [0.9] * 15 + [0.1] * 5 + [0.8] * 10 + [0.2] * 70
    found = evaluate(from_labels(y, p1), FEW).metrics
    for name, k, n in [
        ("sensitivity", 15, 20),
        ("specificity", 70, 80),
        ("ppv", 15, 25),
        ("npv", 70, 75),
        ("accuracy", 85, 100),
    ]:
        e = found[name]
        assert (e.value, e.n, e.method) == (pytest.approx(k / n), n, "wilson")
        assert (e.low, e.high) == pytest.approx(wilson(k, n))
    mirrored = evaluate(
        from_labels(y, p1, space=LabelSpace(("well", "ill"), positive="well")), FEW
    ).metrics
    assert mirrored["sensitivity"].value == pytest.approx(70 / 80)
    assert mirrored["auroc"].value == pytest.approx(found["auroc"].value, abs=1e-12)
    assert mirrored["average_precision"].value != found["average_precision"].value


def test_without_a_target_condition_its_metrics_are_null_with_the_reason(make):
    found = evaluate(make(200, 2), FEW).metrics
    for name in ("sensitivity", "specificity", "ppv", "npv", "average_precision"):
        assert found[name].value is None
        assert "no target condition" in found[name].reason
    assert found["auroc"].value == pytest.approx(found["auroc_macro"].value, abs=1e-12)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("k", [2, 3])
def test_scores_past_the_digits_of_a_probability_are_still_ranked(kind, k):
    z = np.r_[np.linspace(40, 59, 50), np.linspace(60, 80, 50)]
    y = np.repeat([0, 1], 50)
    space = LabelSpace(tuple("abc"[:k]), kind)
    scores = np.stack([0 * z] * (k - 1) + [z], axis=1)
    targets = np.stack([1 - y] + [0 * y] * (k - 2) + [y], axis=1)
    p = Predictions([f"{i:03d}" for i in range(100)], scores, "logits", space, targets)
    assert (p.probabilities[:, -1] == 1).all()
    found = evaluate(p, FEW).per_class[space.classes[-1]]["auroc"]
    assert found.value == 1
    assert found.low > 0.9


def test_auroc_is_the_same_for_both_classes_where_probabilities_saturate():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    z = np.stack([np.zeros(300), 30 * (rng.normal(size=300) + y)], axis=1)
    space = LabelSpace(("a", "b"))
    p = Predictions([f"{i:03d}" for i in range(300)], z, "logits", space, space.one_hot(y))
    row = evaluate(p, FEW).per_class
    assert row["a"]["auroc"].value == pytest.approx(row["b"]["auroc"].value, abs=1e-12)


def test_shuffling_the_rows_changes_no_number(make, shuffled):
    p = make(300, 3, images=3, unknown=0.1)
    one, two = (evaluate(q, FEW) for q in (p, shuffled(p)))
    assert one == two
    assert json.dumps(one.to_dict()) == json.dumps(two.to_dict())


def test_seed_changes_resampled_intervals_alone(make):
    p = make(200, 3)
    one, two = (evaluate(p, EvaluateOptions(resamples=200, seed=s)).metrics for s in (0, 1))
    assert one["brier"].value == two["brier"].value
    assert one["brier"].low != two["brier"].low
    assert one["accuracy"] == two["accuracy"]


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
def test_unknown_targets_are_left_out(make, kind):
    p = make(300, 3, kind=kind, unknown=0.3, images=2)
    kept = p.take(p.known)
    assert evaluate(p, FEW).n == len(kept) < 300 or kind == "multilabel"
    ours, theirs = evaluate(p, FEW).to_dict(), evaluate(kept, FEW).to_dict()
    for result in (ours, theirs):
        del result["provenance"], result["notes"]
    assert ours == theirs


def test_unknown_labels_are_counted_label_by_label(make):
    p = make(300, 3, kind="multilabel", unknown=0.4)
    result = evaluate(p, FEW)
    for k, c in enumerate(p.space.classes):
        assert result.per_class[c]["auroc"].n == (~np.isnan(p.targets[:, k])).sum()
        assert result.per_class[c]["recall"].n == (p.targets[:, k] == 1).sum()
        assert sum(result.confusion[k]) == result.per_class[c]["auroc"].n


def test_several_images_a_patient_widen_the_interval_and_name_the_patient():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 2, 120), 5)
    shift = np.repeat(rng.normal(size=120), 5)
    p1 = 1 / (1 + np.exp(-(2 * y - 1 + shift + 0.3 * rng.normal(size=600))))
    patients = np.asarray([f"P{i // 5:03d}" for i in range(600)])
    by_image = evaluate(from_labels(y, p1), FEW)
    by_patient = evaluate(from_labels(y, p1, patient_id=patients), FEW)
    assert (by_image.n_patients, by_patient.n_patients) == (None, 120)
    for name in ("accuracy", "auroc", "sensitivity", "f1"):
        one, many = by_image.metrics[name], by_patient.metrics[name]
        assert one.value == many.value
        assert many.high - many.low > 1.5 * (one.high - one.low)
        assert (one.unit, many.unit) == ("case", "patient")
    methods = {name: e.method for name, e in by_patient.metrics.items()}
    assert methods["accuracy"] == methods["sensitivity"] == "wilson_clustered"
    assert (methods["auroc"], methods["f1"]) == ("obuchowski", "bootstrap")
    assert by_patient.metrics["sensitivity"].n_patients == len(set(patients[y == 1]))


def test_one_image_a_patient_is_independent(make):
    e = evaluate(make(200, 3, images=1), FEW).metrics["accuracy"]
    assert (e.method, e.unit, e.n_patients) == ("wilson", "patient", 200)


def test_fewer_than_ten_patients_of_a_class_give_no_interval():
    y = np.asarray([1] * 9 + [0] * 91)
    p1 = np.where(y == 1, 0.6, 0.4) + 0.3 * np.sin(np.arange(100))
    found = evaluate(from_labels(y, p1, patient_id=[f"P{i:03d}" for i in range(100)]), FEW).metrics
    for name in ("auroc", "f1", "mcc", "nll"):
        assert found[name].reason == "fewer than ten patients with 'ill' (9)", name
    for name in ("auroc", "f1", "mcc", "nll", "brier"):
        assert found[name].value is not None
        assert (found[name].low, found[name].method) == (None, "none")
    assert found["sensitivity"].reason == "fewer than ten patients in its denominator (9)"
    assert found["specificity"].method == found["accuracy"].method == "wilson"


def test_perfect_ranking_is_not_given_an_interval_of_no_width():
    y = [0] * 30 + [1] * 30
    found = evaluate(from_labels(y, np.linspace(0.01, 0.99, 60)), FEW).metrics
    assert found["auroc"].value == found["auroc"].high == 1
    assert 0.9 < found["auroc"].low < 0.97
    assert (found["average_precision"].low, found["average_precision"].value) == (None, 1)
    assert "no spread" in found["average_precision"].reason
    assert found["accuracy"].low == pytest.approx(wilson(60, 60)[0])


def test_one_class_only_gives_nulls_with_reasons():
    result = evaluate(from_labels([1] * 30, np.linspace(0.3, 0.9, 30)), FEW)
    found = result.metrics
    for name in ("auroc", "average_precision", "auroc_macro", "specificity"):
        assert found[name].value is None
        assert found[name].reason
    assert found["accuracy"].value is not None
    assert found["brier"].value is not None and found["brier"].low is None
    json.dumps(result.to_dict(), allow_nan=False)


def test_class_that_is_absent_or_never_predicted_is_named():
    space = LabelSpace(("a", "b", "c", "d"))
    y = np.asarray([0, 1, 2] * 20)
    scores = np.tile([1.0, 0, 0, 0], (60, 1)) + np.eye(4)[y] * [[1, 2.0, 0.5, 0]]
    ids = [f"{i:02d}" for i in range(60)]
    result = evaluate(Predictions(ids, scores, "logits", space, space.one_hot(y)), FEW)
    found, row = result.metrics, result.per_class
    assert row["d"]["recall"].reason == "no case with 'd'"
    assert row["d"]["auroc"].reason == "no case with 'd'"
    assert row["c"]["precision"].reason == "no case was predicted as 'c'"
    assert "left out, not defined: d" in found["auroc_macro"].reason
    assert "counted as 0, never predicted: c" in found["precision_macro"].reason
    y_hat = scores.argmax(axis=1)
    assert found["precision_macro"].value == pytest.approx(
        sk.precision_score(y, y_hat, average="macro", zero_division=0)
    )


def test_multilabel_accuracy_of_a_silent_model_does_not_stand_alone():
    rng = np.random.default_rng(0)
    space = LabelSpace(tuple(f"finding {i}" for i in range(14)), "multilabel")
    targets = (rng.random((1000, 14)) < 0.053).astype(np.float32)
    scores = rng.normal(-4, 0.1, size=(1000, 14))
    found = evaluate(
        Predictions([f"{i:04d}" for i in range(1000)], scores, "logits", space, targets), FEW
    ).metrics
    assert found["accuracy"].value > 0.94
    assert found["exact_match"].value < 0.5
    assert found["auroc_macro"].value == pytest.approx(0.5, abs=0.05)
    assert found["recall_macro"].value == 0


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
def test_result_is_json_without_nan(make, kind):
    for n in (1, 3, 40):
        result = evaluate(make(n, 3, kind=kind), FEW, provenance={"run": "x"})
        again = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert again["n"] == n
        assert again["provenance"]["run"] == "x"
        assert again["provenance"]["evaluation"]["resamples"] == 200


def test_confusion_is_of_the_cases(make):
    p = make(300, 3)
    y, hat = p.targets.argmax(axis=1), p.probabilities.argmax(axis=1)
    assert np.array_equal(evaluate(p, FEW).confusion, sk.confusion_matrix(y, hat))


def test_calibrated_says_whether_a_calibrator_was_applied(make):
    p = make(300, 3)
    result = evaluate(p.with_calibrator(fit_calibrator(p, "temperature")), FEW)
    assert result.calibrated
    plain = evaluate(p, FEW)
    assert not plain.calibrated
    assert result.metrics["nll"].value < plain.metrics["nll"].value
    assert result.metrics["accuracy"] == plain.metrics["accuracy"]


def test_probabilities_give_the_numbers_of_their_logits(make):
    p = make(300, 3)
    q = Predictions(p.case_id, p.probabilities, "probabilities", p.space, p.targets, split=p.split)
    ours, theirs = evaluate(p, FEW).metrics, evaluate(q, FEW).metrics
    for name in COMMON - {"ece", "auroc_macro", "average_precision_macro"}:
        assert ours[name].value == pytest.approx(theirs[name].value, abs=1e-6), name


def test_several_splits_want_one_to_be_named(make):
    p = replace(make(100, 3), split=["test"] * 60 + ["train"] * 40)
    with pytest.raises(UsageError, match="test, train"):
        evaluate(p, FEW)
    result = evaluate(p, FEW, split="test")
    assert (result.n, result.split) == (60, "test")
    with pytest.raises(PredictionsError, match="no case of split 'val'"):
        evaluate(p, FEW, split="val")
    assert evaluate(replace(p, split=None), FEW).split == "all"


def test_no_known_target_is_refused_by_name(make):
    p = make(20, 3, unknown=1.0)
    with pytest.raises(PredictionsError, match="none of 20 cases of split 'test'"):
        evaluate(p, FEW)


def refused(monkeypatch, match, *args, **named):
    """Check that `evaluate` refuses before it resamples."""
    monkeypatch.setattr("medimg.evaluation.evaluate._core", lambda *_: pytest.fail("too late"))
    with pytest.raises(UsageError, match=match):
        evaluate(*args, **named)


def test_what_is_not_there_is_refused_before_anything_is_worked_out(make, monkeypatch):
    p, calib = make(60, 3, images=2), make(60, 3)
    calib = replace(calib, case_id=[f"calib {i}" for i in range(60)])
    wrong = EvaluateOptions(subgroups=("sex",))
    refused(monkeypatch, "no column 'sex'", p, wrong)
    wrong = EvaluateOptions(conformal_by=("sex",))
    refused(monkeypatch, "no column 'sex'", p, wrong, calib=calib)
    wrong = EvaluateOptions(by_patient="max_probability")
    refused(monkeypatch, "max_probability", p, wrong)
    refused(monkeypatch, "reference is of", p, reference=make(60, 2))
    refused(monkeypatch, "60 cases stand both", p, reference=make(60, 3))


def test_a_rule_that_was_named_needs_a_class_and_the_default_is_passed_over(make, monkeypatch):
    p, calib = make(100, 3), make(60, 3, seed=1)
    calib = replace(calib, case_id=[f"calib {i}" for i in range(60)])
    assert evaluate(p, FEW, calib=calib).operating == ()
    named = EvaluateOptions(resamples=200, operating_points=("youden",))
    refused(monkeypatch, "youden does not say of which", p, named, calib=calib)


def test_calib_of_one_class_costs_the_default_threshold_and_not_the_evaluation(make):
    p, calib = make(100, 2, positive="b"), make(60, 2, positive="b", share=(1, 0))
    calib = replace(calib, case_id=[f"calib {i}" for i in range(60)])
    found = evaluate(p, FEW, calib=calib)
    assert found.operating == ()
    assert "No threshold was chosen: operating point youden of b" in found.notes[-1]
    named = EvaluateOptions(resamples=200, operating_points=("youden",))
    with pytest.raises(PredictionsError, match="no cases both with and without it"):
        evaluate(p, named, calib=calib)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_options_refuse_a_prevalence_that_is_no_share(share):
    with pytest.raises(ValidationError):
        EvaluateOptions(prevalences=(share,))


def test_options_refuse_too_few_resamples_and_unknown_keys():
    with pytest.raises(ValidationError):
        EvaluateOptions(resamples=10)
    with pytest.raises(ValidationError):
        EvaluateOptions(resample=2000)


def test_intervals_cover_the_truth_of_an_independent_model():
    """Accuracy (Wilson), AUROC (DeLong) and Brier (bootstrap) of 150, the truth of 400,000."""
    rng, names = np.random.default_rng(0), ("accuracy", "auroc", "brier")

    def draw(n):
        y = (rng.random(n) < 0.3).astype(int)
        return from_labels(y, 1 / (1 + np.exp(-(1.6 * y - 1.5 + rng.normal(size=n)))))

    large = evaluate(draw(400_000), EvaluateOptions(resamples=100)).metrics
    hits = dict.fromkeys(names, 0)
    for _ in range(150):
        found = evaluate(draw(150), FEW).metrics
        for name in names:
            hits[name] += found[name].low <= large[name].value <= found[name].high
    assert all(h / 150 >= 0.89 for h in hits.values()), hits


def test_the_table_half_imports_no_torch_sklearn_or_matplotlib(make, tmp_path):
    make(60, 3).save(tmp_path / "p.csv")
    code = (
        "import sys; from medimg.predictions import Predictions\n"
        "from medimg.evaluation.evaluate import evaluate\n"
        "from medimg.evaluation.calibrators.fit import fit_calibrator\n"
        f"p = Predictions.load({str(tmp_path / 'p.csv')!r}); fit_calibrator(p); evaluate(p)\n"
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'pydicom') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_estimates_hold_plain_numbers(make):
    for e in evaluate(make(100, 3), FEW).metrics.values():
        kinds = {type(v) for v in asdict(e).values()}
        assert kinds <= {float, int, str, type(None)}
