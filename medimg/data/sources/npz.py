"""NumPy archives in the manner of MedMNIST: `train_images` beside `train_labels`, and so on.

Shapes: N cases, K labels, D H W space. Images are (N, H, W), (N, H, W, 3) or (N, D, H, W);
labels (N,), (N, 1) or, for several labels a case, (N, K).
"""

from __future__ import annotations

import zipfile
from functools import lru_cache
from typing import IO, Any, NamedTuple

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

#: The longest header that a .npy may have; that of an array of numbers has about 100 bytes.
_HEADER_CAP = 10_000


class Header(NamedTuple):
    """What a member says of itself before its data."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str


class Stack(NamedTuple):
    """The images of one member with their nominal range."""

    images: NDArray[Any]
    low: float
    high: float


def read(file: Stamp, member: str | None, frame: str) -> Pixels:
    """Return row `frame` of the images of `member` (``train``, or ``images``)."""
    stack = _stack(file, member or "images")
    if isinstance(stack, PixelError):
        raise refusal(file.path, stack)
    return row_pixels(stack.images, frame, stack.low, stack.high, file.path)


def members(file: Stamp) -> dict[str, Header]:
    """Return the headers of the image members by the name that a source gives them.

    ``train_images`` is ``train``; a member of any other name is itself, and counts where it
    has three dimensions or more.
    """
    with guarded(file.path), zipfile.ZipFile(file.path) as archive:
        names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
        headers = {name: _header_of(archive, name, file.path) for name in names}
    return {
        name.removesuffix("_images"): header
        for name, header in headers.items()
        if header is not None and len(header.shape) >= 3
    }


def labels(file: Stamp, member: str) -> NDArray[Any] | None:
    """Return the labels beside an image member, (N,) or (N, K); None where there are none."""
    wanted = "labels" if member == "images" else f"{member}_labels"
    with guarded(file.path), zipfile.ZipFile(file.path) as archive:
        if f"{wanted}.npy" not in archive.namelist():
            return None
        array = _array(archive, wanted, file.path)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


@lru_cache(maxsize=4)
def _stack(file: Stamp, member: str) -> Stack | PixelError:
    """Inflate a member once; a failure is kept too, so that 70,000 rows fail in a moment."""
    try:
        with guarded(file.path), zipfile.ZipFile(file.path) as archive:
            images = _array(archive, _member_name(archive, member, file.path), file.path)
            if images.ndim not in (3, 4, 5):
                raise unsupported(file.path, f"{member} has shape {images.shape}", "see the docs")
            return Stack(images, *nominal_range(images.dtype, file.path))
    except PixelError as error:
        return error


def _member_name(archive: zipfile.ZipFile, member: str, path: str) -> str:
    for name in (f"{member}_images", member):
        if f"{name}.npy" in archive.namelist():
            return name
    raise PixelError("not_found", f"{path} has no member {member}", remedy="index it again")


def _array(archive: zipfile.ZipFile, name: str, path: str) -> NDArray[Any]:
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as handle:
        header = _read_header(handle, path)
        size = check_stack(f"{path}#{name}", header.shape, header.dtype, entry.compress_size)
        if entry.file_size != handle.tell() + size:
            raise corrupt(path, f"{name} has {entry.file_size:,} bytes, its header says {size:,}")
        array = read_array(handle, path, header.shape, header.dtype, order=header.order)
        handle.read(1)  # the end of the entry is where its checksum is compared
    return array


def _header_of(archive: zipfile.ZipFile, name: str, path: str) -> Header | None:
    """Return the header of a member; None for what is no array of numbers (names, objects)."""
    try:
        with archive.open(f"{name}.npy") as handle:
            return _read_header(handle, path)
    except PixelError:
        return None


def _read_header(handle: IO[bytes], path: str) -> Header:
    version = np.lib.format.read_magic(handle)
    if version not in ((1, 0), (2, 0)):
        raise unsupported(path, f".npy of version {version}", "save it with numpy again")
    reader = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = reader(handle, max_header_size=_HEADER_CAP)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise unsupported(path, f"an array of type {dtype}", "store numbers, never objects")
    if not shape or min(shape) < 1:
        raise unsupported(path, f"an array of shape {shape}", "leave empty arrays out")
    return Header(shape, dtype, "F" if fortran else "C")
