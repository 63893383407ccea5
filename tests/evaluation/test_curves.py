"""Curves: exact where scikit-learn has them, with bands that hold."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from medimg.evaluation.curves.bands import GRID, Heights, Ranked
from medimg.evaluation.curves.curves import MOST_CLASSES, score_curves
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.sections import Curve
from medimg.evaluation.sample import Sample
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing import make_predictions

OPTIONS = EvaluateOptions(resamples=200)


def test_roc_and_precision_recall_are_those_of_scikit_learn(make) -> None:
    from sklearn.metrics import precision_recall_curve, roc_curve

    sample = Sample.of(make(300, 2, positive="a"))
    (name, curves), *more = score_curves(sample, OPTIONS).items()
    assert (name, more) == ("a", [])
    target, score = sample.targets[:, 0], sample.ranking[:, 0]
    false, true, _ = roc_curve(target, score, drop_intermediate=False)
    assert curves.roc.x == pytest.approx(false, abs=1e-12)
    assert curves.roc.y == pytest.approx(true, abs=1e-12)
    precision, recall, _ = precision_recall_curve(target, score)
    assert curves.precision_recall.x == pytest.approx(recall[:-1][::-1], abs=1e-12)
    assert curves.precision_recall.y == pytest.approx(precision[:-1][::-1], abs=1e-12)
    assert curves.prevalence == pytest.approx(target.mean())


def test_the_sweep_and_histogram_are_those_counted_by_hand() -> None:
    predictions = make_predictions(200)
    sample = Sample.of(predictions)
    curves = score_curves(sample, OPTIONS)["malignant"]
    sick, p = sample.targets[:, 1] == 1, sample.probabilities[:, 1]
    called, units = p >= 0.3, sample.units
    expected = {
        "sensitivity": proportion(called, sick, units),
        "specificity": proportion(~called, ~sick, units),
        "ppv": proportion(sick, called, units),
        "npv": proportion(~sick, ~called, units),
    }
    for name, estimate in expected.items():
        curve = curves.sweep[name]
        assert curve.x[30] == pytest.approx(0.3)
        assert (curve.y[30], curve.low[30], curve.high[30]) == (
            estimate.value,
            estimate.low,
            estimate.high,
        )
    assert curves.sweep["ppv"].y[-1] is None
    counts = curves.histogram.counts
    assert {name: sum(n) for name, n in counts.items()} == {
        "malignant": sick.sum(),
        "benign": (~sick).sum(),
    }
    assert counts["malignant"][0] == (p[sick] < 0.05).sum()


def resampled(ranked: Ranked, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the heights of one resample the obvious way: cases repeated, scikit-learn's curves."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    times = weights[ranked.units.of_case].astype(int)
    score, target = np.repeat(ranked.scores, times), np.repeat(ranked.target, times)
    score, target = score[~np.isnan(target)], target[~np.isnan(target)]
    false, true, _ = roc_curve(target, score, drop_intermediate=False)
    sensitivity = []
    for x in GRID:
        last = np.flatnonzero(false <= x + 1e-9)[-1]
        after = min(last + 1, len(false) - 1)
        part = (x - false[last]) / (false[after] - false[last]) if after > last else 0.0
        sensitivity.append(true[last] + max(part, 0.0) * (true[after] - true[last]))
    precision, recall, _ = precision_recall_curve(target, score)
    precision, recall = precision[:-1][::-1], recall[:-1][::-1]
    first = [np.flatnonzero(recall >= x - 1e-9)[0] for x in GRID]
    return np.array(sensitivity), precision[first]


def test_resampled_heights_are_those_of_the_plain_loop(make) -> None:
    sample = Sample.of(make(150, 3, kind="multilabel", unknown=0.2, images=3))
    score, target = sample.ranking[:, 0], sample.targets[:, 0]
    ranked = Ranked(score, target, sample.units, np.unique(score[~np.isnan(target)])[::-1])
    weights = np.random.default_rng(0).multinomial(50, np.full(50, 1 / 50), size=20).T
    sensitivity, precision = Heights(ranked)(weights.astype(float))
    for r in range(20):
        one, two = resampled(ranked, weights[:, r])
        assert sensitivity[:, r] == pytest.approx(one, abs=1e-12)
        # Thresholds that lie between those of the resample give the same heights or none.
        assert precision[1:, r] == pytest.approx(two[1:], abs=1e-12)


def between(curve: Curve) -> bool:
    rows = zip(curve.low, curve.y, curve.high, strict=True)
    return all(low is None or low <= y <= high for low, y, high in rows)


def test_a_band_holds_the_curve_and_copies_of_cases_do_not_narrow_it() -> None:
    once = make_predictions(60)
    copies = Predictions(
        [f"{case}-{copy}" for case in once.case_id for copy in range(10)],
        np.repeat(once.scores, 10, axis=0),
        "logits",
        once.space,
        np.repeat(once.targets, 10, axis=0),
    )
    people = replace(copies, patient_id=np.repeat(once.case_id, 10))
    widths = []
    for predictions in (once, people, copies):
        curves = score_curves(Sample.of(predictions), OPTIONS)["malignant"]
        assert between(curves.roc)
        assert between(curves.precision_recall)
        low, high = (
            np.interp(0.3, curves.roc.x, np.array(end, float))
            for end in (curves.roc.low, curves.roc.high)
        )
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.5 * widths[1]


def test_a_perfect_curve_gets_a_band_of_some_width() -> None:
    space = LabelSpace(("n", "y"), positive="y")
    targets = np.repeat([0, 1], 30)
    predictions = make_predictions(60, space)
    scores = np.stack([np.zeros(60), np.where(targets, 2, -2)], 1).astype(np.float32)
    scores[:, 1] += np.linspace(0, 1, 60, dtype=np.float32)
    perfect = type(predictions)(
        predictions.case_id, scores, "logits", space, targets=space.one_hot(targets)
    )
    roc = score_curves(Sample.of(perfect), OPTIONS)["y"].roc
    at = np.searchsorted(roc.x, 0.5)
    assert roc.y[at] == roc.high[at] == 1
    assert 0.8 < roc.low[at] < 0.95


def test_fewer_than_ten_patients_of_a_class_give_no_band() -> None:
    sample = Sample.of(make_predictions(90, patients=9))
    curves = score_curves(sample, OPTIONS)["malignant"]
    assert curves.roc.low == curves.precision_recall.high == ()
    assert curves.sweep["sensitivity"].low == ()


def test_left_of_two_cases_there_is_no_band() -> None:
    curves = score_curves(Sample.of(make_predictions(100)), OPTIONS)["malignant"]
    assert curves.roc.low[0] is None
    assert curves.precision_recall.low[0] is None
    assert curves.roc.low[-1] is not None


def test_where_the_last_case_decides_precision_has_no_band() -> None:
    sample = Sample.of(make_predictions(100))
    sick = int((sample.targets[:, 1] == 1).sum())
    curve = score_curves(sample, OPTIONS)["malignant"].precision_recall
    assert curve.low[-1] is None and curve.high[-1] is None
    found = [(x, low) for x, low in zip(curve.x, curve.low, strict=True) if low is not None]
    assert max(x for x, _ in found) <= 1 - 2 / sick + 0.01
    assert max(x for x, _ in found) >= 1 - 4 / sick


def test_each_class_that_can_be_told_gets_curves_and_no_number_is_nan() -> None:
    labels = LabelSpace(("x", "y", "none"), "multilabel")
    predictions = make_predictions(200, labels, unknown=0.1)
    targets = predictions.targets.copy()
    targets[:, 2] = 0
    sample = Sample.of(
        type(predictions)(predictions.case_id, predictions.scores, "logits", labels, targets)
    )
    curves = score_curves(sample, OPTIONS)
    assert list(curves) == ["x", "y"]
    json.dumps({name: asdict(one) for name, one in curves.items()}, allow_nan=False)
    many = LabelSpace(tuple(f"c{i}" for i in range(25)))
    counted = make_predictions(500, many)
    found = score_curves(Sample.of(counted), EvaluateOptions(resamples=100))
    assert len(found) == MOST_CLASSES
    rare = set(many.classes) - set(found)
    times = dict(zip(many.classes, counted.targets.sum(axis=0), strict=True))
    assert max(times[c] for c in rare) <= min(times[c] for c in found)


def test_a_long_curve_is_thinned_and_ends_where_it_should() -> None:
    curves = score_curves(Sample.of(make_predictions(5000)), OPTIONS)["malignant"]
    assert len(curves.roc.x) <= 502
    assert (curves.roc.x[0], curves.roc.y[0]) == (0, 0)
    assert (curves.roc.x[-1], curves.roc.y[-1]) == (1, 1)


def test_the_order_of_the_rows_changes_no_curve() -> None:
    predictions = make_predictions(80, patients=40)
    order = np.random.default_rng(0).permutation(80)
    one, two = (score_curves(Sample.of(p), OPTIONS) for p in (predictions, predictions.take(order)))
    assert one == two


def covered(draws: int, patients: int, images: int, seed: int) -> tuple[float, float]:
    """Return how often the band at a false positive rate of .1 and a recall of .5 holds the truth.

    Scores of a class are normal, 1.5 apart (an AUROC of .856), a third of the patients has it.
    """
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    space = LabelSpace(("n", "y"), positive="y")
    truth = norm.sf(norm.isf(0.1) - 1.5), 1 / (1 + 2 * norm.sf(norm.isf(0.5) + 1.5) / 0.5)
    hits, times = np.zeros(2), np.zeros(2)
    units = Units(np.repeat(np.arange(patients), images), patients, "patient")
    for _ in range(draws):
        sick = np.repeat(rng.random(patients) < 1 / 3, images)
        shared = np.repeat(rng.normal(size=patients), images)
        own = rng.normal(size=patients * images)
        score = (np.sqrt(0.6) * shared + np.sqrt(0.4) * own) if images > 1 else own
        p = norm.cdf((score + 1.5 * sick) / 3)
        targets = space.one_hot(sick.astype(int)).astype(float)
        sample = Sample(space, np.stack([1 - p, p], 1), targets, np.zeros(len(p)), units)
        curves = score_curves(sample, EvaluateOptions(resamples=300))["y"]
        for i, (curve, x) in enumerate(((curves.roc, 0.1), (curves.precision_recall, 0.5))):
            low, high = (
                np.interp(x, curve.x, np.array(end, float)) for end in (curve.low, curve.high)
            )
            # Where fewer than ten patients are called so, precision has no band.
            times[i] += not np.isnan(low)
            hits[i] += low <= truth[i] <= high
    assert min(times) > draws / 2
    return hits[0] / times[0], hits[1] / times[1]


def test_bands_cover_the_true_curve() -> None:
    for shares in (covered(60, 100, 1, 0), covered(60, 60, 3, 1)):
        assert min(shares) >= 0.88  # of 95%, with 60 draws: 2.5 standard errors


@pytest.mark.slow
@pytest.mark.parametrize("patients, images", [(54, 1), (156, 1), (500, 1), (156, 5)])
def test_bands_cover_95_per_cent(patients: int, images: int) -> None:
    assert min(covered(400, patients, images, 2)) >= 0.92
