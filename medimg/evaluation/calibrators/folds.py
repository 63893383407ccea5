"""Folds of labelled cases for cross-validation: by patient, stratified where that is possible."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import Floats


def stratified_folds(
    targets: Floats, units: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold (N,), 0 to `folds` - 1, of cases with targets (N, K).

    Parameters
    ----------
    targets : floating (N, K)
        NaN is unknown.
    units : int64 (N,)
        What may not be parted: patients, numbered from 0. Each counts as one of the rarest class
        that any of its cases has, and the units of a class are dealt out in turn.
    folds, seed : int
    """
    positive = targets == 1
    rank = np.empty(targets.shape[1], np.int64)
    rank[np.argsort(positive.sum(axis=0), kind="stable")] = np.arange(targets.shape[1])
    rarest = np.where(positive, rank, len(rank)).min(axis=1)
    kind = np.full(units.max() + 1, len(rank))
    np.minimum.at(kind, units, rarest)
    order = np.random.default_rng(seed).permutation(len(kind))
    order = order[np.argsort(kind[order], kind="stable")]
    fold: NDArray[Any] = np.empty(len(kind), np.int64)
    fold[order] = np.arange(len(kind)) % folds
    return np.asarray(fold[units])
