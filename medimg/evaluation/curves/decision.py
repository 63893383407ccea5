"""Decision curves: what acting on the model would be worth, at any threshold.

N cases of which it is known whether they have the class, L thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from medimg.evaluation.curves.curves import gaps
from medimg.evaluation.intervals.differences import Difference
from medimg.evaluation.intervals.means import reach_of_mean
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import Curve, DecisionCurve
from medimg.evaluation.sample import Sample

_THRESHOLDS = np.arange(1, 100) / 100


def decision_curves(sample: Sample) -> tuple[DecisionCurve, ...]:
    """Return the net benefit of the target condition of two classes, or of every label.

    Who acts from a probability t on holds a missed case for as bad as (1 - t) / t false alarms:
    the net benefit is true positives a case less false positives a case times t / (1 - t)
    (Vickers and Elkin, Med. Decis. Making 26 (2006) 565). Its band is the wider, on each side, of
    two: that of a mean by patient, and that made of the intervals of both shares (`Difference`),
    which knows that a false alarm may come where none is seen; at a high threshold one weighs as
    much as many found. Of calibrated models (200 to 1,000 cases, 1,000 draws) it covers 93 to
    98% at thresholds up to .7 and 99% or more above, where the mean's alone covers as little as
    44%. There is none with fewer than ten patients with or without the class, or called so. No
    curve at all for more exclusive classes, where no one threshold decides, nor for a label of
    which all known cases are alike.
    """
    if sample.two_classes:
        columns = [sample.primary]
    else:
        columns = [] if sample.space.exclusive else list(range(sample.space.k))
    targets = sample.targets
    return tuple(
        _curve(sample, k)
        for k in columns
        if (targets[:, k] == 1).any() and (targets[:, k] == 0).any()
    )


def _curve(sample: Sample, k: int) -> DecisionCurve:
    cases = _Cases.of(sample, k)
    share, odds = float(cases.sick.mean()), _THRESHOLDS / (1 - _THRESHOLDS)
    pairs = zip(_THRESHOLDS, odds, strict=True)
    found = [cases.benefit(cases.scores >= threshold, weight) for threshold, weight in pairs]
    x, (value, low, high) = tuple(_THRESHOLDS.tolist()), zip(*found, strict=True)
    ends = (gaps(low), gaps(high)) if cases.enough else ((), ())
    return DecisionCurve(
        label=sample.space.classes[k],
        model=Curve(x, value, *ends),
        treat_all=Curve(x, tuple((share - (1 - share) * odds).tolist())),
        note=f"At the prevalence of these cases ({share:.3g}).",
    )


@dataclass(frozen=True, eq=False)
class _Cases:
    """Whether each known case has the class (N,), and its probability (N,)."""

    sick: Bools
    scores: Floats
    units: Units

    @classmethod
    def of(cls, sample: Sample, k: int) -> _Cases:
        known = ~np.isnan(sample.targets[:, k])
        unit, of_case = np.unique(sample.units.of_case[known], return_inverse=True)
        units = Units(of_case.astype(np.int64), len(unit), sample.units.kind)
        return cls(sample.targets[known, k] == 1, sample.probabilities[known, k], units)

    @property
    def every(self) -> Bools:
        return np.ones(len(self.sick), bool)

    @property
    def enough(self) -> bool:
        return not any(self.units.too_few("of a kind", rows) for rows in (self.sick, ~self.sick))

    def benefit(self, called: Bools, weight: float) -> tuple[float, float, float]:
        """Return the net benefit of calling so (N,) and its ends; NaN where it has none."""
        each = np.where(called, np.where(self.sick, 1.0, -weight), 0.0)
        value = float(each.mean())
        if not self.enough or self.units.too_few("called so", called):
            return value, np.nan, np.nan
        found = proportion(called & self.sick, self.every, self.units)
        alarms = _times(proportion(called & ~self.sick, self.every, self.units), weight)
        shares = Difference.of(found, alarms)
        if shares is None:
            return value, np.nan, np.nan
        reach = reach_of_mean(each, self.every, self.units)
        return value, value - max(reach, shares.below), value + max(reach, shares.above)


def _times(share: Estimate, weight: float) -> Estimate:
    ends = (share.value, share.low, share.high)
    value, low, high = (None if end is None else weight * end for end in ends)
    return replace(share, value=value, low=low, high=high)
