"""Files that are whole or absent: atomic writes, checksums, canonical JSON, locks.

A file is written beside its final name, flushed to the disk and renamed (`os.replace`), so
that a kill or a full disk leaves the old file or none, never a torso under the final name.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from medimg.errors import FolderExists, MedimgError, Refusal, SourceNotFound, UsageError

ERRORS_CSV = "errors.csv"
#: The file that marks a folder as written by medimg, finished or not.
_BEGUN = ".medimg"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    `mode` sets the permission bits of the final file (for example 0o600) before any byte of
    content exists. On an error or an interrupt the temporary file is removed.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name[:80]}.{secrets.token_hex(6)}.tmp")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, flags, 0o666 if mode is None else mode))
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(final)
    except OSError as error:
        raise UsageError(
            f"{final} could not be written: {error.strerror or error}",
            remedy="check the free space and the permissions of that folder",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    _sync_folder(final.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes, *, mode: int | None = None) -> None:
    """Write `data` to `path` atomically."""
    with replacing(path, mode=mode) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str, *, mode: int | None = None) -> None:
    r"""Write `text` as UTF-8 with ``\n`` line ends, atomically."""
    write_bytes(path, text.encode("utf-8"), mode=mode)


def write_json(path: str | os.PathLike[str], value: Any, *, mode: int | None = None) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinity are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, mode=mode)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file that medimg wrote; a missing or broken one raises by name."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceNotFound(
            f"{path} is not there", remedy="check the path, or make the folder again"
        ) from error
    except (OSError, ValueError) as error:
        raise MedimgError(
            f"{path} is no readable JSON: {error}", remedy="make the folder again"
        ) from error


def canonical_json(value: Any) -> str:
    """Return the one text of `value`: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256 (64 hex digits) of bytes-like or JSON-able `parts`, in order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes | memoryview) else canonical_json(part).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes (64 hex digits)."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_refusals(path: str | os.PathLike[str], refusals: Iterable[Refusal]) -> None:
    """Write `errors.csv`, sorted by case; a header alone says that nothing was refused."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Refusal)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(r) for r in sorted(refusals, key=lambda r: (r.case_id, r.frame)))
    write_text(path, text.getvalue())


def require_free(folder: str | os.PathLike[str], marker: str, *, overwrite: bool) -> None:
    """Refuse an output folder that holds something already; nothing is touched.

    Parameters
    ----------
    folder : path
        The folder that is to be written.
    marker : str
        The file that a finished folder holds and that is written last.
    overwrite : bool
        Accept what medimg wrote (finished, or begun: its ``.medimg`` file says so).

    Raises
    ------
    FolderExists
        The folder holds a finished or half-finished output, or somebody else's files.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise FolderExists(f"{folder} is a file", remedy="name a folder")
    try:
        if not folder.is_dir() or not any(folder.iterdir()):
            return
    except OSError as error:
        raise FolderExists(
            f"{folder} cannot be read: {error.strerror}", remedy="name another folder"
        ) from error
    begun = folder / _BEGUN
    if not begun.is_file() or begun.read_text(encoding="utf-8").strip() != marker:
        raise FolderExists(
            f"{folder} holds files that medimg did not write, or wrote as something else",
            remedy="name another folder",
        )
    if not overwrite:
        state = "is finished" if (folder / marker).is_file() else "was begun and not finished"
        raise FolderExists(
            f"{folder} {state}", remedy="give --overwrite to replace it, or another folder"
        )


def claim_folder(folder: str | os.PathLike[str], marker: str, *, overwrite: bool) -> Path:
    """Make an output folder, empty but for the file that names medimg as its writer.

    What `require_free` accepts is removed; what it refuses raises.
    """
    folder = Path(folder)
    require_free(folder, marker, overwrite=overwrite)
    try:
        if folder.is_dir() and (folder / _BEGUN).is_file():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _BEGUN).write_text(marker + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{folder} could not be made: {error.strerror}",
            remedy="name a folder that you may write",
        ) from error
    return folder


@contextlib.contextmanager
def lock(folder: str | os.PathLike[str], *, wait: bool = False) -> Iterator[None]:
    """Hold the one writer's lock of `folder` (made where absent); wait for another's or raise."""
    import filelock

    folder = Path(folder)
    held = filelock.FileLock(folder / ".lock", timeout=-1 if wait else 0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except filelock.Timeout as error:
        raise UsageError(
            f"{folder} is being written by another medimg process",
            remedy="wait until it is done, or name another folder",
        ) from error
    except OSError as error:
        raise UsageError(
            f"{folder} may not be written: {error.strerror}",
            remedy="name a folder that you may write",
        ) from error
    try:
        yield
    finally:
        held.release()


def beside(path: str | os.PathLike[str], what: str) -> Path:
    """Return where the table `what` (instances, errors, identities) of a manifest lies.

    Beside ``manifest.csv`` it is ``instances.csv``; beside any other name, ``NAME.instances.csv``,
    so that two manifests in one folder keep theirs apart.
    """
    path = Path(path)
    return path.with_name(f"{what}.csv" if path.stem == "manifest" else f"{path.stem}.{what}.csv")


def printable(name: str) -> str:
    """Return a file's name as text that can be written anywhere."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def require_absent(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse to write a table over a file that is there, unless `overwrite`."""
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise UsageError(f"{path} is no table", remedy="name a .csv or .parquet file")
    if not overwrite and (path.exists() or path.with_suffix(".json").exists()):
        raise FolderExists(
            f"{path} (or its .json) is there already",
            remedy="give --overwrite to replace it, or another name",
        )


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; file systems that cannot sync a folder are let be."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
