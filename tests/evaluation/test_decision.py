"""Net benefit, by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.evaluation.curves.decision import decision_curves
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.results.sections import DecisionCurve
from medimg.evaluation.sample import Sample
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing import make_predictions

TWO = LabelSpace(("n", "y"), positive="y")


def at(curve: DecisionCurve, threshold: float) -> int:
    return round(threshold * 100) - 1


def test_net_benefit_is_that_worked_by_hand() -> None:
    p = np.array([0.1, 0.3, 0.6, 0.8, 0.9])
    scores = np.stack([1 - p, p], 1).astype(np.float32)
    targets = TWO.one_hot([0, 1, 0, 1, 1])
    predictions = Predictions(list("abcde"), scores, "probabilities", TWO, targets)
    (curve,) = decision_curves(Sample.of(predictions))
    i = at(curve, 0.5)  # two found, one false alarm that weighs 1
    assert (curve.model.x[i], curve.model.y[i]) == pytest.approx((0.5, 1 / 5))
    assert curve.treat_all.y[i] == pytest.approx(1 / 5)  # three found, two false alarms
    i = at(curve, 0.2)  # three found, one false alarm that weighs 1/4
    assert curve.model.y[i] == pytest.approx((3 - 0.25) / 5)
    assert curve.treat_all.y[i] == pytest.approx((3 - 0.5) / 5)
    i = at(curve, 0.95)  # nobody is treated
    assert curve.model.y[i] == 0
    assert curve.model.low == ()  # five cases


def test_the_band_is_that_of_a_mean_of_independent_cases() -> None:
    from scipy.stats import t

    sample = Sample.of(make_predictions(200))
    (curve,) = decision_curves(sample)
    sick, called = sample.targets[:, 1] == 1, sample.probabilities[:, 1] >= 0.25
    benefit = np.where(called, np.where(sick, 1, -1 / 3), 0)
    low, high = t.interval(0.95, 199, benefit.mean(), benefit.std(ddof=1) / np.sqrt(200))
    i = at(curve, 0.25)
    found = curve.model.low[i], curve.model.high[i]
    assert found[0] is not None and found[1] is not None
    # Or wider, by what both shares' own intervals say.
    assert low - 0.005 <= found[0] <= low + 1e-9
    assert high - 1e-9 <= found[1] <= high + 0.005


def test_the_band_knows_that_a_false_alarm_may_come_where_none_was_seen() -> None:
    p = np.repeat([0.95, 0.05], [30, 170])
    sample = Sample(
        TWO,
        np.stack([1 - p, p], 1),
        TWO.one_hot((p > 0.5).astype(int)).astype(float),
        np.zeros(200),
        Units(np.arange(200), 200, "case"),
    )
    (curve,) = decision_curves(sample)
    i = at(curve, 0.9)  # 30 found; three false alarms in 200 would weigh 27
    low, high = curve.model.low[i], curve.model.high[i]
    assert curve.model.y[i] == 0.15
    assert low is not None and high is not None
    assert low < 0.02 and high < 0.25


def test_copies_of_cases_do_not_narrow_the_band() -> None:
    once = make_predictions(50)
    copies = Predictions(
        [f"{case}-{copy}" for case in once.case_id for copy in range(8)],
        np.repeat(once.scores, 8, axis=0),
        "logits",
        once.space,
        np.repeat(once.targets, 8, axis=0),
        patient_id=np.repeat(once.case_id, 8),
    )
    (one,), (many,) = (decision_curves(Sample.of(p)) for p in (once, copies))
    i = at(one, 0.3)
    assert (many.model.low[i], many.model.high[i]) == pytest.approx(
        (one.model.low[i], one.model.high[i])
    )


def test_every_label_has_a_curve_and_more_exclusive_classes_have_none() -> None:
    labels = LabelSpace(("x", "y"), "multilabel")
    predictions = make_predictions(200, labels, unknown=0.3)
    curves = decision_curves(Sample.of(predictions))
    assert [curve.label for curve in curves] == ["x", "y"]
    known = ~np.isnan(predictions.targets[:, 0])
    p, sick = predictions.probabilities[known, 0], predictions.targets[known, 0] == 1
    benefit = ((p >= 0.5) & sick).mean() - ((p >= 0.5) & ~sick).mean()
    assert curves[0].model.y[49] == pytest.approx(benefit)
    grades = LabelSpace(("a", "b", "c"), "ordinal")
    assert decision_curves(Sample.of(make_predictions(200, grades))) == ()


def test_a_band_ends_where_fewer_than_ten_patients_are_called_so() -> None:
    sample = Sample.of(make_predictions(100, spread=1.0))
    (curve,) = decision_curves(sample)
    for x, low in zip(curve.model.x, curve.model.low, strict=True):
        assert (low is None) == ((sample.probabilities[:, 1] >= x).sum() < 10)


def coverage(threshold: float, patients: int, images: int, draws: int) -> float:
    """Return how often the band holds the true net benefit; the model is calibrated by making."""
    rng = np.random.default_rng(0)
    z = 2 * np.random.default_rng(1).normal(size=2_000_000) - 1
    chance = 1 / (1 + np.exp(-z))
    weight = threshold / (1 - threshold)
    truth = np.where(chance >= threshold, chance - (1 - chance) * weight, 0).mean()
    units = Units(np.repeat(np.arange(patients), images), patients, "patient")
    hits = times = 0
    for _ in range(draws):
        p = 1 / (1 + np.exp(-np.repeat(2 * rng.normal(size=patients) - 1, images)))
        sick = (rng.random(len(p)) < p).astype(int)
        sample = Sample(
            TWO, np.stack([1 - p, p], 1), TWO.one_hot(sick).astype(float), np.zeros(len(p)), units
        )
        (curve,) = decision_curves(sample)
        i = at(curve, threshold)
        if curve.model.low[i] is not None:
            times += 1
            hits += curve.model.low[i] <= truth <= curve.model.high[i]
    assert times > draws / 2
    return hits / times


def test_the_band_covers_the_true_net_benefit() -> None:
    assert 0.9 <= coverage(0.2, 150, 3, 200) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    "threshold, patients, images",
    [
        *((t, n, images) for n, images in ((156, 1), (500, 1)) for t in (0.1, 0.2, 0.5, 0.8)),
        *((t, 54, 5) for t in (0.1, 0.2, 0.5)),  # at .8 too few are flagged for a band, mostly
    ],
)
def test_the_band_covers_95_per_cent(threshold: float, patients: int, images: int) -> None:
    assert 0.93 <= coverage(threshold, patients, images, 1500) <= 0.995
