"""What lies below a folder, by name and stamp alone: no file is opened here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from operator import attrgetter
from pathlib import PurePosixPath
from typing import NamedTuple

from medimg.data.sources.dicom.opening import refusal
from medimg.errors import PixelError
from medimg.files import printable

Refuse = Callable[[str, PixelError], None]
#: Endings that promise DICOM; so do names without an ending, or with digits as in a UID.
_ENDINGS = (".dcm", ".dicom", ".ima")


class File(NamedTuple):
    """A file below the folder: its source, its path, and the member of the archive there."""

    source: str
    path: str
    member: str | None


def stamp_digest(root: str | os.PathLike[str], *, skip: Collection[str] = ()) -> str:
    """Return a digest of path, size and modification time of every file below a folder.

    Two that are equal say that nothing has changed, without opening anything. Links are
    looked at, not followed; what cannot be looked at counts as absent, and so do the files
    `skip`, by their paths relative to `root`.
    """
    stamps = Stamps(skip)
    for prefix, entries in folders(os.fspath(root), lambda source, error: None):
        stamps.add(prefix, entries)
    return stamps.digest()


class Stamps:
    """What `stamp_digest` is a digest of, folder by folder."""

    def __init__(self, skip: Collection[str] = ()) -> None:
        self._skip = skip
        self._lines: list[str] = []

    def add(self, prefix: str, entries: Iterable[os.DirEntry[str]]) -> None:
        """Look at the files of one folder."""
        stamps = []
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if not self._skip or prefix + entry.name not in self._skip:
                stamps.append(f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}")
        stamps.sort()
        self._lines.append("\0".join([prefix, *stamps]))

    def digest(self) -> str:
        """Return the digest of all that was looked at."""
        text = "\0\0".join(sorted(self._lines)).encode("utf-8", "surrogateescape")
        return hashlib.sha256(text).hexdigest()


def folders(root: str, refuse: Refuse) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each folder below `root`, as the start of its files' sources, and what is in it.

    Links to folders are among what is in it. A folder that cannot be read is refused. Both
    folders and what is in them are sorted.
    """
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        files: list[os.DirEntry[str]] = []
        below: list[str] = []
        try:
            with os.scandir(f"{root}/{prefix}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(f"{prefix}{entry.name}/")
                    else:
                        files.append(entry)
        except OSError as error:
            code = refusal(error).code
            remedy = "give yourself the right to read it, or leave it out"
            refuse(prefix or ".", PixelError(code, "the folder cannot be read", remedy=remedy))
        waiting += sorted(below, reverse=True)
        files.sort(key=attrgetter("name"))
        yield prefix, files


def regular_files(
    root: str, refuse: Refuse, stamps: Stamps | None = None
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield path and entry of each file below `root` that may be opened.

    Whatever is there is added to `stamps` before it is yielded.

    Refused: what is no regular file (opening a FIFO waits for ever), links that lead out of
    the folder or to nothing, names that are no UTF-8 and so can stand in no table.
    """
    inside = os.path.realpath(root).rstrip("/") + "/"
    for prefix, entries in folders(root, refuse):
        if stamps is not None:
            stamps.add(prefix, entries)
        for entry in entries:
            name = prefix + entry.name
            try:
                if not entry.is_file(follow_symlinks=False) and not _leads_to_file(entry, inside):
                    continue
                if not name.isascii() and printable(name) != name:
                    raise PixelError(
                        "unsupported", "the name of the file is no UTF-8", remedy="rename it"
                    )
            except OSError as error:
                refuse(name, refusal(error))
            except PixelError as error:
                refuse(name, error)
            else:
                yield name, entry


def _leads_to_file(entry: os.DirEntry[str], inside: str) -> bool:
    """Whether what is neither file nor folder is a link to a file below the root.

    A link to a folder below the root is passed over: its files stand there.
    """
    if not entry.is_symlink():
        remedy = "leave FIFOs, devices and sockets out"
        raise PixelError("not_regular", "the file is no regular file", remedy=remedy)
    target = os.path.realpath(entry.path)
    if not f"{target}/".startswith(inside):
        raise PixelError(
            "not_permitted",
            "the file is a link that leads out of the folder",
            remedy="copy what it points to into the folder",
        )
    if entry.is_file() or entry.is_dir():
        return entry.is_file()
    code = "not_regular" if os.path.lexists(target) else "not_found"
    raise PixelError(code, "the file is a link to no file", remedy="repair or remove it")


def promises_dicom(path: str) -> bool:
    """Whether the name of a file lets one expect DICOM."""
    name = path.rpartition("/")[2].lower()
    ending = PurePosixPath(name).suffix
    bare = not name.startswith(".") and not ending.strip(".0123456789 ")
    return bare or ending in _ENDINGS


def promises_archive(path: str) -> bool:
    """Whether a file in zip's format is one of files: not a document, a program or arrays."""
    return PurePosixPath(path).suffix.lower() in ("", ".zip")


def is_local(path: str) -> bool:
    """Whether a path from an archive or a directory stays where it belongs."""
    parts = path.split("/")
    return not ({"", ".", ".."} & set(parts) or "\0" in path or "\\" in path)
