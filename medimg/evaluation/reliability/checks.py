"""`calibration_checks`: how far each probability means what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medimg.evaluation.metrics import Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.reliability.binning import PlugIn
from medimg.evaluation.reliability.check import ABOVE, SHARED, Check, consistent
from medimg.evaluation.reliability.consistency import draw_outcomes
from medimg.evaluation.reliability.probability import probabilities_of
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import CalibrationCheck
from medimg.evaluation.sample import Sample

ALL_CLASSES = "mean of all classes"
"""What the check is of whose errors are means over the classes, or over the labels."""

SHARED_LABELS = "a case's labels are drawn together, and so are a patient's cases: p is approximate"

_NAMES = ("ece_debiased", "ece_smooth", "mce", "slope", "intercept")


def calibration_checks(sample: Sample, options: EvaluateOptions) -> tuple[CalibrationCheck, ...]:
    """Return a check of each probability that a reader may rely on.

    Two classes: the target condition's, and the predicted class's. More: the predicted class's,
    each class's, and the mean over the classes. Multi-label: each label's, and the mean. A label
    without known cases has no check.

    Plug-in errors come with their mean and p-value over 1,000 draws of the outcomes of a
    perfectly calibrated model; slope, intercept, Brier score and the debiased ECE with the
    intervals whose coverage has been simulated.

    Parameters
    ----------
    sample : Sample
    options : EvaluateOptions
        Its seed draws the outcomes.
    """
    known = [p for p in probabilities_of(sample) if len(p.hit)]
    binned = [PlugIn.of(p) for p in known]
    drawn = draw_outcomes(known, [b.cuts for b in binned], sample.units.n, options.seed)
    checks = [
        Check(p, sample.units, b, hits) for p, b, hits in zip(known, binned, drawn, strict=True)
    ]
    records = tuple(check.record() for check in checks)
    if sample.two_classes:
        return records
    classes = slice(1 if sample.space.exclusive else 0, None)
    return (*records, _mean(sample, checks[classes], records[classes]))


def calibration_metrics(checks: Sequence[CalibrationCheck], sample: Sample) -> dict[str, Estimate]:
    """Return what stands of the checks among the overall metrics.

    The errors, Brier score, slope and intercept of the target condition's probability for two
    classes (`ece_top_label` beside them) and of the predicted class's for more (`ece_classwise` beside
    them); for multi-label the errors' means over the labels.
    """
    first: Mapping[str, Estimate] = (checks[0] if sample.space.exclusive else checks[-1]).metrics
    found = {"ece": first["ece"]}
    if sample.two_classes:
        found["ece_top_label"] = checks[1].metrics["ece"]
        found["brier"] = first["brier"]
    elif sample.space.exclusive:
        found["ece_classwise"] = checks[-1].metrics["ece"]
    return found | {name: first[name] for name in _NAMES if name in first}


def _mean(
    sample: Sample, checks: Sequence[Check], records: Sequence[CalibrationCheck]
) -> CalibrationCheck:
    """Return the means over classes, whose draws are means of the same draws of all classes."""
    rows = np.any([check.p.rows for check in checks], axis=0)
    metrics: dict[str, Estimate] = {}
    for name in ("ece", "ece_equal_mass", "ece_debiased", "ece_smooth"):
        value = _mean_of([record.metrics[name].value for record in records])
        if name in checks[0].errors:
            draws: Floats = np.mean([check.errors[name] for check in checks], axis=0)
            metrics[name] = consistent(sample.units, rows, value, draws, _reason(sample))
        else:
            metrics[name] = sample.units.without(value, rows, f"a mean of errors is {ABOVE}")
    return CalibrationCheck(ALL_CLASSES, metrics, ())


def _mean_of(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def _reason(sample: Sample) -> str:
    """Return why a mean over classes has no interval, and what its p-value assumes."""
    reason = f"a plug-in error is {ABOVE}"
    if not sample.space.exclusive:
        return f"{reason}; {SHARED_LABELS}"
    return reason if sample.units.independent else f"{reason}; {SHARED}"
