"""`medimg index`: a manifest, and beside it the tables that account for every file of DICOM."""

from __future__ import annotations

import contextlib
import csv
import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medimg.errors import DataError, MedimgError
from medimg.files import (
    beside,
    fingerprint,
    read_json,
    sha256_file,
    write_json,
    write_refusals,
)

if TYPE_CHECKING:
    from medimg.data.manifest import Manifest
    from medimg.data.sources.dicom.index.listing import Indexed

#: The key of a manifest's sidecar that says how it was made; written when all else is there.
_MADE = "index"
Columns = dict[str, list[str]]


def write_index(
    source: Path, out: Path, labels: Path | None, options: dict[str, Any], *, overwrite: bool
) -> bool:
    """Index `source`, write `out` and what stands beside it, and print what was found.

    A manifest of DICOM that the same command made is brought up to date: where nothing has
    changed, nothing is read, else only what is new or changed.

    Returns
    -------
    bool
        Whether files were refused.

    Raises
    ------
    FolderExists
        `out` is there, and was not made from the same source with the same options.
    MedimgError
        See `medimg.data.index.list_cases`; where no file became a case, or nobody says what the
        classes are, the tables that account for the files are written before.
    """
    made, earlier, tables = _made(source, labels, options), _earlier(out), _tables(out)
    told = source.is_dir() and (labels is None or made["labels"])
    if (
        earlier
        and told
        and not overwrite
        and {**earlier, **made, "files": _digest(source, tables)} == earlier
    ):
        sys.stdout.write(f"{out}: unchanged\n")
        return bool(earlier["refused"])
    from medimg.data.index import list_cases
    from medimg.files import require_absent

    def same(*keys: str) -> bool:
        return all(earlier.get(key) == made[key] for key in keys)

    require_absent(out, overwrite=overwrite or same("source", "options"))
    known = _known(tables) if same("source", "version") else None
    with _no_collection():
        found = list_cases(source, labels, known=known, skip=list(tables.values()), **options)
        _write_tables(found, tables, earlier=bool(earlier))
        _require(found, tables).save(out)
    if found.instances:
        about = {**made, "files": found.digest if told else "", "refused": len(found.refusals)}
        about["manifest"] = sha256_file(out)
        sidecar = read_json(tables["sidecar"])
        write_json(tables["sidecar"], {**sidecar, _MADE: about}, mode=0o600)
    _print(found, tables)
    return bool(found.refusals)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage: among millions of cells that takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _tables(out: Path) -> dict[str, Path]:
    """Return where each of the files lies that an index writes."""
    names = ("errors", "identities", "instances", "labels_unmatched")
    own = {"manifest": out, "sidecar": out.with_suffix(".json")}
    return own | {name: beside(out, name) for name in names}


def _made(source: Path, labels: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest depends on, beside the files themselves; JSON."""
    from medimg import __version__
    from medimg.data.sources.dicom.headers.tags import COLUMNS

    given = sorted((key, list(v) if isinstance(v, tuple) else v) for key, v in options.items())
    return {
        "source": str(source.absolute()),
        "options": [list(pair) for pair in given] + [["labels", labels and str(labels.absolute())]],
        "labels": sha256_file(labels) if labels is not None and labels.is_file() else "",
        "version": fingerprint(__version__, list(COLUMNS)),
    }


def _earlier(out: Path) -> dict[str, Any]:
    """Return how the manifest that is there was made; nothing where it was edited since."""
    sidecar = out.with_suffix(".json")
    if not out.is_file() or not sidecar.is_file():
        return {}
    try:
        made = read_json(sidecar)[_MADE]
        return dict(made) if made["manifest"] == sha256_file(out) else {}
    except (MedimgError, KeyError, TypeError, ValueError):
        return {}


def _digest(source: Path, tables: Mapping[str, Path]) -> str:
    """Return what tells whether any file of a folder has changed."""
    from medimg.data.sources.dicom.headers.found import stamp_digest

    root = str(source.absolute())
    return stamp_digest(
        root, skip=[os.path.relpath(path.absolute(), root) for path in tables.values()]
    )


def _known(tables: Mapping[str, Path]) -> Columns | None:
    """Return the headers that an earlier index kept, of files taken and refused."""
    try:
        taken, refused = (_read(tables[name]) for name in ("instances", "identities"))
        return {name: taken[name] + refused[name] for name in refused}
    except (OSError, ValueError, KeyError, csv.Error):
        return None


def _read(path: Path) -> Columns:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in header]
    return dict(zip(header, columns, strict=True))


def _write_tables(found: Indexed, tables: Mapping[str, Path], *, earlier: bool) -> None:
    """Write what accounts for every file; of other formats than DICOM there is nothing."""
    if not found.instances:
        return
    if earlier:  # until all is written, nothing may pass as unchanged
        about = read_json(tables["sidecar"])
        write_json(tables["sidecar"], {**about, _MADE: None}, mode=0o600)
    write_refusals(tables["errors"], found.refusals)
    from medimg.tables import write_table

    write_table(tables["identities"], found.identities, mode=0o600)
    write_table(tables["instances"], found.instances, mode=0o600)
    if found.unmatched is not None:
        write_table(tables["labels_unmatched"], found.unmatched, mode=0o600)
    else:
        tables["labels_unmatched"].unlink(missing_ok=True)


def _require(found: Indexed, tables: Mapping[str, Path]) -> Manifest:
    """Return the manifest, or say which tables are there in its place."""
    try:
        return found.require()
    except DataError as error:
        if found.instances:
            written = [tables[name].name for name in ("instances", "errors", "identities")]
            error.message += f"; {', '.join(written)} are written, no manifest"
        raise


def _print(found: Indexed, tables: Mapping[str, Path]) -> None:
    """Print counts: of files by what they are, of refusals by code, of cases by label."""
    from medimg.cli.show import print_counts
    from medimg.data.sources.dicom.index.listing import count

    lines = []
    if found.instances:
        total = len(found.instances["role"]) + len(found.refusals)
        lines.append(f"{total:,} files: {count(Counter(found.instances['role']))}")
    if found.refusals:
        codes = count(Counter(refusal.code for refusal in found.refusals))
        errors, who = tables["errors"].name, tables["identities"].name
        lines.append(f"{len(found.refusals):,} refused: {codes}; {errors} says why, {who} which")
    lines += found.notes
    if found.unmatched is not None and found.unmatched["row"]:
        lines.append(f"{tables['labels_unmatched'].name} lists the rows that label no case")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    print_counts(found.require())
