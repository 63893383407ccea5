"""Abstention: what refusing the least sure cases would win, and who would be refused.

N cases, M distinct confidences from the highest, U patients (or cases), R resamples. Cases of one
confidence cannot be told apart by a threshold: they are answered together. The area under the
curve takes them in their expected order, which is the mean over all orders of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.abstention.risk_coverage import Areas
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import Abstention, Curve, Refused
from medimg.evaluation.sample import Sample

COVERAGES = (0.95, 0.9, 0.8, 0.5)
"""Shares of the cases to answer, for which the report says who is refused."""

_CURVE_POINTS = 100

Ends = tuple[float, float] | None


def abstention(sample: Sample, options: EvaluateOptions) -> Abstention | None:
    """Return the risk-coverage curve of cases that are refused by their confidence.

    The confidence is the (calibrated) probability of the class that is decided for (Geifman and
    El-Yaniv, NeurIPS 2017); AURC is the mean error of the k surest cases over k = 1 to N, and
    its excess that over the least one for as many errors (Geifman et al., ICLR 2019). The
    intervals of the curve hold at each of its thresholds, taken as fixed.

    Returns
    -------
    Abstention or None
        None for `multilabel`: a case has as many decisions as labels, none of which speaks for
        the others.
    """
    if not sample.space.exclusive:
        return None
    refusal = _Refusal.of(sample)
    return Abstention(
        confidence="probability of the class that is decided for",
        curve=refusal.curve(),
        metrics={"error": refusal.error(refusal.every), **refusal.areas(options)},
        refused=tuple(refusal.refused(coverage) for coverage in COVERAGES),
    )


@dataclass(frozen=True, eq=False)
class _Refusal:
    """Confidence float64 (N,), whether the decision is wrong, and the level (N,) of each case."""

    sample: Sample
    confidence: Floats
    wrong: Bools
    levels: Floats
    level: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, sample: Sample) -> _Refusal:
        confidence = sample.probabilities.max(axis=1)
        wrong = ~(sample.decisions & (sample.targets == 1)).any(axis=1)
        levels, level = np.unique(-confidence, return_inverse=True)
        return cls(sample, confidence, np.asarray(wrong), -levels, level)

    @property
    def units(self) -> Units:
        return self.sample.units

    @property
    def every(self) -> Bools:
        return np.ones(len(self.wrong), bool)

    @cached_property
    def answered(self) -> Floats:
        """The share that is answered at each level as threshold (M,)."""
        return np.cumsum(np.bincount(self.level)) / len(self.level)

    def error(self, rows: Bools) -> Estimate:
        return proportion(self.wrong, rows, self.units)

    def curve(self) -> Curve:
        wanted = np.linspace(1 / _CURVE_POINTS, 1, _CURVE_POINTS)
        places = np.unique([self._place(share) for share in wanted])
        errors = [self.error(self.level <= place) for place in places]
        return Curve(
            x=tuple(float(self.answered[place]) for place in places),
            y=tuple(e.value for e in errors),
            low=tuple(e.low for e in errors),
            high=tuple(e.high for e in errors),
        )

    def _place(self, coverage: float) -> int:
        """Return the first level at which at least `coverage` of the cases are answered."""
        return int(np.searchsorted(self.answered, coverage - 1e-12))

    def refused(self, coverage: float) -> Refused:
        place = self._place(coverage)
        refused = np.asarray(self.level > place)
        classes = zip(self.sample.space.classes, self.sample.targets.T == 1, strict=True)
        return Refused(
            coverage=coverage,
            answered=float(self.answered[place]),
            threshold=float(self.levels[place]),
            error=self.error(~refused),
            share_of_class={c: proportion(refused, rows, self.units) for c, rows in classes},
        )

    def areas(self, options: EvaluateOptions) -> dict[str, Estimate]:
        """Return AURC and its excess over the best order."""
        areas, reason = Areas(self.level, self.wrong, self.units), self._few()
        values = {name: float(v[0]) for name, v in areas(np.ones((self.units.n, 1))).items()}
        ends: dict[str, Ends] = dict.fromkeys(values)
        if reason is None:
            n, outcomes = self.units.n, self._outcomes().values()
            freedom = min(self.units.effective(rows) for rows in outcomes) - 1
            draws, _ = bootstrap(
                areas, n, resamples=options.resamples, seed=options.seed, rows=areas.rows
            )
            ends = {name: log_interval(v, draws[name], freedom) for name, v in values.items()}
            reason = "the bootstrap cannot tell the spread of a value at its very end"
        at_random = {"aurc": float(self.wrong.mean())}
        return {
            name: self.units.estimate(
                v,
                ends[name] or (None, None),
                self.every,
                "log_bootstrap" if ends[name] else "none",
                None if ends[name] else reason,
                expected=at_random.get(name),
            )
            for name, v in values.items()
        }

    def _outcomes(self) -> dict[str, Bools]:
        """Return the cases (N,) of each outcome."""
        return {"wrong": self.wrong, "right": ~self.wrong}

    def _few(self) -> str | None:
        outcomes = self._outcomes().items()
        words, rows = min(outcomes, key=lambda pair: self.units.effective(pair[1]))
        return self.units.too_few(f"decided {words}", rows)


def log_interval(value: float, draws: Floats, freedom: float) -> Ends:
    """Return ``value * exp(+-t s)``; s is the standard deviation of the logarithm of draws (R,).

    The t quantile has `freedom` degrees. AURC and its excess are skewed: of simulated samples
    of 54 to 500 patients with 1 or 5 images, whose AURC is .10 or .015, this holds the true value
    in 94 to 96% (98% where samples have hardly ten errors), the percentile interval in 91 to 96%.
    None where there is no logarithm, or no spread.
    """
    from scipy.special import stdtrit

    known = draws[draws > 1e-12]
    spread = float(np.log(known).std()) if len(known) else 0.0
    if value <= 1e-12 or spread <= 1e-12:
        return None
    far = float(np.exp(stdtrit(freedom, 0.975) * spread))
    return value / far, value * far
