"""One default recipe on four sets of MedMNIST beside the official recipe, on the same seeds.

`ours` is `medimg train configs/medmnist.yaml` with `data.source` and `seed` set and nothing else;
`official` is `medmnist_official.py`. Each cell (set, arm, seed) is a process of its own and leaves
one JSON in the folder, so that the bench can be stopped and gone on with. Test is scored once a
cell; every choice is made on val. One JSON line and a table of markdown out.

    python benchmarks/bench_medmnist.py --seeds 5 --folder runs/medmnist
    python benchmarks/bench_medmnist.py --table --folder runs/medmnist
    python benchmarks/bench_medmnist.py --sets adrenal3d --arms official --epochs 20 ...
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from medmnist_table import print_table

from medimg.config import parse_yaml
from medimg.data.sources.medmnist_sets import SETS, set_name
from medimg.evaluation.calibrators.fit import fit_calibrator
from medimg.evaluation.metrics import MULTICLASS, TWO_CLASSES
from medimg.files import fingerprint, write_json
from medimg.predictions import Predictions

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "configs" / "medmnist.yaml"
#: Set -> files in the data folder; the first that is there.
FILES = {
    "breast": ("breastmnist.npz",),
    "pneumonia": ("pneumoniamnist.npz", "pneumoniamnist_reconstructed.npz"),
    "retina": ("retinamnist.npz",),
    "adrenal3d": ("adrenalmnist3d.npz",),
}
METRICS = {"auroc": "auroc_macro", "accuracy": "accuracy"}
CALIBRATION = ("ece", "brier", "nll")
Cell = dict[str, Any]


def source(name: str) -> Path:
    """Return the file of a set."""
    data = Path(os.environ.get("MEDIMG_DATA", HERE.parent.parent / "shared" / "data"))
    files = [data.resolve() / "medmnist" / file for file in FILES[name]]
    for file in files:
        if file.is_file():
            return file
    raise SystemExit(f"{files[0]} is not there: set MEDIMG_DATA, or leave {name} out of --sets")


def run_ours(name: str, seed: int, epochs: int | None, folder: Path) -> Cell:
    """Train by the public command, going on where a killed one stopped; return its cell."""
    out = folder / "runs" / f"{name}_{seed}"
    command = [sys.executable, "-m", "medimg", "train", str(CONFIG), "-o", str(out)]
    overrides = [f"data.source={source(name)}", f"seed={seed}", "evaluate.resamples=100"]
    overrides += [] if epochs is None else [f"fit.epochs={epochs}"]
    for override in overrides:
        command += ["--set", override]
    if not (out / "run.json").is_file():
        command += ["--resume"] if (out / "config.yaml").is_file() else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    config = parse_yaml((out / "config.yaml").read_text(encoding="utf-8"), str(out))
    config["data"].pop("source")
    recipe = fingerprint({k: v for k, v in config.items() if k != "seed"})
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    predictions = Predictions.load(out / "predictions" / "test.csv")
    return {
        "recipe": recipe,
        "epochs": config["fit"]["epochs"],
        "training_seconds": log_seconds(log),
        "held": {"split": "calib"} | rows_of(Predictions.load(out / "predictions" / "calib.csv")),
        **scored(predictions),
        "log": log,
    }


def run_official(name: str, seed: int, epochs: int | None, precision: str) -> Cell:
    """Train by the official recipe in a process of its own; return its cell.

    Nothing is held out for calibration there: its temperature is fitted on val, as is usual,
    though val chose the epoch.
    """
    epochs = epochs or 100
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, str(HERE / "medmnist_official.py"), str(source(name))]
        command += ["--seed", str(seed), "--epochs", str(epochs), "--precision", precision]
        subprocess.run([*command, "-o", str(out)], check=True, stdout=subprocess.DEVNULL)
        made = json.loads(out.read_text())
    space = SETS[set_name(source(name))].space
    val, test = (
        Predictions(
            [f"{split}@{row:06d}" for row in range(len(made[split]["labels"]))],
            np.array(made[split]["logits"], np.float32),
            "logits",
            space,
            space.one_hot(np.array(made[split]["labels"])),
            split=[split] * len(made[split]["labels"]),
        )
        for split in ("val", "test")
    )
    return {
        "recipe": f"official, {precision}",
        "epochs": epochs,
        "training_seconds": made["training_seconds"],
        "held": {"split": "val"} | rows_of(val),
        **scored(test.with_calibrator(fit_calibrator(val, "temperature"))),
        "log": made["log"],
    }


def log_seconds(log: list[dict[str, Any]]) -> float | None:
    """Return the seconds of training that the log's end tells."""
    ends = [row["training_seconds"] for row in log if "training_seconds" in row]
    return round(ends[-1], 1) if ends else None


