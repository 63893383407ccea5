"""The Brier score of one probability, with its interval."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.intervals.units import Units
from medimg.evaluation.reliability.linear import Spread
from medimg.evaluation.reliability.probability import Probability
from medimg.evaluation.results.estimate import Estimate

LEAST_UNITS = 50
"""Patients of equal size that an interval needs: of thirty, nearly all right, it holds .89."""
NO_ERROR = "no case is decided wrong: what such a case would add to the loss is not known"
NO_SPREAD = "all cases say the same: they cannot tell its spread"


def brier_score(p: Probability, units: Units) -> Estimate:
    """Return the Brier score of a probability with its 95% interval.

    Brier, Mon. Weather Rev. 78 (1950) 1. The jackknife by patient, with Student's t for those that
    carry the score (`Spread`). The interval is made on the logarithm: the score cannot be negative,
    and is skewed where it is small. Fewer than fifty patients, or ten of either outcome, or no case
    decided wrong: none.
    """
    terms = (p.confidence - p.hit) ** 2
    value, n = float(terms.mean()), len(terms)
    effective = int(units.effective(p.rows))
    few = p.too_few(units)
    if effective < LEAST_UNITS:
        few = few or f"fewer than {LEAST_UNITS} {units.kind}s ({effective}): a few can decide it"
    if ((p.confidence > 0.5) == (p.hit == 1)).all():
        few = few or NO_ERROR
    if few:
        return units.without(value, p.rows, few)
    size = p.by_unit(np.ones(n))
    half = Spread.of(p.by_unit(terms - value) / (n - size)).half()
    if half is None:
        return units.without(value, p.rows, NO_SPREAD)
    far = float(np.exp(half / value))
    return units.estimate(value, (value / far, min(1.0, value * far)), p.rows, "jackknife")
