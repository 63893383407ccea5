"""Reliability tables and the calibration error of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics.arithmetic import (
    Floats,
    case_weights,
    known_values,
    mean_defined,
    ratio,
)

BINS = 15
"""Bins of a reliability table, as in Guo et al., ICML 2017."""


class Bins(NamedTuple):
    """A reliability table; every field float64 (15,), NaN for the means of an empty bin."""

    weight: Floats
    confidence: Floats
    frequency: Floats


def bin_of(confidence: Any) -> NDArray[np.int64]:
    """Return which of 15 equal-width bins of [0, 1] each confidence (N,) falls into.

    A bin holds its lower edge; the last one holds 1 as well.
    """
    edges = np.linspace(0, 1, BINS + 1)
    place = np.searchsorted(edges, np.asarray(confidence, np.float64), side="right") - 1
    return np.asarray(np.clip(place, 0, BINS - 1), np.int64)


def reliability(confidence: Any, hit: Any, weights: Any = None) -> Bins:
    """Return 15 equal-width bins of confidence (N,) in [0, 1] and what came of it (N,) in {0, 1}.

    The bins are those of `bin_of`. Unknown cases are left out.
    """
    known, truth = known_values(hit)
    weight = case_weights(weights, len(truth)) * known
    confidence = np.asarray(confidence, np.float64)
    place = bin_of(confidence)
    mass, sure, came = (
        np.asarray(np.bincount(place, weight * v, BINS), np.float64)
        for v in (np.ones_like(confidence), confidence, truth)
    )
    return Bins(mass, ratio(sure, mass), ratio(came, mass))


def ece_of(bins: Bins) -> float:
    """Return the expected calibration error of a reliability table (plug-in, L1).

    Naeini, Cooper and Hauskrecht, AAAI 2015.
    """
    total = bins.weight.sum()
    gap = np.nan_to_num(np.abs(bins.confidence - bins.frequency))
    return float((gap * bins.weight).sum() / total) if total > 0 else float("nan")


def top_label(probabilities: Any, targets: Any) -> tuple[Floats, Floats]:
    """Return the highest probability (N,) and whether its class was right (N,), NaN unknown."""
    p = np.asarray(probabilities, np.float64)
    chosen = p.argmax(axis=1)[:, None]
    hit = np.take_along_axis(np.asarray(targets, np.float64), chosen, axis=1)
    return p.max(axis=1), hit[:, 0]


def ece_top_label(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the ECE of the highest probability (Guo et al., ICML 2017)."""
    return ece_of(reliability(*top_label(probabilities, targets), weights))


def ece_positive(
    probabilities: Any, targets: Any, weights: Any = None, *, positive: int = 1
) -> float:
    """Return the ECE of the probability of one class, for two classes."""
    p, t = np.asarray(probabilities)[:, positive], np.asarray(targets)[:, positive]
    return ece_of(reliability(p, t, weights))


def label_ece(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over labels of the ECE of each label's probability."""
    pairs = zip(np.asarray(probabilities).T, np.asarray(targets).T, strict=True)
    each = np.asarray([ece_of(reliability(p, t, weights)) for p, t in pairs])
    return float(mean_defined(each))
