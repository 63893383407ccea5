"""Sums over cases as rows of a sparse matrix over the units.

The sums of R resamples are its product with their weights (U, R).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.sample.cases import Sample


def unit_sums(row: Any, case: Any, values: Any, size: int, units: Units) -> Any:
    """Return the sparse matrix (size, U) that adds `values` of cases into rows."""
    from scipy.sparse import csr_array

    return csr_array((values, (row, units.of_case[case])), shape=(size, units.n))


def unit_counts(row: Any, case: Any, size: int, units: Units) -> Any:
    """Return the sparse matrix (size, U) that counts cases into rows."""
    return unit_sums(row, case, np.ones(len(case)), size, units)


class Lacking:
    """Which resamples have lost a class that was there in at least `MIN_UNITS` units.

    Rarer classes get no resampled interval, and are not waited for.
    """

    def __init__(self, sample: Sample) -> None:
        kinds = [sample.targets == 1]
        if not sample.space.exclusive:
            kinds.append(sample.targets == 0)
        masks = [mask for kind in kinds for mask in kind.T if sample.units.count(mask) >= MIN_UNITS]
        row, case = np.nonzero(np.reshape(masks, (len(masks), len(sample.targets))))
        self.present = unit_counts(row, case, len(masks), sample.units)

    def __call__(self, weights: Floats) -> Bools:
        """Return a mask (R,) of weights (U, R)."""
        return np.asarray((self.present @ weights == 0).any(axis=0))
