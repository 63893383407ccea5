"""What the cells of `bench_medmnist.py` tell: a JSON line and tables of markdown.

The arms are paired: same seeds, same cases of test. A difference's interval is the percentile
bootstrap over both at once: each resample draws seeds and, once for all of them and for both
arms, cases (crossed random effects; Owen, Annals of Applied Statistics 2007: the interval is a
little too wide, never too narrow, where both vary).

P (N, K) probabilities, T (N, K) targets in {0, 1}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import MULTICLASS

Cell = dict[str, Any]
Array = NDArray[np.float64]
Pair = tuple[Array, Array]
Metric = Callable[..., float]

#: ResNet-18 at 28 px as published (Adrenal: ResNet-50 3D), and the best honest result at 28 px.
PUBLISHED = {
    "breast": {"auroc": (0.901, 0.919), "accuracy": (0.863, 0.865)},
    "pneumonia": {"auroc": (0.944, 0.991), "accuracy": (0.854, 0.946)},
    "retina": {"auroc": (0.717, 0.754), "accuracy": (0.524, 0.543)},
    "adrenal3d": {"auroc": (0.869, 0.926), "accuracy": (0.835, 0.845)},
}
METRICS: dict[str, Metric] = {
    "auroc": MULTICLASS["auroc_macro"],
    "accuracy": MULTICLASS["accuracy"],
}
RESAMPLES = 2000


def draws(pairs: Sequence[Pair], targets: Array, metric: Metric, rng: np.random.Generator) -> Array:
    """Return resampled means (R,) over seeds of what `metric` gives the first less the second.

    Parameters
    ----------
    pairs : sequence of (P, P)
        One a seed.
    targets : float64 (N, K)
    """
    n = len(targets)
    out = np.empty(RESAMPLES)
    for r in range(RESAMPLES):
        weights = rng.multinomial(n, np.full(n, 1 / n)).astype(float)
        while not (weights @ targets).all():  # a class that was not drawn has no AUROC
            weights = rng.multinomial(n, np.full(n, 1 / n)).astype(float)
        drawn, times = np.unique(rng.integers(len(pairs), size=len(pairs)), return_counts=True)
        each = [
            metric(pairs[s][0], targets, weights) - metric(pairs[s][1], targets, weights)
            for s in drawn
        ]
        out[r] = np.average(each, weights=times)
    return out


def interval(resampled: Array) -> list[float]:
    """Return the central 95%."""
    return [round(float(v), 4) for v in np.quantile(resampled, (0.025, 0.975))]


def paired(cells: Iterable[Cell]) -> dict[str, dict[str, list[Cell]]]:
    """Return set -> arm -> cells by seed."""
    out: dict[str, dict[str, list[Cell]]] = {}
    for cell in sorted(cells, key=lambda c: (list(PUBLISHED).index(c["set"]), c["seed"])):
        out.setdefault(cell["set"], {}).setdefault(cell["arm"], []).append(cell)
    return out


def differences(arms: dict[str, list[Cell]], rng: np.random.Generator) -> dict[str, Array]:
    """Return the resampled differences ours - official of each metric, on the common seeds."""
    by_seed = [
        {cell["seed"]: cell["test"] for cell in arms.get(a, [])} for a in ("ours", "official")
    ]
    seeds = sorted(set(by_seed[0]) & set(by_seed[1]))
    if not seeds:
        return {}
    tests = [(by_seed[0][s], by_seed[1][s]) for s in seeds]
    truth = tests[0][0]["target"]
    if any(test["target"] != truth for pair in tests for test in pair):
        raise SystemExit("the cells of one set have other cases of test; use a fresh --folder")
    targets = np.eye(len(tests[0][0]["logits"][0]))[truth]
    pairs = [(np.array(a["probabilities"]), np.array(b["probabilities"])) for a, b in tests]
    return {name: draws(pairs, targets, metric, rng) for name, metric in METRICS.items()}


def spread(cells: Sequence[Cell], when: str, name: str) -> dict[str, Any]:
    """Return mean and standard deviation over the seeds."""
    values = [cell["figures"][when][name] for cell in cells]
    sd = round(stdev(values), 4) if len(values) > 1 else None
    return {"mean": round(mean(values), 4), "sd": sd}


def arm_summary(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return what one arm did on one set."""
    names = ("ece", "brier", "nll")
    calibration = {
        f"{n}_{when}": spread(cells, when, n) for n in names for when in ("before", "after")
    }
    scored = [
        sum(row["event"] == "scored" and row.get("split") == "test" for row in cell["log"])
        for cell in cells
    ]
    return {
        "seeds": [cell["seed"] for cell in cells],
        "epochs": sorted({cell["epochs"] for cell in cells}),
        "shortened": any(cell["shortened"] for cell in cells),
        "recipes": sorted({cell["recipe"] for cell in cells}),
        "test_scored": scored,
        "training_seconds": round(mean(cell["training_seconds"] or 0 for cell in cells), 1),
        **{name: spread(cells, "after", name) for name in METRICS},
        **calibration,
    }


