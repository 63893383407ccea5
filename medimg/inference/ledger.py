"""The ledger of a prediction: what was predicted of which bytes, written as it is done.

`journal.jsonl` in the output folder gets one line for every batch, whole and synced, so that a
process that is killed at any moment goes on behind the last batch that it finished. It names
files by keyed pseudonyms alone, for the path of a scan may name its patient.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from medimg.errors import DataError, FolderExists, Refusal, UsageError
from medimg.files import canonical_json, lock, require_free, write_text
from medimg.inference.seen import NOT_CHECKED

#: The file that a finished folder holds, written last.
MARKER = "run.json"
_JOURNAL, _BEGUN, _LOCK = "journal.jsonl", ".medimg", ".lock"
_FORMAT = {"format": "medimg.journal", "format_version": 1}
#: What a folder may have been begun with, and how to say so.
_MEANING = {
    "bundle_id": "with another bundle",
    "scans": "for scans of another folder, or under another pseudonym key",
    "keep_ids": "with --keep-ids, or this time without",
    "unit": "with another --unit",
    "where": "with another --where, or this time without",
}
_ROWS_A_LINE = 1024


class Row(NamedTuple):
    """One predicted case, with all that its row of `predictions.csv` needs.

    Parameters
    ----------
    case_id : str
    stamp : str
        Keyed pseudonym of sources, sizes and modification times of its files.
    files : list of str
        Keyed pseudonym of each of its files' names.
    logits : list of float (K,)
        Exact float32.
    targets : list of float or None (K,)
        None is "nobody looked".
    about : dict of str to str
        Patient (as it goes beyond the manifest), split and metadata, where not blank.
    picture : str
        The split that made the model and holds this very picture, `NO` or `NOT_CHECKED`.
    """

    case_id: str
    stamp: str
    files: list[str]
    logits: list[float]
    targets: list[float | None]
    about: dict[str, str]
    picture: str = NOT_CHECKED


class Journal:
    """The rows and refusals so far; every change is in the file before it counts.

    Parameters
    ----------
    path : path
        Holds the header already.
    rows : dict of str to Row
        By case; a case that was predicted again, or refused since, has no older row.
    refused : dict of str to (stamp, Refusal)
        Cases that the unfinished run before this one refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Row] = {}
        self.refused: dict[str, tuple[str, Refusal]] = {}
        lines = _whole_lines(path)
        self.about: dict[str, Any] = lines[0]
        for line in lines[1:]:
            self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        for values in line.get("rows", ()):
            row = Row(*values)
            self.rows[row.case_id] = row
            self.refused.pop(row.case_id, None)
        if "refused" in line:
            refusal = Refusal(**line["refused"])
            self.rows.pop(refusal.case_id, None)
            self.refused[refusal.case_id] = (line["stamp"], refusal)

    def add(self, rows: list[Row]) -> None:
        """Write one batch; it is on the disk when this returns."""
        self._append({"rows": rows}, sync=True)

    def refuse(self, stamp: str, refusal: Refusal) -> None:
        """Write one refusal, which outlives this process at once, and the machine a batch later."""
        self._append({"refused": asdict(refusal), "stamp": stamp}, sync=False)

    def _append(self, line: dict[str, Any], *, sync: bool) -> None:
        text = canonical_json(line) + "\n"
        try:
            with self.path.open("ab") as handle:
                handle.write(text.encode("utf-8"))
                if sync:
                    handle.flush()
                    os.fsync(handle.fileno())
        except OSError as error:
            raise UsageError(
                f"{self.path} could not be written: {error.strerror or error}",
                remedy="make room, then give the same command again: it goes on where it was",
            ) from error
        self._take(line)

    def compact(self, rows: Iterable[Row]) -> None:
        """Keep `rows` alone, sorted; what was refused is tried again next time."""
        kept = sorted(rows)
        lines: list[Mapping[str, Any]] = [self.about]
        lines += [{"rows": kept[i : i + _ROWS_A_LINE]} for i in range(0, len(kept), _ROWS_A_LINE)]
        write_text(self.path, "".join(canonical_json(line) + "\n" for line in lines))


@contextlib.contextmanager
def claimed(
    folder: str | os.PathLike[str], about: Mapping[str, Any], *, overwrite: bool
) -> Iterator[Journal]:
    """Hold an output folder, new or begun with the same `about`, as its one writer.

    Parameters
    ----------
    about : mapping
        `bundle_id`, `scans` (which folder they are of), `keep_ids`, `unit` and `where`; None
        is the default, as an absent key is.
    overwrite : bool
        Begin anew, whatever medimg wrote there.

    Raises
    ------
    FolderExists
        The folder holds somebody else's files, or was begun with another `about`.
    UsageError
        Another process writes it.
    """
    folder = Path(folder)
    _require_ours(folder, overwrite=overwrite)
    with lock(folder):
        if overwrite:
            _empty(folder)
        if not (folder / _JOURNAL).is_file():
            _require_ours(folder, overwrite=overwrite)
            write_text(folder / _BEGUN, MARKER + "\n")
            write_text(folder / _JOURNAL, canonical_json({**_FORMAT, **about}) + "\n")
        for torso in folder.glob(".*.tmp"):
            torso.unlink()
        journal = Journal(folder / _JOURNAL)
        _require_same(folder, journal.about, {**_FORMAT, **about})
        (folder / MARKER).unlink(missing_ok=True)
        yield journal


def _require_ours(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is neither empty nor of such a journal; nothing is touched."""
    names: set[str] = set()
    with contextlib.suppress(OSError):
        names = {p.name for p in folder.iterdir()}
    begun = {n for n in names if n in (_BEGUN, _LOCK) or n.startswith(f".{_JOURNAL}.")}
    if _JOURNAL not in names and names - begun:
        require_free(folder, MARKER, overwrite=overwrite)


def _empty(folder: Path) -> None:
    """Remove all but the lock, which is held."""
    for path in folder.iterdir():
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _require_same(folder: Path, begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if begun.get(key) != value:
            what = _MEANING.get(key, "by another version of medimg")
            raise FolderExists(
                f"{folder} was begun {what} ({key} {_shown(begun.get(key))}, now {_shown(value)})",
                remedy="name another folder, or give --overwrite to begin this one anew",
            )


def _shown(value: Any) -> str:
    return "default" if value is None else str(value)[:16]


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal; a last one that is torn is cut off the file."""
    data = path.read_bytes()
    lines: list[dict[str, Any]] = []
    start = 0
    for part in data.splitlines(keepends=True):
        try:
            line = json.loads(part) if part.endswith(b"\n") else None
        except ValueError:
            line = None
        if not isinstance(line, dict):
            break
        lines.append(line)
        start += len(part)
    if not lines or b"\n" in data[start:-1]:
        raise DataError(
            f"{path} is damaged in line {len(lines) + 1}",
            remedy="give --overwrite to predict everything anew",
        )
    if start < len(data):
        os.truncate(path, start)
    return lines
