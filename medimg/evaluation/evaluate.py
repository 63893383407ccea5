"""`evaluate`: predictions in, every number with its interval out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from medimg.errors import PredictionsError
from medimg.evaluation import metrics as m
from medimg.evaluation.abstention.abstention import abstention
from medimg.evaluation.conformal.fit import fit_conformal
from medimg.evaluation.conformal.judge import conformal_result
from medimg.evaluation.curves.curves import score_curves
from medimg.evaluation.curves.decision import decision_curves
from medimg.evaluation.estimates.estimates import Estimates
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.reliability.checks import calibration_checks, calibration_metrics
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import CalibrationCheck, ConformalResult
from medimg.evaluation.sample import Sample, known_cases, one_split, resample
from medimg.evaluation.sample.groups import cells_of
from medimg.evaluation.sample.patients import by_patient, patient_note, several_cases
from medimg.evaluation.shift.shift import require_comparable, shift
from medimg.evaluation.subgroups.subgroups import subgroups
from medimg.evaluation.thresholds.apart import require_apart
from medimg.evaluation.thresholds.choose import choose_points, operating_results
from medimg.evaluation.thresholds.prevalence import prevalence_rows
from medimg.evaluation.thresholds.rules import has_conditions
from medimg.operating import OperatingPoint, check_points
from medimg.predictions import Predictions


def evaluate(
    predictions: Predictions,
    options: EvaluateOptions | None = None,
    *,
    split: str | None = None,
    calib: Predictions | None = None,
    reference: Predictions | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Return every metric of predictions with its 95% interval.

    Each metric gets the method of its kind: DeLong's or Obuchowski's for AUROC, Wilson's for
    proportions with a design effect where patients have several cases, the bootstrap by patient
    for most others; fewer than ten patients of a class: none. docs/coverage.md,
    docs/coverage_classes.md and docs/coverage_calibration.md say for which of them, and for how
    many patients, the coverage has been simulated. Cases without a known target are left out. The
    intervals are conditional on the trained model. No order of rows changes a number.

    Parameters
    ----------
    predictions : Predictions
        Thresholds that they bring frozen are applied.
    options : EvaluateOptions, optional
        Resamples, seed, and which parts to compute.
    split : str, optional
        Which split to score; wanted where there are several.
    calib : Predictions, optional
        Cases of the same model that neither trained it nor are scored: on them thresholds are
        chosen and prediction sets fitted. Without it there are none.
    reference : Predictions, optional
        Those of the set that the model is known on, to compare with.
    provenance : mapping, optional
        Kept in the result, beside what the evaluation says of itself under `evaluation`.

    Raises
    ------
    UsageError
        Several splits and none asked for; a threshold chosen on cases that are scored; a
        reference that shares cases or patients with them; an unknown column, rule or method; a
        rule that was named and does not say of which class.
    PredictionsError
        No such split, or no known target; a rule that was named and that no threshold reaches.
    """
    options = options or EvaluateOptions()
    chosen, name = one_split(predictions, split)
    known = known_cases(chosen, name)
    _require(chosen, calib, reference, options)
    sample = Sample.of(known)
    points, missing = _points(known, calib, options)
    sets, patients = _conformal(chosen, calib, options), _patients(known, options)
    whole = _core(sample, name, options)
    made = {
        **options.model_dump(mode="json"),
        **whole.provenance,
        "predictions": chosen.fingerprint,
        "calib": None if calib is None else calib.fingerprint,
        "reference": None if reference is None else reference.fingerprint,
    }
    return replace(
        whole,
        calibrated=chosen.calibrator is not None,
        uncalibrated=_uncalibrated(known, options),
        curves=score_curves(sample, options),
        operating=operating_results(sample, points),
        decision=decision_curves(sample),
        prevalence=prevalence_rows(sample, points, options),
        abstention=abstention(sample, options),
        subgroups=subgroups(sample, known.metadata, options),
        conformal=sets,
        shift=None if reference is None else shift(known, reference, options, whole.metrics),
        by_patient=None if patients is None else _by_patient(known, patients, name, options),
        notes=(*_notes(chosen, known, calib, options), *missing),
        provenance={**(provenance or {}), "evaluation": made},
    )


