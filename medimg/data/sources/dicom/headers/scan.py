"""A folder of DICOM to a table of its headers: every file is a row, a refusal or no DICOM.

Runs in the parent process and opens no file: bytes are read in the workers alone.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from medimg.data.sources.dicom.headers.found import (
    File,
    Stamps,
    is_local,
    promises_archive,
    promises_dicom,
    regular_files,
    stamp_digest,
)
from medimg.data.sources.dicom.headers.known import Columns, Known, picked
from medimg.data.sources.dicom.headers.references import broken
from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.errors import PixelError
from medimg.files import printable
from medimg.progress import Progress

__all__ = ["Scan", "scan", "stamp_digest"]

#: Files of one task: enough that handing it over costs nothing beside reading them.
BATCH = 512
#: The time limit of one file that is read alone, in seconds: in a batch that took too long most
#: are sound, and where many hang nobody should wait for each as for a batch.
_ALONE = 20.0
#: Tasks that wait for a worker, or for the parent, at any time.
_AHEAD = 32


class Scan(NamedTuple):
    """What a folder holds.

    Parameters
    ----------
    columns : dict of lists of str
        ``source`` and `tags.COLUMNS`: one row a DICOM file, sorted by source.
    refusals : list of (source, PixelError)
        Files and folders that cannot be read, or that promise to be DICOM and are not, and what
        a DICOMDIR references that is not there; sorted by source.
    others : list of str
        Sources of files that are no DICOM and do not promise to be; sorted.
    """

    columns: Columns
    refusals: list[tuple[str, PixelError]]
    others: list[str]


class Submits(Protocol):
    """What a scan wants of `pool.Pool`."""

    def submit(self, task: dict[str, Any], *, seconds: float | None = None) -> Future[Any]:
        """Queue a task; the answer's `value` is what the operation returned."""


def scan(
    root: str | os.PathLike[str],
    pool: Submits,
    *,
    files: Iterable[str] | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
    stamps: Stamps | None = None,
) -> Scan:
    """Read the headers of all DICOM files below a folder.

    Parameters
    ----------
    root : path
        Hidden files are taken, links too where they stay below it; members of zip archives
        have the source ``a.zip#member``.
    pool : Pool
        The workers that read.
    files : iterable of str, optional
        Sources, in place of all that is below `root`.
    known : mapping of columns, optional
        A table of an earlier scan: rows whose file has the same size and modification time are
        taken from it, unread.
    stamps : Stamps, optional
        Takes the stamps of all that is below `root`, as it was before it was read.

    Raises
    ------
    MedimgError
        No worker can be started. Whatever is wrong with a file is a refusal.
    """
    reading = _Reading(os.fspath(root), pool, Known(known))
    reading.read(reading.find(stamps) if files is None else reading.named(files))
    reading.check_directories()
    return reading.result()


#: Batches that wait, and those that are being read.
_Batches = deque[list[File]]
_Running = deque[tuple[list[File], Future[Any]]]


