"""The AUROC's variance by DeLong and Obuchowski, and the interval made of it.

M models, N cases, U units (patients, or cases where no patient is known). The placement of a case
with the class is the share of the others that it scores above; of another case the share of those
with the class that score above it; a tie counts half. The AUROC is the mean of either, and its
variance the jackknife's of those two means: DeLong's of independent cases, Obuchowski's of patients
with equally many cases each. With different numbers it stays honest where Obuchowski's does not:
a patient with many cases draws the mean to himself, and his deviation from it vanishes. Placements
are differences of ranks (Sun and Xu, IEEE Signal Process. Lett. 21 (2014) 1389), so that a
variance costs a sort.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from medimg.evaluation.intervals.proportions import Z, jackknife
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.results.estimate import Estimate

PRIOR_UNITS = 5
"""Patients of each class that the model variance counts for beside the patients at hand.

Chosen in `scripts/simulate_coverage.py`: with none the interval covers .90 where ten to sixteen
patients have the class, with ten or more it is wider than it need be.
"""


class Parts(NamedTuple):
    """The AUROC of M models and the three parts of its covariance, by Obuchowski.

    `areas` (M,); `true`, `false` and `both` (M, M): of the cases with the class, of those without,
    and between the two within a patient; `n_true` and `n_false` patients of equal size would
    weigh as those that have such cases (`Units.effective`).
    """

    areas: Floats
    true: Floats
    false: Floats
    both: Floats
    n_true: float
    n_false: float

    @property
    def covariance(self) -> Floats:
        """The covariance of the areas (M, M)."""
        return self.true + self.false + self.both


def auroc_covariance(scores: Any, target: Any, units: Units) -> tuple[Floats, Floats]:
    """Return the AUROCs (M,) of M models on the same cases and their covariance (M, M).

    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837, of independent cases; Obuchowski,
    Biometrics 53 (1997) 567, of cases that share a patient, by the jackknife in each class. NaN
    where a class has fewer than two patients (the areas: no case).

    Parameters
    ----------
    scores : array (M, N)
        Higher for the class.
    target : array (N,)
        1 with the class, 0 without it, NaN unknown (left out).
    units : Units
    """
    parts = parts_of(scores, target, units)
    return parts.areas, parts.covariance


def auroc_interval(score: Any, target: Any, units: Units) -> Estimate:
    """Return the AUROC of a score (N,) with its 95% interval.

    The interval holds every AUROC t that the one at hand does not lie 1.96 standard errors from,
    the standard error being that at t (a score interval, as Wilson's is of a proportion; Newcombe,
    Stat. Med. 25 (2006) 559). How the variance falls as t nears 1 is taken from the binormal model
    of equal variances; its size is that of DeLong, or with several cases a patient Obuchowski,
    steadied by five patients of each class of that model. So it needs no special case at an AUROC
    of 1, and stays within 0 and 1. Fewer than ten patients in either class, or that tell less than
    ten of equal size would, give none; nor does one score for all cases, which has no spread.
    """
    truth, scores = np.asarray(target, np.float64), np.asarray(score)
    rows = ~np.isnan(truth)
    rarer, words = min(
        ((truth == 1, "with the class"), (truth == 0, "without the class")),
        key=lambda group: units.effective(group[0]),
    )
    if not rarer.any():
        return units.without(None, rows, f"no case {words}")
    parts = parts_of(scores[None], truth, units)
    area = float(parts.areas[0])
    few = units.too_few(words, rarer)
    if few is None and scores[rows].min() == scores[rows].max():
        few = "no spread: all cases have one score"
    if few:
        return units.without(area, rows, few)
    method = "delong" if units.count(rows) == rows.sum() else "obuchowski"
    return units.estimate(area, _ends(area, _steadied(parts)), rows, method)


def parts_of(scores: Any, target: Any, units: Units) -> Parts:
    """Return the AUROCs of scores (M, N) and the parts of their covariance."""
    truth, score = np.asarray(target, np.float64), np.asarray(scores)
    true, false = truth == 1, truth == 0
    m, n = int(true.sum()), int(false.sum())
    if not (m and n):
        empty = np.full((len(score), len(score)), np.nan)
        return Parts(empty[:, 0], empty, empty, empty, 0.0, 0.0)
    wins = [_doubled_wins(row[true], row[false]) for row in score]
    areas = np.asarray([int(won.sum()) / (2 * m * n) for won, _ in wins])
    spread_true = _spread([won / (2 * n) for won, _ in wins], areas, true, units)
    spread_false = _spread([won / (2 * m) for _, won in wins], areas, false, units)
    across = spread_true @ spread_false.T / (m * n)
    return Parts(
        areas,
        spread_true @ spread_true.T / m**2,
        spread_false @ spread_false.T / n**2,
        across + across.T,
        units.effective(true),
        units.effective(false),
    )


def _doubled_wins(true: Any, false: Any) -> tuple[Any, Any]:
    """Return twice how many others each case is ahead of, int64; whole, so that sums are exact."""
    up, down = np.sort(true), np.sort(false)
    below = np.searchsorted(down, true, "left") + np.searchsorted(down, true, "right")
    under = np.searchsorted(up, false, "left") + np.searchsorted(up, false, "right")
    return below, 2 * len(true) - under


def _spread(placements: list[Floats], areas: Floats, rows: Bools, units: Units) -> Floats:
    """Return each unit's sum of placements less the AUROC, as `jackknife` counts it, (M, U)."""
    if units.count(rows) < 2:
        return np.full((len(areas), units.n), np.nan)
    unit = units.of_case[rows]
    pairs = zip(placements, areas, strict=True)
    return np.stack([jackknife(p - area, unit, units.n) for p, area in pairs])


def _steadied(parts: Parts) -> float:
    """Return the variance as a multiple of the binormal model's placement variance.

    Each class's multiple is averaged with that of the model, 1 a patient, which counts for
    `PRIOR_UNITS` patients. (All cases of one patient are then taken as alike.)
    """
    model = _binormal(float(parts.areas[0]))
    share, total = [], 0.0
    for n, part in ((parts.n_true, parts.true), (parts.n_false, parts.false)):
        share.append((n - 1) / (n - 1 + PRIOR_UNITS))
        # At 0 and 1 there is no spread to measure: the model alone.
        ratio = float(part[0, 0]) * n / model if model > 0 else 1.0
        total += (share[-1] * ratio + 1 - share[-1]) / n
    if model > 0:
        total += float(np.sqrt(share[0] * share[1]) * parts.both[0, 0]) / model
    return total


def _binormal(area: float) -> float:
    """Return the variance of a placement where both classes are normal with one variance."""
    from scipy.special import ndtri, owens_t

    spread = area * (1 - area) - 2 * float(owens_t(ndtri(area), 3**-0.5))
    return spread if 0 < area < 1 else 0.0


def _ends(area: float, size: float) -> tuple[float, float]:
    def apart(t: float) -> bool:
        return (area - t) ** 2 > Z * Z * size * _binormal(t)

    def end(far: float) -> float:
        if far == area:
            return far
        near = area
        for _ in range(50):
            middle = (near + far) / 2
            near, far = (near, middle) if apart(middle) else (middle, far)
        return (near + far) / 2

    return end(0.0), end(1.0)
