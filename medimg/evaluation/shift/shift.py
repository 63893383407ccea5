"""How a set of cases differs from the one that a model is known on."""

from __future__ import annotations

from medimg.errors import UsageError
from medimg.evaluation.estimates.estimates import Estimates
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.sections import Metrics, Shift, ShiftRow
from medimg.evaluation.sample import Sample, resample
from medimg.evaluation.shift.distances import distance_rows
from medimg.evaluation.shift.sides import MOST_CLASSES, Side, class_rows, count_rows, row
from medimg.evaluation.thresholds.apart import require_others
from medimg.predictions import Predictions


def shift(
    predictions: Predictions,
    reference: Predictions,
    options: EvaluateOptions,
    metrics: Metrics | None = None,
) -> Shift:
    """Return in figures how predictions differ from those of a reference set.

    First the people and what the model says of them: cases and patients; the share of each
    class (of two, of the target condition), the mean and standard deviation of its probability,
    and calibration-in-the-large, by how much the share exceeds that mean; the Kolmogorov-Smirnov
    distance and the population stability index of its probability; the distance of each column
    of metadata that both have. Then every metric.

    Differences have an interval made of those of both sides, which are independent
    (`differences.Difference`); distances have what chance makes of them (`drift.permuted`). Cases
    without a known target are left out.

    Parameters
    ----------
    predictions, reference : Predictions
        Of one split each, and of the same classes.
    options : EvaluateOptions
        `resamples` and `seed`.
    metrics : mapping of str to Estimate, optional
        Those of `predictions`, where they are known already.

    Raises
    ------
    UsageError
        Other classes, another kind or target condition; several splits in one of them; a case or
        a patient in both.
    PredictionsError
        No known target in one of them.
    """
    here, there = Side.of(predictions), Side.of(reference)
    require_comparable(here.predictions, there.predictions)
    if metrics is None:
        metrics = _metrics(here.sample, options)
    distances, left_out = distance_rows(here, there, options)
    return Shift(
        reference=there.name,
        n_reference=len(there.predictions),
        rows=(*count_rows(here, there), *class_rows(here, there), *distances),
        metrics=metric_rows(metrics, _metrics(there.sample, options)),
        note="; ".join([*_notes(here.predictions, there.predictions), *_unseen(here, left_out)]),
    )


def require_comparable(predictions: Predictions, reference: Predictions) -> None:
    """Refuse a reference of other classes, or with a case or patient of the predictions."""
    if predictions.space != reference.space:
        raise UsageError(
            f"the predictions are of {_words(predictions)}; the reference is of "
            f"{_words(reference)}",
            remedy="take a reference of the same classes, in the same order",
        )
    apart = "the differences are worked out as those of other people: take a reference of others"
    require_others(reference, predictions, "they are compared with", apart)


def metric_rows(here: Metrics, reference: Metrics) -> tuple[ShiftRow, ...]:
    """Return the difference of each metric that both sides have."""
    return tuple(row(name, here[name], reference[name]) for name in here if name in reference)


def _metrics(sample: Sample, options: EvaluateOptions) -> Metrics:
    draws, _ = resample(sample, options)
    return Estimates(sample, sample.point(), draws).metrics()


def _words(predictions: Predictions) -> str:
    space = predictions.space
    condition = "" if space.positive is None else f", target condition {space.positive}"
    return f"{space.kind} classes {', '.join(space.classes)}{condition}"


def _notes(here: Predictions, reference: Predictions) -> list[str]:
    """Return what else than the people differs."""
    notes = []
    if here.bundle_id != reference.bundle_id:
        notes.append("the two were made by different bundles: not only the people differ")
    elif here.calibrator != reference.calibrator:
        notes.append("the two have different calibrators: not only the people differ")
    return notes


def _unseen(here: Side, left_out: tuple[str, ...]) -> list[str]:
    notes = (
        [f"not compared, for too many values or none on one side: {', '.join(left_out)}"]
        if left_out
        else []
    )
    if here.sample.space.k > MOST_CLASSES:
        notes.append(f"the first {MOST_CLASSES} of {here.sample.space.k} classes are compared")
    return notes
