"""The one threshold of all methods: the lowest under which so much of the truth lies.

P points: the pairs of a calibration case and a class that it has. U patients (or cases).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import Bools, Floats


@dataclass(frozen=True, eq=False)
class Points:
    """The scores of what a group of calibration cases has.

    With one point a case the threshold is the quantile of split conformal prediction; where a
    case has several labels, it is that of conformal risk control for the share of them that the
    set misses, since both ask for ``1 + sum of losses <= alpha * (U + 1)`` over losses in
    [0, 1].

    Parameters
    ----------
    scores : float64 (P,)
    case, unit : int64 (P,)
        Of which case and patient each point is.
    """

    scores: Floats
    case: NDArray[np.integer[Any]]
    unit: NDArray[np.integer[Any]]

    def take(self, rows: Bools) -> Points:
        """Return the points of a mask (P,)."""
        return Points(self.scores[rows], self.case[rows], self.unit[rows])

    @property
    def n_units(self) -> int:
        """How many patients (or cases) have a point."""
        return len(np.unique(self.unit))

    @cached_property
    def _heaped(self) -> tuple[Floats, Floats]:
        """The scores in order and the weight up to each; a patient's points weigh 1 in all."""
        _, case, labels = np.unique(self.case, return_inverse=True, return_counts=True)
        pairs = np.unique(np.stack([self.unit, self.case]), axis=1)
        units, cases = np.unique(pairs[0], return_counts=True)
        weight = 1 / (labels[case] * cases[np.searchsorted(units, self.unit)])
        order = np.argsort(self.scores, kind="stable")
        return self.scores[order], np.cumsum(weight[order])

    def threshold(self, alpha: float) -> float | None:
        """Return the lowest score that leaves a new patient's truths above it to `alpha` at most.

        None where no score does: there are fewer than 1 / `alpha` - 1 patients.
        """
        scores, heaped = self._heaped
        # So much rounding may have cost: a threshold one case too high would not be exact.
        needed = (1 - alpha) * (self.n_units + 1) - 1e-9
        place = int(np.searchsorted(heaped, needed))
        return float(scores[place]) if place < len(scores) else None
