"""`compare`: two or more models on the same cases, every difference with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medimg.errors import UsageError, nearest
from medimg.evaluation import metrics as m
from medimg.evaluation.compare.contrast import Side, contrast
from medimg.evaluation.compare.runs import Mean, mean_estimates, means_of
from medimg.evaluation.curves.curves import thin
from medimg.evaluation.estimates.direction import is_better
from medimg.evaluation.estimates.estimates import Estimates
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.comparison import Compared, Comparison, Contrast, Verdict
from medimg.evaluation.results.sections import Curve, Metrics
from medimg.evaluation.sample import Sample
from medimg.evaluation.sample.together import Together
from medimg.predictions import Predictions

MULTIPLICITY = (
    "p-values are adjusted for the number of models (Holm), not for the number of metrics: name "
    "one metric before looking. A model is called better or worse where its interval leaves out 0 "
    "and the adjusted p-value is below .05."
)
SHARES = (
    "The p-value of accuracy, sensitivity and specificity is that of McNemar's test (mid-p; with "
    "several cases a patient its score test by patient), their interval Bonett and Price's: where "
    "few cases are decided differently, one of the two may show a difference and the other not."
)
CONDITIONAL = (
    "Of a model with one run it is that trained model which is compared; another training of the "
    "same recipe may turn the difference round."
)


def compare(
    models: Mapping[str, Predictions | Sequence[Predictions]],
    options: EvaluateOptions | None = None,
    *,
    metric: str = "",
    margin: float | None = None,
    split: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Comparison:
    """Return the metrics of models on the same cases and how they differ from the first one's.

    All models are resampled with the same people. Of single runs the difference of two shares of
    the same cases gets Bonett and Price's interval with McNemar's test, everything else an
    interval that is made of both models' and the correlation of their errors (MOVER: Zou and
    Donner, Stat. Med. 27 (2008) 1693): for AUROC that of DeLong's covariance (Obuchowski's where
    patients have several cases), whose own interval is too narrow in small sets, else that of
    the resamples. Several runs of a model count as one: their mean, whose interval holds
    the chance of the runs too. "Better" and "worse" need both the interval and the p-value, which
    two methods that do not always agree may have made.

    Parameters
    ----------
    models : mapping of str to Predictions or sequence of Predictions
        Name to one run or several; the first is the reference.
    metric : str, optional
        The one that `margin` is of; default: AUROC, or its mean over classes.
    margin : float, optional
        In the units of the metric, above 0: a model is not worse where the interval of its
        difference excludes a loss of as much.
    split : str, optional
        Which split to score; wanted where there are several.

    Raises
    ------
    UsageError
        Under two models, an unknown metric, or a margin that is not above 0.
    PredictionsError
        Models of other cases, targets, patients or classes.
    """
    options = options or EvaluateOptions()
    runs = {n: [p] if isinstance(p, Predictions) else list(p) for n, p in models.items()}
    _check_question(runs, margin)
    together = Together.of(_tables(runs), options, split)
    sides = _sides(together, runs)
    primary = _primary(metric, margin, sides)
    contrasts = [
        _judged(one, margin if one.metric == primary else None)
        for name in sorted(sides[0].means, key=lambda name: name != primary)
        for one in _contrasts(name, sides)
    ]
    sample = together.samples[0]
    made = {
        "resamples": options.resamples,
        "seed": options.seed,
        "redrawn": together.redrawn,
        "metric": primary,
        "predictions": {name: [run.fingerprint for run in side] for name, side in runs.items()},
    }
    return Comparison(
        n=len(sample.targets),
        n_patients=sample.units.patients(np.ones(len(sample.targets), bool)),
        split=together.split,
        space=sample.space,
        models=tuple(_compared(side) for side in sides),
        contrasts=tuple(contrasts),
        margin=margin,
        notes=tuple(_notes(sides, contrasts)),
        provenance={**(provenance or {}), "comparison": made},
    )


def _check_question(runs: Mapping[str, Sequence[Predictions]], margin: float | None) -> None:
    if len(runs) < 2 or not all(runs.values()):
        raise UsageError(
            f"{len(runs)} models to compare", remedy="give at least two, each with predictions"
        )
    if margin is not None and not 0 < margin < float("inf"):
        raise UsageError(f"--margin {margin}", remedy="a number above 0, in units of the metric")


def _tables(runs: Mapping[str, Sequence[Predictions]]) -> dict[str, Predictions]:
    """Return all tables by the name of their model and, of several, the number of the run."""
    return {
        name if len(tables) == 1 else f"{name}, run {number}": table
        for name, tables in runs.items()
        for number, table in enumerate(tables, start=1)
    }


def _sides(together: Together, runs: Mapping[str, Sequence[Predictions]]) -> list[Side]:
    sides, first = [], 0
    for name, tables in runs.items():
        part = together.part(slice(first, first + len(tables)))
        means = means_of(part)
        sides.append(Side(name, part.samples, means, _metrics(part, means)))
        first += len(tables)
    return sides


def _primary(metric: str, margin: float | None, sides: Sequence[Side]) -> str:
    """Return the metric that the margin is of; by default it may be one that is not defined."""
    there = [name for name in sides[0].means if all(name in side.means for side in sides)]
    wanted = metric or ("auroc" if sides[0].samples[0].two_classes else "auroc_macro")
    if wanted not in there and (metric or margin is not None):
        raise UsageError(
            f"--metric {wanted!r} is not defined for these models and cases"
            f"{nearest(wanted, there)}",
            remedy=f"one of {', '.join(there)}",
        )
    return wanted


def _contrasts(metric: str, sides: Sequence[Side]) -> list[Contrast]:
    """Return the contrasts of one metric, their p-values adjusted by Holm's method."""
    reference, *others = sides
    if not all(metric in side.means for side in sides):
        return []
    found = [contrast(metric, side, reference) for side in others]
    p = _holm([one.difference.p for one in found])
    adjusted = zip(found, p, strict=True)
    return [replace(one, difference=replace(one.difference, p=value)) for one, value in adjusted]


