"""Opening files of unknown content: regular files alone, bounded, one type of error.

Whatever a parser raises on hostile bytes (zipfile, zlib, Pillow and nibabel raise at least a
dozen types between them) leaves this room as `PixelError`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.pixels import PIXEL_CAP, Pixels, check_cap
from medimg.errors import PixelError

#: A stack of many cases may be larger than the cap of one case, unless it inflates by more
#: than this: a bomb deflates 1000 to 1, real pictures 2 to 20, binary masks 130.
INFLATION_CAP = 100
_CHUNK = 1 << 20


class Stamp(NamedTuple):
    """A regular file as it was when it was looked at; the key of every cache of this room."""

    path: str
    size: int
    mtime_ns: int


def stamp(path: str) -> Stamp:
    """Return the stamp of a regular file.

    Looks before anything is opened, since opening a FIFO waits for ever.

    Raises
    ------
    PixelError
        ``not_found``, ``not_permitted`` or ``not_regular``.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - a fifth of the time of Path.stat
    except OSError as error:
        raise os_refusal(path, error) from error
    except ValueError as error:
        raise PixelError(
            "not_found", f"{path!r} is no file name", remedy="check the path"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise PixelError(
            "not_regular", f"{path} is no regular file", remedy="name a file that holds an image"
        )
    return Stamp(path, status.st_size, status.st_mtime_ns)


def os_refusal(path: str, error: OSError) -> PixelError:
    """Return the refusal that fits an error of the operating system."""
    if isinstance(error, PermissionError):
        remedy = "give yourself the right to read it"
        return PixelError("not_permitted", f"{path} may not be read", remedy=remedy)
    if isinstance(error, IsADirectoryError):
        return PixelError("not_regular", f"{path} is a folder", remedy="name a file")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return PixelError("not_found", f"{path} is not there", remedy="check the path")
    return corrupt(path, error)


def corrupt(path: str, why: object) -> PixelError:
    """Return the refusal of damaged content."""
    return PixelError(
        "corrupt", f"{path} is damaged: {why}", remedy="copy or export the file again"
    )


def unsupported(path: str, what: str, remedy: str) -> PixelError:
    """Return the refusal of a lawful variant that is not read."""
    return PixelError("unsupported", f"{path}: {what}", remedy=remedy)


@contextlib.contextmanager
def guarded(path: str) -> Iterator[None]:
    """Turn whatever a parser raises on the bytes of `path` into `PixelError`."""
    try:
        yield
    except PixelError:
        raise
    except Exception as error:
        raise refusal(path, error) from error


def refusal(path: str, error: Exception) -> PixelError:
    """Return the refusal that fits what a parser raised."""
    if isinstance(error, PixelError):
        # A fresh one: an error that is raised again and again grows its traceback.
        return PixelError(error.code, error.message, remedy=error.remedy)
    if isinstance(error, MemoryError):
        return PixelError(
            "too_large", f"{path} does not fit into memory", remedy="give it smaller files"
        )
    if isinstance(error, OSError) and error.errno is not None:
        return os_refusal(path, error)
    return corrupt(path, f"{type(error).__name__}: {str(error)[:200]}")


def check_stack(path: str, shape: tuple[int, ...], dtype: np.dtype[Any], stored: int) -> int:
    """Return the bytes of a stack of N cases, once its header is believed.

    Parameters
    ----------
    shape : tuple of int (N, ...)
    dtype : dtype
    stored : int
        The bytes that the stack takes in the file.

    Raises
    ------
    PixelError
        ``too_large``: one case is over the cap, or the stack inflates like a bomb.
    """
    check_cap(shape[1:])
    count = dtype.itemsize
    for length in shape:
        count *= int(length)
    if count > max(PIXEL_CAP, INFLATION_CAP * stored):
        raise PixelError(
            "too_large",
            f"{path} claims {count:,} bytes inside {stored:,}",
            remedy="split it into files of fewer cases, or store it without compression",
        )
    return count


def read_array(
    handle: IO[bytes], path: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, order: str = "C"
) -> NDArray[Any]:
    """Read exactly one array from `handle`; bytes that are missing are ``corrupt``."""
    count = 1
    for length in shape:
        count *= int(length)
    flat = np.empty(count * dtype.itemsize, np.uint8)
    view, filled = flat.data, 0
    while filled < len(flat):
        piece = handle.read(min(_CHUNK, len(flat) - filled))
        if not piece:
            raise corrupt(path, f"{filled:,} of {len(flat):,} bytes of pixels are there")
        view[filled : filled + len(piece)] = piece
        filled += len(piece)
    return flat.view(dtype).reshape(shape, order="F" if order == "F" else "C")


def nominal_range(dtype: np.dtype[Any], path: str) -> tuple[float, float]:
    """Return what a type of integers of up to 16 bits can store.

    Raises
    ------
    PixelError
        ``unsupported``: floats have no such range, and that of 32 bits is so wide that every
        picture would come out as one flat grey.
    """
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    raise unsupported(
        path,
        f"pixels of type {dtype.name} have no range that all pictures share",
        "store them as uint8, uint16 or int16, on one scale for all pictures",
    )


def row_pixels(stack: NDArray[Any], frame: str, low: float, high: float, path: str) -> Pixels:
    """Return one row of a stack (N, H, W), (N, H, W, 1 or 3) or (N, D, H, W[, 1 or 3])."""
    row = stack[row_number(frame, len(stack), path)]
    if row.ndim == 3 and row.shape[0] in (1, 3) and row.shape[-1] not in (1, 3):
        raise unsupported(
            path,
            f"pictures of shape {row.shape} have their channels first, or are volumes of "
            f"{row.shape[0]} slices",
            "store colour as (N, H, W, 3) and grey as (N, H, W)",
        )
    if row.ndim >= 3 and row.shape[-1] in (1, 3):
        array = np.moveaxis(row, -1, 0)
    else:
        array = row[None]
    return Pixels(np.ascontiguousarray(array, np.float32), low, high)


def row_number(frame: str, count: int, path: str) -> int:
    """Return which of `count` frames `frame` names; blank is lawful where there is one."""
    if frame == "" and count == 1:
        return 0
    if not (frame.isascii() and frame.isdigit() and len(frame) < 19):
        raise PixelError(
            "frames",
            f"{path} holds {count} frames, and {frame!r} names none of them",
            remedy=f"name one of 0 to {count - 1} in the column frame",
        )
    number = int(frame)
    if number >= count:
        raise PixelError(
            "not_found", f"{path} has {count} frames, no {number}", remedy="index it again"
        )
    return number
