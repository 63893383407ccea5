"""`medimg calibrate`: a bundle and predictions of it to a calibrated bundle."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from medimg.calibrator import Calibrator
from medimg.errors import BundleError, UsageError
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.thresholds.choose import choose_points
from medimg.inference.bundle import ModelBundle
from medimg.predictions import Predictions


def calibrate_bundle(
    folder: Path,
    table: Path,
    out: Path,
    split: str | None,
    *,
    method: str,
    at: Sequence[str],
    overwrite: bool,
) -> None:
    """Fit on `table`, write the new bundle to `out` and print what was fitted.

    Operating points are chosen on the same cases: those of the rules `at`; where none are given
    those that the bundle has, as they were for other probabilities.
    """
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
    calibrator = fit_calibrator(predictions, method)
    rules = at or [f"{point.label}:{point.rule}" for point in bundle.thresholds]
    points = choose_points(predictions.with_calibrator(calibrator), rules)
    made = bundle.with_calibrator(calibrator, predictions).with_points(points)
    made.save(out, overwrite=overwrite)
    lines = [*_lines(calibrator), *(f"operating point: {point}" for point in points), str(out)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _lines(calibrator: Calibrator) -> list[str]:
    """Return what was tried, and what was taken."""
    tried = [
        f"{method}: gains {gain:.4f} nats a case out of fold (standard error {error:.4f})"
        for method, (gain, error) in calibrator.tried.items()
    ]
    if calibrator.method == "identity":
        return [*tried, "the raw output stays: none gains more than chance would"]
    if calibrator.method == "temperature":
        return [*tried, f"temperature {calibrator.parameters['temperature']:.4f}"]
    return [*tried, f"calibrated by {calibrator.method}"]


def _require_same(bundle: ModelBundle, predictions: Predictions, table: Path) -> None:
    ids = {bundle.bundle_id, bundle.uncalibrated_id}
    if predictions.bundle_id not in ids:
        raise BundleError(
            f"{table} was made by bundle {predictions.bundle_id}, not by this one",
            remedy="predict the calibration cases with this bundle first",
        )