def _holm(p: Sequence[float | None]) -> list[float | None]:
    known = sorted((value, i) for i, value in enumerate(p) if value is not None)
    adjusted, least = list(p), 0.0
    for place, (value, i) in enumerate(known):
        least = max(least, min(1.0, (len(known) - place) * value))
        adjusted[i] = least
    return adjusted


def _judged(one: Contrast, margin: float | None) -> Contrast:
    low, high, p = one.difference.low, one.difference.high, one.difference.p
    verdict: Verdict = "not shown"
    if low is not None and high is not None:
        if is_better(one.metric) < 0:
            low, high = -high, -low
        verdict = _verdict(low, high, margin, differs=p is not None and p < 0.05)
    return replace(one, verdict=verdict)


def _verdict(low: float, high: float, margin: float | None, *, differs: bool) -> Verdict:
    """Return what the interval of a gain and its adjusted p-value show."""
    if low > 0 and differs:
        return "better"
    within = margin is not None and low > -margin
    if high < 0 and differs:
        return "worse, within the margin" if within else "worse"
    return "not worse" if within else "not shown"


def _notes(sides: Sequence[Side], contrasts: Sequence[Contrast]) -> Iterator[str]:
    yield MULTIPLICITY
    if any(one.difference.method == "bonett-price" for one in contrasts):
        yield SHARES
    if any(side.single for side in sides):
        yield CONDITIONAL


def _compared(side: Side) -> Compared:
    return Compared(
        name=side.name,
        n_runs=len(side.samples),
        metrics=side.metrics,
        values={name: _values(mean) for name, mean in side.means.items()},
        roc=_roc(side.samples[0]) if side.samples[0].two_classes else None,
    )


def _metrics(part: Together, means: Mapping[str, Mean]) -> Metrics:
    """Return the metrics of a model: of a single run as `evaluate` gives them."""
    sample = part.samples[0]
    if len(part.samples) == 1:
        known = Estimates(sample, part.points[0], part.draws[0]).metrics()
        return {name: known[name] for name in means if name in known}
    return mean_estimates(part)


def _roc(sample: Sample) -> Curve | None:
    k = sample.primary
    false, true = m.staircase(sample.ranking[:, k], sample.targets[:, k])
    if min(false[-1], true[-1]) == 0:
        return None
    x, y = thin(false / false[-1], true / true[-1])
    return Curve(tuple(x.tolist()), tuple(y.tolist()))


def _values(mean: Mean) -> tuple[float, ...]:
    return tuple(mean.values.tolist())
