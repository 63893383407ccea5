"""How far two sets of people lie apart in one value each, judged by permuting whole patients.

Two sets of N cases together; U units (patients or cases), R permutations, M levels of a value.
A distance is above 0 even between two draws of one population. So it gets no interval, but what
it would be on average if the sets were one population, and how often chance reaches it: the
units are dealt anew to the two sets, a patient with all cases, the number of units kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from medimg.evaluation.metrics import Bools, Floats, ratio

_CELLS = 2**19
_PSI_BINS = 10
_KS_LEVELS = 1000

Distance = Callable[[Floats], Floats]
"""Takes which units are here, float64 (U, R) in {0, 1}, and returns the distances (R,)."""


def permuted(
    distances: Mapping[str, Distance], here: Bools, *, permutations: int, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Return each distance, the mean of its size over permutations and its p-value.

    Parameters
    ----------
    distances : mapping of str to Distance
    here : bool (U,)
        Which units are of the first set.
    """
    observed = {
        name: float(of(here[:, None].astype(np.float64))[0]) for name, of in distances.items()
    }
    rng = np.random.default_rng(seed)
    step = max(1, min(permutations, _CELLS // len(here)))
    total, reached = dict.fromkeys(distances, 0.0), dict.fromkeys(distances, 0)
    for start in range(0, permutations, step):
        n = min(step, permutations - start)
        dealt = rng.permuted(np.tile(here, (n, 1)), axis=1).T.astype(np.float64)
        for name, of in distances.items():
            found = np.abs(of(dealt))
            total[name] += float(found.sum())
            reached[name] += int((found >= abs(observed[name]) - 1e-12).sum())
    return {
        name: (value, total[name] / permutations, (1 + reached[name]) / (1 + permutations))
        for name, value in observed.items()
    }


def kolmogorov_smirnov(values: Floats, unit: Any, n: int) -> Distance:
    """Return the largest difference of the two distribution functions of values (N,).

    Of more than a thousand distinct values the functions are compared at a thousand quantiles of
    both sets together, between which they rise by .002 at most where the sets are of one size.
    """
    levels = np.unique(values)
    if len(levels) > _KS_LEVELS:
        shares = np.arange(1, _KS_LEVELS + 1) / _KS_LEVELS
        levels = np.unique(np.quantile(values, shares, method="inverted_cdf"))
    level = np.searchsorted(levels, values, side="left")
    sums = _Sums(level, unit, n)

    def distance(here: Floats) -> Floats:
        one, two = sums(here)
        gap = np.cumsum(_shares(one), axis=0) - np.cumsum(_shares(two), axis=0)
        return np.asarray(np.abs(gap).max(axis=0))

    return distance


def stability_index(values: Floats, unit: Any, n: int) -> Distance:
    """Return the population stability index, the sum of (p - q) log(p / q) over ten bins.

    The bins hold equal shares of both sets together (so that dealing anew leaves them as they
    are), and half a case is added to each, because a bin may be empty. .1 and .25 are usually
    read as a moderate and a large shift; what chance makes of it stands beside. Yurdakul and
    Naranjo, J. Risk Model Valid. 14 (2020) 89.
    """
    shares = np.arange(1, _PSI_BINS) / _PSI_BINS
    edges = np.quantile(values, shares, method="inverted_cdf")
    _, level = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)
    sums = _Sums(level, unit, n)

    def distance(here: Floats) -> Floats:
        p, q = (_shares(side + 0.5) for side in sums(here))
        return np.asarray(((p - q) * np.log(p / q)).sum(axis=0))

    return distance


def total_variation(codes: Any, unit: Any, n: int) -> Distance:
    """Return half the sum of the differences of the shares of categories (N,), 0 to 1."""
    sums = _Sums(codes, unit, n)

    def distance(here: Floats) -> Floats:
        one, two = sums(here)
        return np.asarray(np.abs(_shares(one) - _shares(two)).sum(axis=0) / 2)

    return distance


def standardised_difference(values: Floats, unit: Any, n: int) -> Distance:
    """Return the difference of the means of values (N,) in standard deviations; NaN left out.

    The mean of the two variances is taken. Austin, Stat. Med. 28 (2009) 3083.
    """
    known = np.flatnonzero(~np.isnan(values))
    centred = values[known] - values[known].mean()
    powers = [np.bincount(unit[known], centred**power, n) for power in range(3)]
    table = np.stack(powers)

    def distance(here: Floats) -> Floats:
        sides = table @ here, table @ (1 - here)
        means = [ratio(s, count) for count, s, _ in sides]
        squares = [ratio(q, count) for count, _, q in sides]
        variance = (squares[0] - means[0] ** 2 + squares[1] - means[1] ** 2) / 2
        found = ratio(means[0] - means[1], np.sqrt(np.maximum(variance, 0)))
        return np.asarray(np.nan_to_num(found))

    return distance


class _Sums:
    """The cases of each level (M,) here and there, of which units are here (U, R)."""

    def __init__(self, level: Any, unit: Any, n: int) -> None:
        from scipy.sparse import csr_array

        self.table = csr_array((np.ones(len(level)), (level, unit)), shape=(max(level) + 1, n))
        self.total = np.asarray(self.table.sum(axis=1), np.float64)[:, None]

    def __call__(self, here: Floats) -> Sequence[Floats]:
        one = np.asarray(self.table @ here, np.float64)
        return one, self.total - one


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=0))
