"""Fitting what mixes the log probabilities of three or more classes: vector and Dirichlet scaling.

N cases, K classes. What is fitted is a table (K, K + 1) of weights and, in its last column, the
bias; P of its numbers are free. The loss is convex in them and is solved by Newton's method: the
log probabilities of a sharp model are so alike that a gradient alone takes 1,000 steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from medimg.calibrator import log_probabilities
from medimg.evaluation.calibrators.newton import lowest
from medimg.evaluation.calibrators.temperature import smooth
from medimg.evaluation.metrics import Bools, Floats
from medimg.labels import LabelSpace

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""What a penalty is multiplied by; the folds say which one serves best."""


def fit_vector(
    logits: Floats, targets: Floats, space: LabelSpace, strength: float
) -> dict[str, Any]:
    """Return weight w (K,) and bias b (K,) of w_k log p_k + b_k.

    Guo et al., ICML 2017, on log probabilities, so that logits which differ by one number are
    calibrated alike. The mean square of the biases is penalised, and the targets are smoothed by
    one case in n + 2, so that a class without cases or errors keeps finite numbers.
    """
    k = space.k
    free = np.concatenate([np.eye(k), np.ones((k, 1))], axis=1) > 0
    table = _fit(logits, smooth(targets, space), free, strength)
    return {"weight": tuple(np.diag(table).tolist()), "bias": tuple(table[:, k].tolist())}


def fit_dirichlet(
    logits: Floats, targets: Floats, space: LabelSpace, strength: float
) -> dict[str, Any]:
    """Return weight W (K, K) and bias b (K,) of W log p + b.

    Dirichlet calibration with its off-diagonal and intercept regularisation (ODIR; Kull et al.,
    NeurIPS 2019): the mean squares of what stands off the diagonal and of the biases are
    penalised alike. The targets are smoothed as in `fit_vector`.
    """
    k = space.k
    table = _fit(logits, smooth(targets, space), np.ones((k, k + 1), bool), strength)
    return {"weight": tuple(map(tuple, table[:, :k].tolist())), "bias": tuple(table[:, k].tolist())}


def _fit(logits: Floats, targets: Floats, free: Bools, strength: float) -> Floats:
    """Return the table (K, K + 1) whose `free` numbers make the targets most likely."""
    n, k = logits.shape
    terms = np.concatenate([log_probabilities(logits), np.ones((n, 1))], axis=1)
    # Columns of one size, so that logits of any scale are fitted alike.
    size = np.sqrt((terms**2).mean(axis=0))
    terms = terms / size
    penalty = np.concatenate([(1 - np.eye(k)) / (k * (k - 1)), np.full((k, 1), 1 / k)], axis=1)
    penalty = 2 * strength * (penalty / size**2)[free]
    row, column = np.nonzero(free)

    def filled(values: Floats) -> Floats:
        table = np.zeros(free.shape)
        table[free] = values
        return table

    def loss(values: Floats) -> tuple[float, Floats]:
        log_p = log_probabilities(terms @ filled(values).T)
        slope = ((np.exp(log_p) - targets).T @ terms)[free] / n
        return float((penalty * values**2).sum() / 2 - (targets * log_p).sum() / n), (
            slope + penalty * values
        )

    def curvature(values: Floats) -> Floats:
        p = np.exp(log_probabilities(terms @ filled(values).T))
        weighted = p[:, row] * terms[:, column]
        own = (weighted.T @ terms[:, column]) * (row[:, None] == row)
        return np.asarray((own - weighted.T @ weighted) / n + np.diag(penalty))

    # From where no probability is 0 or 1, where the loss would have no curvature to follow.
    found = lowest(loss, curvature, np.eye(k, k + 1)[free])
    return np.asarray(filled(found) / size)
