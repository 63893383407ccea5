"""Curves of a sample: ROC, precision and recall, the sweep over thresholds, histograms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation import metrics as m
from medimg.evaluation.curves.bands import GRID, Heights, Ranked, band
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.metrics import Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import Curve, Gaps, Histogram, ScoreCurves
from medimg.evaluation.sample import Lacking, Sample

MOST_CLASSES = 20
"""Of more classes, the most frequent ones get curves."""

_CURVE_POINTS = 500
_RESAMPLES = 1000
"""More do not change a band by what can be seen in a figure."""
_SWEEP = np.arange(101) / 100
_BINS = np.arange(21) / 20


def thin(false: Floats, true: Floats, most: int = _CURVE_POINTS) -> tuple[Floats, Floats]:
    """Return at most about `most` points of an ROC curve, evenly spaced along its length.

    The length is counted in steps right and up, of which there are 2: no corner is cut by more
    than 2 / `most`.
    """
    keep = _kept(false + true, most)
    return false[keep], true[keep]


def _kept(length: Floats, most: int) -> NDArray[np.intp]:
    if len(length) <= most:
        return np.arange(len(length))
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)))
    return np.union1d(keep, [0, len(length) - 1])


def score_curves(sample: Sample, options: EvaluateOptions) -> dict[str, ScoreCurves]:
    """Return the curves of the target condition of two classes, else of each class.

    Of more than `MOST_CLASSES` classes, those with the most cases; a class that has no known
    case, or only such, has none. Bands where there are ten patients with and without the class:
    around ROC and precision-recall see `bands`; around the sweep, each threshold's proportions
    get their own interval (Wilson's).
    """
    columns = _columns(sample)
    parts = {k: _Part.of(sample, k) for k in columns}
    banded = {k: Heights(part.ranked) for k, part in parts.items() if part.ranked.bandable}

    def statistic(weights: Floats) -> dict[str, Floats]:
        made = {k: heights(weights) for k, heights in banded.items()}
        return {f"{k} {i}": both[i] for k, both in made.items() for i in (0, 1)}

    draws: dict[str, Floats] = {}
    if banded:
        resamples = min(options.resamples, _RESAMPLES)
        draws, _ = bootstrap(
            statistic,
            sample.units.n,
            resamples=resamples,
            seed=options.seed,
            lacking=Lacking(sample),
            rows=max(len(part.ranked.cuts) for part in parts.values()),
        )
    return {
        sample.space.classes[k]: part.curves(draws.get(f"{k} 0"), draws.get(f"{k} 1"))
        for k, part in parts.items()
    }


def _columns(sample: Sample) -> list[int]:
    if sample.two_classes:
        columns = [sample.primary]
    else:
        counts = np.nansum(sample.targets, axis=0)
        columns = sorted(np.argsort(-counts, kind="stable")[:MOST_CLASSES].tolist())
    targets = sample.targets
    return [k for k in columns if (targets[:, k] == 1).any() and (targets[:, k] == 0).any()]


@dataclass(frozen=True, eq=False)
class _Part:
    """One class of a sample; `true` and `false` (L,) are counts at and above each cut."""

    name: str
    other: str
    ranked: Ranked
    probabilities: Floats
    true: Floats
    false: Floats

    @classmethod
    def of(cls, sample: Sample, k: int) -> _Part:
        score, target = sample.ranking[:, k], sample.targets[:, k]
        false, true = m.staircase(score, target)
        cuts = np.unique(score[~np.isnan(target)])[::-1]
        length = false[1:] / false[-1] + true[1:] / true[-1]
        keep = _kept(length, _CURVE_POINTS - 1)
        name = sample.space.classes[k]
        other = sample.space.classes[1 - k] if sample.two_classes else f"not {name}"
        ranked = Ranked(score, target, sample.units, cuts[keep])
        return cls(name, other, ranked, sample.probabilities[:, k], true[1:][keep], false[1:][keep])

    def curves(self, sensitivities: Floats | None, precisions: Floats | None) -> ScoreCurves:
        positives, negatives = self.true[-1], self.false[-1]
        return ScoreCurves(
            prevalence=float(positives / (positives + negatives)),
            roc=self._roc(sensitivities),
            precision_recall=self._precision_recall(precisions),
            sweep=self._sweep(),
            histogram=self._histogram(),
        )

    def _roc(self, draws: Floats | None) -> Curve:
        x = np.append(0.0, self.false / self.false[-1])
        y = np.append(0.0, self.true / self.true[-1])
        if draws is None:
            return _curve(x, y)
        reached = np.searchsorted(x, GRID + 1e-9, side="right") - 1
        return _curve(x, y, band(self.ranked, draws, reached, "sensitivity"))

    def _precision_recall(self, draws: Floats | None) -> Curve:
        x, y = self.true / self.true[-1], self.true / (self.true + self.false)
        if draws is None:
            return _curve(x, y)
        reached = np.searchsorted(x, GRID - 1e-9, side="left") + 1
        return _curve(x, y, band(self.ranked, draws, reached, "precision"))

    def _sweep(self) -> dict[str, Curve]:
        """Return sensitivity, specificity, PPV and NPV where p >= threshold is called so."""
        target, units = self.ranked.target, self.ranked.units
        known, sick, well = ~np.isnan(target), target == 1, target == 0
        rows: list[tuple[Estimate, ...]] = []
        before = -1
        for threshold in _SWEEP:
            called = self.probabilities >= threshold
            flagged = int((called & known).sum())
            if flagged != before:
                found = (
                    proportion(called, sick, units),
                    proportion(~called, well, units),
                    proportion(sick, known & called, units),
                    proportion(well, known & ~called, units),
                )
            rows.append(found)
            before = flagged
        names = ("sensitivity", "specificity", "ppv", "npv")
        return {
            name: _swept(each) for name, each in zip(names, zip(*rows, strict=True), strict=True)
        }

    def _histogram(self) -> Histogram:
        target, p = self.ranked.target, self.probabilities
        counts = {
            name: tuple(np.histogram(p[target == kind], _BINS)[0].tolist())
            for name, kind in ((self.name, 1), (self.other, 0))
        }
        return Histogram(tuple(_BINS.tolist()), counts)


def _curve(x: Floats, y: Floats, ends: tuple[Floats, Floats] | None = None) -> Curve:
    """Return a curve with its band; on an upright stretch the band reaches to the curve."""
    if ends is None:
        return Curve(tuple(x.tolist()), tuple(y.tolist()))
    low, high = (np.interp(x, GRID, end) for end in ends)
    return Curve(
        tuple(x.tolist()), tuple(y.tolist()), gaps(np.minimum(low, y)), gaps(np.maximum(high, y))
    )


def gaps(values: Iterable[float]) -> Gaps:
    """Return numbers with None where they are NaN."""
    return tuple(None if v != v else float(v) for v in values)


def _swept(estimates: Iterable[Estimate]) -> Curve:
    found = list(estimates)
    ends = tuple(e.low for e in found), tuple(e.high for e in found)
    banded = any(low is not None for low in ends[0])
    return Curve(
        tuple(_SWEEP.tolist()), tuple(e.value for e in found), *(ends if banded else ((), ()))
    )
