"""The bootstrap by patient, and the intervals made of its draws.

U units (patients, or cases where no patient is known), R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from medimg.evaluation.metrics import Bools, Floats

_CELLS = 2**19
"""Numbers of one table held at once: 4 MiB, which a processor's cache holds; four times more is
half as fast."""


class Scale(NamedTuple):
    """A scale on which a metric's errors are closer to normal, and its ends.

    `to` and `back` go to the scale and back; `slope` is the derivative of `to`.
    """

    ends: tuple[float, float]
    to: Callable[[float], float]
    back: Callable[[float], float]
    slope: Callable[[float], float]


LOGIT = Scale(
    (0.0, 1.0),
    lambda v: float(np.log(v / (1 - v))),
    lambda x: float(1 / (1 + np.exp(-x))),
    lambda v: 1 / (v * (1 - v)),
)
FISHER = Scale(
    (-1.0, 1.0),
    lambda v: float(np.arctanh(v)),
    lambda x: float(np.tanh(x)),
    lambda v: 1 / (1 - v * v),
)
LOG = Scale(
    (0.0, float("inf")),
    lambda v: float(np.log(v)),
    lambda x: float(np.exp(x)),
    lambda v: 1 / v,
)


def spread_interval(
    value: float, draws: Floats, scale: Scale, units: int
) -> tuple[float, float] | None:
    """Return the 95% interval of a value from the standard deviation of its draws (R,).

    The value plus and minus so many standard deviations, on a scale on which it cannot leave its
    range; so many as Student's t has with one degree of freedom less than there are `units` in the
    smallest class, because as few decide. It covers where the percentiles of the draws do not
    (`docs/coverage.md`). None where the draws do not spread or the value is at its very end: the
    bootstrap then knows no spread, and an interval of no width would be a false claim.
    """
    from scipy.special import stdtrit

    known = draws[np.isfinite(draws)]
    inside = scale.ends[0] + 1e-12 < value < scale.ends[1] - 1e-12
    if not inside or len(known) < 2 or (spread := float(known.std())) < 1e-12:
        return None
    reach = float(stdtrit(units - 1, 0.975)) * spread * scale.slope(value)
    centre = scale.to(value)
    return scale.back(centre - reach), scale.back(centre + reach)


def draw_weights(rng: np.random.Generator, units: int, resamples: int) -> Floats:
    """Return how often each unit is drawn, float64 (U, R): U draws with replacement a column.

    One column is drawn after the other, so that those of several calls are those of a single one.
    """
    drawn = rng.integers(0, units, size=(resamples, units), dtype=np.int32).astype(np.int64)
    drawn *= resamples
    drawn += np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=units * resamples)
    return counts.reshape(units, resamples).astype(np.float64)


def bootstrap(
    statistic: Callable[[Floats], Mapping[str, Floats]],
    units: int,
    *,
    resamples: int,
    seed: int,
    lacking: Callable[[Floats], Bools] | None = None,
    rows: int = 0,
) -> tuple[dict[str, Floats], int]:
    """Return a statistic of many resamples of the units, and how many had to be redrawn.

    `resamples`, `units` and `seed` decide what is drawn, however much of it is held at once.

    Parameters
    ----------
    statistic : callable
        Takes the weights of the units, float64 (U, r), and returns arrays (..., r).
    units : int
        What is drawn with replacement: people, not images (Efron and Tibshirani, 1993).
    resamples, seed : int
    lacking : callable, optional
        Takes the weights and returns a mask (r,) of the resamples that lack a class: these are
        drawn again.
    rows : int
        Of the largest table (rows, r) that the statistic makes, where there are more than units.

    Returns
    -------
    draws : dict of arrays (..., R)
    redrawn : int
        Beside the interval: it is conditional on each class being there.
    """
    rng, again = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    step = max(1, min(resamples, _CELLS // max(units, rows)))
    parts, redrawn = [], 0
    for start in range(0, resamples, step):
        weights = draw_weights(rng, units, min(step, resamples - start))
        if lacking is not None:
            redrawn += _redraw(again, weights, lacking)
        parts.append(statistic(weights))
    return {name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]}, redrawn


def _redraw(rng: np.random.Generator, weights: Floats, lacking: Callable[[Floats], Bools]) -> int:
    redrawn = 0
    for column in np.flatnonzero(lacking(weights)):
        one = weights[:, [column]]
        while lacking(one)[0]:
            one = draw_weights(rng, len(weights), 1)
            redrawn += 1
        weights[:, [column]] = one
    return redrawn
