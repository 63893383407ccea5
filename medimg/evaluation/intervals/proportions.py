"""Wilson's interval for proportions, of independent cases and of clusters."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools
from medimg.evaluation.results.estimate import Estimate

Z = 1.959963984540054
"""The 97.5% point of the normal distribution."""

PRIOR_UNITS = 2
"""Patients whose cases are all alike that a design effect counts beside those at hand.

Chosen in `scripts/simulate_coverage.py`: with none, proportions near 1 of a few patients cover .91.
"""


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95% score interval of a proportion of independent cases.

    Wilson, J. Am. Stat. Assoc. 22 (1927) 209; without continuity correction.
    """
    p = successes / n
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * np.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    low = 0.0 if successes <= 0 else max(0.0, float(centre - half))
    high = 1.0 if successes >= n else min(1.0, float(centre + half))
    return low, high


def proportion(hit: Bools, rows: Bools, units: Units) -> Estimate:
    """Return the share of the cases of `rows` (N,) for which `hit` (N,) holds, with its interval.

    Wilson's interval; where patients have several cases, with as many cases as would tell as much
    if they were independent (`design_effect`). Fewer than ten patients in the denominator give
    none.
    """
    n, successes = int(rows.sum()), int((hit & rows).sum())
    if not n:
        return units.without(None, rows, "no case")
    value, count = successes / n, units.count(rows)
    if count < MIN_UNITS:
        return units.without(
            value, rows, f"fewer than ten {units.kind}s in its denominator ({count})"
        )
    if count == n:
        return units.estimate(value, wilson(successes, n), rows, "wilson")
    effective = n / design_effect(hit, rows, units)
    return units.estimate(value, wilson(value * effective, effective), rows, "wilson_clustered")


def design_effect(hit: Bools, rows: Bools, units: Units) -> float:
    """Return by how much the cases of one patient being alike swells a proportion's variance.

    The variance of the ratio estimator, linearised between patients (Rao and Scott, Biometrics 48
    (1992) 577), over that of independent cases. From few patients it is unsteady, and where all
    cases are hits or none is it is not known; so it is averaged with that of cases that are all
    alike within a patient, which counts for two patients. Never below 1.
    """
    unit = units.of_case[rows]
    size = np.bincount(unit, minlength=units.n).astype(np.float64)
    count, n = int(np.count_nonzero(size)), size.sum()
    alike = float((size**2).sum() / n)
    hits = np.bincount(unit, hit[rows], units.n)
    p = hits.sum() / n
    if not 0 < p < 1:
        return alike
    between = ((hits - p * size) ** 2).sum() * count / (count - 1)
    seen = float(between / (n * p * (1 - p)))
    return max(1.0, (PRIOR_UNITS * alike + (count - 1) * seen) / (PRIOR_UNITS + count - 1))
