"""Fitting a temperature: the one number that divides all logits (Guo et al., ICML 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np

from medimg.calibrator import log_likelihood_terms
from medimg.evaluation.metrics import Floats
from medimg.labels import LabelSpace

BOUNDS = (0.05, 20.0)
"""Of a temperature and of every slope: reached where the scores are all but perfect, or say nothing."""


def fit_temperature(
    logits: Floats, targets: Floats, space: LabelSpace, strength: float = 0
) -> dict[str, Any]:
    """Return the temperature that makes known targets (N, K) of logits (N, K) most likely.

    It stays 1 where no other one is better. Where every case is classified right, the most likely
    temperature is 0, and one later error would cost without bound: then the targets are smoothed
    by one case in n + 2 (Platt, Adv. Large Margin Classifiers, 1999).
    """
    from scipy.optimize import minimize_scalar

    if _all_right(logits, targets, space):
        targets = smooth(targets, space)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(log_likelihood_terms(scaled, targets, space).mean())

    # In 1 / T the loss is convex, so that in log T there is one valley.
    found = minimize_scalar(
        loss, bounds=tuple(np.log(BOUNDS)), method="bounded", options={"xatol": 1e-7}
    )
    return {"temperature": float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0}


def _all_right(logits: Floats, targets: Floats, space: LabelSpace) -> bool:
    if space.exclusive:
        return bool((logits.argmax(axis=1) == targets.argmax(axis=1)).all())
    return bool(((logits > 0) == (targets == 1))[~np.isnan(targets)].all())


def smooth(targets: Floats, space: LabelSpace) -> Floats:
    """Return targets (N, K) in which one case, or label, in n + 2 is taken to be wrong."""
    n = len(targets) if space.exclusive else np.count_nonzero(~np.isnan(targets))
    doubt = 1 / (n + 2)
    others = space.k - 1 if space.exclusive else 1
    return targets * (1 - doubt) + (1 - targets) * doubt / others
