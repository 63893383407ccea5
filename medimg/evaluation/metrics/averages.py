"""AUROC and average precision over all classes: means, pooled, and pair by pair."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from medimg.evaluation.metrics.arithmetic import (
    Floats,
    case_weights,
    known_values,
    mean_defined,
)
from medimg.evaluation.metrics.ranks import (
    auroc,
    auroc_of,
    average_precision,
    average_precision_of,
    staircase,
)


def auroc_macro(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean one-vs-rest AUROC of the classes that have cases and other cases."""
    return float(mean_defined(auroc(probabilities, targets, weights)))


def average_precision_macro(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean one-vs-rest average precision."""
    return float(mean_defined(average_precision(probabilities, targets, weights)))


def auroc_weighted(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean one-vs-rest AUROC, each class weighing as many cases as have it."""
    each = auroc(probabilities, targets, weights)
    return float(mean_defined(each, _cases(targets, weights)))


def average_precision_weighted(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean average precision, each class weighing as many cases as have it."""
    each = average_precision(probabilities, targets, weights)
    return float(mean_defined(each, _cases(targets, weights)))


def auroc_micro(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the AUROC of all pairs of case and class, ranked together."""
    return auroc_of(*pooled(probabilities, targets, weights))


def average_precision_micro(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the average precision of all pairs of case and class, ranked together."""
    return average_precision_of(*pooled(probabilities, targets, weights))


def pooled(probabilities: Any, targets: Any, weights: Any = None) -> tuple[Floats, Floats]:
    """Return the staircase of all pairs of case and class, ranked together."""
    n, k = np.shape(targets)
    weight = np.repeat(case_weights(weights, n), k)
    return staircase(np.ravel(probabilities), np.ravel(targets), weight)


def auroc_ovo(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean AUROC of every pair of exclusive classes, one against the other.

    Each pair is ranked by the probability of the one, then of the other; pairs of which a class
    has no case are left out. Hand and Till, Mach. Learn. 45 (2001) 171.
    """
    p, t = np.asarray(probabilities), np.asarray(targets)
    weight = case_weights(weights, len(t))
    areas = np.full((t.shape[1], t.shape[1]), np.nan)
    for pair in combinations(range(t.shape[1]), 2):
        rows = np.flatnonzero((t[:, pair] == 1).any(axis=1))
        for i, j in (pair, pair[::-1]):
            areas[i, j] = auroc_of(*staircase(p[rows, i], t[rows, i], weight[rows]))
    return float(hand_till_of(areas))


def hand_till_of(areas: Floats) -> Floats:
    """Return the mean over pairs of areas (K, K, ...), row class against column class."""
    upper = np.triu_indices(len(areas), 1)
    both = (areas + areas.swapaxes(0, 1)) / 2
    return mean_defined(both[upper])


def _cases(targets: Any, weights: Any) -> Floats:
    truth = known_values(targets)[1]
    return np.asarray(case_weights(weights, len(truth)) @ truth, np.float64)
