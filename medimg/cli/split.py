"""`medimg split`: a manifest with splits or folds, and what each of them holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medimg.data.audit import audit
from medimg.data.balance import split_counts, warnings
from medimg.data.folds import make_folds, unsplit
from medimg.data.groups import columns_of
from medimg.data.manifest import Manifest
from medimg.data.options import SplitOptions
from medimg.data.splits import split
from medimg.errors import UsageError
from medimg.files import require_absent

_SHARES = ("train", "val", "calib", "test")
#: Options of a split that mean nothing where every case is tested once.
_NOT_IN_FOLDS = ("train", "calib", "test", "hold_out", "after")


def split_and_print(
    path: Path, out: Path, options: dict[str, Any], *, folds: int, anew: bool, overwrite: bool
) -> None:
    """Divide the cases of the manifest `path`, write `out`, and print what each part holds.

    Parameters
    ----------
    options : dict
        Those that were given, of `medimg.data.splits.split` or `medimg.data.folds.make_folds`.
    folds : int
        How many; 0: splits.
    anew : bool
        Set aside the splits and folds that the manifest brings; `none` stays.
    """
    require_absent(out, overwrite=overwrite)
    manifest = Manifest.load(path)
    if anew:
        manifest = unsplit(manifest)
    if manifest.folds is not None:
        raise UsageError(f"{path} brings folds", remedy="give --anew to set them aside")
    if folds:
        _require_none(options)
        done = make_folds(manifest, folds, **options)
    else:
        done = split(manifest, **options)
    done.save(out)
    brought = [] if folds else sorted(set(manifest.split) - {"", "none"})
    if brought:
        sys.stdout.write(
            f"splits of the manifest, kept as they are: {', '.join(brought)} (--anew sets them "
            "aside); shares, seed and --by act on what is cut from train alone\n"
        )
    aside = int((done.split == "none").sum() - (manifest.split == "none").sum())
    if aside:
        sys.stdout.write(
            f"{aside} cases are set aside (none): others of their groups are held out\n"
        )
    free = not folds and not set(manifest.split) - {"", "none"}
    held = {"hold_out", "after"} & set(options)
    _print(done, options.get("by", ("patient_id",)), _shares(options) if free and not held else {})


def _require_none(options: dict[str, Any]) -> None:
    for name in _NOT_IN_FOLDS:
        if name in options:
            raise UsageError(
                f"--folds with --{name.replace('_', '-')}",
                remedy="leave one of them out: in folds every case is tested once",
            )


def _shares(options: dict[str, Any]) -> dict[str, float]:
    """Return the shares that cases are split by, given or by default."""
    fields = SplitOptions.model_fields
    return {name: options.get(name, fields[name].default) for name in _SHARES}


def _print(manifest: Manifest, by: Sequence[str], shares: dict[str, float]) -> None:
    space, write = manifest.space, sys.stdout.write
    target = f", target condition {space.positive}" if space.positive else ""
    write(f"{len(manifest)} cases, {space.k} classes ({space.kind}{target})\n")
    parts = {"": manifest}
    if manifest.folds is not None:
        numbers = range(1, manifest.folds.shape[1] + 1)
        parts = {f"fold {number}": manifest.fold(number) for number in numbers}
    tables = [_table(name, part, by) for name, part in parts.items()]
    write(pd.concat(tables).to_string(index=False) + "\n")
    told: dict[str, list[str]] = {}
    for name, part in parts.items():
        for line in warnings(part, by, shares):
            told.setdefault(line, []).append(name)
    for line, names in told.items():
        where = f"{', '.join(names)}: " if len(names) < len(parts) else ""
        write(f"warning: {where}{line}\n")
    for leak in audit(manifest, by=columns_of(manifest, by), quick=True).leaks:
        write(f"LEAK {leak}\n")
    write(f"split {manifest.split_fingerprint}\n")


def _table(name: str, manifest: Manifest, by: Sequence[str]) -> pd.DataFrame:
    """Return one row a split: cases, in brackets their patients, of all and of each class."""
    counts = split_counts(manifest, by)
    unit = counts.columns[2]
    together = {"cases": (f"cases ({unit})", unit)}
    together |= {f"label:{c}": (c, f"label:{c} {unit}") for c in manifest.space.classes}
    columns = {"fold": name} if name else {}
    table = counts[["split"]].assign(**columns)[[*columns, "split"]]
    for column, (title, groups) in together.items():
        table[title] = [f"{n} ({g})" for n, g in zip(counts[column], counts[groups], strict=True)]
    table["unknown"] = counts["unknown"]
    return table