def rows_of(predictions: Predictions) -> dict[str, list[Any]]:
    """Return rows of the file, classes (-1: unknown) and logits, in the file's order."""
    rows = [int(case.rpartition("@")[2]) for case in predictions.case_id]
    order = np.argsort(rows)
    return {
        "row": [rows[i] for i in order],
        "target": predictions.targets[order].argmax(axis=1).tolist(),
        "logits": predictions.logits[order].astype(np.float32).tolist(),
        "probabilities": predictions.probabilities[order].tolist(),
    }


def scored(test: Predictions) -> dict[str, Any]:
    """Return the predictions of test, and its figures before and after calibration."""
    figures = {}
    for when, predictions in (("before", test.with_calibrator(None)), ("after", test)):
        # The target condition last, as the binned errors of two classes take it.
        back = test.space.k == 2 and test.space.positive == test.space.classes[0]
        order = slice(None, None, -1 if back else 1)
        p, t = predictions.probabilities[:, order], predictions.targets[:, order]
        metrics = TWO_CLASSES if test.space.k == 2 else MULTICLASS
        names = METRICS | {name: name for name in CALIBRATION}
        figures[when] = {key: float(metrics[name](p, t)) for key, name in names.items()}
    return {"test": rows_of(test), "figures": figures}


def run_cell(name: str, arm: str, seed: int, asked: argparse.Namespace) -> None:
    """Make one cell, unless it is there."""
    path = asked.folder / f"{name}_{arm}_{seed}.json"
    if path.is_file():
        return
    start = time.perf_counter()
    if arm == "ours":
        cell = run_ours(name, seed, asked.epochs, asked.folder)
    else:
        cell = run_official(name, seed, asked.epochs, asked.precision)
    about = {"set": name, "arm": arm, "seed": seed, "shortened": asked.epochs is not None}
    about |= {"seconds": round(time.perf_counter() - start, 1), "cpus": os.cpu_count()}
    about |= {"torch": torch.__version__, "date": datetime.date.today().isoformat()}
    write_json(path, about | cell)
    shutil.rmtree(asked.folder / "runs" / f"{name}_{seed}", ignore_errors=True)
    print(f"{path.name}: {cell['figures']['after']}, {about['seconds']} s", file=sys.stderr)


def main() -> None:
    """Run what is missing, interleaved, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sets", default=",".join(FILES))
    parser.add_argument("--arms", default="ours,official")
    parser.add_argument("--epochs", type=int, help="fewer than the recipes say; kept in the cell")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--folder", type=Path, default=Path("runs/medmnist"))
    parser.add_argument("--table", action="store_true", help="only print what is there")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for seed in [] if asked.table else range(asked.first, asked.first + asked.seeds):
        for name in asked.sets.split(","):
            for arm in asked.arms.split(","):
                run_cell(name, arm, seed, asked)
    print_table([json.loads(path.read_text()) for path in sorted(asked.folder.glob("*_*_*.json"))])


if __name__ == "__main__":
    main()
