"""Intervals of means from the intervals of their parts.

The method of variance estimates recovery (Zou and Donner, Stat. Med. 27 (2008) 1693): how far an
end of a part's interval lies from its value stands for its standard error on that side. So a mean
of proportions keeps what Wilson's interval knows near 1, where a bootstrap sees no spread.
"""

from __future__ import annotations

import numpy as np

from medimg.evaluation.metrics import Floats

Ends = tuple[float, float]


LEAST_REACH = 1 / 3
"""What an end lies from the value at least, as a share of the interval's width.

A part at 1 would otherwise reach no further up, and means over many classes near 1 cover .91.
"""


def mean_ends(parts: Floats, weights: Floats, correlation: Floats) -> Ends:
    """Return the 95% interval of a weighted mean, within [0, 1].

    Parameters
    ----------
    parts : float64 (P, 3)
        Value, low and high end of each part.
    weights : float64 (P,)
        They sum to 1.
    correlation : float64 (P, P)
        Of the parts' errors.

    Raises
    ------
    ValueError
        A part has no interval.
    """
    if not np.isfinite(parts).all():
        raise ValueError("a part has no interval, and so has their mean")
    value, low, high = parts.T
    mean = float(weights @ value)
    least = LEAST_REACH * (high - low)
    reach = [weights * np.maximum(side, least) for side in (value - low, high - value)]
    down, up = (float(np.sqrt(max(r @ correlation @ r, 0.0))) for r in reach)
    return max(0.0, mean - down), min(1.0, mean + up)


def correlation_of(draws: Floats) -> Floats:
    """Return the correlation (P, P) of draws (P, R); of parts without spread it is 0."""
    known = draws[:, np.isfinite(draws).all(axis=0)]
    if known.shape[1] < 2:
        return np.eye(len(draws))
    centred = known - known.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    flat = length < 1e-9
    unit = np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
    found = unit @ unit.T
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
