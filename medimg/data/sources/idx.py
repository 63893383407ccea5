"""IDX files, gzipped or not: the format of MNIST (Y. LeCun, "THE IDX FILE FORMAT").

Two zero bytes, a type, the number of dimensions, their lengths as big-endian int32, the data.
"""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from medimg.data.pixels import Pixels
from medimg.data.sources.guard import (
    Stamp,
    check_stack,
    corrupt,
    guarded,
    nominal_range,
    read_array,
    refusal,
    row_pixels,
    unsupported,
)
from medimg.errors import PixelError

GZIP_MAGIC = b"\x1f\x8b"
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class Header(NamedTuple):
    """What an IDX file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Stack(NamedTuple):
    """The images of one file with their nominal range."""

    images: NDArray[Any]
    low: float
    high: float


def is_idx(head: bytes) -> bool:
    """Whether the first bytes (inflated) are those of an IDX file."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in TYPES and 1 <= head[3] <= 8


def read(file: Stamp, member: str | None, frame: str) -> Pixels:
    """Return image `frame` of an IDX file (N, H, W) or (N, D, H, W)."""
    if member is not None:
        raise PixelError("not_found", f"{file.path} has no members", remedy="leave # out")
    stack = _stack(file)
    if isinstance(stack, PixelError):
        raise refusal(file.path, stack)
    return row_pixels(stack.images, frame, stack.low, stack.high, file.path)


def header(file: Stamp) -> Header:
    """Return shape and type without reading the data."""
    with guarded(file.path), opened(file) as handle:
        return _read_header(handle, file)


def labels(file: Stamp) -> NDArray[np.int64]:
    """Return labels int64 (N,)."""
    with guarded(file.path):
        array = _array(file)
    if array.ndim != 1 or array.dtype.kind == "f":
        raise unsupported(
            file.path, f"labels of shape {array.shape} ({array.dtype})", "give one integer a case"
        )
    return array.astype(np.int64)


def twin(path: Path) -> Path | None:
    """Return the labels file of an images file by its name, or None where it is not there."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    plain = name.removesuffix(".gz")
    for candidate in (name, plain, f"{plain}.gz"):
        if name != path.name and path.with_name(candidate).is_file():
            return path.with_name(candidate)
    return None


@contextlib.contextmanager
def opened(file: Stamp) -> Iterator[IO[bytes]]:
    """Open a file, inflating it where its content is gzip."""
    with Path(file.path).open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not packed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as inflated:
            yield cast("IO[bytes]", inflated)


@lru_cache(maxsize=4)
def _stack(file: Stamp) -> Stack | PixelError:
    try:
        with guarded(file.path):
            images = _array(file)
            if images.ndim not in (3, 4):
                raise unsupported(
                    file.path,
                    f"{images.ndim} dimensions, so no images",
                    "name the images file, not that of the labels",
                )
            return Stack(images, *nominal_range(images.dtype, file.path))
    except PixelError as error:
        return error


def _array(file: Stamp) -> NDArray[Any]:
    with opened(file) as handle:
        shape, dtype = _read_header(handle, file)
        check_stack(file.path, shape, dtype, file.size)
        array = read_array(handle, file.path, shape, dtype)
        if handle.read(1):
            raise corrupt(file.path, "it is longer than its header says")
    return array


def _read_header(handle: IO[bytes], file: Stamp) -> Header:
    head = handle.read(4)
    if not is_idx(head):
        raise corrupt(file.path, "no IDX header")
    lengths = handle.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise corrupt(file.path, "it ends within its header")
    shape = tuple(int(v) for v in np.frombuffer(lengths, ">i4"))
    if min(shape) < 1:
        raise corrupt(file.path, f"a header of shape {shape}")
    return Header(shape, np.dtype(TYPES[head[2]]))
