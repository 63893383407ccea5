"""What bfloat16 costs: trainings in it and in float32, paired over seeds, on three sets.

Each cell (config, precision, seed) is one `medimg train`; its logits on test are kept in the
folder, so that the bench can be stopped and gone on with. Differences (bfloat16 less float32) of
accuracy, AUROC and Brier score get a 95% interval by a bootstrap over seeds and cases, the same
ones in both arms. Non-inferior: no worse than the margin at the interval's near end. One JSON
line out.

    python benchmarks/bench_precision.py --seeds 10 --folder runs/precision
    python benchmarks/bench_precision.py --table --folder runs/precision
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import MULTICLASS
from medimg.files import write_json
from medimg.predictions import Predictions

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SETS = ("breastmnist_cnn", "pneumoniamnist_cnn", "mnist_mlp_512_256")
ARMS = ("float32", "bfloat16")
#: Metric -> how much worse it may be, and whether more is better.
MARGINS = {"accuracy": (0.002, True), "auroc_macro": (0.002, True), "brier": (0.005, False)}
RESAMPLES = 2000
Cell = dict[str, Any]


def train(name: str, arm: str, seed: int, epochs: int | None) -> Cell:
    """Train one cell; return probabilities and classes of test, and the seconds."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        command = [sys.executable, "-m", "medimg", "train", str(CONFIGS / f"{name}.yaml")]
        overrides = [f"seed={seed}", f"fit.precision={arm}", "evaluate.resamples=100"]
        overrides += [] if epochs is None else [f"fit.epochs={epochs}"]
        command += ["-o", str(out), *(w for o in overrides for w in ("--set", o))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = map(json.loads, (out / "log.jsonl").read_text().splitlines())
        (end,) = (row for row in rows if row["event"] == "end")
        test = Predictions.load(out / "predictions" / "test.csv")
    return {
        "case_id": test.case_id.tolist(),
        "probabilities": test.probabilities.tolist(),
        "targets": test.targets.tolist(),
        "epochs": end["epochs"],
        "training_seconds": end["training_seconds"],
    }


def run_cells(options: argparse.Namespace) -> None:
    """Train the cells that are not there yet, the arms of a seed one after the other."""
    for seed in range(options.first, options.first + options.seeds):
        for name in options.sets.split(","):
            for arm in ARMS:
                path = options.folder / f"{name}_{arm}_{seed}.json"
                if path.is_file():
                    continue
                cell = train(name, arm, seed, options.epochs)
                write_json(path, cell)
                sys.stderr.write(f"{path.name}: {cell['training_seconds']:.1f} s\n")


def pairs(folder: Path, name: str) -> list[tuple[Cell, Cell]]:
    """Return the cells of the seeds that both arms have, of as many epochs."""
    found = []
    for path in sorted(folder.glob(f"{name}_{ARMS[0]}_*.json")):
        other = folder / path.name.replace(ARMS[0], ARMS[1])
        if other.is_file():
            a, b = (json.loads(p.read_text()) for p in (path, other))
            if a["case_id"] != b["case_id"]:
                raise SystemExit(f"{path.name} and {other.name} hold other cases: delete both")
            found.append((a, b))
    return found


def difference(
    metric: str, pair: tuple[Cell, Cell], weights: NDArray[np.float64] | None = None
) -> float:
    """Return bfloat16 less float32 on the cases of one seed."""
    values = [
        MULTICLASS[metric](np.array(cell["probabilities"]), np.array(cell["targets"]), weights)
        for cell in (pair[1], pair[0])
    ]
    return float(values[0] - values[1])


def interval(metric: str, cells: list[tuple[Cell, Cell]]) -> dict[str, Any]:
    """Return mean difference, its interval, and whether the margin holds."""
    generator = np.random.default_rng(0)
    cases = len(cells[0][0]["case_id"])
    draws = np.empty(RESAMPLES)
    drawn = generator.multinomial(cases, np.full(cases, 1 / cases), RESAMPLES).astype(float)
    for place, weights in enumerate(drawn):
        seeds = generator.integers(len(cells), size=len(cells))
        each = {s: difference(metric, cells[s], weights) for s in set(seeds.tolist())}
        draws[place] = np.mean([each[s] for s in seeds.tolist()])
    low, high = np.quantile(draws, [0.025, 0.975])
    margin, more = MARGINS[metric]
    mean = float(np.mean([difference(metric, pair) for pair in cells]))
    return {
        "difference": round(mean, 5),
        "interval": [round(float(low), 5), round(float(high), 5)],
        "margin": margin,
        "non_inferior": bool(low > -margin if more else high < margin),
    }


def table(folder: Path, names: list[str]) -> dict[str, Any]:
    """Return the figures of each set."""
    found: dict[str, Any] = {}
    for name in names:
        cells = pairs(folder, name)
        if not cells:
            continue
        for pair in cells:
            for cell in pair:  # once: the bootstrap reads them thousands of times
                cell["probabilities"] = np.array(cell["probabilities"])
                cell["targets"] = np.array(cell["targets"], np.float32)
        seconds = [[cell["training_seconds"] for cell in pair] for pair in cells]
        found[name] = {metric: interval(metric, cells) for metric in MARGINS}
        found[name]["seeds"] = len(cells)
        found[name]["times_faster"] = round(float(np.median([a / b for a, b in seconds])), 3)
    return found


def main() -> None:
    """Train what is missing and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--sets", default=",".join(SETS), help="names of files in configs/")
    parser.add_argument("--epochs", type=int, help="fewer than the config says, for a quick look")
    parser.add_argument("--folder", type=Path, default=Path("runs/precision"))
    parser.add_argument("--table", action="store_true", help="of the cells that are there")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not options.table:
        run_cells(options)
    result = {"bench": "precision", "cpus": os.cpu_count()}
    print(json.dumps(result | table(options.folder, options.sets.split(","))))


if __name__ == "__main__":
    main()
