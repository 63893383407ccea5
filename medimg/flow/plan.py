"""`Plan`: what a run is going to work on, after all that can be refused beforehand was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg.config import RunConfig, load_config
from medimg.data.checks.findings import Audit
from medimg.data.checks.merge import merge
from medimg.data.folds import make_folds
from medimg.data.manifest import Manifest
from medimg.data.sources.dicom.index.listing import Indexed
from medimg.data.splits import split
from medimg.errors import FolderExists, UsageError
from medimg.files import claim_folder, lock, read_json, require_free, write_text
from medimg.flow.audits import audit_manifests
from medimg.flow.checks import require_classes, require_sound_folds
from medimg.flow.opening import open_source
from medimg.inference.forward import pick_device
from medimg.tables import write_table
from medimg.training.distributed import World

#: Written last: a run folder with it is finished.
MARKER = "run.json"
#: What the first epoch, or the first fold, leaves in a run folder.
_TRAINED = ("log.jsonl", "checkpoint", "history.json", "fold-1")


@dataclass(frozen=True)
class Plan:
    """What a run is going to work on.

    Parameters
    ----------
    config : RunConfig
    found : Indexed
        What the index found.
    manifest : Manifest
        With its splits or its folds.
    source : Path
    audits : list of Audit
        Of the one split, or of each fold's.
    """

    config: RunConfig
    found: Indexed
    manifest: Manifest
    source: Path
    audits: list[Audit]

    def write(self, out: Path) -> None:
        """Write config and manifest into the run folder."""
        write_text(out / "config.yaml", self.config.to_yaml())
        self.manifest.save(out / "manifest.csv")
        if self.found.refusals:
            write_table(out / "identities.csv", self.found.identities, mode=0o600)


def begin(
    config: RunConfig | str | os.PathLike[str],
    near: Sequence[Path],
    out: Path,
    *,
    folds: int = 0,
    overwrite: bool = False,
    resume: bool = False,
) -> Plan:
    """Refuse what can be refused beforehand, divide the cases, and only then claim the folder."""
    if not World.current().first:
        raise UsageError(
            "a run of one's own in a process of torchrun that is not the first",
            remedy="start it as `torchrun -m medimg train`, or call fit in every process",
        )
    if not isinstance(config, RunConfig):
        near = [*near, Path(config).resolve().parent]
        config = load_config(config)
    going_on = resume and is_begun(out) and not _is_untouched(out)
    if going_on:
        _require_same(config, folds, out)
    else:
        _require_free(out, overwrite=overwrite)
    pick_device(config.device)
    found, source = open_source(config, near)
    manifest = _divided(config, found.require(), folds)
    audits = audit_manifests(manifest, config.split.by)
    merge(audits).require_clean(config.audit.allow)
    require_sound_folds(manifest, config.split.by, config.split.missing)
    require_classes(config, manifest)
    if not going_on:
        claim_folder(out, MARKER, overwrite=overwrite or _is_untouched(out))
    return Plan(config, found, manifest, source, audits)


def is_begun(out: Path) -> bool:
    """Whether a run folder was begun and not finished."""
    return (out / "config.yaml").is_file() and not (out / MARKER).is_file()


def _is_untouched(out: Path) -> bool:
    """Whether a run was begun there and ended before any training, as a leak ends it."""
    return is_begun(out) and not any((out / name).exists() for name in _TRAINED)


def _divided(config: RunConfig, manifest: Manifest, folds: int) -> Manifest:
    """Return the manifest with its splits, or with the folds that it brings or that are made."""
    brought = 0 if manifest.folds is None else manifest.folds.shape[1]
    if brought != folds and brought:
        raise UsageError(
            f"{brought} folds in the manifest, {folds or 'none'} asked for",
            remedy=f"give --folds {brought}, or set them aside: `medimg split M.csv -o M2.csv "
            "--anew`",
        )
    if brought:
        return manifest
    if not folds:
        return split(manifest, **config.split.model_dump(), seed=config.seed)
    if config.split.hold_out or config.split.after is not None:
        raise UsageError(
            "folds of cases of which some are held out (split.hold_out, split.after)",
            remedy="leave one of them out: in folds every case is tested once",
        )
    return make_folds(
        manifest,
        folds,
        val=config.split.val,
        seed=config.seed,
        by=config.split.by,
        missing=config.split.missing,
    )


def _require_same(config: RunConfig, folds: int, out: Path) -> None:
    """Refuse to go on with a run that was begun with another config or number of folds."""
    before, now = _flat(load_config(out / "config.yaml")), _flat(config)
    for key in {**now, **before}:
        if before.get(key) == now.get(key):
            continue
        raise UsageError(
            f"{out} was begun with another config than this one: {key} was "
            f"{before.get(key)!r}, and is {now.get(key)!r}",
            remedy=f"go on with {out / 'config.yaml'}, or give --overwrite to begin anew",
        )
    sidecar = out / "manifest.json"
    begun = int(read_json(sidecar).get("folds", 0)) if sidecar.is_file() else folds
    if begun != folds:
        raise UsageError(
            f"{out} was begun with {begun or 'no'} folds, not {folds or 'none'}",
            remedy=(f"give --folds {begun}" if begun else "leave --folds out")
            + ", or --overwrite to begin anew",
        )


def _flat(config: RunConfig) -> dict[str, Any]:
    """Return the values of a config by their keys, as ``fit.epochs``."""

    def walk(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, Mapping):
                yield from walk(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", value

    return dict(walk(config.model_dump(mode="json"), ""))


def _require_free(out: Path, *, overwrite: bool) -> None:
    """Refuse an output folder that is in use, or holds what may not be removed."""
    if (out / ".lock").is_file():
        with lock(out):
            pass
    try:
        require_free(out, MARKER, overwrite=overwrite or _is_untouched(out))
    except FolderExists as error:
        if not is_begun(out):
            raise
        remedy = "give --resume to go on with it, or --overwrite to replace it"
        raise FolderExists(error.message, remedy=remedy) from None
