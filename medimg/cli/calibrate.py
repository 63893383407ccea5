"""`medimg calibrate`: a bundle and predictions of it to a calibrated bundle."""

from __future__ import annotations

from pathlib import Path

from medimg.errors import BundleError, UsageError
from medimg.evaluation.calibration import fit_calibrator
from medimg.inference.bundle import ModelBundle
from medimg.predictions import Predictions


def calibrate_bundle(
    folder: Path, table: Path, out: Path, split: str | None, *, overwrite: bool
) -> float:
    """Fit on `table`, write the new bundle to `out` and return the temperature."""
    bundle = ModelBundle.load(folder)
    predictions = Predictions.load(table)
    if split is not None:
        predictions = predictions.select(split)
    elif predictions.split is not None and set(predictions.split) != {"calib"}:
        raise UsageError(
            f"{table} holds cases of {sorted(set(predictions.split))}",
            remedy="fit on calib, whose cases neither trained, stopped nor will score the model; "
            "--split NAME takes another knowingly",
        )
    _require_same(bundle, predictions, table)
    calibrator = fit_calibrator(predictions)
    bundle.with_calibrator(calibrator, predictions).save(out, overwrite=overwrite)
    return calibrator.parameters["temperature"]


def _require_same(bundle: ModelBundle, predictions: Predictions, table: Path) -> None:
    ids = {bundle.bundle_id, bundle.with_calibrator(None).bundle_id}
    if predictions.bundle_id not in ids:
        raise BundleError(
            f"{table} was made by bundle {predictions.bundle_id}, not by this one",
            remedy="predict the calibration cases with this bundle first",
        )
