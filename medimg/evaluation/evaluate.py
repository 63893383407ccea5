"""`evaluate`: predictions in, every number with its interval out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medimg.evaluation import metrics as m
from medimg.evaluation.intervals import MIN_UNITS, bootstrap, percentile, wilson
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.result import Estimate, Evaluation, ReliabilityBin, RocCurve
from medimg.evaluation.sample import (
    Figures,
    Lacking,
    Resampled,
    Sample,
    known_cases,
    one_split,
)
from medimg.predictions import Predictions

PER_CLASS = ("recall", "specificity", "precision", "f1", "auroc", "average_precision")
"""Metrics of each class against the rest."""

TWO_CLASSES = {
    "sensitivity": "recall",
    "specificity": "specificity",
    "ppv": "precision",
    "npv": "npv",
    "auroc": "auroc",
    "average_precision": "average_precision",
}
"""Metrics of the target condition, and what they are of each class."""

_PROPORTIONS = ("recall", "specificity", "precision", "npv")
_CURVE_POINTS = 500

Groups = list[tuple[str, int]]


def evaluate(
    predictions: Predictions,
    options: EvaluateOptions | None = None,
    *,
    split: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Return every metric of predictions with its 95% interval.

    Cases without a known target are left out. Proportions of independent cases get Wilson's
    interval, everything else the percentile bootstrap over patients (over cases where no
    patient ids came); a plug-in ECE gets none, nor does a resampled metric with fewer than ten
    patients of a class or without any spread. The intervals are conditional on the trained
    model. No order of rows changes a number.

    Parameters
    ----------
    predictions : Predictions
    options : EvaluateOptions, optional
        Resamples and seed.
    split : str, optional
        Which split to score; wanted where there are several.
    provenance : mapping, optional
        Kept in the result, beside what the evaluation says of itself under `evaluation`.

    Raises
    ------
    UsageError
        Several splits and none asked for.
    PredictionsError
        No such split, or no known target.
    """
    options = options or EvaluateOptions()
    chosen, name = one_split(predictions, split)
    sample = Sample.of(known_cases(chosen, name))
    draws, redrawn = _draws(sample, options)
    made = {**options.model_dump(), "redrawn": redrawn, "predictions": chosen.fingerprint}
    estimates = _Estimates(sample, sample.point(), draws)
    return Evaluation(
        n=len(sample.targets),
        n_patients=estimates.patients(np.ones(len(sample.targets), bool)),
        split=name,
        space=sample.space,
        calibrated=chosen.calibrator is not None,
        metrics=estimates.metrics(),
        per_class=estimates.per_class(),
        confusion=_confusion(sample),
        reliability=_reliability(sample),
        roc=_roc(sample),
        provenance={**(provenance or {}), "evaluation": made},
    )


def _draws(sample: Sample, options: EvaluateOptions) -> tuple[Figures, int]:
    return bootstrap(
        Resampled(sample),
        sample.units.n,
        resamples=options.resamples,
        seed=options.seed,
        lacking=Lacking(sample),
    )


