"""medimg's evaluation beside the plain scikit-learn loop, interleaved; one JSON line out.

``python benchmarks/bench_evaluate.py [--rounds 3] [--loop 20]``: the loop runs few resamples
and its time is scaled to as many as medimg draws.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.intervals import bootstrap
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import Lacking, Resampled, Sample
from medimg.labels import LabelSpace
from medimg.predictions import Predictions


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


def timed(work: Any) -> float:
    """Return the seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def sklearn_loop(p: Predictions, resamples: int) -> np.ndarray[Any, Any]:
    """Return AUROC, accuracy and recall of resampled cases, the plain way (R, 3)."""
    rng, y, score = np.random.default_rng(0), p.targets.argmax(axis=1), p.probabilities[:, 1]
    out = []
    for _ in range(resamples):
        rows = rng.integers(0, len(y), len(y))
        hat = score[rows] > 0.5
        out.append(
            (
                roc_auc_score(y[rows], score[rows]),
                accuracy_score(y[rows], hat),
                recall_score(y[rows], hat),
            )
        )
    return np.asarray(out)


def fast(p: Predictions, resamples: int) -> dict[str, Any]:
    """Return every metric of resampled cases, medimg's way."""
    sample = Sample.of(p)
    return bootstrap(
        Resampled(sample), sample.units.n, resamples=resamples, seed=0, lacking=Lacking(sample)
    )[0]


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", type=int, default=20)
    options = parser.parse_args()
    binary, digits = simulate(10_000, 2), simulate(10_000, 10)
    small, chest = simulate(400, 5), simulate(22_000, 14, "multilabel", images=3)
    times: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for name, work in {
            "sklearn_loop_1000x_10000x2": lambda: sklearn_loop(binary, options.loop),
            "medimg_1000x_10000x2": lambda: fast(binary, 1000),
            "evaluate_10000x10": lambda: evaluate(digits),
            "evaluate_400x5": lambda: evaluate(small),
            "evaluate_1000x_22000x14": lambda: evaluate(chest, EvaluateOptions(resamples=1000)),
        }.items():
            scale = 1000 / options.loop if name.startswith("sklearn") else 1
            times.setdefault(name, []).append(scale * timed(work))
    seconds = {name: round(statistics.median(t), 4) for name, t in times.items()}
    print(
        json.dumps(
            {
                "bench": "evaluate",
                "seconds": seconds,
                "speedup": round(
                    seconds["sklearn_loop_1000x_10000x2"] / seconds["medimg_1000x_10000x2"], 1
                ),
                "rounds": options.rounds,
                "loop_resamples": options.loop,
                "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "cpus": os.cpu_count(),
                "machine": platform.machine(),
                "python": platform.python_version(),
                "numpy": np.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
