"""One reader for every format: chosen by what a file holds, never by its name."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

from medimg.data.manifest import Case
from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources import idx, nifti, npz, raster
from medimg.data.sources.dicom.headers.head import is_dicom
from medimg.data.sources.dicom.pool import Pool, shared_pool
from medimg.data.sources.dicom.process import Answer
from medimg.data.sources.dicom.reader import pixels_of, submit_image, submit_volume
from medimg.data.sources.guard import Stamp, guarded, refusal, stamp, unsupported
from medimg.errors import PixelError

#: A case that a worker decodes, or that is read or refused already.
_Begun = Future[Answer] | Pixels | PixelError
Reader = Callable[[Stamp, "str | None", str], Pixels]

#: Format -> its reader; a format is what `sniff` returns.
READERS: dict[str, Reader] = {
    "npz": npz.read,
    "idx": idx.read,
    "nifti": nifti.read,
    "png": raster.read,
    "jpeg": raster.read,
    "tiff": raster.read,
    "bmp": raster.read,
}
#: The formats that worker processes read: DICOM files, and zip archives of them.
DICOM = ("dicom", "zip")
#: Endings that promise an image: such a file is never passed over, whatever it holds.
IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp"),
    *(".nii", ".nii.gz", ".dcm", ".npz", ".idx"),
)
_HEAD = 560


def read(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    frame: str = "",
    *,
    dicom: DicomPixels | None = None,
) -> Pixels:
    """Read one image, or several DICOM files as one volume.

    Parameters
    ----------
    path : path or sequence of path
        A file of any format (``archive#member`` for one of several); or the slices of a
        volume, in any order; a sequence of one is a multi-frame object read as a volume.
    frame : str
        The number of a frame or row, from 0, of a file that has several.
    dicom : DicomPixels, optional
        The transforms for DICOM; default: those of `DicomPixels()`.

    Raises
    ------
    PixelError
        Whatever is wrong, and no other error, whatever the bytes are.
    """
    one = isinstance(path, str) or not isinstance(path, Sequence)
    given = [path] if isinstance(path, str) or not isinstance(path, Sequence) else path
    paths = [Path(p).absolute() for p in given]
    if not paths:
        raise PixelError("not_found", "no path was given", remedy="name a file")
    root = Path(os.path.commonpath([p.parent for p in paths]))
    names = tuple(p.relative_to(root).as_posix() for p in paths)
    return read_case(root, names[0], frame, files=() if one else names, dicom=dicom)


def read_case(
    root: Path,
    source: str,
    frame: str = "",
    *,
    files: tuple[str, ...] = (),
    dicom: DicomPixels | None = None,
) -> Pixels:
    """Read one case; see `Case` for the parameters.

    Raises
    ------
    PixelError
        Whatever is wrong, and no other error, whatever the bytes are.
    """
    got = next(read_cases(root, [Case(source, frame, files)], dicom))
    if isinstance(got, PixelError):
        raise got
    return got


def read_cases(
    root: Path, cases: Iterable[Case], dicom: DicomPixels | None = None, *, pool: Pool | None = None
) -> Iterator[Pixels | PixelError]:
    """Yield the pixels of each case, or why it cannot be read, in order.

    DICOM is decoded in worker processes, some cases ahead of what is asked for; every other
    format when its turn comes.

    Parameters
    ----------
    pool : Pool, optional
        The workers; default: those that this process shares.
    """
    pool = pool or shared_pool()
    waiting: deque[_Begun] = deque()
    try:
        for case in cases:
            waiting.append(_begin(Path(root), case, dicom or DicomPixels(), pool))
            while len(waiting) > _ahead(waiting, case, pool.workers):
                yield _finished(waiting.popleft())
        while waiting:
            yield _finished(waiting.popleft())
    finally:
        for begun in waiting:
            if isinstance(begun, Future):
                begun.cancel()


def _ahead(waiting: Iterable[_Begun], case: Case, workers: int) -> int:
    """Return how many cases may wait: none without DICOM; few volumes, which are large."""
    if not any(isinstance(begun, Future) for begun in waiting):
        return 0
    return workers * (1 if case.files else 3)


def _begin(root: Path, case: Case, dicom: DicomPixels, pool: Pool) -> _Begun:
    """Send a DICOM case to the workers; read any other here and now."""
    try:
        if case.files:
            return submit_volume(pool, root, [_parts(root, name) for name in case.files], dicom)
        path, member = _split(os.fspath(root), case.source)
        file = stamp(path)
        kind = _readable(file)
        if kind in DICOM:
            return submit_image(pool, root, *_parts(root, case.source), case.frame, dicom)
        return READERS[kind](file, member, case.frame)
    except PixelError as error:
        return error
    except Exception as error:
        return refusal(case.source, error)


def _parts(root: Path, source: str) -> tuple[str, str | None]:
    """Return the file of a source, relative to its root, and its member, if any."""
    path, member = _split(os.fspath(root), source)
    return path[len(os.fspath(root)) + 1 :], member


def _finished(begun: _Begun) -> Pixels | PixelError:
    if not isinstance(begun, Future):
        return begun
    try:
        return pixels_of(begun.result())
    except PixelError as error:
        return error


def source_path(root: Path, source: str) -> tuple[Path, str | None]:
    """Return the file of a source and its member, if any.

    A ``#`` that is part of a file's own name is taken as such where that file is there.

    Raises
    ------
    PixelError
        ``not_permitted``: the source is absolute or leaves `root`.
    """
    path, member = _split(os.fspath(root), source)
    return Path(path), member


def sniff(file: Stamp) -> str | None:
    """Return the format of a file by its content.

    One of `READERS` or of `DICOM`, or ``"parquet"``, ``"idx-labels"``; None for anything else.

    Raises
    ------
    PixelError
        The file cannot be read.
    """
    with guarded(file.path), Path(file.path).open("rb") as handle:
        head = handle.read(_HEAD)
        if head[:2] == idx.GZIP_MAGIC:
            head = _inflated(head + handle.read(8 * _HEAD))
    return _format_of(head, file)


def _format_of(head: bytes, file: Stamp) -> str | None:
    if head[128:132] == b"DICM":  # first: a preamble may be that of a TIFF file (PS3.10 7.1)
        return "dicom"
    kind = raster.kind_of(head)
    if kind is not None:
        return kind
    if nifti.version_of(head) is not None:
        return "nifti"
    if idx.is_idx(head):
        return "idx" if head[3] >= 3 else "idx-labels"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "npz" if _holds_arrays(file) else "zip"
    if head[:4] == b"PAR1":
        return "parquet"
    return "dicom" if is_dicom(head) else None


def _inflated(packed: bytes) -> bytes:
    """Return the first bytes of a gzip file, given its own first bytes."""
    return zlib.decompressobj(wbits=31).decompress(packed, _HEAD)


def _holds_arrays(file: Stamp) -> bool:
    """Whether a zip file is a NumPy archive: told by the name of its first entry.

    The directory at the end is left alone, so that a damaged archive is still called one.
    """
    with Path(file.path).open("rb") as handle:
        first = handle.read(512)
    length = int.from_bytes(first[26:28], "little")
    return first[30 : 30 + length].endswith(b".npy") or b".npy" in first


@lru_cache(maxsize=256)
def _readable(file: Stamp) -> str:
    """Return the format of a file that can be read, or refuse it."""
    kind = sniff(file)
    if kind in READERS or kind in DICOM:
        return kind
    if kind == "idx-labels":
        raise unsupported(file.path, "IDX labels are no images", "name the images file")
    raise PixelError(
        "unknown_format",
        f"{file.path} holds no image that medimg reads",
        remedy="give DICOM, MedMNIST npz, IDX, PNG, JPEG, TIFF, BMP or NIfTI",
    )


def _split(root: str, source: str) -> tuple[str, str | None]:
    if source.startswith(("/", "\\")) or ".." in source.split("/"):
        raise PixelError(
            "not_permitted", f"{source} leaves the folder {root}", remedy="index the folder again"
        )
    path = f"{root}/{source}"
    if "#" not in source or os.path.lexists(path):
        return path, None
    path, _, member = path.rpartition("#")
    return path, member