def summary(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return every figure of the table."""
    rng = np.random.default_rng(0)
    out: dict[str, Any] = {"bench": "medmnist", "resamples": RESAMPLES, "sets": {}}
    resampled: dict[str, list[Array]] = {name: [] for name in METRICS}
    points: dict[str, list[float]] = {name: [] for name in METRICS}
    for name, arms in paired(cells).items():
        row: dict[str, Any] = {arm: arm_summary(found) for arm, found in arms.items()}
        for metric, values in differences(arms, rng).items():
            point = point_difference(arms, metric)
            row[f"{metric}_difference"] = {"value": round(point, 4), "interval": interval(values)}
            resampled[metric].append(values)
            points[metric].append(point)
        out["sets"][name] = row
    for metric, each in resampled.items():
        if each:
            pooled = {
                "value": round(mean(points[metric]), 4),
                "interval": interval(np.mean(each, axis=0)),
            }
            out[f"{metric}_pooled"] = pooled | {"sets": len(each)}
    ours = {cell["recipe"] for cell in cells if cell["arm"] == "ours"}
    out["one_recipe"] = len(ours) == 1
    return out


def point_difference(arms: dict[str, list[Cell]], metric: str) -> float:
    """Return the mean over the common seeds of ours less official."""
    ours, official = (
        {cell["seed"]: cell["figures"]["after"][metric] for cell in arms[a]}
        for a in ("ours", "official")
    )
    return mean(ours[seed] - official[seed] for seed in ours.keys() & official.keys())


def print_table(cells: Sequence[Cell]) -> None:
    """Print the JSON line and the tables."""
    if not cells:
        raise SystemExit("no cell is there yet")
    found = summary(cells)
    print(json.dumps(found))
    print("\n| set | metric | ours | official | ours - official (95%) | published | bar |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, row in found["sets"].items():
        for metric in METRICS:
            texts = [
                _spread(row[a][metric], row[a]) if a in row else "" for a in ("ours", "official")
            ]
            published, bar = PUBLISHED[name][metric]
            line = [name, metric, *texts, _difference(row.get(f"{metric}_difference"))]
            print(f"| {' | '.join(line)} | {published:.3f} | {bar:.3f} |")
    for metric in METRICS:
        print(f"| pooled | {metric} | | | {_difference(found.get(f'{metric}_pooled'))} | | |")
    print("\n| set | arm | seeds | epochs | ECE | Brier | NLL | test scored | training, s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, row in found["sets"].items():
        for arm in [a for a in ("ours", "official") if a in row]:
            print(_calibration_line(name, arm, row[arm]))


def _calibration_line(name: str, arm: str, row: dict[str, Any]) -> str:
    errors = [
        f"{row[f'{metric}_before']['mean']:.3f} -> {row[f'{metric}_after']['mean']:.3f}"
        for metric in ("ece", "brier", "nll")
    ]
    epochs = ", ".join(map(str, row["epochs"])) + (" (shortened)" if row["shortened"] else "")
    scored = "once" if set(row["test_scored"]) == {1} else str(row["test_scored"])
    line = [
        name,
        arm,
        str(len(row["seeds"])),
        epochs,
        *errors,
        scored,
        str(row["training_seconds"]),
    ]
    return f"| {' | '.join(line)} |"


def _spread(value: dict[str, Any], arm: dict[str, Any]) -> str:
    sd = "" if value["sd"] is None else f" (sd {value['sd']:.4f})"
    return f"{value['mean']:.4f}{sd}, {len(arm['seeds'])} seeds"


def _difference(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    low, high = value["interval"]
    return f"{value['value']:+.4f} [{low:+.4f}, {high:+.4f}]"
