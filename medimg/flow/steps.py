"""The steps that one run and each fold of several share: open, train, finish."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medimg.config import RunConfig
from medimg.data.checks.findings import Audit
from medimg.data.checks.merge import merge
from medimg.data.groups import columns_of
from medimg.data.store import ImageStore
from medimg.errors import NothingReadable, Refusal, UsageError
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.files import ERRORS_CSV, read_json, write_json, write_refusals, write_text
from medimg.flow.audits import audit_stores
from medimg.flow.checks import require_classes
from medimg.flow.opening import open_store
from medimg.flow.plan import Plan
from medimg.inference.bundle import ModelBundle
from medimg.inference.seen import seen_of, sentences
from medimg.models.build import build_model
from medimg.predictions import Predictions
from medimg.provenance import provenance
from medimg.report.examples import pick_examples
from medimg.report.pairs import pair_pictures
from medimg.report.write import write_report
from medimg.training.checkpoint import Checkpoint
from medimg.training.distributed import World
from medimg.training.fit import fit
from medimg.training.track import tracked

History = list[dict[str, Any]]

#: Written when the training is done, so that a run that is killed later need not train again.
_HISTORY = "history.json"


@dataclass(frozen=True)
class Run:
    """What a finished run left."""

    folder: Path
    bundle: ModelBundle
    history: History
    evaluation: Evaluation
    refusals: list[Refusal]
    first: tuple[str, ...]
    """What whoever reads the figures has to know before."""


def open_checked(plan: Plan, out: Path) -> tuple[ImageStore, list[Audit]]:
    """Return the store, and the audit of its split or of each fold's; a leak raises.

    The store's refusals are those of the index and its own.
    """
    config, indexed = plan.config, plan.found.refusals
    try:
        store = open_store(config, plan.manifest, plan.source)
    except NothingReadable as error:
        write_refusals(out / ERRORS_CSV, [*indexed, *error.refusals])
        raise
    store = replace(store, refusals=[*indexed, *store.refusals])
    write_refusals(out / ERRORS_CSV, store.refusals)
    audits = audit_stores(store, columns_of(plan.manifest, config.split.by), plan.audits)
    merge(audits).require_clean(config.audit.allow)
    require_classes(config, store.manifest)
    return store, audits


def train(config: RunConfig, store: ImageStore, out: Path) -> tuple[ModelBundle, History]:
    """Train on the store's split, or take up what the same run has trained before.

    Of several processes the first writes; it may have kept the others waiting.
    """
    world = World.current()
    world.barrier()
    there = (out / _HISTORY).is_file() and (out / "bundle" / "bundle.json").is_file()
    if world.agree([there and world.first])[0]:
        return _trained(store, out)
    model = build_model(
        config.model.name,
        shape=store.shape,
        classes=store.manifest.space.k,
        seed=config.seed,
        **config.model.options,
    )
    board = out / "track" if config.track and world.first else None
    with tracked(_logger(out / "log.jsonl"), board) as log:
        bundle, history = fit(
            model,
            store,
            config.fit,
            seed=config.seed,
            device=config.device,
            log=log,
            checkpoint=Checkpoint(out / "checkpoint"),
            allow_leaks=config.audit.allow,
        )
    if world.first:
        bundle.save(out / "bundle", overwrite=True)
        write_json(out / _HISTORY, history)
    return bundle, history


def _trained(store: ImageStore, out: Path) -> tuple[ModelBundle, History]:
    bundle = ModelBundle.load(out / "bundle").with_calibrator(None)
    if bundle.fingerprints.get("store") != store.fingerprint:
        raise UsageError(
            f"{out} was trained on other cases, splits or pixels than are there now",
            remedy="give --overwrite to begin anew, or put the former data back",
        )
    return bundle, read_json(out / _HISTORY)


def finish(
    config: RunConfig,
    store: ImageStore,
    audit: Audit,
    trained: tuple[ModelBundle, History],
    predictions: Predictions,
    out: Path,
    *,
    notes: Sequence[str],
    calib: Predictions | None = None,
) -> Run:
    """Write bundle, predictions of test and report; `run.json` is left to the caller."""
    bundle, history = trained
    bundle.save(out / "bundle", overwrite=True)
    predictions.save(out / "predictions" / "test.csv")
    _append(out / "log.jsonl", {"event": "scored", "split": "test", "cases": len(predictions)})
    evaluation, first = report(
        config,
        store,
        audit,
        predictions,
        out / "report",
        history=history,
        calib=calib,
        about={"bundle": bundle.bundle_id},
        notes=notes,
    )
    write_json(out / "provenance.json", provenance(seed=config.seed, device=config.device))
    return Run(out, bundle, history, evaluation, store.refusals, first)


def about_run(done: Run, store: ImageStore) -> dict[str, Any]:
    """Return what `run.json` says of one training."""
    return {
        "bundle_id": done.bundle.bundle_id,
        "split": store.manifest.split_fingerprint,
        "refused": len(store.refusals),
        "epochs": len(done.history),
        "read_first": list(done.first),
    }


def report(
    config: RunConfig,
    store: ImageStore,
    audit: Audit,
    predictions: Predictions,
    folder: Path,
    *,
    about: dict[str, Any],
    notes: Sequence[str],
    history: History | None = None,
    calib: Predictions | None = None,
) -> tuple[Evaluation, tuple[str, ...]]:
    """Evaluate predictions and write their report.

    Parameters
    ----------
    calib : Predictions, optional
        Of other cases and patients, that prediction sets are fitted on.

    Returns
    -------
    evaluation : Evaluation
    first : tuple of str
        What stands before the figures: accepted leaks, and what the cases were trained on.
    """
    data = {"manifest": store.manifest.fingerprint, "split": store.manifest.split_fingerprint}
    made = provenance(seed=config.seed, device=config.device)
    how = config.model_dump(mode="json", include={"split", "model", "fit"})
    how["preprocess"] = store.preprocess.model_dump(mode="json")
    # Thresholds stand frozen in the predictions; one that calib does not reach was told before.
    options = config.evaluate.model_copy(update={"operating_points": ()})
    evaluation = evaluate(
        predictions,
        options,
        calib=calib,
        provenance=made | data | {"model": config.model.name, "config": how} | about,
    )
    refused = len(store.refusals)
    said = sentences(seen_of(predictions.take(predictions.known)))
    said += [f"{refused} cases could not be read; errors.csv names them."] if refused else []
    allowed = config.audit.allow
    write_report(
        folder,
        evaluation,
        history=history or [],
        examples=pick_examples(predictions, store),
        title=config.title or "medimg report",
        notes=[*_idle(audit, allowed), *said, *notes],
        audit=audit,
        allowed=allowed,
        pairs=pair_pictures(audit, store),
    )
    return evaluation, (*_accepted(audit, allowed), *_idle(audit, allowed), *said)


def _accepted(audit: Audit, allowed: Mapping[str, str]) -> list[str]:
    return [
        f"Known and accepted: {leak}. Reason: {allowed[leak.code]}"
        for leak in audit.leaks
        if leak.code in allowed
    ]


def _idle(audit: Audit, allowed: Mapping[str, str]) -> list[str]:
    """Say which leaks are allowed and are not there: the data are others than was thought."""
    found = {leak.code for leak in audit.leaks}
    return [
        f"audit.allow names {code}, and there is none." for code in allowed if code not in found
    ]


def _logger(path: Path) -> Callable[[dict[str, Any]], None]:
    start = time.monotonic()

    def log(row: dict[str, Any]) -> None:
        if row["event"] == "start":
            _drop_later(path, row)
        _append(path, row | {"elapsed": round(time.monotonic() - start, 3)})

    return log


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(row, allow_nan=False) + "\n")


def _drop_later(path: Path, start: dict[str, Any]) -> None:
    """Take out of the log what a killed run did after the checkpoint that is gone on from."""

    def happened(row: dict[str, Any]) -> bool:
        if row["event"] == "skipped":
            return bool(row["step"] <= start["step"])
        return row["event"] == "note" or (
            row["event"] == "epoch" and bool(row["epoch"] <= start["epoch"])
        )

    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        if lines and not lines[-1].endswith("}"):  # the machine went down while it was written
            lines.pop()
        kept = [row for row in map(json.loads, lines) if happened(row)]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
