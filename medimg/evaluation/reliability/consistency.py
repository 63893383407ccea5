"""Consistency resampling: outcomes as a perfectly calibrated model would meet them.

Broecker and Smith, Weather Forecast. 22 (2007) 651; Vaicenavicius et al., AISTATS 2019. The
probabilities stay, and the outcomes are drawn from them. U units, R draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import Floats
from medimg.evaluation.reliability.probability import Ints, Probability

DRAWS = 1000

_CELLS = 2**18
"""Outcomes drawn at once: 1 MiB of numbers, which a processor's cache holds."""
_WHOLE = 2**32
_ROUNDING = 1e-6
"""What sums in float32 may be off by."""


class Drawn(NamedTuple):
    """Draws of the outcomes of one probability: hits float64 (S, R), Brier scores (R,)."""

    hits: Floats
    brier: Floats


def draw_outcomes(
    probabilities: Sequence[Probability], cuts: Sequence[Ints], units: int, seed: int
) -> list[Drawn]:
    """Return what comes of 1,000 draws of the outcomes of each probability.

    Every unit draws one number, and a case comes true where it falls into the stretch of its
    class. Independent cases of exclusive classes thereby draw one class each. The images of one
    patient share the number: they come true together as often as their probabilities allow. So
    do the labels of a case. Where the truth is the patient's and the probabilities of the images
    differ, a perfectly calibrated model meets p < .05 in up to .10 of samples
    (docs/coverage_calibration.md); with independent images it would be .2 to .4.

    Parameters
    ----------
    probabilities : sequence of Probability
    cuts : sequence of int64 (S,)
        For each of them, the first case of each stretch of cases whose hits are counted together.
    units : int
        U.
    seed : int
    """
    rng = np.random.default_rng(seed)
    streams = [_Stream(p, first) for p, first in zip(probabilities, cuts, strict=True)]
    most = max((len(p.unit) for p in probabilities), default=1)
    step = max(1, min(DRAWS, _CELLS // most))
    for start in range(0, DRAWS, step):
        size = (units, min(step, DRAWS - start))
        drawn = rng.integers(0, _WHOLE, size=size, dtype=np.uint32)
        for stream in streams:
            stream.take(drawn)
    return [stream.drawn() for stream in streams]


class _Stream:
    """Gathers the draws of one probability, a few at a time."""

    def __init__(self, p: Probability, first: Ints) -> None:
        self.p, self.first = p, first
        self.low, self.width = _whole(p.start), _whole(p.confidence)
        # (p - y)**2 is p**2 + (1 - 2 p) y: only the second part is drawn.
        self.fixed = float((p.confidence**2).mean())
        self.change = ((1 - 2 * p.confidence) / len(p.confidence)).astype(np.float32)
        self.hits: list[NDArray[np.int32]] = []
        self.brier: list[NDArray[np.float32]] = []

    def take(self, drawn: NDArray[np.uint32]) -> None:
        shared = drawn.take(self.p.unit, axis=0)
        # Below 0 the difference wraps round, so that one comparison looks at both ends.
        shared -= self.low
        came = (shared < self.width).view(np.uint8)
        self.hits.append(np.add.reduceat(came, self.first, axis=0, dtype=np.int32))
        self.brier.append(self.change @ came.astype(np.float32))

    def drawn(self) -> Drawn:
        hits = np.concatenate(self.hits, axis=1).astype(np.float64)
        return Drawn(hits, self.fixed + np.concatenate(self.brier).astype(np.float64))


def _whole(share: Floats) -> NDArray[np.uint32]:
    """Return shares (n,) of [0, 1] as whole numbers (n, 1) of 2**-32."""
    return np.minimum(np.rint(share * _WHOLE), _WHOLE - 1).astype(np.uint32)[:, None]


def p_value(observed: float, draws: Floats) -> float:
    """Return the share of draws (R,) that reach the observed value, itself counted as one.

    Davison and Hinkley, Bootstrap Methods and their Application (1997), 4.2.
    """
    # Rounding must not make an equal value the smaller one.
    reached = np.count_nonzero(draws >= observed - _ROUNDING)
    return float((1 + reached) / (1 + len(draws)))


def two_sided(observed: float, draws: Floats) -> float:
    """Return twice the p-value of the nearer side, at most 1."""
    return min(1.0, 2 * min(p_value(observed, draws), p_value(-observed, -draws)))