def _core(sample: Sample, split: str, options: EvaluateOptions) -> Evaluation:
    """Return the metrics and the calibration of a sample, and how often it was drawn again."""
    draws, redrawn = resample(sample, options)
    estimates = Estimates(sample, sample.point(), draws)
    checks = calibration_checks(sample, options)
    return Evaluation(
        n=len(sample.targets),
        n_patients=sample.units.patients(np.ones(len(sample.targets), bool)),
        split=split,
        space=sample.space,
        calibrated=False,
        metrics=estimates.metrics() | calibration_metrics(checks, sample),
        per_class=estimates.per_class(),
        confusion=_confusion(sample),
        calibration=checks,
        provenance={"redrawn": redrawn},
    )


def _require(
    chosen: Predictions,
    calib: Predictions | None,
    reference: Predictions | None,
    options: EvaluateOptions,
) -> None:
    """Refuse what a later part would, before anything is resampled."""
    require_apart(calib, chosen)
    if reference is not None:
        require_comparable(chosen, known_cases(*one_split(reference)))
    for column in options.subgroups:
        cells_of(chosen.metadata, column)


def _points(
    known: Predictions, calib: Predictions | None, options: EvaluateOptions
) -> tuple[tuple[OperatingPoint, ...], tuple[str, ...]]:
    """Return the thresholds that were frozen before and those chosen on `calib`, and what is not.

    A rule that was named and cannot be followed is refused; the default is passed over.
    """
    frozen = {(point.label, point.rule) for point in known.thresholds}
    if calib is None:
        return known.thresholds, ()
    rules, named = options.operating_points, "operating_points" in options.model_fields_set
    if not named and not has_conditions(known.space):
        rules = ()
    try:
        fresh = choose_points(calib.with_calibrator(known.calibrator), rules)
    except PredictionsError as error:
        if named:
            raise
        return known.thresholds, (f"No threshold was chosen: {error.message}.",)
    new = [point for point in fresh if (point.label, point.rule) not in frozen]
    return check_points((*known.thresholds, *new), known.space), ()


def _conformal(
    chosen: Predictions, calib: Predictions | None, options: EvaluateOptions
) -> tuple[ConformalResult, ...]:
    if calib is None or options.conformal == "none":
        return ()
    fitted = [
        fit_conformal(
            calib,
            options.conformal,
            options.alpha,
            by="" if by == "all" else by,
            seed=options.seed,
        )
        for by in options.conformal_by
    ]
    return tuple(conformal_result(one, chosen) for one in fitted)


def _uncalibrated(known: Predictions, options: EvaluateOptions) -> tuple[CalibrationCheck, ...]:
    if known.calibrator is None or known.calibrator.method == "identity":
        return ()
    return calibration_checks(Sample.of(known.with_calibrator(None)), options)


def _patients(known: Predictions, options: EvaluateOptions) -> Predictions | None:
    """Return one row a patient; None where it is not asked for, or would say nothing else."""
    if options.by_patient == "none" or not several_cases(known):
        return None
    rows = by_patient(known, options.by_patient)
    return rows if rows.known.any() else None


def _by_patient(
    known: Predictions, patients: Predictions, split: str, options: EvaluateOptions
) -> Evaluation:
    sample = Sample.of(known_cases(patients, split))
    calibrated = known.calibrator is not None
    note = patient_note(known, options.by_patient)
    return replace(_core(sample, split, options), calibrated=calibrated, notes=(note,))


def _notes(
    chosen: Predictions,
    known: Predictions,
    calib: Predictions | None,
    options: EvaluateOptions,
) -> list[str]:
    notes = []
    if len(known) < len(chosen):
        left_out = len(chosen) - len(known)
        notes.append(f"{left_out} of {len(chosen)} cases have no known target and are left out.")
    if options.by_patient != "none" and several_cases(known):
        notes.append(f"By patient: {patient_note(known, options.by_patient)}.")
    if calib is None and not known.thresholds:
        notes.append(
            "No cases to choose thresholds or fit prediction sets on were given, so there are none."
        )
    return notes


def _confusion(sample: Sample) -> tuple[tuple[int, ...], ...]:
    if sample.space.exclusive:
        table = m.confusion(sample.decisions, sample.targets)
    else:
        table = np.stack(m.count(sample.decisions, sample.targets), axis=1)
    return tuple(tuple(int(v) for v in row) for row in np.rint(table))
