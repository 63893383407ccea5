"""What prediction sets do for cases that they were not fitted on.

N cases, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError
from medimg.evaluation.conformal.held import Held
from medimg.evaluation.conformal.law import coverage_bounds
from medimg.evaluation.conformal.sets import ALL, LEVELS, Conformal, groups
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.results.sections import ConformalResult, Curve, Metrics
from medimg.evaluation.sample import known_cases, one_split
from medimg.predictions import Predictions

Bounds = tuple[float, float]


def conformal_result(conformal: Conformal, predictions: Predictions) -> ConformalResult:
    """Return what the sets of `conformal` do for cases of one split that have a known target.

    Where patients have several cases, coverage is given twice: `coverage` over the cases, and
    `coverage_by_patient`, in which each patient counts once, as in the guarantee; `bounds` and
    `curve` are of that. Groups of a column with fewer than ten patients here are counted and
    not named.

    Raises
    ------
    UsageError
        The sets were fitted on these predictions, there are several splits, or the column that
        forms the groups is not there.
    PredictionsError
        Other classes, or no known target.
    """
    if predictions.with_calibrator(None).fingerprint == conformal.fitted_on:
        raise UsageError(
            "the prediction sets were fitted on the cases that are to be judged",
            remedy="judge them on a split of its own, such as test",
        )
    one, split = one_split(predictions)
    cases = known_cases(one, split)
    return _Judged(
        conformal=conformal,
        scores=conformal.scores(cases),
        group=groups(cases, conformal.by),
        truth=cases.targets == 1,
        known=~np.isnan(cases.targets),
        units=Units.of(cases.case_id, cases.patient_id),
    ).result()


@dataclass(frozen=True, eq=False)
class _Judged:
    """The cases that are judged: scores, truth and known (N, K), group (N,) or None."""

    conformal: Conformal
    scores: Floats
    group: NDArray[Any] | None
    truth: Bools
    known: Bools
    units: Units

    def result(self) -> ConformalResult:
        c, held, named = self.conformal, self.held(self.conformal), self.named
        limits = {name: c.thresholds.get(name) for name in named or self.fixed}
        return ConformalResult(
            method=c.method,
            by=c.by,
            alpha=c.alpha,
            calibrated_on=self._calibrated_on(),
            n_calibration=c.n_units,
            unit=c.unit,
            thresholds=limits,
            whole=tuple(name for name, limit in limits.items() if limit is None),
            metrics=held.metrics(np.ones(len(self.truth), bool)),
            per_class=self._per_class(held),
            per_group={name: held.metrics(rows) for name, rows in named.items()},
            bounds=self.bounds(c.alpha),
            group_bounds=self._group_bounds(),
            sizes=held.sizes(),
            curve=self._curve(),
            note=self._note(),
        )

    def held(self, conformal: Conformal) -> Held:
        sets = conformal.within(self.scores, self.group)
        return Held(sets, self.truth, conformal.space.exclusive, self.units)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The names of the thresholds that do not hang on a column."""
        if self.group is not None:
            return ()
        return self.conformal.space.classes if self.conformal.by == "class" else (ALL,)

    @cached_property
    def all_groups(self) -> dict[str, Bools]:
        """The cases (N,) of each group of the column, by name; empty where there is none."""
        if self.group is None:
            return {}
        return {str(g): np.asarray(self.group == g) for g in sorted(set(self.group))}

    @cached_property
    def named(self) -> dict[str, Bools]:
        """Those that hold at least ten patients."""
        every = self.all_groups.items()
        return {name: rows for name, rows in every if self.units.count(rows) >= MIN_UNITS}

    def bounds(self, alpha: float) -> Bounds | None:
        """Return where 95% of the coverages of a correct method lie; None where no law is known.

        The several groups of one patient are not independent, and the share of several labels
        that a set misses is bounded on average alone.
        """
        by = self.conformal.by
        if not self.conformal.space.exclusive or (by and not self.units.independent):
            return None
        parts = self._parts()
        return coverage_bounds([self._size(name, rows) for name, rows in parts.items()], alpha)

    def _group_bounds(self) -> dict[str, Bounds]:
        """Return the same for each threshold: of `coverage_by_patient`, where that is given."""
        by, exclusive = self.conformal.by, self.conformal.space.exclusive
        if by == "" or not (exclusive or (by == "class" and self.units.independent)):
            return {}
        parts = self._parts() if by == "class" else self.named
        found = {
            name: coverage_bounds([self._size(name, rows)], self.conformal.alpha)
            for name, rows in parts.items()
        }
        return {name: ends for name, ends in found.items() if ends is not None}

    def _parts(self) -> dict[str, Bools]:
        """Return the cases (N,) of each threshold."""
        if self.conformal.by == "class":
            return dict(zip(self.conformal.space.classes, self.truth.T, strict=True))
        return self.all_groups or {ALL: np.asarray(self.truth.any(axis=1))}

    def _size(self, name: str, rows: Bools) -> tuple[int, int]:
        return self.conformal.units.get(name, 0), self.units.count(rows)

    def _per_class(self, held: Held) -> dict[str, Metrics]:
        """Return the metrics of each true class; of a label how often it is held."""
        space = self.conformal.space
        if space.exclusive:
            pairs = zip(space.classes, self.truth.T, strict=True)
            return {c: held.metrics(rows) for c, rows in pairs}
        return {
            label: {
                "coverage": proportion(held.sets[:, k], self.truth[:, k], self.units),
                "held": proportion(held.sets[:, k], self.known[:, k], self.units),
            }
            for k, label in enumerate(space.classes)
        }

    def _curve(self) -> Curve:
        """Return coverage over what was asked for; the band is `bounds` at each level."""
        every, x, y, band = np.ones(len(self.truth), bool), [], [], []
        for level in reversed(range(len(LEVELS))):
            at = self.conformal.at(level)
            covered = self.held(at).by_unit(every)
            x.append(1 - at.alpha)
            y.append(float(covered.mean()) if len(covered) else None)
            band.append(self.bounds(at.alpha))
        ends = [b for b in band if b is not None]
        low, high = (tuple(b[i] for b in ends) for i in (0, 1))
        return Curve(tuple(x), tuple(y), low, high)

    def _calibrated_on(self) -> str:
        c = self.conformal
        patients = f" of {c.n_units} patients" if c.unit == "patient" else ""
        return f"{c.split}: {c.n_cases} cases{patients}"

    def _note(self) -> str:
        parts = []
        hidden = [rows for name, rows in self.all_groups.items() if name not in self.named]
        if hidden:
            cases = int(np.sum(hidden))
            words = f"fewer than ten {self.units.kind}s"
            parts.append(f"groups with {words}, not shown: {len(hidden)} ({cases} cases)")
        new = [rows for name, rows in self.all_groups.items() if name not in self.conformal.units]
        if new:
            cases = int(np.sum(new))
            parts.append(
                f"groups not there to calibrate on, whole sets: {len(new)} ({cases} cases)"
            )
        if not self.units.independent:
            parts.append("bounds and curve count each patient once")
        return "; ".join(parts)
