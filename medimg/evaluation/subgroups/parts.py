"""Parts of a sample: a group and all others, resampled together.

N cases, U units (patients or cases), R resamples, P parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medimg.evaluation.estimates.estimates import TWO_CLASSES, Estimates
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.intervals.differences import Difference
from medimg.evaluation.intervals.mover import correlation_of
from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.sample import Figures, Lacking, Resampled, Sample


@dataclass(frozen=True, eq=False)
class GroupAgainstRest:
    """A group and all others.

    Parameters
    ----------
    units : Units
        Those of the group.
    group, others : mapping of str to Estimate
        Their metrics; `others` is empty where fewer than ten patients stand outside it.
    draws : mapping of str to float64 (2, R)
        The metrics of the group and of the others in common resamples.
    """

    units: Units
    group: Mapping[str, Estimate]
    others: Mapping[str, Estimate]
    draws: Mapping[str, Floats]

    @classmethod
    def of(
        cls, parts: Sequence[Sample], drawn: Sequence[Figures], names: Sequence[str]
    ) -> GroupAgainstRest:
        """Return a group, and the others where there are enough, with their resamples."""
        metrics = [_metrics(*part, names) for part in zip(parts, drawn, strict=True)]
        if len(parts) == 1:
            return cls(parts[0].units, metrics[0], {}, {})
        one, two = (_rows(*part, metrics[0]) for part in zip(parts, drawn, strict=True))
        pairs = {name: np.stack([one[name], two[name]]) for name in one}
        return cls(parts[0].units, metrics[0], metrics[1], pairs)

    def gap(self, name: str) -> Estimate:
        """Return the gap in one metric without an interval; a reason where it can get none."""
        rows = np.ones(len(self.units.of_case), bool)
        one, two = self.group[name], self.others[name]
        lacks = {"in the group": one, "outside the group": two}
        reasons = [f"{where}: {e.reason}" for where, e in lacks.items() if e.low is None]
        if one.value is None or two.value is None:
            return self.units.without(None, rows, reasons[0])
        return self.units.without(one.value - two.value, rows, reasons[0] if reasons else None)

    def difference(self, name: str) -> Difference | None:
        """Return the gap in one metric with the reach of an interval of it alone."""
        if name not in self.draws:
            return None
        correlation = float(correlation_of(self.draws[name])[0, 1])
        return Difference.of(self.group[name], self.others[name], correlation)


def against_rest(
    sample: Sample, masks: Mapping[str, Bools], names: Sequence[str], options: EvaluateOptions
) -> tuple[dict[str, GroupAgainstRest], int]:
    """Return each group of a column compared with all others, and how often was drawn again.

    A resample is drawn again where a group, or what is outside it, has lost a class of which it
    has at least `MIN_UNITS` patients.

    Parameters
    ----------
    masks : mapping of str to bool (N,)
        The cases of each group.
    names : sequence of str
        Metrics over all classes, or of the target condition.
    """
    sides = {
        name: [rows, ~rows] if sample.units.count(~rows) >= MIN_UNITS else [rows]
        for name, rows in masks.items()
    }
    every = [rows for pair in sides.values() for rows in pair]
    drawn, redrawn = draw_parts(sample, every, names, options)
    found, rest = {}, iter(drawn)
    for name, pair in sides.items():
        parts, figures = zip(*(next(rest) for _ in pair), strict=True)
        found[name] = GroupAgainstRest.of(parts, figures, names)
    return found, redrawn


def draw_parts(
    sample: Sample, masks: Sequence[Bools], names: Sequence[str], options: EvaluateOptions
) -> tuple[list[tuple[Sample, Figures]], int]:
    """Return parts of a sample (P), their metrics in common resamples, and how many were redrawn.

    All units of the sample are resampled, so that a patient in two parts counts as one.
    """
    parts = [sample.take(rows) for rows in masks]
    members = [np.unique(sample.units.of_case[rows]) for rows in masks]
    # What means over classes are made of, such as recall, is that of the target condition too.
    needed = {*names, *(TWO_CLASSES[name] for name in names if name in TWO_CLASSES)}
    resampled = [Resampled(part, needed) for part in parts]
    lacking = [Lacking(part) for part in parts]

    def statistic(weights: Floats) -> Figures:
        return {
            f"{i} {name}": draws
            for i, (units, one) in enumerate(zip(members, resampled, strict=True))
            for name, draws in one(weights[units]).items()
        }

    def any_lacks(weights: Floats) -> Bools:
        each = zip(members, lacking, strict=True)
        return np.asarray(np.any([lacks(weights[units]) for units, lacks in each], axis=0))

    draws, redrawn = bootstrap(
        statistic,
        sample.units.n,
        resamples=options.resamples,
        seed=options.seed,
        lacking=any_lacks,
        rows=max((one.rows for one in resampled), default=0),
    )
    found: list[Figures] = [{} for _ in parts]
    for key, values in draws.items():
        part, _, name = key.partition(" ")
        found[int(part)][name] = values
    return list(zip(parts, found, strict=True)), redrawn


def _metrics(sample: Sample, draws: Figures, names: Sequence[str]) -> dict[str, Estimate]:
    point = sample.point()
    estimates, found = Estimates(sample, point, draws), {}
    for name in names:
        if sample.two_classes and name in TWO_CLASSES:
            found[name] = estimates.of_condition(name)
        elif name in point and point[name].ndim == 1:
            found[name] = estimates.overall(name)
    return found


def _rows(sample: Sample, draws: Figures, names: Iterable[str]) -> dict[str, Floats]:
    """Return the draws (R,) of each metric."""
    if sample.two_classes:
        made = {n: draws[TWO_CLASSES[n]][sample.primary] for n in names if n in TWO_CLASSES}
    else:
        made = {}
    return {n: made[n] if n in made else draws[n] for n in names}
