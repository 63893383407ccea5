"""The configs over several seeds: test accuracy and AUROC, mean and standard deviation.

Each run is `medimg train CONFIG --set seed=S`; test is scored once a seed, by that run. One JSON
line a config.

    python benchmarks/bench_configs.py --seeds 5 configs/breastmnist_cnn.yaml ...
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("accuracy", "auroc", "auroc_macro", "ece", "nll")


def run_once(config: Path, seed: int, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Train with one seed; return the test metrics, the epochs and the seconds."""
    command = [sys.executable, "-m", "medimg", "train", str(config), "-o", str(folder)]
    for override in [f"seed={seed}", "evaluate.resamples=100", *overrides]:
        command += ["--set", override]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    metrics = json.loads((folder / "report/metrics.json").read_text())["metrics"]
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    (end,) = (row for row in rows if row["event"] == "end")
    values = {name: metrics[name]["value"] for name in NAMES if name in metrics}
    return {**values, "epochs": end["epochs"], "seconds": seconds}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation of each figure."""
    out: dict[str, Any] = {}
    for key in runs[0]:
        values = [run[key] for run in runs if run[key] is not None]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        out[key] = {"mean": round(statistics.mean(values), 4), "sd": round(spread, 4)}
    return out


def main() -> None:
    """Run every config with every seed and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    os.environ.setdefault("MEDIMG_DATA", str(Path("../shared/data").resolve()))
    for config in options.configs:
        with tempfile.TemporaryDirectory() as name:
            runs = [
                run_once(config, seed, Path(name) / str(seed), options.overrides)
                for seed in range(options.first, options.first + options.seeds)
            ]
        line = {"config": config.stem, "seeds": options.seeds, "first": options.first}
        line |= {"set": options.overrides, "each": [run.get("accuracy") for run in runs]}
        print(json.dumps(line | summary(runs)), flush=True)


if __name__ == "__main__":
    main()
