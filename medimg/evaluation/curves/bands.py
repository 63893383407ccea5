"""Pointwise 95% bands around ROC and precision-recall curves.

U units (patients or cases), R resamples, L thresholds from the highest, G places on the x axis.

A band is that of the curve's height at a fixed false positive rate or recall (vertical averaging;
Macskassy, Provost and Rosset, ICML 2005): the percentile bootstrap by patient, never narrower than
Wilson's interval of the height as a proportion, since near 1 the resamples are too much alike.
There is none where hardly anything decides: of an ROC curve where fewer than two patients without
the class lie to the left of the place, of a precision-recall curve where fewer than two with it
lie on either side. In simulation (54 to 500 patients, a tenth to four tenths with the class, AUROC
.8 to .95) it covers 95% or more of the ROC curve and 92% or more of the other, wherever most
samples have a band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.sample.sums import unit_counts

GRID = np.arange(101) / 100
"""Where a band is worked out, (G,); between, it runs straight."""

_LEAST = 2
"""Patients that a place on the x axis must have beside it."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """One class's cases with a known target, by score.

    Parameters
    ----------
    scores : float64 (N,)
    target : float64 (N,)
        NaN is unknown.
    units : Units
    cuts : float64 (L,)
        Scores at and above which a case is called so, from the highest to the lowest.
    """

    scores: Floats
    target: Floats
    units: Units
    cuts: Floats

    @property
    def bandable(self) -> bool:
        """Whether there are patients enough with and without the class."""
        return not any(self.units.too_few("of a kind", self.target == kind) for kind in (0, 1))


class Heights:
    """The heights of both curves at `GRID`, under weights (U, R) of the units."""

    def __init__(self, ranked: Ranked) -> None:
        place = np.searchsorted(-ranked.cuts, -ranked.scores)
        self._sums = []
        for kind in (1, 0):
            cases = np.flatnonzero(ranked.target == kind)
            counts = unit_counts(place[cases], cases, len(ranked.cuts), ranked.units)
            self._sums.append(counts)

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return sensitivities and precisions, each (G, R)."""
        true, false = (np.cumsum(counts @ weights, axis=0) for counts in self._sums)
        start = np.zeros((1, weights.shape[1]))
        recall = np.concatenate([start, true / true[-1]])
        alarms = np.concatenate([start, false / false[-1]])
        return _sensitivity_at(alarms, recall), _precision_at(
            recall[1:], m.ratio(true, true + false)
        )


def _rows_before(x: Floats, places: Floats, *, side: str) -> NDArray[np.int64]:
    """Return for each column of x (L, R), rising within 0 to 1, where places (G,) fall, (R, G).

    As `np.searchsorted`, all columns at once: each is moved by 2 from the one before.
    """
    rows, columns = x.shape
    shift = 2.0 * np.arange(columns)[:, None]
    wanted = (places + shift).ravel()
    found = np.searchsorted((x.T + shift).ravel(), wanted, side=side)  # type: ignore[call-overload]
    return np.asarray(found.reshape(columns, -1) - rows * np.arange(columns)[:, None])


def _sensitivity_at(alarms: Floats, recall: Floats) -> Floats:
    """Return the sensitivity at each false positive rate of `GRID`, straight between thresholds."""
    last = _rows_before(alarms, GRID + 1e-9, side="right") - 1
    after = np.minimum(last + 1, len(alarms) - 1)
    x0, x1 = (np.take_along_axis(alarms.T, rows, 1) for rows in (last, after))
    y0, y1 = (np.take_along_axis(recall.T, rows, 1) for rows in (last, after))
    part = np.clip(m.ratio(GRID - x0, np.where(x1 > x0, x1 - x0, np.inf)), 0, 1)
    return np.asarray((y0 + part * (y1 - y0)).T)


def _precision_at(recall: Floats, precision: Floats) -> Floats:
    """Return the precision at the first threshold that reaches each recall of `GRID`."""
    first = np.minimum(_rows_before(recall, GRID - 1e-9, side="left"), len(recall) - 1)
    return np.asarray(np.take_along_axis(precision.T, first, 1).T)


def band(
    ranked: Ranked, draws: Floats, reached: NDArray[np.intp], of: str
) -> tuple[Floats, Floats]:
    """Return the ends of a band at `GRID`, (G,) each; NaN where it has none.

    Parameters
    ----------
    draws : float64 (G, R)
        Heights in the resamples.
    reached : int (G,)
        The threshold of each place, as a number of cuts that are passed; 0 is none.
    of : {"sensitivity", "precision"}
    """
    low, high = np.nanpercentile(draws, (2.5, 97.5), axis=1)
    known = ~np.isnan(ranked.target)
    for passed in np.unique(reached[reached > 0]):
        called = ranked.scores >= ranked.cuts[passed - 1]
        rows: Bools = ranked.target == 1 if of == "sensitivity" else known & called
        hit: Bools = called if of == "sensitivity" else ranked.target == 1
        found = proportion(hit, rows, ranked.units)
        here = reached == passed
        if found.low is not None and found.high is not None:
            low[here] = np.minimum(low[here], found.low)
            high[here] = np.maximum(high[here], found.high)
        elif of == "precision":
            low[here] = high[here] = np.nan
    least = _LEAST / ranked.units.count(ranked.target == (0 if of == "sensitivity" else 1))
    outside = (reached == 0) | (least > GRID + 1e-9)
    if of == "precision":  # the last to be found decide, and where they stand is mostly chance
        outside |= least > 1 - GRID + 1e-9
    return np.where(outside, np.nan, low), np.where(outside, np.nan, high)
