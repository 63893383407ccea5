"""Bins of a probability, and the plug-in calibration errors that follow from them.

n cases from the least to the most confident, B bins that hold any, R draws of outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medimg.evaluation.metrics import BINS, Floats
from medimg.evaluation.reliability.probability import Ints, Probability

EDGES = np.linspace(0, 1, BINS + 1)


@dataclass(frozen=True, eq=False)
class Binning:
    """Neighbouring cases put into bins.

    Parameters
    ----------
    place : int64 (B,)
        Which of the 15 bins each is; those without cases are left out.
    first : int64 (B,)
        The first case of each bin.
    size, sure : float64 (B,)
        The cases of each bin, and the sum of their confidence.
    """

    place: Ints
    first: Ints
    size: Floats
    sure: Floats

    @classmethod
    def equal_width(cls, p: Probability) -> Binning:
        """Return 15 bins of equal width; a bin holds its lower edge, the last one 1 as well."""
        return cls._of_starts(p, np.searchsorted(p.confidence, EDGES[:-1], side="left"))

    @classmethod
    def equal_mass(cls, p: Probability) -> Binning:
        """Return 15 bins of as many cases each as ties allow: equal confidence stays together.

        A group of equal cases goes where its middle falls.
        """
        last = np.searchsorted(p.confidence, p.confidence, side="right")
        first = np.searchsorted(p.confidence, p.confidence, side="left")
        place = (first + last) * BINS // (2 * len(p.confidence))
        return cls._of_starts(p, np.searchsorted(place, np.arange(BINS), side="left"))

    @classmethod
    def _of_starts(cls, p: Probability, starts: Any) -> Binning:
        size = np.diff(np.append(starts, len(p.confidence)))
        place = np.flatnonzero(size)
        first = starts[place]
        sure = np.add.reduceat(p.confidence, first)
        return cls(place, first, size[place].astype(np.float64), sure)

    def case(self) -> Ints:
        """Return the bin of each case (n,), counted over those that hold any."""
        return np.repeat(np.arange(len(self.place)), self.size.astype(np.int64))

    def gaps(self, hits: Floats) -> Floats:
        """Return the sum of confidence less hits (B, R) in each bin, as an absolute value."""
        return np.abs(self.sure[:, None] - hits)


@dataclass(frozen=True, eq=False)
class PlugIn:
    """The plug-in calibration errors of one probability, of its own outcomes or of drawn ones.

    Hits are counted in stretches of cases of which the bins of both binnings are made, (S, R).
    """

    wide: Binning
    even: Binning

    @classmethod
    def of(cls, p: Probability) -> PlugIn:
        """Return both binnings of a probability that has cases."""
        return cls(Binning.equal_width(p), Binning.equal_mass(p))

    @property
    def cuts(self) -> Ints:
        """The first case of each stretch, int64 (S,)."""
        return np.union1d(self.wide.first, self.even.first)

    def hits(self, binning: Binning, counted: Floats) -> Floats:
        """Return the hits (B, R) of bins of those counted in stretches (S, R)."""
        first = np.searchsorted(self.cuts, binning.first)
        return np.asarray(np.add.reduceat(counted, first, axis=0), np.float64)

    def errors(self, counted: Floats) -> dict[str, Floats]:
        """Return the errors (R,) of hits counted in stretches (S, R).

        The expected calibration error is the mean gap between confidence and frequency,
        weighted by cases (Naeini, Cooper and Hauskrecht, AAAI 2015); the maximum calibration
        error the largest gap of any bin.
        """
        wide = self.wide.gaps(self.hits(self.wide, counted))
        even = self.even.gaps(self.hits(self.even, counted))
        n = self.wide.size.sum()
        return {
            "ece": wide.sum(axis=0) / n,
            "ece_equal_mass": even.sum(axis=0) / n,
            "mce": (wide / self.wide.size[:, None]).max(axis=0),
        }
