"""medimg's evaluation beside plain scikit-learn and torchmetrics loops; one JSON line out.

``python benchmarks/bench_evaluate.py [--rounds 3] [--loop 20]``: medians of interleaved rounds.
The loops run few resamples of the very draws that medimg uses, and their time is scaled to as
many as medimg draws; `largest_difference` is between their figures and medimg's on those draws.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import evaluate_peers as peers
import numpy as np
from sklearn.metrics import roc_auc_score

from medimg.evaluation import metrics as m
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.intervals.bootstrap import draw_weights
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import Resampled, Sample, resample
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

RESAMPLES = 1000
BINARY = ("auroc", "accuracy", "recall")
CHEST = ("auroc", "average_precision", "recall", "brier", "ece")
Work = Callable[[], Any]


def simulate(n: int, k: int, kind: str = "multiclass", images: int = 0) -> Predictions:
    """Return n cases of k classes."""
    rng = np.random.default_rng(0)
    space = LabelSpace(tuple(f"class {c}" for c in range(k)), kind)  # type: ignore[arg-type]
    if kind == "multilabel":
        targets = (rng.random((n, k)) < 0.05).astype(np.float32)
    else:
        targets = space.one_hot(rng.integers(0, k, n))
    scores = (rng.normal(size=(n, k)) + 2 * targets).astype(np.float32)
    ids = [f"{i:06d}" for i in range(n)]
    patients = [f"P{i // images:06d}" for i in range(n)] if images else None
    return Predictions(ids, scores, "logits", space, targets, patient_id=patients)


def resampled(p: Predictions, names: tuple[str, ...] | None, resamples: int) -> dict[str, Any]:
    """Return metrics of resampled patients, medimg's way, from the predictions on."""
    return resample(Sample.of(p), EvaluateOptions(resamples=resamples), names)[0]


def rows_of(sample: Sample, weights: Any) -> list[Any]:
    """Return the cases of each resample, patients repeated as often as they were drawn."""
    case = np.arange(len(sample.targets))
    return [np.repeat(case, w[sample.units.of_case].astype(int)) for w in weights.T]


def timed(work: Work, scale: float = 1.0) -> float:
    """Return the seconds that `work` takes, times `scale`."""
    start = time.perf_counter()
    work()
    return scale * (time.perf_counter() - start)


def races(loop: int) -> tuple[dict[str, tuple[Work, float]], dict[str, float]]:
    """Return what is timed with the scale of each, and how far the loops' figures lie apart."""
    binary, chest = simulate(10_000, 2), simulate(22_000, 14, "multilabel", images=3)
    few = max(1, loop // 10)
    works: dict[str, tuple[Work, float]] = {
        "binary_medimg": (lambda: resampled(binary, BINARY, RESAMPLES), 1),
        "binary_medimg_all_metrics": (lambda: resampled(binary, None, RESAMPLES), 1),
        "chest_medimg": (lambda: resampled(chest, CHEST, RESAMPLES), 1),
        "chest_medimg_all_metrics": (lambda: resampled(chest, None, RESAMPLES), 1),
    }
    apart = {}
    for name, p, number, functions in (
        ("binary", binary, loop, (peers.sklearn_binary, peers.torchmetrics_binary)),
        ("chest", chest, few, (peers.sklearn_labels, peers.torchmetrics_labels)),
    ):
        sample = Sample.of(p)
        weights = draw_weights(np.random.default_rng(0), sample.units.n, number)
        rows, ours = rows_of(sample, weights), Resampled(sample)(weights)
        for function in functions:
            peer = f"{name}_{function.__name__.partition('_')[0]}"
            args = sample.probabilities, sample.targets, rows
            works[peer] = (lambda f=function, a=args: f(*a), RESAMPLES / number)  # type: ignore[misc]
            apart[peer] = difference(name, ours, function(*args))
    return works, apart


def difference(name: str, ours: Mapping[str, Any], theirs: Any) -> float:
    """Return the largest difference of figures; Brier and ECE are means over labels here."""
    if name == "binary":
        mine = [ours["auroc"][1], ours["accuracy"], ours["recall"][1]]
        return float(np.abs(np.stack(mine, axis=1) - theirs).max())
    each = [ours[n].T - theirs[:, i] for i, n in enumerate(CHEST[:3])]
    means = [ours[n] - theirs[:, i].mean(axis=1) for i, n in enumerate(CHEST) if i > 2]
    return float(max(np.abs(v).max() for v in (*each, *means)))


def whole() -> dict[str, tuple[Work, float]]:
    """Return whole evaluations, and one AUROC of five million rows with heavy ties."""
    digits, small, two = simulate(10_000, 10), simulate(400, 5), simulate(1000, 2)
    rng = np.random.default_rng(0)
    target = rng.random(5_000_000) < 0.02
    score = rng.integers(0, 1000, len(target)) + 300.0 * target
    return {
        "evaluate_10000x10": (lambda: evaluate(digits), 1),
        "evaluate_400x5": (lambda: evaluate(small), 1),
        "evaluate_1000x2": (lambda: evaluate(two), 1),
        "auroc_5e6_medimg": (lambda: m.auroc_of(*m.staircase(score, target)), 1),
        "auroc_5e6_sklearn": (lambda: roc_auc_score(target, score), 1),
    }


def command(folder: Path) -> Work:
    """Return the whole command on 1,000 cases of 2 classes, with 300 to calibrate on."""
    cases, calib = simulate(1000, 2), simulate(1300, 2).take(np.arange(1000, 1300))
    cases.save(folder / "cases.csv")
    calib.save(folder / "calib.csv")
    words = ["evaluate", folder / "cases.csv", "--calib", folder / "calib.csv"]
    line = [sys.executable, "-m", "medimg", *words, "-o", folder / "report", "--overwrite"]
    return lambda: subprocess.run(line, check=True, capture_output=True)


def peak_mib(resamples: int) -> int:
    """Return the most memory (Linux) that a process of its own took for so many resamples."""
    command = [sys.executable, __file__, "--peak", str(resamples)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, default=20)
    parser.add_argument("--peak", type=int, help="only print the peak memory of so many resamples")
    options = parser.parse_args()
    if options.peak is not None:
        if options.peak:
            resampled(simulate(2000, 2), None, options.peak)
        # Not ru_maxrss, which a process inherits from the one that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
        return
    works, apart = races(options.loop)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        works |= whole() | {"command_and_report_1000x2": (command(Path(folder)), 1)}
        for _ in range(options.rounds):
            for name, (work, scale) in works.items():
                times.setdefault(name, []).append(timed(work, scale))
    seconds = {name: round(statistics.median(t), 4) for name, t in times.items()}
    print(json.dumps(report(seconds, apart, options.rounds, options.loop)))


def report(
    seconds: Mapping[str, float], apart: Mapping[str, float], rounds: int, loop: int
) -> dict[str, Any]:
    """Return what is printed."""
    return {
        "bench": "evaluate",
        "resamples": RESAMPLES,
        "seconds": seconds,
        "times_faster": {
            peer: round(seconds[peer] / seconds[f"{peer.partition('_')[0]}_medimg"], 1)
            for peer in apart
        },
        "largest_difference": apart,
        "peak_rss_mib_by_resamples": {n: peak_mib(n) for n in (0, 2000, 100_000)},
        "rounds": rounds,
        "loop_resamples": loop,
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    main()
