"""Parts of a sample: a group and all others, resampled together.

N cases, U units (patients or cases), R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.estimates.direction import overall
from medimg.evaluation.estimates.estimates import Estimates
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.intervals.differences import Difference
from medimg.evaluation.intervals.mover import correlation_of
from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.sample import Figures, Lacking, Resampled, Sample


@dataclass(frozen=True, eq=False)
class Part:
    """Some cases of a sample, with units of their own; `members` are their units in the whole."""

    sample: Sample
    members: NDArray[np.int64]

    @classmethod
    def of(cls, sample: Sample, rows: Bools) -> Part:
        """Return the cases of a mask (N,)."""
        members, of_case = np.unique(sample.units.of_case[rows], return_inverse=True)
        part = replace(
            sample,
            probabilities=sample.probabilities[rows],
            targets=sample.targets[rows],
            nll=sample.nll[rows],
            units=Units(of_case.astype(np.int64), len(members), sample.units.kind),
        )
        return cls(part, members)


@dataclass(frozen=True, eq=False)
class Compared:
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
        cls, sample: Sample, rows: Bools, names: Sequence[str], options: EvaluateOptions
    ) -> Compared:
        """Return the cases of a mask (N,) compared with all others in the metrics of `names`."""
        enough = sample.units.count(~rows) >= MIN_UNITS
        parts = [Part.of(sample, side) for side in ([rows, ~rows] if enough else [rows])]
        drawn = draw_parts(sample, parts, options)
        metrics = [
            Estimates(part.sample, part.sample.point(), draws).metrics()
            for part, draws in zip(parts, drawn, strict=True)
        ]
        group, others = ({n: e[n] for n in names if n in e} for e in [*metrics, {}][:2])
        pairs = {}
        if enough:
            one, two = (_rows(part.sample, d) for part, d in zip(parts, drawn, strict=True))
            pairs = {name: np.stack([one[name], two[name]]) for name in group if name in one}
        return cls(parts[0].sample.units, group, others, pairs)

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


def _rows(sample: Sample, figures: Figures) -> dict[str, Floats]:
    """Return the draws (R,) of each metric, and of the share of the target condition."""
    share = {"prevalence": figures["prevalence"][sample.primary]} if sample.two_classes else {}
    return {**overall(sample, figures), **share}


def draw_parts(
    sample: Sample, parts: Sequence[Part], options: EvaluateOptions
) -> list[dict[str, Floats]]:
    """Return the figures of parts of a sample in the same resamples of all its units.

    The seed and the sample decide which resamples those are, whatever parts are looked at.
    """
    resampled = [(part.members, Resampled(part.sample)) for part in parts]

    def statistic(weights: Floats) -> Figures:
        return {
            f"{i} {name}": draws
            for i, (members, one) in enumerate(resampled)
            for name, draws in one(weights[members]).items()
        }

    draws, _ = bootstrap(
        statistic,
        sample.units.n,
        resamples=options.resamples,
        seed=options.seed,
        lacking=Lacking(sample),
    )
    found: list[dict[str, Floats]] = [{} for _ in parts]
    for key, values in draws.items():
        part, _, name = key.partition(" ")
        found[int(part)][name] = values
    return found
