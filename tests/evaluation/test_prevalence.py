"""PPV, NPV and thresholds at another prevalence; likelihood ratios."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from medimg.evaluation.intervals.likelihood import likelihood_ratio, ratio_ends
from medimg.evaluation.intervals.proportions import proportion, wilson
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import Sample
from medimg.evaluation.thresholds.prevalence import prevalence_rows, restated
from medimg.labels import LabelSpace
from medimg.operating import ChosenOn, OperatingPoint

TWO = LabelSpace(("n", "y"), positive="y")
POINT = OperatingPoint("y", "youden", 0.5, ChosenOn("f", "calib", 100, None, 0.4), 0.7)


def sample(found: int, missed: int, alarms: int, cleared: int) -> Sample:
    """Return a sample of a table of four cells, where .9 is called so and .1 is not."""
    p = np.repeat([0.9, 0.1, 0.9, 0.1], [found, missed, alarms, cleared])
    sick = np.repeat([1, 1, 0, 0], [found, missed, alarms, cleared])
    n = len(p)
    targets = TWO.one_hot(sick).astype(float)
    return Sample(
        TWO, np.stack([1 - p, p], 1), targets, np.zeros(n), Units(np.arange(n), n, "case")
    )


def at(share: float, made: Sample):
    (row,) = prevalence_rows(made, [POINT], EvaluateOptions(prevalences=(share,)))
    return row


def test_ppv_and_npv_follow_by_bayes() -> None:
    row = at(0.01, sample(45, 5, 20, 80))  # sensitivity .9, specificity .8
    ppv, npv = row.metrics["ppv"], row.metrics["npv"]
    assert ppv.value == pytest.approx(0.009 / (0.009 + 0.198), abs=1e-12)
    assert npv.value == pytest.approx(0.792 / (0.792 + 0.001), abs=1e-12)
    assert ppv.low < ppv.value < ppv.high
    assert npv.low < npv.value < npv.high
    assert (ppv.n, ppv.method) == (150, "mover")


def test_at_the_prevalence_at_hand_they_are_those_of_the_table() -> None:
    made = sample(45, 5, 20, 80)
    row = at(1 / 3, made)
    assert row.metrics["ppv"].value == pytest.approx(45 / 65)
    assert row.metrics["npv"].value == pytest.approx(80 / 85)


def test_the_interval_of_ppv_is_that_of_the_likelihood_ratio() -> None:
    made = sample(45, 5, 20, 80)
    ratio = likelihood_ratio(made.probabilities[:, 1] >= 0.5, made.targets[:, 1], made.units)
    ppv = at(0.2, made).metrics["ppv"]
    for mine, theirs in ((ppv.low, ratio.low), (ppv.high, ratio.high)):
        assert mine / (1 - mine) == pytest.approx(0.25 * theirs)


def test_without_a_false_alarm_ppv_is_one_with_a_lower_end() -> None:
    row = at(0.05, sample(40, 10, 0, 100))
    ppv = row.metrics["ppv"]
    assert (ppv.value, ppv.high) == (1, 1)
    assert 0 < ppv.low < 0.9


def test_a_threshold_stands_for_the_same_scores_at_another_prevalence() -> None:
    # By hand: odds of .5 are 1; those of the prevalence go from 4/6 to 1/9.
    assert restated(0.5, 0.4, 0.1) == pytest.approx((1 / 6) / (1 + 1 / 6))
    assert at(0.1, sample(45, 5, 20, 80)).threshold == restated(0.5, 0.4, 0.1)
    assert restated(0.3, 0.4, 0.4) == pytest.approx(0.3)
    assert restated(1.0, 0.4, 0.1) == 1


def test_a_restated_probability_is_the_calibrated_one_there() -> None:
    from scipy.stats import norm

    score = np.linspace(-3, 4, 50)

    def chance(share: float) -> np.ndarray:
        yes, no = share * norm.pdf(score - 1), (1 - share) * norm.pdf(score)
        return yes / (yes + no)

    there = [restated(p, 0.3, 0.02) for p in chance(0.3)]
    assert there == pytest.approx(chance(0.02))


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5, -0.1])
def test_what_is_no_prevalence_is_refused(share: float) -> None:
    with pytest.raises(ValidationError, match="prevalence"):
        at(share, sample(45, 5, 20, 80))


def test_none_asked_for_is_none_given() -> None:
    assert prevalence_rows(sample(9, 9, 9, 9), [POINT], EvaluateOptions()) == ()


def test_a_likelihood_ratio_is_that_worked_by_hand() -> None:
    made = sample(45, 5, 20, 80)
    called, target = made.probabilities[:, 1] >= 0.5, made.targets[:, 1]
    positive = likelihood_ratio(called, target, made.units)
    negative = likelihood_ratio(~called, target, made.units)
    assert positive.value == pytest.approx(0.9 / 0.2)
    assert negative.value == pytest.approx(0.1 / 0.8)
    (low_p, high_p), (low_q, high_q) = wilson(45, 50), wilson(20, 100)
    down = np.hypot(np.log(0.9 / low_p), np.log(high_q / 0.2))
    up = np.hypot(np.log(high_p / 0.9), np.log(0.2 / low_q))
    assert positive.low == pytest.approx(4.5 * np.exp(-down))
    assert positive.high == pytest.approx(4.5 * np.exp(up))


def test_the_limit_at_zero_is_what_the_others_come_near() -> None:
    def proportions(x: int, n: int):
        hit = np.arange(n) < x
        return proportion(hit, np.ones(n, bool), Units(np.arange(n), n, "case"))

    low, high = ratio_ends(proportions(0, 50), proportions(20, 100))
    assert low == 0 < high < ratio_ends(proportions(1, 50), proportions(20, 100))[1]
    low, high = ratio_ends(proportions(20, 100), proportions(0, 50))
    inverse = ratio_ends(proportions(0, 50), proportions(20, 100))
    assert (low, high) == (pytest.approx(1 / inverse[1]), np.inf)


def test_a_likelihood_ratio_that_is_not_finite_is_none_with_the_reason() -> None:
    made = sample(45, 5, 0, 100)
    called = made.probabilities[:, 1] >= 0.5
    found = likelihood_ratio(called, made.targets[:, 1], made.units)
    assert found.value is None
    assert "not finite" in found.reason
    few = sample(8, 1, 5, 100)
    found = likelihood_ratio(few.probabilities[:, 1] >= 0.5, few.targets[:, 1], few.units)
    assert found.value is not None and found.low is None
    assert "ten" in found.reason


def coverage(patients: int, images: int, threshold: float, shift: float, draws: int) -> list[float]:
    """Return how often the intervals of LR+, LR-, and of PPV at 2% hold the truth."""
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    found, alarms = norm.sf(threshold - shift), norm.sf(threshold)
    truth = [
        found / alarms,
        (1 - found) / (1 - alarms),
        0.02 * found / (0.02 * found + 0.98 * alarms),
    ]
    units = Units(np.repeat(np.arange(patients), images), patients, "patient")
    hits, times = np.zeros(3), np.zeros(3)
    for _ in range(draws):
        sick = np.repeat(rng.random(patients) < 0.3, images)
        shared = np.repeat(rng.normal(size=patients), images)
        own = rng.normal(size=len(sick))
        score = np.sqrt(0.6) * shared + np.sqrt(0.4) * own if images > 1 else own
        called = score + shift * sick >= threshold
        p = np.where(called, 0.9, 0.1)
        targets = TWO.one_hot(sick.astype(int)).astype(float)
        made = Sample(TWO, np.stack([1 - p, p], 1), targets, np.zeros(len(p)), units)
        estimates = [
            likelihood_ratio(called, targets[:, 1], units),
            likelihood_ratio(~called, targets[:, 1], units),
            at(0.02, made).metrics["ppv"],
        ]
        for i, (one, true) in enumerate(zip(estimates, truth, strict=True)):
            if one.low is not None:
                times[i] += 1
                hits[i] += one.low <= true <= one.high
    return list(hits / times)


def test_intervals_of_ratios_cover() -> None:
    for images in (1, 5):
        assert all(0.9 <= share <= 0.99 for share in coverage(100, images, 1.0, 1.8, 250))


@pytest.mark.slow
@pytest.mark.parametrize("patients, images", [(54, 1), (54, 5), (156, 1), (156, 5), (500, 1)])
@pytest.mark.parametrize("threshold, shift", [(0.5, 1.2), (1.0, 1.8), (1.5, 2.9)])
def test_intervals_of_ratios_cover_95_per_cent(
    patients: int, images: int, threshold: float, shift: float
) -> None:
    for share in coverage(patients, images, threshold, shift, 1500):
        assert 0.925 <= share <= 0.985
