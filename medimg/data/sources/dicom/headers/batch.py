"""Headers of many files at once, inside a worker: the walker first, pydicom for the rest.

Answers are columns, not rows: a value that all files of a batch share is sent once, the others
as one text a column, a line a file (no value of `tags.plain` holds a line break).
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from medimg.data.sources.dicom.headers.head import CHUNK, Read, is_dicom, walk
from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.opening import open_regular, read_bytes, refusal
from medimg.errors import PixelError

Answer = tuple[dict[str, Any], "dict[str, NDArray[Any]]"]

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW


def headers(request: dict[str, Any]) -> Answer:
    """Read the headers of a batch of files.

    Parameters
    ----------
    request : dict
        ``root``: a folder; ``files``: [path relative to it, member of a zip archive or None].

    Returns
    -------
    dict
        ``rows``: the numbers of the files whose header is there; ``same``, ``lines``: the
        columns of these (`tags.COLUMNS`), shared values and joined ones; ``refused``: [number,
        code, message, remedy]; ``others``: numbers of the files that are no DICOM;
        ``archives``: [number, mtime_ns, [[member, size], ...]]; ``directories``: numbers of
        the DICOMDIRs.
    """
    root, files = request["root"], request["files"]
    batch = _Batch()
    with _folders(root) as open_file:
        for number, (path, member) in enumerate(files):
            try:
                if member is None:
                    _add_file(batch, number, open_file, path)
                else:
                    _add_member(batch, number, root, path, member)
            except (PixelError, OSError) as error:
                why = error if isinstance(error, PixelError) else refusal(error)
                batch.refused.append([number, why.code, why.message, why.remedy])
    return batch.packed(), {}


def dicomdir(request: dict[str, Any]) -> Answer:
    """Return the files that a DICOMDIR references (PS3.3 F.3.2.2: Referenced File ID).

    Parameters
    ----------
    request : dict
        ``root``; ``files``: one [path of the DICOMDIR below it, member of a zip archive or
        None].

    Returns
    -------
    dict
        ``references``: for each its components, as they stand there.
    """
    from medimg.data.sources.dicom.pixels.dataset import guarded, open_dataset

    ((path, member),) = request["files"]
    data = read_bytes(f"{request['root']}/{path}", member, request["root"])
    with guarded():
        dataset = open_dataset(data, pixels=False).dataset
        found = [_reference(record) for record in dataset.get("DirectoryRecordSequence") or ()]
    return {"references": [components for components in found if components]}, {}


class _Batch:
    """What is found out about the files of one request."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.refused: list[list[Any]] = []
        self.others: list[int] = []
        self.archives: list[list[Any]] = []
        self.directories: list[int] = []
        self._values: list[list[str]] = []

    def add(self, number: int, data: bytes, read: Read, size: int, mtime_ns: int) -> None:
        """Add a file by its first bytes."""
        walked = walk(data, size, read)
        if walked is not None:
            values, kind = walked, "image"
        elif is_dicom(data):
            from medimg.data.sources.dicom.headers.by_pydicom import read_header

            values, kind = read_header(data, size, read)
        else:
            self.others.append(number)
            return
        if kind == "directory":
            self.directories.append(number)
            kind = "none"
        values += (kind, str(size), str(mtime_ns))
        self.rows.append(number)
        self._values.append(values)

    def packed(self) -> dict[str, Any]:
        """Return the answer to the request."""
        same: dict[str, str] = {}
        lines: dict[str, str] = {}
        for name, column in zip(COLUMNS, zip(*self._values, strict=True), strict=False):
            if column.count(column[0]) == len(column):
                same[name] = column[0]
            else:
                lines[name] = "\n".join(column)
        return {
            "rows": self.rows,
            "same": same,
            "lines": lines,
            "refused": self.refused,
            "others": self.others,
            "archives": self.archives,
            "directories": self.directories,
        }


def _add_file(
    batch: _Batch, number: int, open_file: Callable[[str], tuple[int, os.stat_result]], path: str
) -> None:
    descriptor, status = open_file(path)
    try:
        data = os.read(descriptor, CHUNK)
        if data[:4] in _ZIP and not is_dicom(data):
            batch.archives.append([number, status.st_mtime_ns, _members(descriptor)])
            return

        def read(offset: int, count: int) -> bytes:
            return os.pread(descriptor, count, offset)

        batch.add(number, data, read, status.st_size, status.st_mtime_ns)
    finally:
        os.close(descriptor)


def _add_member(batch: _Batch, number: int, root: str, path: str, member: str) -> None:
    place = f"{root}/{path}"
    data = read_bytes(place, member, root)

    def read(offset: int, count: int) -> bytes:
        return data[offset : offset + count]

    batch.add(number, data[:CHUNK], read, len(data), os.stat(place).st_mtime_ns)  # noqa: PTH116


@contextmanager
def _folders(root: str) -> Iterator[Callable[[str], tuple[int, os.stat_result]]]:
    """Give a function that opens a regular file below `root`, as `opening.open_regular` does.

    The files of a batch lie together: their folder is opened, and seen to lie in the root,
    once, and each file by its last name, which is no link. Whatever is not that plain goes
    through `open_regular`, and is refused there.
    """
    real_root = os.path.realpath(root)
    inside = real_root.rstrip("/") + "/"
    known: tuple[str, int] | None = None

    def close() -> None:
        if known is not None and known[1] >= 0:
            os.close(known[1])

    def open_file(path: str) -> tuple[int, os.stat_result]:
        nonlocal known
        parent, _, name = path.rpartition("/")
        if known is None or known[0] != parent:
            close()
            known = (parent, _open_folder(f"{real_root}/{parent}", inside))
        try:
            descriptor = os.open(name, _FLAGS, dir_fd=known[1]) if known[1] >= 0 else -1
        except (OSError, ValueError):
            descriptor = -1
        if descriptor < 0:
            return open_regular(f"{root}/{path}", root)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return descriptor, status
        os.close(descriptor)
        return open_regular(f"{root}/{path}", root)

    try:
        yield open_file
    finally:
        close()


def _open_folder(path: str, inside: str) -> int:
    """Return a descriptor of a folder below the root, or -1."""
    real = os.path.realpath(path)
    if not f"{real}/".startswith(inside):
        return -1
    try:
        return os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1


def _members(descriptor: int) -> list[list[Any]]:
    """Return name and size of the files of a zip archive, by its directory alone.

    Of two members of one name only one could be read later: such an archive is refused.
    """
    try:
        with open(descriptor, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
            found = [[i.filename, i.file_size] for i in archive.infolist() if not i.is_dir()]
    except MemoryError:
        raise
    except Exception as error:  # zipfile raises half a dozen types on damaged archives
        raise PixelError(
            "corrupt", "the archive is damaged", remedy="copy or export the file again"
        ) from error
    if len({name for name, _ in found}) < len(found):
        raise PixelError(
            "unsupported",
            "the archive holds several members of one name",
            remedy="pack it again, each under a name of its own",
        )
    return found


def _reference(record: Any) -> Sequence[str]:
    name = record.get("ReferencedFileID")
    if not name:
        return []
    return [name] if isinstance(name, str) else [str(component) for component in name]
