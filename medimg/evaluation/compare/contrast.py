"""One metric of a model less that of the reference, with its interval and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medimg.evaluation.compare.runs import LINE, Mean, interval
from medimg.evaluation.estimates.estimates import SCALES
from medimg.evaluation.intervals.bootstrap import LOGIT
from medimg.evaluation.intervals.delong import auroc_covariance
from medimg.evaluation.intervals.differences import Difference
from medimg.evaluation.intervals.mover import correlation_of
from medimg.evaluation.intervals.paired import mcnemar, paired_difference
from medimg.evaluation.intervals.proportions import Z
from medimg.evaluation.metrics import Bools
from medimg.evaluation.results.comparison import Contrast
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.sample import Sample


@dataclass(frozen=True, eq=False)
class Side:
    """One model of a comparison: its runs, and its metrics, of several runs their means."""

    name: str
    samples: tuple[Sample, ...]
    means: Mapping[str, Mean]
    metrics: Mapping[str, Estimate]

    @property
    def single(self) -> bool:
        """Whether the model has one run alone."""
        return len(self.samples) == 1


def contrast(metric: str, side: Side, reference: Side) -> Contrast:
    """Return one metric of `side` less that of `reference`; the verdict is left open."""
    mine, other = side.means[metric], reference.means[metric]
    value = mine.value - other.value
    people = float(np.nanvar(mine.draws - other.draws, ddof=1))
    return Contrast(
        metric=metric,
        model=side.name,
        reference=reference.name,
        difference=_difference(metric, side, reference, value, people),
        verdict="not shown",
        sd_runs=None
        if side.single and reference.single
        else float(np.sqrt(mine.variance_of_runs + other.variance_of_runs)),
        sd_people=float(np.sqrt(people)) if np.isfinite(people) else None,
    )


def _difference(metric: str, side: Side, reference: Side, value: float, people: float) -> Estimate:
    sample = side.samples[0]
    units, every = sample.units, np.ones(len(sample.targets), bool)
    lacking = [e for e in (side.metrics[metric], reference.metrics[metric]) if e.low is None]
    if lacking:  # what has no interval by itself has none in a difference
        return units.without(value, every, lacking[0].reason)
    if not (side.single and reference.single):
        return _of_runs(metric, side, reference, value, people)
    rows = _decided(metric, sample)
    if rows is not None:
        right, other = _right(sample), _right(reference.samples[0])
        ends, p = paired_difference(right, other, rows, units), mcnemar(right, other, rows, units)
        return units.estimate(value, ends, rows, "bonett-price", expected=0.0, p=p)
    if metric == "auroc":
        return _areas(side, reference, value)
    return _resampled(metric, side, reference, value)


def _decided(metric: str, sample: Sample) -> Bools | None:
    """Return the cases of which a metric is the share decided right; None for other metrics."""
    if metric == "accuracy":
        return np.ones(len(sample.targets), bool) if sample.space.exclusive else None
    if not sample.two_classes or metric not in ("sensitivity", "specificity"):
        return None
    return np.asarray(sample.targets[:, sample.primary] == (metric == "sensitivity"))


def _right(sample: Sample) -> Bools:
    return np.asarray((sample.decisions & (sample.targets == 1)).any(axis=1))


def _areas(side: Side, reference: Side, value: float) -> Estimate:
    """Return the difference of two AUROCs, whose errors go together as DeLong's covariance says.

    Its plain Wald interval covers .90 with 16 patients of the smaller class.
    """
    samples = side.samples[0], reference.samples[0]
    sample, k = samples[0], samples[0].primary
    scores = np.stack([one.ranking[:, k] for one in samples])
    _, covariance = auroc_covariance(scores, sample.targets[:, k], sample.units)
    if covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] <= 1e-15:
        every = np.ones(len(sample.targets), bool)
        return sample.units.without(value, every, "no spread: both models rank the cases alike")
    spread = float(np.sqrt(covariance[0, 0] * covariance[1, 1]))
    correlation = float(covariance[0, 1]) / spread if spread > 0 else 0.0
    method = "mover_delong" if sample.units.independent else "mover_obuchowski"
    return _recovered("auroc", side, reference, value, (correlation, method))


def _resampled(metric: str, side: Side, reference: Side, value: float) -> Estimate:
    draws = np.stack([one.means[metric].draws for one in (side, reference)])
    correlation = float(correlation_of(draws)[0, 1])
    return _recovered(metric, side, reference, value, (correlation, "mover"))


def _recovered(
    metric: str, side: Side, reference: Side, value: float, made: tuple[float, str]
) -> Estimate:
    """Return a difference with the interval that both sides' intervals and correlation make."""
    sample, (correlation, method) = side.samples[0], made
    every = np.ones(len(sample.targets), bool)
    one, two = side.metrics[metric], reference.metrics[metric]
    found = Difference.of(one, two, correlation)
    assert found is not None  # both have an interval
    facing = found.below if value > 0 else found.above
    if facing <= 1e-9:
        reason = "no spread between the models: they decide and rank these cases alike"
        return sample.units.without(value, every, reason)
    ends = value - found.below, value + found.above
    p = _two_sided(Z * value / facing, np.inf)
    return sample.units.estimate(value, ends, every, method, expected=0.0, p=p)


def _of_runs(metric: str, side: Side, reference: Side, value: float, people: float) -> Estimate:
    sample = side.samples[0]
    every = np.ones(len(sample.targets), bool)
    found = interval(value, people, [side.means[metric], reference.means[metric]], LINE)
    if found is None:
        return sample.units.without(value, every, "no spread between resamples and runs")
    p = _two_sided(value / found.se, found.df)
    ends = SCALES.get(metric, LOGIT).ends
    most = ends[1] - ends[0]
    low, high = max(-most, found.ends[0]), min(most, found.ends[1])
    return sample.units.estimate(value, (low, high), every, "bootstrap + runs", expected=0.0, p=p)


def _two_sided(statistic: float, df: float) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(statistic)))
