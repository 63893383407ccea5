"""The metrics that are shares of cases: which cases count, and which of them are hits."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.metrics import Bools
from medimg.evaluation.sample import Figures, Sample

LOSSES = ("brier", "nll", "grade_error")
"""Means over cases that are no shares."""


def shares_of_class(sample: Sample, k: int) -> dict[str, tuple[Bools, Bools]]:
    """Return the denominator and the hits, masks (N,), of each share of class `k`."""
    target, decided = sample.targets[:, k], sample.decisions[:, k]
    known, true, false = ~np.isnan(target), target == 1, target == 0
    return {
        "recall": (true, decided),
        "specificity": (false, ~decided),
        "precision": (known & decided, true),
        "npv": (known & ~decided, false),
        "prevalence": (known, true),
    }


def shares_of_all(sample: Sample) -> Figures:
    """Return what each share over all classes is the mean of, NaN where it is not counted.

    (N,), or (N, K) where it is a share of all labels.
    """
    t, decided = sample.targets, sample.decisions
    often = np.nansum(t, axis=0)
    if sample.space.exclusive:
        right = (decided == (t == 1)).all(axis=1).astype(np.float64)
        commonest = t[:, int(often.argmax())]
    else:
        right = np.where(np.isnan(t), np.nan, decided == (t == 1))
        commonest = np.where(2 * often >= (~np.isnan(t)).sum(axis=0), t, 1 - t)
    terms = {name: values for name, values in sample.terms.items() if name not in LOSSES}
    return {"accuracy": right, "no_information_rate": commonest, **terms}
