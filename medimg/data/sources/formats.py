"""One reader for every format: chosen by what a file holds, never by its name."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from medimg.data.pixels import Pixels
from medimg.data.sources import idx, nifti, npz, raster
from medimg.data.sources.guard import Stamp, guarded, refusal, stamp, unsupported
from medimg.errors import PixelError

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
#: Endings that promise an image: such a file is never passed over, whatever it holds.
IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp"),
    *(".nii", ".nii.gz", ".dcm", ".npz", ".idx"),
)
_HEAD = 560


def read_case(root: Path, source: str, frame: str = "") -> Pixels:
    """Read one case.

    Parameters
    ----------
    root : path
        The folder that `source` is relative to.
    source : str
        With ``/``; may end in ``#member``.
    frame : str
        A number, or blank.

    Raises
    ------
    PixelError
        Whatever is wrong, and no other error, whatever the bytes are.
    """
    path, member = _split(os.fspath(root), source)
    try:
        file = stamp(path)
        return READERS[_readable(file)](file, member, frame)
    except PixelError:
        raise
    except Exception as error:
        raise refusal(path, error) from error


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

    One of `READERS`, or ``"dicom"``, ``"parquet"``, ``"idx-labels"``; None for anything else.

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
    kind = raster.kind_of(head)
    if kind is not None:
        return kind
    if head[128:132] == b"DICM":
        return "dicom"
    if nifti.version_of(head) is not None:
        return "nifti"
    if idx.is_idx(head):
        return "idx" if head[3] >= 3 else "idx-labels"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "npz" if _holds_arrays(file) else None
    return "parquet" if head[:4] == b"PAR1" else None


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
    if kind in READERS:
        return kind
    if kind == "dicom":
        raise unsupported(
            file.path, "DICOM is not read yet", "export it as 16-bit PNG or NIfTI for now"
        )
    if kind == "idx-labels":
        raise unsupported(file.path, "IDX labels are no images", "name the images file")
    raise PixelError(
        "unknown_format",
        f"{file.path} holds no image that medimg reads",
        remedy="give MedMNIST npz, IDX, PNG, JPEG, TIFF, BMP or NIfTI",
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
