"""Staircases of one class under the weights of many resamples.

M distinct scores of the cases of the class, R resamples. The other cases fall into the M + 1
places between those scores, or are tied with one of them; what lies in one place needs no order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Floats
from medimg.evaluation.sample.sums import unit_counts


class Steps:
    """R staircases over M scores of the class, from the lowest.

    Parameters
    ----------
    true : float64 (M, R)
        Cases of the class that have the score.
    between : float64 (M + 1, R)
        Others above the next lower score and below this one; last those above all scores.
    tied : float64 (M, R), optional
        Others that have the score itself.
    """

    def __init__(self, true: Floats, between: Floats, tied: Floats | None) -> None:
        self.true, self.between, self.tied = true, between, tied

    @cached_property
    def cases(self) -> Floats:
        """Cases of the class (R,)."""
        return np.asarray(self.true.sum(axis=0))

    @cached_property
    def others(self) -> Floats:
        """Cases of other classes (R,)."""
        total = self.between.sum(axis=0)
        return np.asarray(total if self.tied is None else total + self.tied.sum(axis=0))

    @cached_property
    def above(self) -> Floats:
        """Cases of the class that have the score or a higher one (M, R)."""
        return np.cumsum(self.true[::-1], axis=0)[::-1]

    @cached_property
    def below(self) -> Floats:
        """Others that score lower (M, R)."""
        below = np.cumsum(self.between[:-1], axis=0)
        if self.tied is not None:
            below[1:] += np.cumsum(self.tied[:-1], axis=0)
        return below


class Ranks:
    """The staircases of one class: `scores` and `target` (n,) of entries, `case` their cases."""

    def __init__(
        self, scores: Floats, target: Floats, units: Units, case: NDArray[np.int64] | None = None
    ) -> None:
        case = np.arange(len(scores)) if case is None else case
        own, self.rivals = np.flatnonzero(target == 1), np.flatnonzero(target == 0)
        levels, group = np.unique(scores[own], return_inverse=True)
        self.place = np.searchsorted(levels, scores[self.rivals])
        self.is_tied = np.append(levels, np.nan)[self.place] == scores[self.rivals]
        self.m, self.units = len(levels), units
        self.defined = len(own) > 0 and len(self.rivals) > 0
        self.own = unit_counts(group, case[own], self.m, units)
        place, rivals = self.place[~self.is_tied], case[self.rivals[~self.is_tied]]
        self.between = unit_counts(place, rivals, self.m + 1, units)
        place, rivals = self.place[self.is_tied], case[self.rivals[self.is_tied]]
        self.tied = unit_counts(place, rivals, self.m, units) if len(place) else None

    @property
    def rows(self) -> int:
        """Rows of the largest table that is made of weights."""
        return self.m + 1

    def __call__(self, weights: Floats) -> Steps | None:
        """Return the staircases of weights (U, R); None where one kind of case is absent."""
        if not self.defined:
            return None
        tied = None if self.tied is None else self.tied @ weights
        return Steps(self.own @ weights, self.between @ weights, tied)


class Pairs:
    """How one class ranks against each other one, from its `Ranks` and the label (N,) of cases."""

    def __init__(self, ranks: Ranks, label: NDArray[np.int64], k: int) -> None:
        row = label[ranks.rivals] * (ranks.m + 1) + ranks.place
        size, units = k * (ranks.m + 1), ranks.units
        self.shape = (k, ranks.m + 1, -1)
        self.between, self.tied = (
            unit_counts(row[which], ranks.rivals[which], size, units)
            for which in (~ranks.is_tied, ranks.is_tied)
        )

    @property
    def rows(self) -> int:
        """Rows of the largest table that is made of weights."""
        return int(self.between.shape[0])

    def __call__(self, steps: Steps, weights: Floats) -> Floats:
        """Return how often the class wins against each other one (K, R), a tie counting half."""
        above = np.concatenate([steps.above, np.zeros_like(steps.above[:1])])
        won = self._won(self.between @ weights, above)
        if steps.tied is not None:
            above[:-1] -= steps.true / 2
            won += self._won(self.tied @ weights, above)
        return won

    def _won(self, others: Floats, above: Floats) -> Floats:
        return np.asarray(np.einsum("kmr,mr->kr", others.reshape(self.shape), above))


def auroc_of_steps(s: Steps) -> Floats:
    """Return the areas under the ROC curve (R,)."""
    won = _dot(s.true, s.below)
    if s.tied is not None:
        won += _dot(s.true, s.tied) / 2
    return m.ratio(won, s.cases * s.others)


def average_precision_of_steps(s: Steps) -> Floats:
    """Return the average precisions (R,)."""
    found = s.others - s.below
    found += s.above
    # Where nothing is found no case has the score either: 0 / 1 in place of 0 / 0.
    found[found == 0] = 1
    np.divide(s.above, found, out=found)
    return _defined(_dot(s.true, found), s.cases, s.others)


def auroc_partial_of_steps(s: Steps) -> Floats:
    """Return the standardised areas up to a false-positive rate of `MAX_FPR` (R,)."""
    # Below the first score that any resample needs, all are past that rate.
    later = np.count_nonzero(s.below < (1 - m.MAX_FPR) * s.others, axis=0).min()
    first = max(int(later) - 1, 0)
    above, left = s.above[first:], s.below[first:] - (1 - m.MAX_FPR) * s.others
    area = _dot(above, np.clip(left, 0, s.between[first:-1]))
    if s.tied is not None:
        # Cases and others of one score come in together: a slope in place of a step.
        tied, true = s.tied[first:], s.true[first:]
        run = np.clip(left + tied, 0, tied)
        share = np.divide(run, tied, out=np.zeros_like(run), where=tied > 0)
        area += _dot(run, above - true * (1 - share / 2))
    return m.mcclish(m.ratio(area, s.cases * s.others))


def sensitivity_at_specificity_of_steps(s: Steps) -> Floats:
    """Return the highest sensitivities with a specificity of at least `WANTED` (R,)."""
    enough = s.below >= (m.WANTED - m.SLACK) * s.others
    reached = np.count_nonzero(enough, axis=0)
    lowest = np.minimum(len(enough) - reached, len(enough) - 1)[None]
    found = np.take_along_axis(s.above, lowest, axis=0)[0]
    return _defined(np.where(reached > 0, found, 0), s.cases, s.others)


def specificity_at_sensitivity_of_steps(s: Steps) -> Floats:
    """Return the highest specificities with a sensitivity of at least `WANTED` (R,)."""
    reached = np.count_nonzero(s.above >= (m.WANTED - m.SLACK) * s.cases, axis=0)
    spared = np.take_along_axis(s.below, reached[None] - 1, axis=0)[0]
    return _defined(spared, s.others, s.cases)


OF_STEPS: Mapping[str, Callable[[Steps], Floats]] = {
    "auroc": auroc_of_steps,
    "average_precision": average_precision_of_steps,
    "auroc_partial": auroc_partial_of_steps,
    "sensitivity_at_specificity": sensitivity_at_specificity_of_steps,
    "specificity_at_sensitivity": specificity_at_sensitivity_of_steps,
}
"""`metrics.RANKED`, of many resamples at once."""


def _dot(one: Floats, other: Floats) -> Floats:
    return np.asarray(np.einsum("mr,mr->r", one, other))


def _defined(part: Floats, whole: Floats, other: Floats) -> Floats:
    """Return part / whole, NaN where either kind of case is absent."""
    return np.where(other > 0, m.ratio(part, whole), np.nan)
