"""Several runs of one model: how much of the spread is the run and how much the people.

R runs, r resamples. A run is a training: another seed, or another fold of the training cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from medimg.errors import UsageError
from medimg.evaluation.estimates.direction import overall
from medimg.evaluation.estimates.estimates import SCALES, Estimates
from medimg.evaluation.intervals.bootstrap import LOGIT, Scale
from medimg.evaluation.metrics import Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import RunRow
from medimg.evaluation.sample import Sample
from medimg.evaluation.sample.together import Together
from medimg.predictions import Predictions

METHOD = "bootstrap + runs"

LINE = Scale((-np.inf, np.inf), float, float, lambda _: 1.0)
"""The scale of what has no bounds near: the number itself."""


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of one metric over runs, and the two parts of its spread.

    Parameters
    ----------
    values : float64 (R,)
        Of each run.
    draws : float64 (r,)
        The mean over the runs in each resample of the people.
    sd_sample : float
        Standard deviation of one run's value over resamples, root mean square of the runs.
    """

    values: Floats
    draws: Floats
    sd_sample: float

    @property
    def value(self) -> float:
        """The mean over the runs."""
        return float(self.values.mean())

    @property
    def sd_runs(self) -> float | None:
        """Standard deviation between runs; None of a single one."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else None

    @property
    def variance_of_runs(self) -> float:
        """Variance of the mean that is due to the runs being few."""
        return 0.0 if self.sd_runs is None else self.sd_runs**2 / len(self.values)

    @property
    def variance_of_people(self) -> float:
        """Variance of the mean that is due to the people being few."""
        return float(np.nanvar(self.draws, ddof=1))


def evaluate_runs(
    runs: Mapping[str, Predictions] | Sequence[Predictions],
    options: EvaluateOptions | None = None,
    *,
    split: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Return every metric's mean over runs of one model, with an interval for new runs too.

    The variance of the mean is that over resamples of the people plus that between the runs
    over R; the interval takes Student's t with Satterthwaite's degrees of freedom (Biometrics
    Bull. 2 (1946) 110), on the scale that the metric of a single run is taken on.

    Parameters
    ----------
    runs : mapping of str to Predictions, or sequence of Predictions
        Of the same cases; two or more. Names stand in the errors.
    options : EvaluateOptions, optional
        Resamples and seed.
    split : str, optional
        Which split to score; wanted where there are several.
    provenance : mapping, optional
        Kept in the result, beside what the evaluation says of itself.

    Returns
    -------
    Evaluation
        `metrics` and `runs`; what one model's scores make (classes, curves, calibration) is left
        to the evaluation of each run.

    Raises
    ------
    UsageError
        One run alone, or several splits and none asked for.
    PredictionsError
        Runs of other cases, targets or classes.
    """
    options = options or EvaluateOptions()
    if len(runs) < 2:
        raise UsageError("one run has no spread", remedy="give the predictions of several runs")
    named = runs if isinstance(runs, Mapping) else {f"run {n}": r for n, r in enumerate(runs, 1)}
    together = Together.of(named, options, split)
    sample = together.samples[0]
    estimates = mean_estimates(together)
    rows = tuple(_row(name, mean, estimates[name]) for name, mean in means_of(together).items())
    made = {
        "resamples": options.resamples,
        "seed": options.seed,
        "redrawn": together.redrawn,
        "predictions": [run.fingerprint for run in named.values()],
    }
    return Evaluation(
        n=len(sample.targets),
        n_patients=sample.units.patients(np.ones(len(sample.targets), bool)),
        split=together.split,
        space=sample.space,
        calibrated=all(run.calibrator is not None for run in named.values()),
        metrics={row.metric: row.mean for row in rows},
        per_class={},
        confusion=(),
        runs=rows,
        provenance={**(provenance or {}), "evaluation": made},
    )


