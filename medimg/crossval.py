"""Training over folds: every case is predicted once, by a model that did not learn it.

The predictions out of fold are calibrated by cross-fitting: those of fold k with the calibrator
that was fitted on those of all other folds, so that no case is scored by a calibrator that saw it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medimg.config import RunConfig
from medimg.data.checks.findings import Audit
from medimg.data.checks.merge import merge
from medimg.data.parts import stores_of
from medimg.data.store import ImageStore
from medimg.errors import Refusal
from medimg.evaluation.results.evaluation import Evaluation
from medimg.files import ERRORS_CSV, claim_folder, lock, write_json, write_refusals
from medimg.flow.calibrating import calibrate, words
from medimg.flow.plan import MARKER, Plan, begin, is_begun
from medimg.flow.pooled import OUT_OF_FOLD, pool, spread_of
from medimg.flow.steps import History, Run, about_run, finish, open_checked, report, train
from medimg.inference.bundle import ModelBundle
from medimg.inference.checker import seen_in_store
from medimg.inference.seen import SEEN
from medimg.predictions import Predictions
from medimg.provenance import provenance
from medimg.report.words import headline_names, label
from medimg.tables import write_table
from medimg.training.distributed import World


@dataclass(frozen=True)
class FoldedRun:
    """What a finished training over folds left: `predictions` hold each case once."""

    folder: Path
    runs: tuple[Run, ...]
    predictions: Predictions
    evaluation: Evaluation
    spread: pd.DataFrame
    refusals: list[Refusal]
    first: tuple[str, ...]


@dataclass(frozen=True)
class _Fold:
    """A trained fold: its bundle, and what that says of its test cases."""

    number: int
    store: ImageStore
    folder: Path
    bundle: ModelBundle
    history: History
    predictions: Predictions
    notes: Sequence[str] = ()


def run_folds(
    config: RunConfig | str | os.PathLike[str],
    out: str | os.PathLike[str],
    folds: int = 5,
    *,
    near: Sequence[Path] = (),
    overwrite: bool = False,
    resume: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> FoldedRun:
    """Train each fold into `out/fold-K/`, and evaluate the predictions out of fold together.

    Parameters
    ----------
    folds : int
        How many; of a manifest that brings folds, their number.
    resume : bool
        Go on with one that was begun and not finished; folds that are trained are kept.
    tell : function, optional
        Called with a line as each fold begins.

    For the others, and for what else is raised, see `medimg.recipe.run`.

    Raises
    ------
    ManifestError
        Folds that the manifest brings do not test every case once, or test a group in several
        of them; a case may be `none` where it is not tested. Nothing was written.
    DataError
        A split of some fold, or what its calibrator would be fitted on, holds too few classes.
    """
    world, out = World.current(), Path(out)
    plan = begin(config, near, out, folds=folds, overwrite=overwrite, resume=resume)
    with lock(out):
        start = time.monotonic()
        plan.write(out)
        store, audits = open_checked(plan, out)
        world.barrier()
        trained = []
        for number, part in enumerate(stores_of(store), start=1):
            tell(f"fold {number} of {folds}")
            trained.append(_train_fold(plan, part, number, out / f"fold-{number}"))
        world.leave()
        fitted = [_calibrated(plan.config, trained, number) for number in range(len(trained))]
        runs = [_finish_fold(plan.config, *parts) for parts in zip(fitted, audits, strict=True)]
        done = _finish(plan.config, store, merge(audits), fitted, runs, out)
        write_json(out / MARKER, _about(done, store, time.monotonic() - start))
    return done


def _train_fold(plan: Plan, store: ImageStore, number: int, folder: Path) -> _Fold:
    """Train one fold in a run folder of its own, or take up what was trained before."""
    if not is_begun(folder) and not (folder / MARKER).is_file():
        claim_folder(folder, MARKER, overwrite=True)
    replace(plan, manifest=plan.manifest.fold(number)).write(folder)
    write_refusals(folder / ERRORS_CSV, store.refusals)
    bundle, history = train(plan.config, store, folder)
    predictions = bundle.predict(store, "test", device=plan.config.device)
    return _Fold(number, store, folder, bundle, history, predictions)


def _calibrated(config: RunConfig, trained: Sequence[_Fold], number: int) -> _Fold:
    """Return one fold with the calibrator and the operating points that all others gave it.

    Its record of members gets what calibrated it, which it need not have learnt from, and what
    is known of its test cases is looked up again by that.
    """
    fold = trained[number]
    others = pool([one.predictions for one in (*trained[:number], *trained[number + 1 :])])
    bundle, notes = calibrate(config, fold.bundle, others)
    if bundle.calibrator is None and not bundle.thresholds:
        return replace(fold, notes=notes)
    manifest = fold.store.manifest
    if fold.bundle.members is not None:
        fitted_on = np.flatnonzero(np.isin(manifest.case_id, others.case_id[others.known]))
        members = fold.bundle.members.with_calib_of(fold.store, fitted_on)
        bundle = replace(bundle, members=members)
    seen = seen_in_store(bundle.members, fold.store, manifest.rows("test"))
    predictions = replace(
        fold.predictions,
        calibrator=bundle.calibrator,
        thresholds=bundle.thresholds,
        bundle_id=bundle.bundle_id,
        metadata=fold.predictions.metadata.assign(**{SEEN: seen}),
    )
    return replace(fold, bundle=bundle, predictions=predictions, notes=notes)


def _finish_fold(config: RunConfig, fold: _Fold, audit: Audit) -> Run:
    """Write a fold's bundle and report, and mark it as finished."""
    fitted = words(fold.bundle.calibrator, "on the other folds' predictions")
    note = f"Fold {fold.number} of several: one model of them. Probabilities are {fitted}."
    model, notes = (fold.bundle, fold.history), [note, *fold.notes]
    done = finish(config, fold.store, audit, model, fold.predictions, fold.folder, notes=notes)
    write_json(fold.folder / MARKER, about_run(done, fold.store))
    return done


