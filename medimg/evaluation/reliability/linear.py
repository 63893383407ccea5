"""Intervals of what is, to first order, a sum over units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medimg.evaluation.metrics import Floats

_DIGITS = 1e-12


@dataclass(frozen=True)
class Spread:
    """A standard error, and the degrees of freedom that it is known with."""

    error: float
    freedom: float

    @classmethod
    def of(cls, changes: Floats) -> Spread:
        """Return the spread of a value of which each unit makes a change (U,).

        The jackknife's variance; the degrees of freedom after Satterthwaite (Biometrics Bull. 2
        (1946) 110), with the fourth powers in place of variances that nobody knows: U where
        all units weigh alike, few where few of them carry the value.
        """
        square = float((changes**2).sum())
        if square == 0:
            return cls(0.0, 0.0)
        n = len(changes)
        error = float(np.sqrt(square * (n - 1) / n))
        return cls(error, 3 * square**2 / float((changes**4).sum()))

    def half(self) -> float | None:
        """Return half the length of the 95% interval; None where nothing spreads."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 0.975)) * self.error if self.error > _DIGITS else None

    def p_value(self, distance: float) -> float | None:
        """Return the two-sided p-value of a value so far from its hypothesis."""
        from scipy.special import stdtr

        if self.error <= _DIGITS:
            return None
        return float(2 * stdtr(self.freedom, -abs(distance) / self.error))
