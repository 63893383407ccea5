"""The Brier score taken apart."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.calibrators.isotonic import rising
from medimg.evaluation.metrics import Floats
from medimg.evaluation.reliability.probability import Probability


def brier_parts(p: Probability) -> dict[str, float]:
    """Return the parts of the Brier score: reliability - resolution + uncertainty.

    Murphy's parts (J. Appl. Meteorol. 12 (1973) 595) without bins: reliability is what the best
    monotone recalibration of these cases (isotonic regression) would win, resolution what that
    is better than the prevalence alone. They sum to the score exactly, and none is negative
    (CORP; Dimitriadis, Gneiting and Jordan, PNAS 118 (2021) e2016191118).
    """
    recalibrated = ((isotonic(p) - p.hit) ** 2).mean()
    uncertainty = p.hit.mean() * (1 - p.hit.mean())
    return {
        "brier_reliability": float(((p.confidence - p.hit) ** 2).mean() - recalibrated),
        "brier_resolution": float(uncertainty - recalibrated),
        "brier_uncertainty": float(uncertainty),
    }


def isotonic(p: Probability) -> Floats:
    """Return the isotonic regression (n,) of what came true on the confidence.

    Cases of equal confidence get one value.
    """
    level = np.cumsum(np.append(True, np.diff(p.confidence) > 0)) - 1
    return np.asarray(rising(np.bincount(level, p.hit), np.bincount(level))[level])
