"""The area under the risk-coverage curve, and its excess over the best, for many resamples at once.

N cases, M levels of confidence from the highest, U patients (or cases), R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats


class Areas:
    """AURC and its excess under weights of the units that are counts.

    AURC is the mean over k of the share of errors among the k surest cases (Geifman, Uziel and
    El-Yaniv, ICLR 2019). Cases of one level, and so the copies of one case, stand in their
    expected order: with w of them, e errors, after B cases with A errors, the j-th adds
    ``(A + j e / w) / (B + j)``, the sum of which is ``e + (A - B e / w) (H(B + w) - H(B))`` with
    the harmonic numbers H.

    Parameters
    ----------
    level : int64 (N,)
        0 for the surest cases.
    wrong : bool (N,)
    units : Units
    """

    def __init__(self, level: NDArray[np.integer[Any]], wrong: Bools, units: Units) -> None:
        from scipy.sparse import csr_array

        # Levels without any error add up to one: fewer rows, the same sums.
        erring = np.bincount(level, wrong) > 0
        steps = erring | np.append(False, erring[:-1])
        row = np.cumsum(steps)[level]
        shape, both = (int(row.max()) + 1, units.n), (row, units.of_case)
        self.cases = csr_array((np.ones(len(level)), both), shape=shape)
        self.errors = csr_array((wrong.astype(np.float64), both), shape=shape)

    @property
    def rows(self) -> int:
        """Rows of the largest table that is made of weights."""
        return int(self.cases.shape[0])

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return ``aurc`` and ``aurc_excess`` (R,) of whole weights float64 (U, R)."""
        cases, errors = self.cases @ weights, self.errors @ weights
        after, wrong = np.cumsum(cases, axis=0), np.cumsum(errors, axis=0)
        total, error = after[-1], wrong[-1]
        harmonic = np.append(0, np.cumsum(1 / np.arange(1, total.max() + 1)))
        rate = errors / np.maximum(cases, 1)
        spread = wrong - errors - (after - cases) * rate
        h = harmonic[after.astype(int)]
        steps = np.diff(h, axis=0, prepend=0.0)
        area = (errors + spread * steps).sum(axis=0) / total
        right = total - error
        least = error - right * (harmonic[total.astype(int)] - harmonic[right.astype(int)])
        return {"aurc": area, "aurc_excess": area - least / total}
