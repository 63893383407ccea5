"""AUROC and average precision over all classes: means, pooled, and pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np

from medimg.evaluation.metrics.arithmetic import (
    Floats,
    case_weights,
    known_values,
    mean_defined,
    ratio,
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
    p, truth = np.asarray(probabilities), np.asarray(targets) == 1
    weight, label = case_weights(weights, len(truth)), truth.argmax(axis=1)
    known, k = truth.any(axis=1), truth.shape[1]
    cases = np.bincount(label[known], weight[known], k)
    areas = np.full((k, k), np.nan)
    for c in range(k):
        own, others = np.flatnonzero(known & truth[:, c]), np.flatnonzero(known & ~truth[:, c])
        above = _won_by(p[own, c], weight[own], p[others, c])
        won = np.bincount(label[others], weight[others] * above, k)
        areas[c] = ratio(won, cases * cases[c])
        areas[c, c] = np.nan
    return float(hand_till_of(areas))


def hand_till_of(areas: Floats) -> Floats:
    """Return the mean over pairs of areas (K, K, ...), row class against column class."""
    upper = np.triu_indices(len(areas), 1)
    both = (areas + areas.swapaxes(0, 1)) / 2
    return mean_defined(both[upper])


def _won_by(own: Floats, weight: Floats, others: Floats) -> Floats:
    """Return the weight of the cases of a class that score above each other one, ties half."""
    order = np.argsort(own)
    below = np.append(0.0, np.cumsum(weight[order]))
    places = (np.searchsorted(own[order], others, side=side) for side in ("left", "right"))
    lower, level = (below[place] for place in places)
    return np.asarray(below[-1] - (lower + level) / 2)


def _cases(targets: Any, weights: Any) -> Floats:
    truth = known_values(targets)[1]
    return np.asarray(case_weights(weights, len(truth)) @ truth, np.float64)
