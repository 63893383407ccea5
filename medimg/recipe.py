"""The whole flow on one page: a config in, a run folder out. No technique of its own."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medimg.config import RunConfig, load_config
from medimg.data.audit import Audit, Finding, audit
from medimg.data.fetch import find_data
from medimg.data.index import list_cases
from medimg.data.manifest import Manifest
from medimg.data.options import IndexOptions
from medimg.data.sources.dicom.index.listing import Indexed
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.errors import (
    DataError,
    FolderExists,
    NothingReadable,
    Refusal,
    SourceNotFound,
    UsageError,
)
from medimg.evaluation.calibration import fit_calibrator
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.result import Evaluation
from medimg.files import (
    ERRORS_CSV,
    claim_folder,
    fingerprint,
    lock,
    require_free,
    write_json,
    write_refusals,
    write_text,
)
from medimg.inference.bundle import ModelBundle
from medimg.inference.forward import pick_device
from medimg.models.build import build_model
from medimg.predictions import Predictions
from medimg.provenance import provenance
from medimg.report.examples import pick_examples
from medimg.report.write import write_report
from medimg.tables import write_table
from medimg.training.checkpoint import Checkpoint
from medimg.training.fit import fit

_MARKER = "run.json"


@dataclass(frozen=True)
class Run:
    """What a finished run left."""

    folder: Path
    bundle: ModelBundle
    history: list[dict[str, Any]]
    evaluation: Evaluation
    refusals: list[Refusal]


def run(
    config: RunConfig | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    near: Sequence[Path] = (),
    overwrite: bool = False,
    resume: bool = False,
) -> Run:
    """Train, calibrate and evaluate by a config, and write the run folder `out`.

    Parameters
    ----------
    config : RunConfig or path
    near : sequence of path
        Further folders in which a relative `data.source` is looked for; the config's own is
        one where a path is given.
    overwrite : bool
        Replace a run that is there.
    resume : bool
        Go on with one that was begun and not finished.

    Raises
    ------
    FolderExists
        A run is there and neither `overwrite` nor `resume` fits it.
    MedimgError
        Whatever the steps refuse.
    """
    if not isinstance(config, RunConfig):
        near = [*near, Path(config).resolve().parent]
        config = load_config(config)
    out = Path(out)
    found, manifest, source = _begin(config, near, out, overwrite=overwrite, resume=resume)
    with lock(out):
        start = time.monotonic()
        write_text(out / "config.yaml", config.to_yaml())
        manifest.save(out / "manifest.csv")
        if found.refusals:
            write_table(out / "identities.csv", found.identities, mode=0o600)
        store, leaks = _open_store(config, manifest, source, found.refusals, out)
        bundle, history = _train(config, store, out)
        bundle, before = _calibrate(config, bundle, store, out)
        bundle.save(out / "bundle", overwrite=True)
        predictions = bundle.predict(store, "test", device=config.device)
        predictions.save(out / "predictions" / "test.csv")
        evaluation = _report(config, store, leaks, predictions, history, before, out)
        about = provenance(seed=config.seed, device=config.device)
        write_json(out / "provenance.json", about)
        write_json(
            out / _MARKER,
            {
                "bundle_id": bundle.bundle_id,
                "refused": len(store.refusals),
                "epochs": len(history),
                "seconds": round(time.monotonic() - start, 3),
            },
        )
    return Run(out, bundle, history, evaluation, store.refusals)


def open_source(config: RunConfig, near: Sequence[Path] = ()) -> tuple[Indexed, Path]:
    """Return the cases that a config names, not split yet, and their source."""
    source = _first(config.data.source, near)
    options = config.data.model_dump(include=set(IndexOptions.model_fields) - {"labels"})
    labels = config.data.labels
    return list_cases(
        source, labels=None if labels is None else find_data(labels, near), **options
    ), source


def _begin(
    config: RunConfig, near: Sequence[Path], out: Path, *, overwrite: bool, resume: bool
) -> tuple[Indexed, Manifest, Path]:
    """Refuse what can be refused beforehand, split the cases, and only then claim the folder.

    Returns what the index found, the manifest with its splits, and the source.
    """
    going_on = resume and _is_begun(out)
    if going_on:
        _require_same(config, out)
    else:
        _require_free(out, overwrite=overwrite)
    pick_device(config.device)
    found, source = open_source(config, near)
    manifest = split(found.require(), **config.split.model_dump(), seed=config.seed)
    _require_splits(config, manifest)
    if not going_on:
        claim_folder(out, _MARKER, overwrite=overwrite)
    return found, manifest, source


def _first(sources: str | tuple[str, ...], near: Sequence[Path]) -> Path:
    """Return the first source that is there; where none is, say so of the first."""
    if isinstance(sources, str):
        sources = (sources,)
    for source in sources:
        with contextlib.suppress(SourceNotFound):
            return find_data(source, near)
    return find_data(sources[0], near)


def open_store(config: RunConfig, manifest: Manifest, source: Path) -> ImageStore:
    """Return the decoded pixels of a manifest, from the cache where they are there."""
    folder = Path(config.data.cache) if config.data.cache else cache_folder()
    key = fingerprint(str(source.resolve()), config.preprocess.model_dump(mode="json"))
    return ImageStore.build(
        manifest,
        config.preprocess,
        folder / key[:16],
        keep_ids=config.data.keep_ids,
        metadata=config.data.metadata,
    )


def cache_folder() -> Path:
    """Return the user's cache of decoded pixels; made for the user alone (mode 0700)."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = base / "medimg" / "stores"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _is_begun(out: Path) -> bool:
    return (out / "config.yaml").is_file() and not (out / _MARKER).is_file()


