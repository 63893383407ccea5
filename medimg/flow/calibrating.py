"""What is fitted on cases of its own: the calibrator of a bundle, then its operating points."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from medimg.calibrator import Calibrator
from medimg.config import RunConfig
from medimg.errors import PredictionsError
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.thresholds.choose import choose_points
from medimg.evaluation.thresholds.rules import rules_for
from medimg.inference.bundle import ModelBundle
from medimg.labels import LabelSpace
from medimg.operating import OperatingPoint
from medimg.predictions import Predictions


def calibrate(
    config: RunConfig, bundle: ModelBundle, predictions: Predictions
) -> tuple[ModelBundle, list[str]]:
    """Return the bundle with what the config wants fitted, and what could not be.

    An operating point that these cases do not reach is told, not raised: the training is done.

    Parameters
    ----------
    predictions : Predictions
        Of cases that this model did not learn, nor was stopped by, without calibrator. The
        members of the bundle are left to the caller, who knows the pictures.
    """
    if config.calibration.method != "none":
        bundle = bundle.with_calibrator(fit_calibrator(predictions, config.calibration.method))
    calibrated = predictions.with_calibrator(bundle.calibrator)
    points: list[OperatingPoint] = []
    notes: list[str] = []
    for rule in wanted_rules(config, bundle.space):
        try:
            points += choose_points(calibrated, (rule,))
        except PredictionsError as error:
            notes.append(f"No {error.message}.")
    return bundle.with_points(points), notes


def apart(calib: Predictions, scored: Predictions) -> Predictions | None:
    """Return the cases of patients that are not scored; None where there are none.

    Patients in several splits are a leak that a config may allow; to fit prediction sets on those
    whom they are judged by, it may not.
    """
    if calib.patient_id is None or scored.patient_id is None:
        return calib
    both = set(calib.patient_id) & set(scored.patient_id) - {""}
    own = calib.take(np.array([name not in both for name in calib.patient_id], bool))
    return own if own.known.any() else None


def wanted_rules(config: RunConfig, space: LabelSpace) -> tuple[str, ...]:
    """Return the rules of the config; none where they are the default and fit no class."""
    default: Iterable[str] = EvaluateOptions.model_fields["operating_points"].default
    return rules_for(config.evaluate.operating_points, space, default)


def words(calibrator: Calibrator | None, where: str) -> str:
    """Return what the probabilities are; `where` says what a calibrator was fitted on."""
    if calibrator is None:
        return "not calibrated"
    if calibrator.method == "identity":
        tried = ", ".join(calibrator.tried) or "too few patients for folds"
        return f"those of the model: no calibrator gained more than chance would {where} ({tried})"
    return f"calibrated {where} ({calibrator.method})"
