"""The calibration checks as a whole: what is checked, what stands beside it, what is missing."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.reliability.check import DEBIASED_UNITS
from medimg.evaluation.reliability.checks import (
    ALL_CLASSES,
    calibration_checks,
    calibration_metrics,
)
from medimg.evaluation.reliability.probability import PREDICTED_CLASS, probabilities_of
from medimg.evaluation.results.sections import CalibrationCheck
from medimg.evaluation.sample import Sample
from medimg.labels import LabelSpace

PLUG_IN = ("ece", "ece_equal_mass", "mce")
KINDS = [
    {"k": 2, "positive": "a"},
    {"k": 2},
    {"k": 4},
    {"k": 3, "kind": "ordinal"},
    {"k": 3, "kind": "multilabel", "unknown": 0.2},
]


def checks_of(sample, seed=0):
    return calibration_checks(sample, EvaluateOptions(seed=seed))


def two_classes(p, y, patient=None):
    """Return the sample of probabilities (N,) of the second class, and what came of them."""
    p, y = np.asarray(p, np.float64), np.asarray(y, np.float64)
    names = np.asarray([f"{i:06d}" for i in range(len(p))])
    pair, targets = np.stack([1 - p, p], axis=1), np.stack([1 - y, y], axis=1)
    space = LabelSpace(("well", "ill"), "multiclass", "ill")
    units = Units.of(names, None if patient is None else np.asarray(patient).astype(str))
    return Sample(space, pair, targets, m.nll_terms(pair, targets), units)


def calibrated(n, seed=0, images=1, slope=1.0):
    rng = np.random.default_rng(seed)
    logit = np.repeat(rng.normal(-0.5, 2, size=n), images)
    y = np.repeat(rng.random(n) < 1 / (1 + np.exp(-logit[::images] * slope)), images)
    return two_classes(
        1 / (1 + np.exp(-logit)), y, np.arange(n * images) // images if images > 1 else None
    )


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"k": 2, "positive": "a"}, ["a", PREDICTED_CLASS]),
        ({"k": 2}, ["b", PREDICTED_CLASS]),
        ({"k": 3}, [PREDICTED_CLASS, "a", "b", "c", ALL_CLASSES]),
        ({"k": 3, "kind": "multilabel"}, ["a", "b", "c", ALL_CLASSES]),
    ],
)
def test_what_a_reader_may_rely_on_is_checked(make, options, names):
    assert [check.of for check in checks_of(Sample.of(make(**options)))] == names


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("images", [0, 4])
def test_no_plug_in_error_has_an_interval_and_each_has_its_expected_value(make, options, images):
    sample = Sample.of(make(images=images, **options))
    for check in checks_of(sample):
        for name in PLUG_IN:
            if name in check.metrics:
                e = check.metrics[name]
                assert e.low is None and e.high is None and "no interval" in e.reason
                assert e.expected > 0 and 0 < e.p <= 1
                assert ("drawn together" in e.reason) == (
                    images > 0 or (check.of == ALL_CLASSES and not sample.space.exclusive)
                )


@pytest.mark.parametrize("options", KINDS)
def test_a_check_can_be_written_as_json_and_read_back(make, options):
    checks = checks_of(Sample.of(make(images=3, **options)))
    adapter = TypeAdapter(tuple[CalibrationCheck, ...])
    text = json.dumps(adapter.dump_python(checks, mode="json"), allow_nan=False)
    assert adapter.validate_python(json.loads(text)) == checks


@pytest.mark.parametrize("options", KINDS)
def test_the_overall_eces_are_those_of_the_metrics(make, options):
    sample = Sample.of(make(**options))
    p, t = sample.probabilities, sample.targets
    found = {n: e.value for n, e in calibration_metrics(checks_of(sample), sample).items()}
    if sample.two_classes:
        assert found["ece"] == pytest.approx(m.ece_positive(p, t, positive=sample.primary))
        assert found["ece_top_label"] == pytest.approx(m.ece_top_label(p, t))
    elif sample.space.exclusive:
        assert found["ece"] == pytest.approx(m.ece_top_label(p, t))
        assert found["ece_classwise"] == pytest.approx(m.label_ece(p, t))
    else:
        assert found["ece"] == pytest.approx(m.label_ece(p, t))
        assert "slope" not in found
    assert {"ece_debiased", "ece_smooth"} <= set(found)


@pytest.mark.parametrize("options", KINDS)
def test_the_order_of_the_rows_changes_nothing(make, options):
    sample = Sample.of(make(images=3, **options))
    order = np.random.default_rng(0).permutation(len(sample.targets))
    units = replace(sample.units, of_case=sample.units.of_case[order])
    mixed = Sample(
        sample.space, sample.probabilities[order], sample.targets[order], sample.nll[order], units
    )
    for a, b in zip(checks_of(sample), checks_of(mixed), strict=True):
        for name in a.metrics:
            for field in ("value", "low", "high", "expected", "p"):
                one, two = getattr(a.metrics[name], field), getattr(b.metrics[name], field)
                assert one == (two if two is None else pytest.approx(two, abs=1e-9))


def test_same_seed_same_answer_and_another_seed_another():
    sample = calibrated(200)
    assert checks_of(sample) == checks_of(sample)
    ours, theirs = (checks_of(sample, seed)[0].metrics["ece"] for seed in (0, 1))
    assert ours.value == theirs.value
    assert ours.expected != theirs.expected


def test_unknown_labels_are_left_out(make):
    sample = Sample.of(make(k=2, kind="multilabel", unknown=0.3))
    known = ~np.isnan(sample.targets[:, 0])
    first = checks_of(sample)[0]
    assert first.metrics["ece"].n == known.sum() == sum(b.count for b in first.bins)
    alone = Sample(
        LabelSpace(("a",), "multilabel"),
        sample.probabilities[known, :1],
        sample.targets[known, :1],
        sample.nll[known],
        Units.of(np.flatnonzero(known).astype(str), None),
    )
    assert checks_of(alone)[0].metrics["slope"].value == pytest.approx(first.metrics["slope"].value)


def test_a_label_that_nobody_looked_for_has_no_check(make):
    sample = Sample.of(make(k=3, kind="multilabel"))
    sample.targets[:, 1] = np.nan
    assert [check.of for check in checks_of(sample)] == ["a", "c", ALL_CLASSES]


def test_the_table_has_fifteen_bins_and_says_which_are_empty():
    bins = checks_of(two_classes([0.5, 0.5, 0.55, 1.0], [0, 1, 1, 1]))[0].bins
    assert [b.count for b in bins] == [0] * 7 + [2, 1] + [0] * 5 + [1]
    assert (bins[0].confidence, bins[0].frequency, bins[0].band_low) == (None, None, None)
    assert (bins[7].confidence, bins[7].frequency) == (0.5, 0.5)
    assert (bins[7].band_low, bins[7].band_high) == (0, 1)
    assert (bins[14].band_low, bins[14].band_high) == (1, 1)
    assert (bins[0].low, bins[14].high) == (0, 1)


def test_bands_hold_most_bins_of_a_calibrated_model_and_few_of_another():
    def outside(sample):
        bins = [b for b in checks_of(sample)[0].bins if b.count]
        return np.mean([not b.band_low <= b.frequency <= b.band_high for b in bins])

    assert np.mean([outside(calibrated(1000, seed)) for seed in range(20)]) < 0.07
    assert outside(calibrated(1000, slope=0.4)) > 0.6


def test_bands_are_wider_where_the_images_of_a_patient_stand_together():
    one, many = calibrated(2000), calibrated(500, images=4)
    spans = [
        np.mean([b.band_high - b.band_low for b in checks_of(sample)[0].bins])
        for sample in (one, many)
    ]
    assert spans[1] > 1.6 * spans[0]


def test_a_calibrated_model_is_not_accused_and_an_overconfident_one_is():
    fair, bold = (checks_of(calibrated(2000, slope=s))[0].metrics for s in (1.0, 0.5))
    assert all(fair[name].p > 0.01 for name in (*PLUG_IN, "slope", "intercept", "brier"))
    assert all(bold[name].p < 0.01 for name in ("ece", "ece_equal_mass", "slope", "brier"))
    assert bold["slope"].low < 0.5 < bold["slope"].high
    assert (bold["slope"].expected, bold["intercept"].expected) == (1, 0)


def test_fewer_than_ten_of_an_outcome_have_no_interval_and_say_why():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.6, size=100)
    few = checks_of(two_classes(p, np.arange(100) % 12 == 0))[0].metrics
    for name in ("slope", "intercept", "brier"):
        assert few[name].value is not None and few[name].low is None
        assert "fewer than ten cases" in few[name].reason


def test_patients_are_counted_and_not_their_images():
    p = np.tile(np.linspace(0.1, 0.9, 20), 10)
    y = np.repeat(np.arange(40) < 9, 5)
    by_image = checks_of(two_classes(p, y))[0].metrics["brier"]
    by_patient = checks_of(two_classes(p, y, np.arange(200) // 5))[0].metrics["brier"]
    assert by_image.low is not None and by_patient.low is None
    assert "fewer than ten patients" in by_patient.reason


def test_debiased_ece_has_an_interval_only_where_it_covers():
    small, fair, bold, grouped = (
        checks_of(sample)[0].metrics["ece_debiased"]
        for sample in (
            calibrated(1000, slope=0.5),
            calibrated(10_000),
            calibrated(10_000, slope=0.5),
            calibrated(DEBIASED_UNITS - 1, images=6, slope=0.5),
        )
    )
    assert bold.method == "jackknife" and bold.low < bold.value < bold.high
    assert small.low is None and "fewer than 10,000 cases" in small.reason
    assert fair.low is None and "under 0.03" in fair.reason
    assert grouped.low is None and "fewer than 2,000 patients (1,999)" in grouped.reason


@pytest.mark.parametrize("came", [0, 1])
def test_one_class_only_gives_errors_but_no_slope(came):
    metrics = checks_of(two_classes(np.linspace(0.1, 0.9, 50), np.full(50, came)))[0].metrics
    assert metrics["ece"].value == pytest.approx(0.5, abs=0.05)
    assert metrics["slope"].value is None and metrics["intercept"].value is None
    assert ("every case" if came else "no case") in metrics["slope"].reason


def test_a_separated_sample_has_no_slope_and_says_why():
    slope = checks_of(two_classes([0.2] * 20 + [0.7] * 20, [0] * 20 + [1] * 20))[0].metrics["slope"]
    assert slope.value is None and "separate" in slope.reason


def test_probabilities_of_exactly_0_and_1_have_no_slope_and_say_why():
    metrics = checks_of(two_classes([0, 1] * 20 + [0.4] * 20, [0, 1] * 30))[0].metrics
    assert metrics["slope"].value is None and "exactly 0 or 1 (40)" in metrics["slope"].reason
    assert metrics["ece"].value == pytest.approx(0.1 / 3)


def test_a_perfect_and_certain_model_has_no_error_and_no_false_interval():
    metrics = checks_of(two_classes([0, 1] * 20, [0, 1] * 20))[0].metrics
    assert metrics["ece"].value == metrics["mce"].value == metrics["brier"].value == 0
    assert metrics["ece_smooth"].value == pytest.approx(0, abs=1e-9)
    assert metrics["ece"].p == metrics["brier"].p == 1
    assert metrics["brier"].low is None


def test_a_single_case_is_no_error():
    assert checks_of(two_classes([0.7], [1]))[0].metrics["ece"].value == pytest.approx(0.3)


def test_class_weights_show_in_the_positive_class_though_the_top_label_hides_them():
    # Log-odds that a class weight has shifted: the predicted class may still look calibrated.
    rng = np.random.default_rng(0)
    logit = rng.normal(-1.0, 1.2, size=4000)
    y = rng.random(4000) < 1 / (1 + np.exp(-logit))
    positive, predicted = checks_of(two_classes(1 / (1 + np.exp(-(logit + 1.0))), y))
    assert positive.metrics["ece"].value > 2 * predicted.metrics["ece"].value
    assert positive.metrics["intercept"].high < -0.8


def test_the_rest_of_a_sure_class_keeps_its_digits():
    p = np.asarray([[1 - 1e-17, 4e-18, 6e-18], [0.2, 0.3, 0.5]])
    space = LabelSpace(("a", "b", "c"))
    units = Units.of(np.asarray(["1", "2"]), None)
    sample = Sample(space, p, np.eye(3)[[0, 2]], np.zeros(2), units)
    predicted = next(iter(probabilities_of(sample)))
    assert predicted.rest.tolist() == pytest.approx([0.5, 1e-17], rel=1e-12, abs=0)


@pytest.mark.parametrize("images", [0, 4])
def test_a_note_says_what_is_assumed_of_patients_and_labels_once(make, images):
    for options in KINDS:
        for check in checks_of(Sample.of(make(images=images, **options))):
            for estimate in check.metrics.values():
                assert (estimate.reason or "").count("drawn together") <= 1
                assert "; ;" not in (estimate.reason or "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "k", "kind", "seconds"),
    [(1000, 2, "multiclass", 0.3), (10_000, 10, "multiclass", 3), (22_000, 10, "multilabel", 3)],
)
def test_the_checks_take_no_longer_than_promised(make, n, k, kind, seconds):
    sample = Sample.of(make(n, k, kind=kind, images=4))
    checks_of(calibrated(50))  # what is imported on first use
    start = time.process_time()
    checks_of(sample)
    assert time.process_time() - start < seconds
