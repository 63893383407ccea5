"""Metrics that are means over cases, and the terms (N,) that they are means of."""

from __future__ import annotations

from typing import Any

import numpy as np

from medimg.evaluation.metrics.arithmetic import Floats, known_values, mean_term, ratio
from medimg.evaluation.metrics.counts import over_half

TOP = (2, 3, 5)
"""The k of top-k accuracy, each where there are more classes."""


def brier_terms(probabilities: Any, targets: Any) -> Floats:
    """Return the squared error (N,) of each case, summed over exclusive classes; NaN if unknown.

    Halved for two classes, so that it is the usual (p - y)**2. Brier, Mon. Weather Rev. 78
    (1950) 1.
    """
    square = (np.asarray(probabilities, np.float64) - np.asarray(targets, np.float64)) ** 2
    total: Floats = square.sum(axis=1)
    return total / 2 if square.shape[1] == 2 else total


def label_brier_terms(probabilities: Any, targets: Any) -> Floats:
    """Return the squared error (N,) of each case, averaged over its known labels."""
    known, truth = known_values(targets)
    square = np.where(known, (np.asarray(probabilities, np.float64) - truth) ** 2, 0)
    return ratio(square.sum(axis=1), known.sum(axis=1).astype(np.float64))


def nll_terms(probabilities: Any, targets: Any) -> Floats:
    """Return -log p (N,) of the true class of each case; NaN where it is unknown.

    A probability under 1e-12 is taken as 1e-12. Logits give it without that bound:
    `medimg.calibrator.log_likelihood_terms`.
    """
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-12))
    return np.asarray(-(np.asarray(targets, np.float64) * logs).sum(axis=1))


def label_nll_terms(probabilities: Any, targets: Any) -> Floats:
    """Return the binary -log-likelihood (N,) of each case, averaged over its known labels."""
    known, truth = known_values(targets)
    p = np.asarray(probabilities, np.float64)
    logs = np.log(np.maximum(np.where(truth > 0, p, 1 - p), 1e-12))
    return ratio(-(logs * known).sum(axis=1), known.sum(axis=1).astype(np.float64))


def exact_terms(probabilities: Any, targets: Any) -> Floats:
    """Return 1 (N,) where all known labels of a case are decided right, else 0."""
    known, truth = known_values(targets)
    right = ((over_half(probabilities) == (truth > 0)) | ~known).all(axis=1)
    return np.where(known.any(axis=1), right, np.nan)


def top_k_terms(probabilities: Any, targets: Any, k: int) -> Floats:
    """Return 1 (N,) where the true class is among the `k` most probable, else 0; NaN if unknown.

    Of equal probabilities the first class comes first, as in `most_probable`. NaN throughout
    where there are no more than `k` classes: every case would be right.
    """
    p, t = np.asarray(probabilities, np.float64), np.asarray(targets, np.float64)
    known = ~np.isnan(t).any(axis=1)
    if k >= p.shape[1]:
        return np.full(len(p), np.nan)
    label = np.where(known, np.argmax(np.nan_to_num(t), axis=1), 0)[:, None]
    own = np.take_along_axis(p, label, axis=1)
    before = (p > own) | ((p == own) & (np.arange(p.shape[1]) < label))
    return np.where(known, before.sum(axis=1) < k, np.nan)


def exact_match(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the share of cases whose known labels are all decided right at .5."""
    return mean_term(exact_terms(probabilities, targets), weights)


def brier(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean Brier score, summed over exclusive classes and halved for two."""
    return mean_term(brier_terms(probabilities, targets), weights)


def label_brier(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over cases of the mean squared error of their known labels."""
    return mean_term(label_brier_terms(probabilities, targets), weights)


def nll(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean negative log-likelihood, in nats."""
    return mean_term(nll_terms(probabilities, targets), weights)


def label_nll(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over cases of the mean binary negative log-likelihood of known labels."""
    return mean_term(label_nll_terms(probabilities, targets), weights)


def top_k_accuracy(probabilities: Any, targets: Any, weights: Any = None, *, k: int) -> float:
    """Return the share of cases whose true class is among the `k` most probable."""
    return mean_term(top_k_terms(probabilities, targets, k), weights)
