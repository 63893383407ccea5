"""`Check`: everything that is worked out of one probability, as estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import BINS, Bools, Floats
from medimg.evaluation.reliability import slope as recalibration
from medimg.evaluation.reliability.binning import EDGES, PlugIn
from medimg.evaluation.reliability.brier import NO_SPREAD, brier_score
from medimg.evaluation.reliability.consistency import Drawn, p_value, two_sided
from medimg.evaluation.reliability.corp import brier_parts
from medimg.evaluation.reliability.debiased import debiased_ece
from medimg.evaluation.reliability.linear import Spread
from medimg.evaluation.reliability.probability import Probability
from medimg.evaluation.reliability.smooth import smooth_ece
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import CalibrationCheck, ReliabilityBin

DEBIASED_FROM = 0.03
DEBIASED_CASES = 10_000
DEBIASED_UNITS = 2_000
"""From which error, and how many cases and units, the interval of the debiased ECE covers."""

ABOVE = "above 0 even for a perfect model: no interval of it is honest"
SHARED = "a patient's cases are drawn together, so that p is approximate: .05 may stand for .10"

Fit = Callable[[Probability, Floats], "tuple[float, Spread] | None"]


@dataclass(frozen=True, eq=False)
class Check:
    """One probability that has cases, with the draws that it is held against.

    Parameters
    ----------
    p : Probability
    units : Units
    plug_in : PlugIn
    drawn : Drawn
        Outcomes as a perfectly calibrated model would have them, of `draw_outcomes`.
    """

    p: Probability
    units: Units
    plug_in: PlugIn
    drawn: Drawn

    @cached_property
    def errors(self) -> dict[str, Floats]:
        """The plug-in errors (R,) of the draws."""
        return self.plug_in.errors(self.drawn.hits)

    def record(self) -> CalibrationCheck:
        """Return the estimates and the reliability table."""
        smooth = self._bare(smooth_ece(self.p), f"SmoothECE is {ABOVE}")
        reason = "a part of the score: no interval of it has been shown to hold"
        parts = {name: self._bare(v, reason) for name, v in brier_parts(self.p).items()}
        metrics = {**self.plugged_in(), "ece_smooth": smooth, **self.with_intervals(), **parts}
        return CalibrationCheck(self.p.of, metrics, self._bins())

    def plugged_in(self) -> dict[str, Estimate]:
        """Return the errors that need a comparison: what chance makes of them."""
        counted = np.add.reduceat(self.p.hit, self.plug_in.cuts)[:, None]
        reason = _join(f"a plug-in error is {ABOVE}", self._shared())
        return {
            name: consistent(self.units, self.p.rows, float(value[0]), self.errors[name], reason)
            for name, value in self.plug_in.errors(counted).items()
        }

    def with_intervals(self) -> dict[str, Estimate]:
        """Return what has an interval whose coverage has been simulated."""
        return {
            "ece_debiased": self.debiased(),
            "slope": self._recalibration(recalibration.slope, 1.0, free=True),
            "intercept": self._recalibration(recalibration.intercept, 0.0, free=False),
            "brier": self._brier(),
        }

    def _bare(self, value: float | None, reason: str) -> Estimate:
        return self.units.without(value, self.p.rows, reason)

    def debiased(self) -> Estimate:
        """Return the debiased ECE; it has an interval where this has been seen to cover."""
        value, changes = debiased_ece(self.p, self.plug_in.wide)
        half = Spread.of(changes).half()
        n, units = len(self.p.hit), int(self.units.effective(self.p.rows))
        if n < DEBIASED_CASES or half is None:
            few = f"fewer than {DEBIASED_CASES:,} cases ({n:,}): no interval of it holds"
            return self._bare(value, few if half is not None else NO_SPREAD)
        if units < DEBIASED_UNITS:
            few = f"fewer than {DEBIASED_UNITS:,} {self.units.kind}s ({units:,})"
            return self._bare(value, f"{few}: no interval of it holds")
        if value < DEBIASED_FROM:
            reason = f"under {DEBIASED_FROM}, too much of what chance adds stays"
            return self._bare(value, f"{reason}: no interval of it holds")
        ends = (max(0.0, value - half), min(1.0, value + half))
        return self.units.estimate(value, ends, self.p.rows, "jackknife")

    def _shared(self) -> str | None:
        return None if self.units.independent else SHARED

    def _recalibration(self, fit: Fit, perfect: float, *, free: bool) -> Estimate:
        logit = recalibration.log_odds(self.p)
        undefined = recalibration.without_fit(self.p, logit, free=free)
        if undefined:
            return self._bare(None, undefined)
        fitted = fit(self.p, logit)
        if fitted is None:
            return self._bare(None, "the regression does not settle: the log-odds are too extreme")
        value, spread = fitted
        half, few = spread.half(), self.p.too_few(self.units)
        if few or half is None:
            return self._bare(value, few or NO_SPREAD)
        p = spread.p_value(value - perfect)
        ends = (value - half, value + half)
        return self.units.estimate(value, ends, self.p.rows, "jackknife", expected=perfect, p=p)

    def _brier(self) -> Estimate:
        """Return the Brier score; expected and p are of Spiegelhalter's test, by resampling.

        Spiegelhalter, Stat. Med. 5 (1986) 421.
        """
        found = brier_score(self.p, self.units)
        return replace(
            found,
            reason=_join(found.reason, self._shared()),
            expected=float((self.p.confidence * self.p.rest).mean()),
            p=two_sided(found.value or 0.0, self.drawn.brier),
        )

    def _bins(self) -> tuple[ReliabilityBin, ...]:
        wide = self.plug_in.wide
        counted = np.add.reduceat(self.p.hit, self.plug_in.cuts)[:, None]
        share = self.plug_in.hits(wide, counted)[:, 0] / wide.size
        drawn = self.plug_in.hits(wide, self.drawn.hits) / wide.size[:, None]
        low, high = np.quantile(drawn, (0.025, 0.975), axis=1)
        columns = np.stack([wide.sure / wide.size, share, wide.size, low, high], axis=1).tolist()
        held = dict(zip(wide.place.tolist(), columns, strict=True))
        return tuple(
            ReliabilityBin(float(EDGES[i]), float(EDGES[i + 1]), *_bin(held.get(i)))
            for i in range(BINS)
        )


def consistent(
    units: Units, rows: Bools, value: float, draws: Floats, reason: str | None
) -> Estimate:
    """Return a plug-in error with what a perfectly calibrated model would give."""
    return units.estimate(
        value,
        (None, None),
        rows,
        "none",
        reason,
        expected=float(draws.mean()),
        p=p_value(value, draws),
    )


def _bin(
    columns: list[float] | None,
) -> tuple[float | None, float | None, int, float | None, float | None]:
    if columns is None:
        return None, None, 0, None, None
    confidence, frequency, count, low, high = columns
    return confidence, frequency, int(count), low, high


def _join(*parts: str | None) -> str | None:
    return "; ".join(p for p in parts if p) or None
