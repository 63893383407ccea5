"""Wilson's interval for proportions, of independent cases and of clusters."""

from __future__ import annotations

from typing import Any

import numpy as np

from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats
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
    if they were independent (`design_effect`), fewer where the patients hold different numbers.
    Fewer than ten patients in the denominator, or that tell less than ten of equal size would
    (`Units.too_few`), give none.
    """
    n, successes = int(rows.sum()), int((hit & rows).sum())
    if not n:
        return units.without(None, rows, "no case")
    value = successes / n
    if few := units.too_few("in its denominator", rows):
        return units.without(value, rows, few)
    size = units.sizes(rows)
    if len(size) == n:
        return units.estimate(value, wilson(successes, n), rows, "wilson")
    effective = n / design_effect(hit, rows, units) / _uncertainty(size)
    return units.estimate(value, wilson(value * effective, effective), rows, "wilson_clustered")


def design_effect(hit: Bools, rows: Bools, units: Units) -> float:
    """Return by how much the cases of one patient being alike swells a proportion's variance.

    The variance of the ratio estimator between patients (Rao and Scott, Biometrics 48 (1992) 577),
    over that of independent cases; by the jackknife, so that a patient with many cases, to whom the
    share is drawn, counts for how far it would move without him. From few patients it is unsteady,
    and where all cases are hits or none is it is not known; so it is averaged with that of cases
    that are all alike within a patient, which counts for two patients beside the effective number
    at hand (`Units.effective`). Never below 1.
    """
    size, n = units.sizes(rows), float(rows.sum())
    alike = float((size**2).sum() / n)
    p = float(hit[rows].sum()) / n
    if not 0 < p < 1:
        return alike
    moves = jackknife(hit[rows].astype(np.float64) - p, units.of_case[rows], units.n)
    seen = float((moves**2).sum()) / (n * p * (1 - p))
    known = n / alike - 1  # the effective number, less one
    return max(1.0, (PRIOR_UNITS * alike + known * seen) / (PRIOR_UNITS + known))


def _uncertainty(size: Floats) -> float:
    """Return by how much more the variance is to be taken where few patients hold many cases.

    They alone tell it: the squared ratio of Student's t at the effective number of patients to that
    at their number; `size` (U,) is how many cases each holds. 1 where all hold equally many.
    """
    from scipy.special import stdtrit

    few, many = size.sum() ** 2 / (size**2).sum() - 1, len(size) - 1
    return float(stdtrit(few, 0.975) / stdtrit(many, 0.975)) ** 2


def jackknife(residual: Floats, unit: Any, units: int) -> Floats:
    """Return the sums (U,) of residuals by unit, as a mean's variance takes them.

    The square of a sum over n is what a mean of n cases moves by without the unit's cases, as the
    jackknife's variance counts it. Where all U' units that have cases hold equally many, that is
    the plain sum times the root of U' / (U' - 1).

    Parameters
    ----------
    residual : float64 (n,)
        Each case less the mean of all.
    unit : int64 (n,)
        0 to `units` - 1; of two units or more.
    units : int
    """
    size = np.bincount(unit, minlength=units)
    count = int(np.count_nonzero(size))
    moved = np.bincount(unit, residual, units) / (1 - size / len(unit))
    return np.asarray(moved * np.sqrt((count - 1) / count))