def _finish(
    config: RunConfig,
    store: ImageStore,
    audit: Audit,
    trained: Sequence[_Fold],
    runs: Sequence[Run],
    out: Path,
) -> FoldedRun:
    """Evaluate the predictions of all folds together, and write what the whole run leaves."""
    predictions = pool([fold.predictions for fold in trained])
    predictions.save(out / "predictions" / f"{OUT_OF_FOLD}.csv")
    spread = spread_of([run.evaluation for run in runs])
    evaluation, first = report(
        config,
        store,
        audit,
        predictions,
        out / "report",
        about={"bundles": [run.bundle.bundle_id for run in runs]},
        notes=_notes(runs, spread, len(predictions)),
    )
    write_table(out / "report" / "folds.csv", {str(c): spread[c].to_numpy() for c in spread})
    write_json(out / "provenance.json", provenance(seed=config.seed, device=config.device))
    return FoldedRun(out, tuple(runs), predictions, evaluation, spread, store.refusals, first)


def _notes(runs: Sequence[Run], spread: pd.DataFrame, cases: int) -> list[str]:
    """Return what has to be known to read figures that were made over folds."""
    evaluations = [run.evaluation for run in runs]
    sizes = ", ".join(str(evaluation.n) for evaluation in evaluations)
    used = [run.bundle.calibrator.method for run in runs if run.bundle.calibrator is not None]
    how = "calibrated by cross-fitting, each fold by what was fitted on the others: "
    notes = [
        f"Predictions out of fold: {cases} cases, each predicted once, by a model that "
        f"learnt from neither the case nor its group; {len(evaluations)} folds, with {sizes} "
        f"labelled cases. Probabilities are {how + ', '.join(used) if used else 'not calibrated'}.",
        "Scores of different models stand in one ranking here; the values of each fold, which "
        "one model made, are below and, of every metric, in folds.csv. Folds share training "
        "cases, so that their standard deviation says less than an interval does.",
    ]
    headline = headline_names(evaluations[0])
    for row in spread[spread["metric"].isin(headline)].to_dict("records"):
        each = [_number(row[f"fold-{number}"]) for number in range(1, len(evaluations) + 1)]
        ends = f"mean {_number(row['mean'])}, standard deviation {_number(row['sd'])}"
        ends = row["note"] or ends
        notes.append(f"{label(row['metric'])} by fold: {', '.join(each)}; {ends}.")
    return notes


def _number(value: Any) -> str:
    return "none" if value is None or np.isnan(value) else f"{value:.3f}"


def _about(done: FoldedRun, store: ImageStore, seconds: float) -> dict[str, Any]:
    """Return what `run.json` says of a training over folds."""
    return {
        "folds": len(done.runs),
        "bundle_ids": [run.bundle.bundle_id for run in done.runs],
        "split": store.manifest.split_fingerprint,
        "refused": len(store.refusals),
        "epochs": [len(run.history) for run in done.runs],
        "read_first": list(done.first),
        "seconds": round(seconds, 3),
    }
