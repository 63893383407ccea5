"""Which changes of the default recipe help: judged within the official training splits alone.

The official train of each set is divided into folds; of every fold one part is held out and
scored, a tenth of the rest is val. The official val and test have no part, so that neither can be
fitted by the choice of a recipe, and all of train is scored instead of the 78 to 524 cases of val.
Each line of JSON is one training; those that stand in the file are not done again. A table of
markdown out: means over the folds, and the difference to the recipe as it is, paired by fold.

    python benchmarks/bench_recipe.py --sets breast,retina --out runs/recipe.jsonl \\
        --try fit.augment.mixup=.2 --try "fit.epochs=120 fit.label_smoothing=.1"
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bench_medmnist import CONFIG, FILES, source

from medimg.config import RunConfig, load_config
from medimg.data.folds import make_folds, unsplit
from medimg.data.index import index
from medimg.data.parts import stores_of
from medimg.data.store import ImageStore
from medimg.evaluation.metrics import MULTICLASS
from medimg.flow.opening import open_store
from medimg.models.build import build_model
from medimg.training.fit import fit

METRICS = {"auroc": "auroc_macro", "accuracy": "accuracy", "nll": "nll", "brier": "brier"}
#: What the official sets are known to hold twice; see `configs/medmnist.yaml`.
COPIES = ("pixels_in_several_splits", "pixels_under_several_labels")
Row = dict[str, Any]


def folds_of(name: str, folds: int, repeat: int) -> list[ImageStore]:
    """Return a store a fold; no case of the official val or test is in any."""
    config = load_config(CONFIG, [f"data.source={source(name)}"])
    manifest = index(source(name))
    manifest = unsplit(manifest.take(manifest.rows("train")))
    manifest = make_folds(manifest, folds, val=0.1, seed=repeat)
    return list(stores_of(open_store(config, manifest, source(name))))


def score(config: RunConfig, store: ImageStore) -> Row:
    """Train on a fold and score the part that it holds out."""
    model = build_model(
        config.model.name,
        shape=store.shape,
        classes=store.manifest.space.k,
        seed=config.seed,
        **config.model.options,
    )
    start = time.perf_counter()
    bundle, history = fit(model, store, config.fit, seed=config.seed, allow_leaks=COPIES)
    seconds = time.perf_counter() - start
    held = bundle.predict(store, "test")
    figures = {
        n: float(MULTICLASS[m](held.probabilities, held.targets)) for n, m in METRICS.items()
    }
    best = next((row["epoch"] for row in history if row.get("best")), len(history))
    return figures | {"epochs": len(history), "best": best, "seconds": round(seconds, 1)}


def run(asked: argparse.Namespace) -> list[Row]:
    """Return a row for each training, doing those that are not in the file yet."""
    rows = (
        [json.loads(line) for line in asked.out.read_text().splitlines()]
        if asked.out.is_file()
        else []
    )
    there = {(r["set"], r["try"], r["repeat"], r["fold"]) for r in rows}
    for repeat in range(asked.repeats):
        for name in asked.sets.split(","):
            for fold, store in enumerate(folds_of(name, asked.folds, repeat)):
                for change in ["", *asked.tries]:
                    if (name, change, repeat, fold) in there:
                        continue
                    overrides = [f"data.source={source(name)}", f"seed={fold}", *change.split()]
                    row = {"set": name, "try": change, "repeat": repeat, "fold": fold}
                    row |= score(load_config(CONFIG, overrides), store)
                    rows.append(row)
                    with asked.out.open("a") as handle:
                        handle.write(json.dumps(row) + "\n")
    return rows


def print_table(rows: list[Row]) -> None:
    """Print a line for each set and change."""
    print("| set | change | trainings | AUROC | accuracy | NLL | AUROC against the recipe |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(r["set"] for r in rows):
        of_set = [r for r in rows if r["set"] == name]
        base = {(r["repeat"], r["fold"]): r for r in of_set if not r["try"]}
        for change in dict.fromkeys(r["try"] for r in of_set):
            found = [r for r in of_set if r["try"] == change]
            texts = [_spread([r[m] for r in found]) for m in ("auroc", "accuracy", "nll")]
            gains = [
                r["auroc"] - base[r["repeat"], r["fold"]]["auroc"]
                for r in found
                if change and (r["repeat"], r["fold"]) in base
            ]
            gain = _spread(gains) if gains else ""
            print(
                f"| {name} | {change or '(as it is)'} | {len(found)} | {' | '.join(texts)} | {gain} |"
            )


def _spread(values: list[float]) -> str:
    sd = f" (sd {stdev(values):.4f})" if len(values) > 1 else ""
    return f"{mean(values):.4f}{sd}"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(FILES))
    parser.add_argument("--try", action="append", default=[], dest="tries", metavar="KEY=VALUE ...")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="a file of JSON lines")
    print_table(run(parser.parse_args()))


if __name__ == "__main__":
    main()
