"""A million rows split, and classes against scikit-learn's splitters; one JSON line out.

``python benchmarks/bench_split.py [--rows 1000000] [--tables 300]``: each shape is a manifest of
so many rows, split by `medimg.data.splits.split`; then the mean distance of a class's share in a
split from that in the whole, the median over random tables, beside `StratifiedGroupKFold` (5
folds) and `GroupShuffleSplit` (0.7, 0.1, 0.1, 0.1).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

from medimg.data.assign import assign_groups, group_counts
from medimg.data.groups import group_of
from medimg.data.manifest import Manifest
from medimg.data.splits import split
from medimg.labels import LabelSpace

TEN = LabelSpace(tuple("abcdefghij"))
FOURTEEN = LabelSpace(tuple(map(str, range(14))), "multilabel")
SHARES = np.array([0.7, 0.1, 0.1, 0.1])


def manifest(n: int, patients: Any, space: LabelSpace, unknown: float = 0.0) -> Manifest:
    """Return n rows of these patients (None: no ids), of classes from frequent to rare."""
    rng = np.random.default_rng(0)
    names = [f"{i:07}.png" for i in range(n)]
    frame = pd.DataFrame({"case_id": names, "source": names}, dtype=object)
    if patients is not None:
        frame["patient_id"] = [f"P{p:07}" for p in patients]
        frame["lesion"] = [f"L{p:07}" for p in rng.integers(0, 40 * n, n)]
    if space.exclusive:
        targets = space.one_hot(rng.choice(space.k, n, p=_falling(space.k)))
    else:
        targets = (rng.random((n, space.k)) < np.geomspace(0.2, 0.001, space.k)).astype(np.float32)
        targets[rng.random(targets.shape) < unknown] = np.nan
    return Manifest(frame, targets, space, Path())


def _falling(k: int) -> Any:
    chance = np.geomspace(1, 1e-3, k)
    return chance / chance.sum()


def shapes(n: int) -> dict[str, tuple[Manifest, tuple[str, ...]]]:
    """Return manifests of n rows, and by which columns they are grouped."""
    rng = np.random.default_rng(1)
    patients = rng.integers(0, 3 * n // 10, n)
    uneven = np.minimum(rng.zipf(1.5, n), n)
    one, both = ("patient_id",), ("patient_id", "lesion")
    return {
        "10 classes, no ids": (manifest(n, None, TEN), one),
        "10 classes, 0.3 n patients": (manifest(n, patients, TEN), one),
        "10 classes, uneven patients": (manifest(n, uneven, TEN), one),
        "10 classes, patients and lesions": (manifest(n, patients, TEN), both),
        "14 labels, no ids": (manifest(n, None, FOURTEEN), one),
        "14 labels, 0.3 n patients": (manifest(n, patients, FOURTEEN), one),
        "14 labels, 30% unknown, no ids": (manifest(n, None, FOURTEEN, 0.3), one),
    }


def measured(cases: Manifest, by: tuple[str, ...]) -> dict[str, float]:
    """Return seconds, and how far shares and sizes are off in the worst split."""
    start, busy = time.perf_counter(), time.process_time()
    done = split(cases, by=by)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    groups = group_of(done, by)
    whole = np.nanmean(done.targets, axis=0)
    names = ("train", "val", "calib", "test")
    rates = [np.nanmean(done.targets[done.split == name], axis=0) for name in names]
    sizes = [(done.split == name).mean() for name in names]
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(busy, 2),
        "groups": int(groups.max()) + 1,
        "worst_relative_class_share": round(float(np.abs(rates / whole - 1).max()), 6),
        "worst_size": round(float(np.abs(np.array(sizes) - SHARES).max()), 7),
    }


def table(seed: int) -> tuple[Any, Any, LabelSpace]:
    """Return groups and labels of a random table."""
    rng = np.random.default_rng(seed)
    g, k = int(rng.integers(15, 200)), int(rng.integers(2, 8))
    size = rng.geometric(rng.uniform(0.15, 1), g)
    own = rng.dirichlet(rng.dirichlet(np.ones(k)) * rng.choice([0.5, 5, 1e3]) + 1e-3, g)
    groups = np.repeat(np.arange(g), size)
    labels = (rng.random((len(groups), 1)) > own[groups].cumsum(axis=1)).sum(axis=1)
    return groups, labels.clip(0, k - 1), LabelSpace(tuple(map(str, range(k))))


def distance(labels: Any, chosen: Any, k: int) -> float:
    """Return the mean distance of a class's share in a split from that in the whole."""
    counts = np.zeros((chosen.max() + 1, k))
    np.add.at(counts, (chosen, labels), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    whole = counts.sum(axis=0) / len(labels)
    return float(np.abs(shares - whole)[:, whole > 0].mean())


def peers(seed: int) -> dict[str, float]:
    """Return the distances of one table, ours and scikit-learn's."""
    groups, labels, space = table(seed)
    counts = group_counts(space.one_hot(labels), groups, space)
    rows = np.arange(len(groups))
    folds, four = np.zeros((2, len(groups)), np.intp)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(rows, labels, groups)):
        folds[test] = fold
    rest = rows
    for name, share in ((1, 0.1), (2, 0.1 / 0.9), (3, 0.1 / 0.8)):
        cut = GroupShuffleSplit(1, test_size=share, random_state=seed)
        kept, taken = next(cut.split(rest, groups=groups[rest]))
        four[rest[taken]], rest = name, rest[kept]
    ours = [assign_groups(counts, s, seed)[groups] for s in (np.full(5, 0.2), SHARES)]
    return {
        "medimg, 5 folds": distance(labels, ours[0], space.k),
        "StratifiedGroupKFold": distance(labels, folds, space.k),
        "medimg, 4 splits": distance(labels, ours[1], space.k),
        "GroupShuffleSplit": distance(labels, four, space.k),
    }


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tables", type=int, default=300)
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # classes of fewer cases than folds
    distances = pd.DataFrame([peers(seed) for seed in range(options.tables)])
    result = {
        "bench": "split",
        "rows": options.rows,
        "shapes": {name: measured(*given) for name, given in shapes(options.rows).items()},
        "tables": options.tables,
        "median_class_distance": distances.median().round(5).to_dict(),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "sklearn": sklearn.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