def means_of(together: Together) -> dict[str, Mean]:
    """Return the mean of each metric that every run has, over all tables of `together`."""
    pairs = zip(together.samples, together.points, together.draws, strict=True)
    tables = [(overall(s, point), overall(s, draws)) for s, point, draws in pairs]
    found = {}
    for name in tables[0][1]:
        values = np.asarray([point[name][0] for point, _ in tables])
        draws = np.stack([drawn[name] for _, drawn in tables])
        if np.isfinite(values).all():
            spread = np.sqrt(np.nanvar(draws, axis=1, ddof=1).mean())
            found[name] = Mean(values, draws.mean(axis=0), float(spread))
    return found


def _row(name: str, mean: Mean, estimate: Estimate) -> RunRow:
    sd = mean.sd_runs or 0.0
    spread = sd**2 + mean.sd_sample**2
    return RunRow(
        metric=name,
        mean=estimate,
        values=tuple(mean.values.tolist()),
        sd_runs=mean.sd_runs,
        sd_sample=mean.sd_sample,
        share_runs=sd**2 / spread if spread > 0 else None,
    )


def mean_estimates(together: Together) -> dict[str, Estimate]:
    """Return the mean of each metric over runs with its interval, or why there is none.

    There is none where a class has under ten patients, or where no run has one by itself.
    """
    parts = zip(together.samples, together.points, together.draws, strict=True)
    each = [Estimates(*part).metrics() for part in parts]
    sample = together.samples[0]
    few, found = _too_few(sample), {}
    for name, mean in means_of(together).items():
        alone = all(run[name].low is None for run in each)
        reason = few or (each[0][name].reason if alone else None)
        # Denominators such as those of PPV differ between runs: the smallest is no false claim.
        fewest = min((run[name] for run in each), key=lambda one: one.n)
        found[name] = _mean_estimate(fewest, name, mean, reason)
    return found


def _mean_estimate(fewest: Estimate, name: str, mean: Mean, reason: str | None) -> Estimate:
    found = None
    if reason is None:
        found = interval(mean.value, mean.variance_of_people, [mean], SCALES.get(name, LOGIT))
        reason = None if found else "no spread between resamples and runs"
    return replace(
        fewest,
        value=mean.value,
        low=None if found is None else found.ends[0],
        high=None if found is None else found.ends[1],
        method="none" if found is None else METHOD,
        reason=reason,
        expected=None,
        p=None,
    )


class Interval(NamedTuple):
    """A 95% interval, the standard error that it is made of and its degrees of freedom."""

    ends: tuple[float, float]
    se: float
    df: float


def interval(value: float, people: float, runs: Sequence[Mean], scale: Scale) -> Interval | None:
    """Return the 95% interval of a value whose variance is that of the people plus of the runs.

    Parameters
    ----------
    people : float
        The variance that is due to the sample of people.
    runs : sequence of Mean
        What the value is made of; their runs add their variance.
    scale : Scale
        On which the value is taken, by the delta method; one at its end is taken as it is.

    Returns
    -------
    Interval or None
        None where there is no spread.
    """
    from scipy.special import stdtrit

    parts = [(m.variance_of_runs, len(m.values) - 1) for m in runs if m.variance_of_runs > 0]
    variance = people + sum(part for part, _ in parts)
    if not variance > 0:
        return None
    shaken = sum(part**2 / df for part, df in parts)
    df = variance**2 / shaken if shaken > 0 else np.inf
    se = float(np.sqrt(variance))
    half = float(stdtrit(df, 0.975)) * se
    if not scale.ends[0] < value < scale.ends[1]:
        scale = LINE
    centre, reach = scale.to(value), half * scale.slope(value)
    return Interval((scale.back(centre - reach), scale.back(centre + reach)), se, df)


def _too_few(sample: Sample) -> str | None:
    """Return why there is no interval: under ten patients with or without some class."""
    kinds = [(sample.targets == 1, "with"), (sample.targets == 0, "without")]
    for present, word in kinds:
        for k, name in enumerate(sample.space.classes):
            if few := sample.units.too_few(f"{word} {name!r}", present[:, k]):
                return few
    return None
