"""Differences of two estimates, and of several groups with intervals that hold together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medimg.evaluation.intervals.proportions import Z
from medimg.evaluation.metrics import Floats
from medimg.evaluation.results.estimate import Estimate


@dataclass(frozen=True)
class Difference:
    """A difference, and how far its 95% interval reaches below and above it.

    Each end of the interval of a difference is made of the ends of the two intervals that it
    comes from (MOVER), and so takes over what they know of skewness and of the bounds of a
    proportion. Of two proportions with Wilson's intervals it is Newcombe's method 10 (Stat. Med.
    17 (1998) 873); of any two, Zou and Donner, Stat. Med. 27 (2008) 1693; of correlated ones,
    Zou, Psychol. Methods 12 (2007) 399.
    """

    value: float
    below: float
    above: float

    @classmethod
    def of(cls, one: Estimate, two: Estimate, correlation: float = 0.0) -> Difference | None:
        """Return `one` less `two`; None where one of them has no interval."""
        ends = (one.value, one.low, one.high, two.value, two.low, two.high)
        if any(end is None for end in ends):
            return None
        value, low, high, other, other_low, other_high = np.asarray(ends, np.float64)
        below = _together(value - low, other_high - other, correlation)
        above = _together(high - value, other - other_low, correlation)
        return cls(float(value - other), below, above)


def unpaired(one: Estimate, two: Estimate, names: tuple[str, str]) -> Estimate:
    """Return `one` less `two`, estimates of different people; `names` say of which."""
    value = None if one.value is None or two.value is None else one.value - two.value
    found = Difference.of(one, two)
    lacking = [f"{name}: {e.reason}" for name, e in zip(names, (one, two), strict=True) if e.reason]
    if one.reason == two.reason:
        lacking = [one.reason or ""]
    people = None
    if one.n_patients is not None and two.n_patients is not None:
        people = one.n_patients + two.n_patients
    return Estimate(
        value=value,
        low=None if found is None else found.value - found.below,
        high=None if found is None else found.value + found.above,
        n=one.n + two.n,
        n_patients=people,
        method="none" if found is None else "mover",
        unit="case" if people is None else "patient",
        reason="; ".join(lacking) or None,
    )


def simultaneous(
    differences: Sequence[Difference], draws: Floats
) -> list[tuple[float, float, float]] | None:
    """Return low, high and adjusted p of G differences; None where nothing spreads.

    Single-step max-|t|: in each common resample the largest of the G standardised deviations is
    taken; its 95% point takes the place of 1.96, so that all G intervals hold together in 95% of
    samples, and the p-values control the chance of any false alarm among the G. What the
    differences share (the others of one group hold the other groups) is in the resamples.
    Westfall and Young, Resampling-Based Multiple Testing, 1993; Mandel and Betensky, Comput.
    Stat. Data Anal. 52 (2008) 2158.

    Parameters
    ----------
    differences : sequence of Difference (G,)
    draws : float64 (G, R)
        The same in R common resamples; NaN where one is not defined there.
    """
    largest = _largest_deviations(draws)
    if largest is None:
        return None
    # The deviation that p-values below .05 begin past, so that they and the intervals agree.
    reached = max(0, math.ceil(0.05 * (1 + len(largest))) - 2)
    wider = max(1.0, float(largest[-1 - reached]) / Z)
    return [
        (d.value - wider * d.below, d.value + wider * d.above, _adjusted_p(d, largest))
        for d in differences
    ]


def _largest_deviations(draws: Floats) -> Floats | None:
    """Return the largest standardised deviation of each resample that has any, sorted."""
    draws = draws[np.isfinite(draws).sum(axis=1) > 1]
    error = np.nanstd(draws, axis=1, ddof=1) if len(draws) else np.empty(0)
    draws, error = draws[error > 1e-12], error[error > 1e-12]
    draws = draws[:, np.isfinite(draws).any(axis=0)]
    if not draws.size:
        return None
    centred = draws - np.nanmean(draws, axis=1, keepdims=True)
    return np.sort(np.nanmax(np.abs(centred) / error[:, None], axis=0))


def _adjusted_p(difference: Difference, largest: Floats) -> float:
    """Return the share of sorted largest deviations (R,) that reach a difference's distance from 0.

    The distance is counted in standard errors of that side of the interval which faces 0, so
    that interval and p-value say the same; nor is the p-value below that of the normal
    distribution, as no interval is narrower than that of one difference alone. The sample itself
    counts among the resamples, and so no p-value is 0.
    """
    from scipy.special import ndtr

    side = difference.below if difference.value > 0 else difference.above
    if difference.value == 0 or side == 0:
        return 1.0
    distance = abs(difference.value) / side * Z
    reached = len(largest) - np.searchsorted(largest, distance)
    return max(float((1 + reached) / (1 + len(largest))), float(2 * ndtr(-distance)))


def _together(one: float, two: float, correlation: float) -> float:
    square = one * one + two * two - 2 * correlation * one * two
    return float(np.sqrt(max(square, 0.0)))
