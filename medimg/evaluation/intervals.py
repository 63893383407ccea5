"""95% intervals: Wilson for proportions of independent cases, the bootstrap by patient otherwise.

N cases, U units (patients, or cases where no patient is known), R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.result import Unit

Z = 1.959963984540054
"""The 97.5% point of the normal distribution."""

MIN_UNITS = 10
"""With fewer patients (or cases) of a class a resampled interval is not to be trusted."""

_CELLS = 2**19
"""Weights held at once: 4 MiB, which a processor's cache holds; four times more is half as fast."""


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95% score interval of a proportion.

    Wilson, J. Am. Stat. Assoc. 22 (1927) 209; without continuity correction. For independent
    cases only.
    """
    p = successes / n
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * np.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    low = 0.0 if successes <= 0 else max(0.0, float(centre - half))
    high = 1.0 if successes >= n else min(1.0, float(centre + half))
    return low, high


def percentile(draws: Floats) -> tuple[float, float] | None:
    """Return the 2.5% and 97.5% points of draws (R,); None where they do not spread.

    Draws that are not defined (NaN) are left out. A metric at its very end, such as an AUROC
    of 1, comes out the same in every resample: the bootstrap then knows no spread, and an
    interval of no width would be a false claim.
    """
    known = draws[np.isfinite(draws)]
    if not len(known):
        return None
    low, high = (float(v) for v in np.percentile(known, (2.5, 97.5)))
    return (low, high) if high - low > 1e-12 else None


@dataclass(frozen=True)
class Units:
    """What is taken as independent.

    Parameters
    ----------
    of_case : int64 (N,)
        The unit of each case, 0 to `n` - 1.
    n : int
        How many units there are.
    kind : {"patient", "case"}
        Patients where ids came, else cases.
    """

    of_case: NDArray[np.int64]
    n: int
    kind: Unit

    @classmethod
    def of(cls, case_id: NDArray[Any], patient_id: NDArray[Any] | None) -> Units:
        """Return the units of cases; a blank patient id makes a patient of its own."""
        n = len(case_id)
        if patient_id is None or not (patient_id != "").any():
            return cls(np.arange(n), n, "case")
        # No text id holds a NUL, so that a case cannot be taken for a patient of its name.
        names = np.where(patient_id == "", "\0" + case_id, patient_id)
        found, of_case = np.unique(names, return_inverse=True)
        return cls(of_case.astype(np.int64), len(found), "patient")

    @property
    def independent(self) -> bool:
        """Whether no two cases share a unit."""
        return self.n == len(self.of_case)

    def count(self, rows: Bools) -> int:
        """Return how many units have a case in a mask (N,)."""
        return int(np.count_nonzero(np.bincount(self.of_case[rows], minlength=self.n)))


def draw_weights(rng: np.random.Generator, units: int, resamples: int) -> Floats:
    """Return how often each unit is drawn, float64 (U, R): U draws with replacement a column."""
    drawn = rng.integers(0, units, size=(units, resamples), dtype=np.int32).astype(np.int64)
    drawn *= resamples
    drawn += np.arange(resamples)
    counts = np.bincount(drawn.ravel(), minlength=units * resamples)
    return counts.reshape(units, resamples).astype(np.float64)


def bootstrap(
    statistic: Callable[[Floats], Mapping[str, Floats]],
    units: int,
    *,
    resamples: int,
    seed: int,
    lacking: Callable[[Floats], Bools] | None = None,
) -> tuple[dict[str, Floats], int]:
    """Return a statistic of many resamples of the units, and how many had to be redrawn.

    Parameters
    ----------
    statistic : callable
        Takes the weights of the units, float64 (U, r), and returns arrays (..., r).
    units : int
        What is drawn with replacement: people, not images (Efron and Tibshirani, 1993).
    resamples, seed : int
    lacking : callable, optional
        Takes the weights and returns a mask (r,) of the resamples that lack a class: these are
        drawn again.

    Returns
    -------
    draws : dict of arrays (..., R)
    redrawn : int
        Beside the interval: it is conditional on each class being there.
    """
    rng = np.random.default_rng(seed)
    step = max(1, min(resamples, _CELLS // units))
    parts, redrawn = [], 0
    for start in range(0, resamples, step):
        weights = draw_weights(rng, units, min(step, resamples - start))
        if lacking is not None:
            redrawn += _redraw(rng, weights, lacking)
        parts.append(statistic(weights))
    return {name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]}, redrawn


def _redraw(rng: np.random.Generator, weights: Floats, lacking: Callable[[Floats], Bools]) -> int:
    redrawn = 0
    while (columns := np.flatnonzero(lacking(weights))).size:
        weights[:, columns] = draw_weights(rng, len(weights), columns.size)
        redrawn += columns.size
    return redrawn
