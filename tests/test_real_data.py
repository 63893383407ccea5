"""The configs and the label spaces on real pictures, through the installed command."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg.data.fetch import fetch

pytestmark = pytest.mark.data

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.yaml"))


def train(config: Path, folder: Path, data: Path, *overrides: str) -> dict[str, Any]:
    """Run `medimg train` and return its metrics."""
    command = [sys.executable, "-m", "medimg", "train", str(config), "-o", str(folder / "run")]
    for override in ("evaluate.resamples=100", *overrides):
        command += ["--set", override]
    environment = os.environ | {"MEDIMG_DATA": str(data)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads((folder / "run/report/metrics.json").read_text())
    return values


@pytest.mark.parametrize("config", CONFIGS, ids=lambda p: p.stem)
def test_every_config_trains_on_its_real_data(
    config: Path, data_root: Path, tmp_path: Path
) -> None:
    if config.stem.startswith("digits"):
        data_root = fetch("digits", tmp_path / "data").parent
    metrics = train(config, tmp_path, data_root, "fit.epochs=1")
    accuracy = metrics["metrics"]["accuracy"]
    if config.stem.startswith("ct_contrast"):  # too few patients for an interval, and it says so
        assert accuracy["low"] is None and "patients tell as much as 9" in accuracy["reason"]
    else:
        assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert metrics["space"]["classes"] != ["0", "1"]
    if "breast" in config.stem:
        assert metrics["space"]["positive"] == "malignant"
        assert metrics["metrics"]["sensitivity"]["n"] == 42
        assert metrics["metrics"]["specificity"]["n"] == 114


def test_retina_is_ordinal_and_its_grades_are_told_apart(data_root: Path, tmp_path: Path) -> None:
    (config,) = (c for c in CONFIGS if c.stem == "retinamnist_cnn")
    metrics = train(config, tmp_path, data_root, "fit.epochs=6")
    assert metrics["space"]["kind"] == "ordinal"
    assert metrics["metrics"]["auroc_macro"]["value"] > 0.6
    assert np.array(metrics["confusion"]).sum() == 400


def test_a_table_of_several_labels_over_real_pictures_with_unknowns(
    data_root: Path, tmp_path: Path
) -> None:
    """Retina's pictures, labelled `any` (grade above 0) and `severe` (above 2), 5% blanked and
    5% of `severe` marked -1."""
    arrays = np.load(data_root / "medmnist" / "retinamnist.npz")
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    with (tmp_path / "t.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "any", "severe", "split"])
        for split in ("train", "test"):
            for row, (image, label) in enumerate(
                zip(arrays[f"{split}_images"], arrays[f"{split}_labels"][:, 0], strict=True)
            ):
                name = f"pictures/{split}{row}.png"
                Image.fromarray(image).save(tmp_path / name)
                any_ = "" if rng.random() < 0.05 else int(label > 0)
                severe = -1 if rng.random() < 0.05 else int(label > 2)
                writer.writerow([name, any_, severe, split])
    config = tmp_path / "c.yaml"
    config.write_text(
        "title: retina, two labels\n"
        "data: {source: t.csv, label: [any, severe], blank: unknown, uncertain: unknown}\n"
        "model: {name: cnn, widths: [16, 32]}\n"
        "fit: {epochs: 8, batch_size: 64, optimizer: adamw, lr: 3e-3, class_weights: balanced}\n"
    )
    metrics = train(config, tmp_path, data_root)
    assert metrics["space"]["kind"] == "multilabel"
    known = {c: row["auroc"]["n"] for c, row in metrics["per_class"].items()}
    assert 360 <= known["any"] < 400
    assert 360 <= known["severe"] < 400
    assert metrics["per_class"]["any"]["auroc"]["value"] > 0.65
    assert metrics["metrics"]["auroc_macro"]["low"] > 0.5