@dataclass(frozen=True, eq=False)
class _Estimates:
    """Puts values, intervals and reasons together; `rows` are masks bool (N,) of the sample."""

    sample: Sample
    point: Figures
    draws: Figures

    def metrics(self) -> dict[str, Estimate]:
        """Return the metrics over all classes, in the order in which they are read."""
        names = ["accuracy", "exact_match", "balanced_accuracy", "recall_macro"]
        names += ["specificity_macro", "precision_macro", "f1_macro", "auroc_macro"]
        names += ["average_precision_macro", "brier", "nll", "grade_error", "quadratic_kappa"]
        found = {name: self.overall(name) for name in names if name in self.point}
        if self.sample.two_classes:
            found |= {name: self.of_condition(name) for name in TWO_CLASSES}
        return found | self.calibration()

    def per_class(self) -> dict[str, dict[str, Estimate]]:
        """Return the metrics of each class against the rest."""
        return {
            c: {name: self.of_class(name, k) for name in PER_CLASS}
            for k, c in enumerate(self.sample.space.classes)
        }

    def overall(self, name: str) -> Estimate:
        """Return one metric over all classes."""
        rows = self._all()
        value = float(self.point[name][0])
        if np.isnan(value):
            return self._without(None, rows, "not defined for any class in these cases")
        proportion = name == "exact_match" or (name == "accuracy" and self.sample.space.exclusive)
        if proportion and self.sample.units.independent:
            return self._wilson(value, rows)
        return self._resampled(
            value, self.draws[name], rows, self._all_groups(), note=self._left_out(name)
        )

    def of_condition(self, name: str) -> Estimate:
        """Return one metric of the target condition, for two classes."""
        if self.sample.space.positive is None and name != "auroc":
            reason = "no target condition is named (`positive` of the label space)"
            return self._without(None, self._all(), reason)
        return self.of_class(TWO_CLASSES[name], self.sample.primary)

    def of_class(self, name: str, k: int) -> Estimate:
        """Return one metric of class `k` against the rest."""
        rows, value = self._rows(name, k), float(self.point[name][k, 0])
        if np.isnan(value):
            return self._without(None, rows, self._undefined(name, k))
        if name in _PROPORTIONS:
            if self.sample.units.independent:
                return self._wilson(value, rows)
            groups = [(f"in the denominator of {name}", self.sample.units.count(rows))]
        else:
            groups = self._groups(k)
        return self._resampled(value, self.draws[name][k], rows, groups)

    def calibration(self) -> dict[str, Estimate]:
        """Return the calibration errors, which get no interval."""
        p, t, s = self.sample.probabilities, self.sample.targets, self.sample
        if not s.space.exclusive:
            values = {"ece": m.label_ece(p, t)}
        elif s.two_classes:
            values = {"ece": m.ece_positive(p, t, positive=s.primary)}
            values["ece_top_label"] = m.ece_top_label(p, t)
        else:
            values = {"ece": m.ece_top_label(p, t)}
        reason = "a plug-in ECE is above 0 even for a perfect model: no interval of it is honest"
        return {name: self._without(v, self._all(), reason) for name, v in values.items()}

    def patients(self, rows: Bools) -> int | None:
        """Return how many patients the cases are of; None where no ids came."""
        units = self.sample.units
        return units.count(rows) if units.kind == "patient" else None

    def _all(self) -> Bools:
        return np.ones(len(self.sample.targets), bool)

    def _rows(self, name: str, k: int) -> Bools:
        """Return the cases that a metric of class `k` rests on: its denominator."""
        target, decided = self.sample.targets[:, k], self.sample.decisions[:, k]
        known = ~np.isnan(target)
        rows = {
            "recall": target == 1,
            "specificity": target == 0,
            "precision": known & decided,
            "npv": known & ~decided,
        }
        return np.asarray(rows.get(name, known))

    def _groups(self, k: int) -> Groups:
        """Return how many patients there are with class `k` and without it."""
        name, target = self.sample.space.classes[k], self.sample.targets[:, k]
        count = self.sample.units.count
        return [(f"with {name!r}", count(target == 1)), (f"without {name!r}", count(target == 0))]

    def _all_groups(self) -> Groups:
        """Return the groups that all classes together rest on; classes without cases do not."""
        pairs = [self._groups(k) for k in range(self.sample.space.k)]
        both = [pair for pair in pairs if min(n for _, n in pair) > 0]
        return [pair[i] for i in (0, 1) for pair in both] or [("of a second class", 0)]

    def _wilson(self, value: float, rows: Bools) -> Estimate:
        n = int(rows.sum())
        low, high = wilson(round(value * n), n)
        return self._estimate(value, (low, high), rows, "wilson")

    def _resampled(
        self, value: float, draws: Floats, rows: Bools, groups: Groups, note: str | None = None
    ) -> Estimate:
        words, fewest = min(groups, key=lambda group: group[1])
        if fewest < MIN_UNITS:
            reason = f"fewer than ten {self.sample.units.kind}s {words} ({fewest})"
            return self._without(value, rows, _join(reason, note))
        ends = percentile(draws)
        if ends is None:
            reason = "every resample gives this value: the bootstrap cannot tell its spread"
            return self._without(value, rows, _join(reason, note))
        return self._estimate(value, ends, rows, "bootstrap", note)

    def _without(self, value: float | None, rows: Bools, reason: str | None) -> Estimate:
        return self._estimate(value, (None, None), rows, "none", reason)

    def _estimate(
        self,
        value: float | None,
        ends: tuple[float | None, float | None],
        rows: Bools,
        method: str,
        reason: str | None = None,
    ) -> Estimate:
        return Estimate(
            value=value,
            low=ends[0],
            high=ends[1],
            n=int(rows.sum()),
            n_patients=self.patients(rows),
            method=method,
            unit=self.sample.units.kind,
            reason=reason,
        )

    def _undefined(self, name: str, k: int) -> str:
        c, target = self.sample.space.classes[k], self.sample.targets[:, k]
        if name == "precision":
            return f"no case was predicted as {c!r}"
        if name == "npv":
            return f"every case was predicted as {c!r}"
        if name == "specificity" or (name != "recall" and (target == 1).any()):
            return f"no case without {c!r}"
        return f"no case with {c!r}"

    def _left_out(self, name: str) -> str | None:
        """Return what a mean over classes says of classes in which it is not defined."""
        of = "recall" if name == "balanced_accuracy" else name.removesuffix("_macro")
        if name != "balanced_accuracy" and not name.endswith("_macro"):
            return None
        missing = np.isnan(self.point[of][:, 0])
        if name == "balanced_accuracy" and not self.sample.space.exclusive:
            missing |= np.isnan(self.point["specificity"][:, 0])
        zero = missing & (self.sample.targets == 1).any(axis=0) & (of == "precision")
        return _join(
            self._names("left out, not defined: ", missing & ~zero),
            self._names("counted as 0, never predicted: ", zero),
        )

    def _names(self, words: str, which: Bools) -> str | None:
        names = [c for c, yes in zip(self.sample.space.classes, which, strict=True) if yes]
        return words + ", ".join(names) if names else None