def _batched(files: Iterable[File]) -> Iterator[list[File]]:
    """Yield files in batches that grow, so that few files are shared among the workers too."""
    rest, seen = iter(files), 0
    while batch := list(islice(rest, max(8, min(BATCH, seen // 8)))):
        seen += len(batch)
        yield batch


class _Reading:
    """One scan while it goes on."""

    def __init__(self, root: str, pool: Submits, known: Known) -> None:
        self._root, self._pool, self._known = root, pool, known
        self._columns: Columns = {name: [] for name in ("source", *COLUMNS)}
        self._unchanged: list[int] = []
        self._refusals: dict[str, PixelError] = {}
        self._others: list[str] = []
        self._directories: list[File] = []
        self._archives: dict[str, list[str]] = {}

    def find(self, stamps: Stamps | None) -> Iterator[File]:
        """Yield the files below the root that must be read."""
        for name, entry in regular_files(self._root, self._refuse, stamps):
            if not self._known or not self._is_known(name, entry):
                yield File(name, name, None)

    def named(self, sources: Iterable[str]) -> Iterator[File]:
        """Yield the files of sources; a ``#`` may be part of a name that is there."""
        for source in sorted(set(sources)):
            if printable(source) != source:
                remedy = "rename it"
                error = PixelError("unsupported", "the name of the file is no UTF-8", remedy=remedy)
                self._refuse(source, error)
                continue
            path, mark, member = source.rpartition("#")
            place = f"{self._root}/{source}"
            if mark and not os.path.lexists(place):
                yield File(source, path, member)
            elif not self._known or not self._is_known(source, place):
                yield File(source, source, None)

    def _is_known(self, name: str, entry: os.DirEntry[str] | str) -> bool:
        try:
            status = os.stat(entry) if isinstance(entry, str) else entry.stat()  # noqa: PTH116
        except OSError:
            return False  # the worker will say what is wrong with it
        return self._is_unchanged(name, status.st_size, status.st_mtime_ns)

    def _is_unchanged(self, source: str, size: int, mtime_ns: int) -> bool:
        row = self._known.row(source, size, mtime_ns)
        if row is not None:
            self._unchanged.append(row)
        return row is not None

    def _refuse(self, source: str, error: PixelError) -> None:
        self._refusals[printable(source)] = error

    def read(self, files: Iterable[File]) -> None:
        """Read files, and the members of the archives among them.

        The workers begin while the folder is still walked.
        """
        batches, running = _Batches(), _Running()
        try:
            for batch in _batched(files):
                batches.append(batch)
                self._hand_out(batches, running)
            self._collect(batches, running)
        finally:
            for _, future in running:
                future.cancel()

    def _hand_out(self, batches: _Batches, running: _Running) -> None:
        while batches and len(running) < _AHEAD:
            batch = batches.popleft()
            running.append((batch, self._submit("headers", [file[1:] for file in batch])))

    def _collect(self, batches: _Batches, running: _Running) -> None:
        total = sum(map(len, batches)) + sum(len(batch) for batch, _ in running)
        with Progress("reading headers", total, "files") as progress:
            while running:
                batch, future = running.popleft()
                more = self._settle(batch, future)
                batches.extendleft(reversed(more))
                self._hand_out(batches, running)
                progress.total += sum(map(len, more))
                progress.advance(len(batch))

    def _submit(self, operation: str, files: Sequence[tuple[Any, ...]]) -> Future[Any]:
        task = {"op": operation, "root": self._root, "files": files}
        return self._pool.submit(task, seconds=_ALONE if len(files) == 1 else None)

    def _settle(self, batch: list[File], future: Future[Any]) -> list[list[File]]:
        """Take the answer to a batch; return what is to be read because of it."""
        try:
            value = future.result().value
        except PixelError as error:
            if len(batch) > 1:  # one of them ended the worker: which one?
                return [[file] for file in batch]
            self._refuse(batch[0].source, error)
            return []
        self._add(value, [batch[number] for number in value["rows"]])
        for number, code, message, remedy in value["refused"]:
            self._refuse(batch[number].source, PixelError(code, message, remedy=remedy))
        for number in value["others"]:
            self._add_other(batch[number])
        self._directories += [batch[number] for number in value["directories"]]
        opened = [self._open(batch[n], mtime, members) for n, mtime, members in value["archives"]]
        return [part for parts in opened for part in parts]

    def _add(self, value: dict[str, Any], files: list[File]) -> None:
        """Append the columns of a batch."""
        if not files:
            return
        self._columns["source"].extend([file.source for file in files])
        for name, shared in value["same"].items():
            self._columns[name].extend([shared] * len(files))
        for name, lines in value["lines"].items():
            self._columns[name].extend(lines.split("\n"))

    def _add_other(self, file: File) -> None:
        if promises_dicom(file.member or file.path):
            remedy = "leave it out, or convert it to DICOM"
            error = PixelError("unknown_format", "the file is no DICOM", remedy=remedy)
            self._refuse(file.source, error)
        else:
            self._others.append(file.source)

    def _open(self, file: File, mtime_ns: int, members: list[list[Any]]) -> list[list[File]]:
        """Return the members of an archive that must be read."""
        if not promises_archive(file.path):
            self._add_other(file)
            return []
        wanted = []
        for name, size in sorted(members):
            member = File(f"{file.source}#{name}", file.path, name)
            if not is_local(name):
                remedy = "pack the archive again"
                error = PixelError("not_permitted", "a member outside its archive", remedy=remedy)
                self._refuse(member.source, error)
            elif name.lower().endswith(".zip"):
                what = "an archive within an archive"
                self._refuse(member.source, PixelError("unsupported", what, remedy="unpack it"))
            elif not self._known or not self._is_unchanged(member.source, size, mtime_ns):
                wanted.append(member)
        self._archives[file.source] = [f"{file.source}#{name}" for name, _ in members]
        return [wanted[i : i + BATCH] for i in range(0, len(wanted), BATCH)]

    def check_directories(self) -> None:
        """Refuse by name what DICOMDIRs reference and is not there (PS3.10 8.6)."""
        if not self._directories:
            return
        there = {*self._sources(), *self._refusals, *self._others}
        there.update([source.lower() for source in there])
        for file in self._directories:
            try:
                value = self._submit("dicomdir", [file[1:]]).result().value
            except PixelError as error:
                self._refuse(f"{file.source}#references", error)
                continue
            for source, why in broken(value["references"], file, self._root, there):
                self._refuse(source, why)

    def _sources(self) -> list[str]:
        earlier = self._known.columns["source"]
        return [*self._columns["source"], *(earlier[row] for row in self._unchanged)]

    def _fold_archives(self) -> None:
        """List archives without any DICOM as one file each."""
        read = set(self._sources()) if self._archives else set()
        for archive, members in self._archives.items():
            refused = {self._refusals[m].code for m in members if m in self._refusals}
            if read.isdisjoint(members) and refused <= {"unknown_format"}:
                gone = set(members)
                self._others = [source for source in self._others if source not in gone]
                for member in members:
                    self._refusals.pop(member, None)
                self._others.append(archive)

    def result(self) -> Scan:
        """Return everything, sorted by source."""
        self._fold_archives()
        columns = picked(self._known.columns, sorted(self._unchanged))
        for name, column in columns.items():
            column.extend(self._columns[name])
        sources = columns["source"]
        order = sorted(range(len(sources)), key=sources.__getitem__)
        if order != list(range(len(sources))):
            columns = picked(columns, order)
        refusals = sorted(self._refusals.items(), key=itemgetter(0))
        return Scan(columns, refusals, sorted(self._others))
