"""NIfTI-1 and NIfTI-2, gzipped or not: one image or volume a file.

Voxels stand in the file as (X, Y, Z) and come out as (D, H, W) = (Z, Y, X), in the order of
the file: nothing is turned towards the patient; `affine` says where each axis points.
"""

from __future__ import annotations

import math
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.pixels import Pixels, check_cap
from medimg.data.sources.guard import (
    Stamp,
    corrupt,
    guarded,
    nominal_range,
    read_array,
    row_number,
    unsupported,
)
from medimg.data.sources.idx import opened
from medimg.errors import PixelError

_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
_CALIBRATE = "set cal_min and cal_max to one range for all files, or store int16 with a slope"


def version_of(head: bytes) -> int | None:
    """Return 1 or 2 for the first bytes (inflated) of a NIfTI file, or None."""
    if head[4:12] in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"):
        return 2
    return 1 if head[344:348] in (b"n+1\0", b"ni1\0") else None


def read(file: Stamp, member: str | None, frame: str) -> Pixels:
    """Return float32 (1, D, H, W), or (1, H, W) of a single slice, in scaled units.

    `low` and `high` are what the stored type can hold, through slope and intercept; for
    floats and 32-bit integers cal_min and cal_max, and without these a refusal. `frame`
    names the volume of a file that has several.
    """
    if member is not None:
        raise PixelError("not_found", f"{file.path} has no members", remedy="leave # out")
    with guarded(file.path), opened(file) as handle:
        header = _header(handle, file.path)
        volume = _volume(handle, header, file, frame)
        slope, inter = _scale(header)
        low, high = _range(header, volume.dtype, slope, inter, file.path)
        scaled = volume.astype(np.float32) * np.float32(slope) + np.float32(inter)
        spacing = _spacing(header, 2 if volume.shape[2] == 1 else 3)
        array = scaled.T[None] if volume.shape[2] > 1 else scaled[:, :, 0].T[None]
        return Pixels(
            np.ascontiguousarray(array),
            low,
            high,
            units="stored" if (slope, inter) == (1.0, 0.0) else "scaled",
            spacing_mm=spacing,
            affine=_affine(header, file.path),
        )


def _header(handle: IO[bytes], path: str) -> Any:
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    start = handle.read(540)
    version = version_of(start)
    if version is None:
        raise corrupt(path, "no NIfTI header")
    kind: Any = Nifti1Header if version == 1 else Nifti2Header
    header = kind(start[: kind.sizeof_hdr], check=False)
    if bytes(header["magic"])[:2] == b"ni":
        raise unsupported(path, "a pair of .hdr and .img", "save it as one .nii file")
    return header


def _volume(handle: IO[bytes], header: Any, file: Stamp, frame: str) -> NDArray[Any]:
    """Return the stored voxels (X, Y, Z) of one volume."""
    path = file.path
    shape = tuple(int(v) for v in header.get_data_shape())
    if not 2 <= len(shape) <= 7 or min(shape) < 1:
        raise corrupt(path, f"a shape of {shape}")
    shape = (*shape, 1) if len(shape) == 2 else shape
    number = row_number(frame, math.prod(shape[3:]), path)
    dtype = np.dtype(header.get_data_dtype())
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise unsupported(path, f"voxels of type {dtype}", "store them as int16 or float32")
    check_cap(shape[:3])
    size = math.prod(shape[:3]) * dtype.itemsize
    _skip(handle, _offset(header, path) + number * size, path)
    volume = read_array(handle, path, shape[:3], dtype, order="F")
    handle.read(1)  # the end of a gzip file is where its checksum is compared
    return volume


def _offset(header: Any, path: str) -> int:
    """Return where the voxels begin."""
    offset = float(header["vox_offset"])
    if not (header.sizeof_hdr <= offset < 1 << 31 and offset == int(offset)):
        raise corrupt(path, f"voxels that begin at {offset}")
    return int(offset)


def _skip(handle: IO[bytes], position: int, path: str) -> None:
    if handle.seek(position) != position:
        raise corrupt(path, "it ends before its voxels")


def _scale(header: Any) -> tuple[float, float]:
    slope, inter = header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))


def _range(
    header: Any, dtype: np.dtype[Any], slope: float, inter: float, path: str
) -> tuple[float, float]:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        ends = [slope * end + inter for end in nominal_range(dtype, path)]
        return min(ends), max(ends)
    if np.isfinite([low, high]).all() and low < high:
        return low, high
    raise unsupported(path, f"{dtype.name} voxels have no range that all files share", _CALIBRATE)


def _spacing(header: Any, axes: int) -> tuple[float, ...] | None:
    """Return mm along [D,] H, W; None where the header holds none."""
    unit = _MM.get(header.get_xyzt_units()[0], 1.0)
    zooms = [abs(float(v)) * unit for v in header["pixdim"][1 : axes + 1]]
    good = np.isfinite(zooms).all() and min(zooms) > 0
    return tuple(zooms[::-1]) if good else None


def _affine(header: Any, path: str) -> NDArray[np.float64] | None:
    if not (header["sform_code"] > 0 or header["qform_code"] > 0):
        return None
    affine = np.array(header.get_best_affine(), np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise corrupt(path, "its affine places every voxel on one plane")
    unit = _MM.get(header.get_xyzt_units()[0], 1.0)
    affine[:3] *= unit
    return affine