def _require_same(config: RunConfig, out: Path) -> None:
    """Refuse to go on with a run that was begun with another config."""
    if (out / "config.yaml").read_text(encoding="utf-8") != config.to_yaml():
        raise UsageError(
            f"{out} was begun with another config than this one",
            remedy=f"go on with {out / 'config.yaml'}, or give --overwrite to begin anew",
        )


def _require_splits(config: RunConfig, manifest: Manifest) -> None:
    """Refuse before the training what would make the run fail after it."""
    for name, wanted in (("test", True), ("calib", config.calibration.temperature)):
        rows = manifest.rows(name)
        present = (np.nansum(manifest.targets[rows], axis=0) > 0).sum()
        needed = 1 if name == "test" or not manifest.space.exclusive else 2
        if wanted and (len(rows) or name == "test") and present < needed:
            raise DataError(
                f"split {name} has {len(rows)} cases, with known cases of {present} classes",
                remedy=f"give it more cases (split.{name}), or for calib none (split.calib: 0)",
            )


def _require_free(out: Path, *, overwrite: bool) -> None:
    """Refuse an output folder that is in use, or holds what may not be removed."""
    if (out / ".lock").is_file():
        with lock(out):
            pass
    try:
        require_free(out, _MARKER, overwrite=overwrite)
    except FolderExists as error:
        if not _is_begun(out):
            raise
        remedy = "give --resume to go on with it, or --overwrite to replace it"
        raise FolderExists(error.message, remedy=remedy) from None


def _open_store(
    config: RunConfig, manifest: Manifest, source: Path, indexed: list[Refusal], out: Path
) -> tuple[ImageStore, list[Finding]]:
    """Open the store; its refusals are those of the index (`indexed`) and its own."""
    try:
        store = open_store(config, manifest, source)
    except NothingReadable as error:
        write_refusals(out / ERRORS_CSV, [*indexed, *error.refusals])
        raise
    store = replace(store, refusals=[*indexed, *store.refusals])
    write_refusals(out / ERRORS_CSV, store.refusals)
    found = (*audit(manifest).findings, *audit(store).findings)
    leaks = {finding.code: finding for finding in found}
    Audit(tuple(leaks.values())).require_clean(config.audit.allow)
    return store, list(leaks.values())


def _train(
    config: RunConfig, store: ImageStore, out: Path
) -> tuple[ModelBundle, list[dict[str, Any]]]:
    model = build_model(
        config.model.name,
        shape=store.shape,
        classes=store.manifest.space.k,
        seed=config.seed,
        **config.model.options,
    )
    return fit(
        model,
        store,
        config.fit,
        seed=config.seed,
        device=config.device,
        log=_logger(out / "log.jsonl"),
        checkpoint=Checkpoint(out / "checkpoint"),
    )


def _logger(path: Path) -> Callable[[dict[str, Any]], None]:
    start = time.monotonic()

    def log(row: dict[str, Any]) -> None:
        if row["event"] == "start":
            _drop_later_epochs(path, row["epoch"])
        text = json.dumps(row | {"elapsed": round(time.monotonic() - start, 3)}, allow_nan=False)
        with path.open("a", encoding="utf-8") as handle:
            handle.write(text + "\n")

    return log


def _drop_later_epochs(path: Path, epoch: int) -> None:
    """Take the epochs that a killed run did after its last checkpoint out of the log."""
    if path.is_file():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        kept = [row for row in rows if row["event"] == "epoch" and row["epoch"] <= epoch]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def _calibrate(
    config: RunConfig, bundle: ModelBundle, store: ImageStore, out: Path
) -> tuple[ModelBundle, bool]:
    """Return the bundle with its calibrator, and whether it got one."""
    if not len(store.manifest.rows("calib")):
        return bundle, False
    predictions = bundle.predict(store, "calib", device=config.device)
    predictions.save(out / "predictions" / "calib.csv")
    if not config.calibration.temperature:
        return bundle, False
    return bundle.with_calibrator(fit_calibrator(predictions)), True


def _report(
    config: RunConfig,
    store: ImageStore,
    leaks: list[Finding],
    predictions: Predictions,
    history: list[dict[str, Any]],
    calibrated: bool,
    out: Path,
) -> Evaluation:
    about = provenance(seed=config.seed, device=config.device) | {
        "manifest": store.manifest.fingerprint,
        "bundle": predictions.bundle_id,
        "model": config.model.name,
    }
    evaluation = evaluate(predictions, config.evaluate, provenance=about)
    raw = predictions.with_calibrator(None)
    write_report(
        out / "report",
        evaluation,
        history=history,
        examples=pick_examples(predictions, store),
        title=config.title or "medimg report",
        notes=_notes(config, store, leaks, calibrated),
        before=evaluate(raw, config.evaluate) if calibrated else None,
    )
    return evaluation


def _notes(
    config: RunConfig, store: ImageStore, leaks: list[Finding], calibrated: bool
) -> list[str]:
    notes = [
        f"Known and accepted: {finding} Reason: {config.audit.allow[finding.code]}"
        for finding in leaks
    ]
    if store.refusals:
        notes.append(f"{len(store.refusals)} cases could not be read; errors.csv names them.")
    counts = {r["split"]: r["cases"] for r in store.manifest.counts().to_dict("records")}
    said = ", ".join(f"{name} {n}" for name, n in counts.items())
    fitted = (
        f"calibrated on calib ({counts.get('calib')} cases)" if calibrated else "not calibrated"
    )
    return [*notes, f"Cases: {said}. Probabilities are {fitted}."]
