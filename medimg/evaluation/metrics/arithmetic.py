"""Arithmetic with what is not defined, and the types that all metrics share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Decide = Callable[[Any], Bools]
"""Takes probabilities (N, K) and returns what is decided, bool (N, K)."""


class Metric(Protocol):
    """A function of probabilities (N, K), targets (N, K) and weights (N,)."""

    def __call__(self, probabilities: Any, targets: Any, weights: Any = None, /) -> float: ...


class ClassMetric(Protocol):
    """A metric of each class against the rest, float64 (K,)."""

    def __call__(self, probabilities: Any, targets: Any, weights: Any = None, /) -> Floats: ...


def ratio(numerator: Any, denominator: Any) -> Floats:
    """Return numerator / denominator, NaN where the denominator is 0."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    empty = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    return np.asarray(np.divide(top, bottom, out=empty, where=bottom != 0))


def mean_defined(values: Floats, weights: Any = None) -> Floats:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is left.

    `weights`, of the shape of `values`, none negative, weigh what is left.
    """
    defined = ~np.isnan(values)
    if weights is None:
        return ratio(np.nansum(values, axis=0), defined.sum(axis=0))
    weight = np.asarray(weights, np.float64) * defined
    return ratio((np.where(defined, values, 0) * weight).sum(axis=0), weight.sum(axis=0))


def mean_term(terms: Floats, weights: Any = None) -> float:
    """Return the weighted mean of terms (N,) that are not NaN."""
    known, filled = known_values(terms)
    weight = case_weights(weights, len(filled)) * known
    return float(ratio((weight * filled).sum(), weight.sum()))


def known_values(targets: Any) -> tuple[Bools, Floats]:
    """Return which targets are known, and the targets with 0 in place of NaN."""
    values = np.asarray(targets, np.float64)
    known = ~np.isnan(values)
    return known, np.where(known, values, 0.0)


def case_weights(weights: Any, n: int) -> Floats:
    """Return weights as float64 (N,), ones where there are none."""
    return np.ones(n) if weights is None else np.asarray(weights, np.float64)
