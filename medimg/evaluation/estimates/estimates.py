"""`Estimates`: every metric with the interval that holds for its kind.

One rule a kind, chosen by simulation (`scripts/simulate_coverage.py`, `docs/coverage.md`): an
AUROC gets DeLong's or Obuchowski's variance; a share of cases Wilson's interval; a mean of either
over classes, and a likelihood ratio, what follows from its parts; the Brier score of two classes the
jackknife; everything else the bootstrap's standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from medimg.evaluation.estimates.reasons import (
    Group,
    all_groups,
    class_groups,
    joined,
    left_out,
    undefined,
)
from medimg.evaluation.estimates.shares import LOSSES, shares_of_all, shares_of_class
from medimg.evaluation.intervals.bootstrap import FISHER, LOG, LOGIT, spread_interval
from medimg.evaluation.intervals.delong import auroc_interval
from medimg.evaluation.intervals.likelihood import likelihood_ratio
from medimg.evaluation.intervals.mover import correlation_of, mean_ends
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.reliability.brier import NO_ERROR, brier_score
from medimg.evaluation.reliability.probability import probabilities_of
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.sample import MOST_PAIRED, Figures, Sample

TWO_CLASSES = {
    "sensitivity": "recall",
    "specificity": "specificity",
    "ppv": "precision",
    "npv": "npv",
    "f1": "f1",
    "lr_positive": "lr_positive",
    "lr_negative": "lr_negative",
    "auroc": "auroc",
    "auroc_partial": "auroc_partial",
    "sensitivity_at_specificity": "sensitivity_at_specificity",
    "specificity_at_sensitivity": "specificity_at_sensitivity",
    "average_precision": "average_precision",
    "prevalence": "prevalence",
}
"""Metrics of the target condition, and what they are of each class."""

LEAST_UNITS = {"brier": 150, "nll": 150, "grade_error": 150, "quadratic_kappa": 300}
"""Patients that a mean loss needs for an interval: of fewer, a single one can decide it."""

LEAST_UNITS_OF_TAIL = {
    "sensitivity_at_specificity": (1, 40),
    "specificity_at_sensitivity": (0, 400),
}
"""Which class sets the threshold, the others (1) or its own (0), and how many patients of it an
interval needs: the threshold is decided by the few beyond it."""

_PARTS = {
    "recall_macro": ("recall",),
    "specificity_macro": ("specificity",),
    "auroc_macro": ("auroc",),
    "auroc_weighted": ("auroc",),
}
SCALES = {
    **dict.fromkeys(LOSSES, LOG),
    **dict.fromkeys(("mcc", "class_mcc", "kappa", "quadratic_kappa"), FISHER),
}
"""The scale that the bootstrap's spread is taken on; of the others the logit."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """Puts values, intervals and reasons together.

    Parameters
    ----------
    sample : Sample
    point : dict
        The metrics of the sample itself, as `Sample.point` returns them.
    draws : dict
        Those of its resamples, by the same names.
    """

    sample: Sample
    point: Figures
    draws: Figures

    def metrics(self) -> dict[str, Estimate]:
        """Return the metrics over all classes and those of the target condition."""
        found = {name: self.overall(name) for name, v in self.point.items() if v.ndim == 1}
        if self.sample.two_classes:
            found |= {name: self.of_condition(name) for name in TWO_CLASSES}
        return found

    def per_class(self) -> dict[str, dict[str, Estimate]]:
        """Return the metrics of each class against the rest."""
        names = [name for name, values in self.point.items() if values.ndim == 2]
        return {
            c: {name: self.of_class(name, k) for name in names}
            for k, c in enumerate(self.sample.space.classes)
        }

    def overall(self, name: str) -> Estimate:
        """Return one metric over all classes."""
        rows, value = self._all, float(self.point[name][0])
        note = left_out(self.sample, self.point, name)
        if np.isnan(value):
            return self.sample.units.without(None, rows, "not defined for any class in these cases")
        if name.startswith("ece"):
            reason = "a plug-in ECE is above 0 even for a perfect model"
            return self.sample.units.without(value, rows, reason)
        if name not in self.draws:
            reason = f"no interval: of more than {MOST_PAIRED} classes the pairs are not resampled"
            return self.sample.units.without(value, rows, joined(reason, note))
        if name in self._hits:
            return self._share(self._hits[name])
        if name == "auroc_micro":
            return self._pooled_auroc()
        if name == "brier" and self.sample.two_classes:
            return brier_score(next(probabilities_of(self.sample)), self.sample.units)
        if self._parts(name) == ("auroc",) and self.sample.two_classes:
            return self.of_class("auroc", self.sample.primary)  # the same of both classes
        if self._parts(name):
            return self._mean(name, value, note)
        return self._resampled(name, value, self.draws[name], rows, self._all_groups, note)

    def of_condition(self, name: str) -> Estimate:
        """Return one metric of the target condition, for two classes."""
        if self.sample.space.positive is None and name != "auroc":
            reason = "no target condition is named (`positive` of the label space)"
            return self.sample.units.without(None, self._all, reason)
        return self.of_class(TWO_CLASSES[name], self.sample.primary)

    def of_class(self, name: str, k: int) -> Estimate:
        """Return one metric of class `k` against the rest."""
        found = self._of_class[k]
        if name not in found:
            found[name] = self._made_of_class(name, k)
        return found[name]

    def _made_of_class(self, name: str, k: int) -> Estimate:
        target, units = self.sample.targets[:, k], self.sample.units
        known, value = ~np.isnan(target), float(self.point[name][k, 0])
        shares = shares_of_class(self.sample, k)
        rows, hit = shares.get(name, (known, known))
        if np.isnan(value):
            return units.without(None, rows, undefined(self.sample, name, k))
        if name in shares:
            return proportion(hit, rows, units)
        groups = self._class_groups[k]
        if reason := self._too_few(groups):
            return units.without(value, rows, reason)
        if name == "auroc":
            return auroc_interval(self.sample.ranking[:, k], target, units)
        if name.startswith("lr_"):
            called = self.sample.decisions[:, k]
            return likelihood_ratio(called if name == "lr_positive" else ~called, target, units)
        return self._resampled(name, value, self.draws[name][k], rows, groups)

    @cached_property
    def _of_class(self) -> list[dict[str, Estimate]]:
        return [{} for _ in self.sample.space.classes]

    @cached_property
    def _all(self) -> Bools:
        return np.ones(len(self.sample.targets), bool)

    @cached_property
    def _class_groups(self) -> list[list[Group]]:
        return [class_groups(self.sample, k) for k in range(self.sample.space.k)]

    @cached_property
    def _all_groups(self) -> list[Group]:
        return all_groups(self.sample, self._class_groups)

    @cached_property
    def _any_wrong(self) -> bool:
        targets = self.sample.targets
        return bool(((self.sample.decisions != (targets == 1)) & ~np.isnan(targets)).any())

    @cached_property
    def _hits(self) -> Figures:
        return shares_of_all(self.sample)

    def _share(self, hits: Floats) -> Estimate:
        units = self.sample.units if hits.ndim == 1 else self._each_label
        hits = hits.ravel()
        return self._of_cases(proportion(hits == 1, ~np.isnan(hits), units))

    def _pooled_auroc(self) -> Estimate:
        scores, t = self.sample.ranking.ravel(), self.sample.targets.ravel()
        return self._of_cases(auroc_interval(scores, t, self._each_label))

    @property
    def _each_label(self) -> Units:
        units = self.sample.units
        return replace(units, of_case=np.repeat(units.of_case, self.sample.space.k))

    def _of_cases(self, estimate: Estimate) -> Estimate:
        """Return an estimate over all labels, which says of how many cases they are."""
        return replace(estimate, n=len(self.sample.targets))

    def _parts(self, name: str) -> tuple[str, ...]:
        if name == "balanced_accuracy":
            both = ("recall", "specificity")
            return both[:1] if self.sample.space.exclusive else both
        return _PARTS.get(name, ())

    def _mean(self, name: str, value: float, note: str | None) -> Estimate:
        """Return a mean over classes; its errors go together as those of the draws do."""
        names, units = self._parts(name), self.sample.units
        if reason := self._too_few(self._all_groups):
            return units.without(value, self._all, joined(reason, note))
        used = np.flatnonzero(~np.isnan([self.point[n][:, 0] for n in names]).any(axis=0))
        made = [self.of_class(n, int(k)) for n in names for k in used]
        of = [f"{n} of {self.sample.space.classes[k]!r}" for n in names for k in used]
        lacking = (f"{n}: {e.reason}" for n, e in zip(of, made, strict=True) if e.low is None)
        if reason := next(lacking, None):
            return units.without(value, self._all, joined(reason, note))
        parts = np.asarray([(e.value, e.low, e.high) for e in made], np.float64)
        weights = np.ones(len(made))
        if name == "auroc_weighted":
            weights = np.nansum(self.sample.targets, axis=0)[used]
        correlation = correlation_of(np.concatenate([self.draws[n][used] for n in names]))
        ends = mean_ends(parts, weights / weights.sum(), correlation)
        return units.estimate(value, ends, self._all, "mover", note)

    def _resampled(
        self,
        name: str,
        value: float,
        draws: Floats,
        rows: Bools,
        groups: list[Group],
        note: str | None = None,
    ) -> Estimate:
        units = self.sample.units
        reason = self._too_few(groups) or self._too_few_for(name, groups)
        if reason:
            return units.without(value, rows, joined(reason, note))
        fewest = min(group.effective for group in groups)
        ends = spread_interval(value, draws, SCALES.get(name, LOGIT), int(fewest))
        if ends is None:
            reason = "at its end, or the same in every resample: the bootstrap knows no spread"
            return units.without(value, rows, joined(reason, note))
        return units.estimate(value, ends, rows, "bootstrap", note)

    def _too_few(self, groups: list[Group]) -> str | None:
        rarest = min(groups, key=lambda group: group.effective)
        return self.sample.units.too_few(rarest.words, rarest.rows)

    def _too_few_for(self, name: str, groups: list[Group]) -> str | None:
        """Return what a metric lacks that needs more patients than others do.

        They are counted as patients of equal size (`Units.effective`).
        """
        units = self.sample.units
        n, kind = int(units.effective(self._all)), units.kind
        if n < (least := LEAST_UNITS.get(name, 0)):
            return f"fewer than {least} {kind}s ({n}): a single one can decide it"
        if name in LOSSES and not self._any_wrong:
            return NO_ERROR
        if name in LEAST_UNITS_OF_TAIL:
            group, least = LEAST_UNITS_OF_TAIL[name]
            if (n := int(groups[group].effective)) < least:
                return f"fewer than {least} {kind}s {groups[group].words} ({n})"
        return None
