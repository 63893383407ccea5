"""The public makers: same arguments, same bytes, and the calibration that they promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.calibrator import Calibrator, log_likelihood_terms
from medimg.labels import LabelSpace, class_index
from medimg.testing import (
    make_manifest,
    make_nifti,
    make_npz,
    make_pictures,
    make_predictions,
)

THREE = LabelSpace(("a", "b", "c"))
MANY = LabelSpace(("a", "b", "c"), "multilabel")


def test_makers_give_the_same_bytes_again(tmp_path: Path) -> None:
    for maker in (
        lambda p: make_npz(p.with_suffix(".npz"), seed=4),
        lambda p: make_nifti(p.with_suffix(".nii.gz"), np.zeros((3, 3, 3), np.int16)),
    ):
        assert maker(tmp_path / "1").read_bytes() == maker(tmp_path / "2").read_bytes()
    assert make_predictions(50, seed=3).fingerprint == make_predictions(50, seed=3).fingerprint
    assert make_predictions(50, seed=3).fingerprint != make_predictions(50, seed=4).fingerprint


@pytest.mark.parametrize("space", (THREE, MANY, LabelSpace(("a", "b"))))
def test_predictions_have_the_temperature_that_was_asked_for(space: LabelSpace) -> None:
    predictions = make_predictions(20_000, space, seed=1, temperature=2.5)
    grid = np.linspace(1.5, 4, 26)

    def loss(temperature: float) -> float:
        logits = Calibrator("temperature", {"temperature": temperature}).apply(predictions.logits)
        return float(log_likelihood_terms(logits, predictions.targets, space).mean())

    best = grid[np.argmin([loss(t) for t in grid])]
    assert abs(best - 2.5) <= 0.2


def test_predictions_are_calibrated_by_construction() -> None:
    predictions = make_predictions(100_000, seed=2)
    p, y = predictions.probabilities[:, 1], predictions.targets[:, 1]
    bins = (p * 10).astype(int)
    gaps = [abs(p[bins == b].mean() - y[bins == b].mean()) for b in range(10)]
    assert max(gaps) < 0.02


def test_unknown_patients_and_splits_are_as_asked() -> None:
    manifest = make_manifest(200, patients=20, splits=("train", "test"), unknown=0.25, seed=1)
    assert len(set(manifest.frame["patient_id"])) == 20
    assert len(manifest.rows("test")) == 100
    assert 0.15 < (class_index(manifest.targets) == -1).mean() < 0.35
    assert len(set(make_predictions(60, patients=6).patient_id)) == 6  # type: ignore[arg-type]


def test_pictures_can_be_told_apart_by_their_class() -> None:
    labels = np.arange(30) % 3
    for shape, channels in (((16, 16), 1), ((16, 16), 3), ((4, 16, 16), 1)):
        pictures = make_pictures(labels, shape=shape, channels=channels)
        rows = np.moveaxis(pictures, len(shape) - 1, 1).reshape(30, 16, -1).mean(axis=2)
        assert (np.searchsorted([5, 11], rows.argmax(axis=1), side="right") == labels).mean() > 0.9
