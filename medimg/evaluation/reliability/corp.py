"""The Brier score taken apart."""

from __future__ import annotations

import numpy as np

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

    Pools adjacent violators (Ayer et al., Ann. Math. Stat. 26 (1955) 641), all of them at once:
    neighbours of which the lower has the higher mean share one value in the end. Cases of equal
    confidence get one value.
    """
    new = np.append(True, np.diff(p.confidence) > 0)
    block = np.cumsum(new) - 1
    while True:
        mean = np.bincount(block, p.hit) / np.bincount(block)
        rises = np.append(True, np.diff(mean) >= 0)
        if rises.all():
            return np.asarray(mean[block])
        block = (np.cumsum(rises) - 1)[block]
