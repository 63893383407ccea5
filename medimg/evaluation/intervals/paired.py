"""Paired tests and intervals of two models on the same cases.

N cases, U units (patients, or cases). b counts the cases that the model alone decides right, c
those that the reference alone does.
"""

from __future__ import annotations

import numpy as np

from medimg.evaluation.intervals.proportions import Z
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats


def mcnemar(right: Bools, reference: Bools, rows: Bools, units: Units) -> float:
    """Return the p-value that two models decide equally many cases right.

    Independent cases: the exact conditional test with the mid-p correction (Fagerland,
    Lydersen and Laake, BMC Med. Res. Methodol. 13 (2013) 91). Clusters: the score test with the
    differences summed by patient (Yang, Sun and Hardin, Biom. J. 52 (2010) 638).

    Parameters
    ----------
    right, reference : bool (N,)
        What each model decides right.
    rows : bool (N,)
        The cases to compare.
    """
    from scipy.special import bdtr, chdtrc

    difference = _by_unit(right, reference, rows, units)
    discordant = int((right != reference)[rows].sum())
    if discordant == 0:
        return 1.0
    if units.independent:
        b = int((right & ~reference & rows).sum())
        fewer = min(b, discordant - b)
        # The mid-p tail: half of what is as extreme as the sample counts.
        tails = bdtr(fewer, discordant, 0.5) + (bdtr(fewer - 1, discordant, 0.5) if fewer else 0.0)
        return float(min(1.0, tails))
    square = float((difference**2).sum())
    return float(chdtrc(1, difference.sum() ** 2 / square)) if square > 0 else 1.0


def paired_difference(
    right: Bools, reference: Bools, rows: Bools, units: Units
) -> tuple[float, float]:
    """Return the 95% interval of the difference of two proportions of the same cases.

    Wald's with one case added to each discordant cell (Bonett and Price, J. Educ. Behav. Stat.
    37 (2012) 479), the variance by patient where patients have several cases.
    """
    n = int(rows.sum())
    each = _by_unit(right, reference, rows, units)
    size = np.bincount(units.of_case[rows], minlength=units.n).astype(np.float64)
    centre = float(each.sum()) / (n + 2)
    square = float(((each - size * centre) ** 2).sum()) + 2 * (1 + centre**2)
    half = _quantile(units, rows) * np.sqrt(square) / (n + 2)
    return max(-1.0, centre - half), min(1.0, centre + half)


def _quantile(units: Units, rows: Bools) -> float:
    """Return what the standard error is multiplied by; of clusters Student's t, by their number."""
    if units.independent:
        return Z
    from scipy.special import stdtrit

    clusters = max(units.count(rows), 2)
    return float(stdtrit(clusters - 1, 0.975) * np.sqrt(clusters / (clusters - 1)))


def _by_unit(right: Bools, reference: Bools, rows: Bools, units: Units) -> Floats:
    difference = (right.astype(np.float64) - reference) * rows
    return np.asarray(np.bincount(units.of_case, difference, minlength=units.n), np.float64)
