"""Thresholds: chosen on cases of their own, frozen, and only then applied to others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from medimg.errors import PredictionsError
from medimg.evaluation.intervals.likelihood import likelihood_ratio
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.results.sections import OperatingResult
from medimg.evaluation.sample import Sample, one_split
from medimg.evaluation.thresholds.apart import least_marks
from medimg.evaluation.thresholds.rules import Rule, cut_scores, parse_rule
from medimg.operating import ChosenOn, OperatingPoint, check_points
from medimg.predictions import Predictions


def choose_points(predictions: Predictions, rules: Iterable[str]) -> tuple[OperatingPoint, ...]:
    """Return thresholds of the calibrated probabilities, chosen by rules and frozen.

    Parameters
    ----------
    predictions : Predictions
        Of val or calib: cases that neither trained the model nor will score it, of one split,
        with the calibrator that the thresholds are to be used with.
    rules : iterable of str
        ``"youden"`` (the greatest sensitivity + specificity - 1), ``"sensitivity=.95"`` (the
        highest threshold that reaches it), ``"specificity=.9"`` (the lowest that reaches it) or
        ``"cost=5"`` (the least cost, where a missed case costs as much as 5 false alarms); each
        with ``CLASS:`` before it, or for the target condition of two classes, or for every label
        of `multilabel`. A label that has no known case, or only such, is then passed over.

    Raises
    ------
    UsageError
        An unknown rule or class, a rule that needs a class, or several splits.
    PredictionsError
        No cases with and without the class, or a rule that no threshold reaches which leaves
        cases on both sides.
    """
    chosen, split = one_split(predictions)
    parsed = [parse_rule(text) for text in rules]
    if not parsed:
        return ()
    maker = _Maker(chosen, split)
    points = [point for rule in parsed for point in maker.points(rule)]
    return check_points(points, predictions.space)


class _Maker:
    """Makes the points of one table; what they share is worked out once."""

    def __init__(self, predictions: Predictions, split: str) -> None:
        self.predictions, self.split = predictions, split
        self.probabilities = predictions.probabilities
        self.units = Units.of(predictions.case_id, predictions.patient_id)
        self.fingerprint = predictions.fingerprint
        self.marks = least_marks(predictions.take(predictions.known))

    def points(self, rule: Rule) -> list[OperatingPoint]:
        labels = rule.labels(self.predictions.space)
        there = [label for label in labels if self._has_both(label)]
        if not there:
            raise PredictionsError(
                f"operating point {rule} of {', '.join(labels)}: split {self.split} has no cases "
                "both with and without it",
                remedy="choose thresholds on more cases, or on another split",
            )
        return [self._point(rule, label) for label in there]

    def _has_both(self, label: str) -> bool:
        target = self.predictions.targets[:, self.predictions.space.index(label)]
        return bool((target == 1).any() and (target == 0).any())

    def _point(self, rule: Rule, label: str) -> OperatingPoint:
        k = self.predictions.space.index(label)
        target = self.predictions.targets[:, k]
        cuts = cut_scores(self.probabilities[:, k], target)
        picked = rule.pick(cuts)
        known = np.asarray(~np.isnan(target))
        on = ChosenOn(
            fingerprint=self.fingerprint,
            split=self.split,
            n=int(known.sum()),
            n_patients=self.units.patients(known),
            prevalence=cuts.positives / (cuts.positives + cuts.negatives),
            marks=self.marks,
        )
        if picked is None:
            raise PredictionsError(
                f"operating point {rule} of {label!r} is reached on {on} by no threshold that "
                "leaves cases on both sides",
                remedy="ask for less, or choose it on more cases",
            )
        at, value = picked
        return OperatingPoint(label, str(rule), float(cuts.threshold[at]), on, value)


def operating_results(
    sample: Sample, points: Iterable[OperatingPoint]
) -> tuple[OperatingResult, ...]:
    """Return what each frozen threshold does in these cases.

    Proportions with Wilson's interval, likelihood ratios with one from those of both proportions.
    That the cases are others than those of `chosen_on` is for `require_apart` to see to.
    """
    return tuple(_result(sample, point) for point in points)


def _result(sample: Sample, point: OperatingPoint) -> OperatingResult:
    target, units = sample.targets[:, sample.space.index(point.label)], sample.units
    called = point.flags(sample.probabilities, sample.space)
    sick, well = target == 1, target == 0
    known = sick | well
    return OperatingResult(
        label=point.label,
        rule=point.rule,
        threshold=point.threshold,
        chosen_on=str(point.chosen_on),
        counts={
            "true_positives": int((called & sick).sum()),
            "false_positives": int((called & well).sum()),
            "false_negatives": int((~called & sick).sum()),
            "true_negatives": int((~called & well).sum()),
        },
        metrics={
            "sensitivity": proportion(called, sick, units),
            "specificity": proportion(~called, well, units),
            "ppv": proportion(sick, known & called, units),
            "npv": proportion(well, known & ~called, units),
            "accuracy": proportion(called == sick, known, units),
            "flagged": proportion(called, known, units),
            "lr_positive": likelihood_ratio(called, target, units),
            "lr_negative": likelihood_ratio(~called, target, units),
        },
    )