def thin(false: Floats, true: Floats, most: int = _CURVE_POINTS) -> tuple[Floats, Floats]:
    """Return at most about `most` points of an ROC curve, evenly spaced along its length.

    The length is counted in steps right and up, of which there are 2: no corner is cut by more
    than 2 / `most`.
    """
    if len(false) <= most:
        return false, true
    length = false + true
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)))
    keep = np.union1d(keep, [0, len(false) - 1])
    return false[keep], true[keep]


def _roc(sample: Sample) -> dict[str, RocCurve]:
    columns = [sample.primary] if sample.two_classes else range(sample.space.k)
    curves = {}
    for k in columns:
        false, true = m.staircase(sample.ranking[:, k], sample.targets[:, k])
        if min(false[-1], true[-1]) > 0:
            x, y = thin(false / false[-1], true / true[-1])
            curves[sample.space.classes[k]] = RocCurve(tuple(x.tolist()), tuple(y.tolist()))
    return curves


def _confusion(sample: Sample) -> tuple[tuple[int, ...], ...]:
    if sample.space.exclusive:
        table = m.confusion(sample.decisions, sample.targets)
    else:
        table = np.stack(m.count(sample.decisions, sample.targets), axis=1)
    return tuple(tuple(int(v) for v in row) for row in np.rint(table))


def _reliability(sample: Sample) -> tuple[ReliabilityBin, ...]:
    """Return the bins of what `ece` measures; of all labels together for `multilabel`."""
    p, t, k = sample.probabilities, sample.targets, sample.primary
    if not sample.space.exclusive:
        bins = m.reliability(p.ravel(), t.ravel())
    elif sample.two_classes:
        bins = m.reliability(p[:, k], t[:, k])
    else:
        bins = m.reliability(*m.top_label(p, t))
    edges = np.linspace(0, 1, m.BINS + 1).tolist()
    return tuple(
        ReliabilityBin(low, high, _or_none(sure), _or_none(came), int(mass))
        for low, high, mass, sure, came in zip(edges[:-1], edges[1:], *bins, strict=True)
    )


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _join(*parts: str | None) -> str | None:
    return "; ".join(p for p in parts if p) or None
