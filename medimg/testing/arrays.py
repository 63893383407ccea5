"""Files of arrays: IDX, archives in the manner of MedMNIST, NIfTI."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.testing.pictures import PathLike, make_pictures


def make_idx(
    folder: PathLike,
    *,
    n: Mapping[str, int] | None = None,
    classes: int = 3,
    shape: tuple[int, int] = (8, 8),
    packed: bool = True,
    seed: int = 0,
) -> Path:
    """Write pairs of IDX files in the manner of MNIST; `n` is cases by prefix (train, t10k)."""
    folder = Path(folder)
    ending = ".gz" if packed else ""
    for number, (prefix, count) in enumerate((n or {"train": 30, "t10k": 12}).items()):
        labels = np.arange(count) % classes
        pictures = make_pictures(labels, shape=shape, classes=classes, seed=seed + number)
        write_idx(folder / f"{prefix}-images-idx3-ubyte{ending}", pictures)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{ending}", labels.astype(np.uint8))
    return folder


def write_idx(path: PathLike, array: NDArray[Any]) -> Path:
    """Write an array as an IDX file, gzipped where the name ends in ``.gz``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    data = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    data += array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(data, 1, mtime=0) if path.suffix == ".gz" else data)
    return path


def make_npz(
    path: PathLike,
    *,
    n: Mapping[str, int] | None = None,
    classes: int = 2,
    shape: tuple[int, ...] = (8, 8),
    channels: int = 1,
    kind: str = "multiclass",
    seed: int = 0,
) -> Path:
    """Write an archive in the manner of MedMNIST; `n` is cases by split (train, val, test)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[np.uint8]] = {}
    for number, (split, count) in enumerate((n or {"train": 24, "val": 8, "test": 12}).items()):
        labels = np.arange(count) % classes
        arrays[f"{split}_images"] = make_pictures(
            labels, shape=shape, channels=channels, classes=classes, seed=seed + number
        )
        flags = np.random.default_rng(seed + number).random((count, classes)) < 0.5
        values = flags if kind == "multilabel" else labels[:, None]
        arrays[f"{split}_labels"] = values.astype(np.uint8)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def make_nifti(
    path: PathLike,
    array: NDArray[Any],
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    slope: float = 1.0,
    inter: float = 0.0,
    window: tuple[float, float] | None = None,
) -> Path:
    """Write stored voxels (X, Y[, Z[, T]]) as ``.nii`` or ``.nii.gz``.

    `spacing` is mm along X, Y, Z; `slope` and `inter` are written, not applied; `window` is
    cal_min and cal_max.
    """
    from nibabel.nifti1 import Nifti1Header

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kind: Any = Nifti1Header
    header = kind()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_zooms([*spacing, 1.0][: array.ndim])
    header.set_xyzt_units("mm")
    header.set_sform(np.diag([*spacing, 1.0]), code=1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["scl_slope"], header["scl_inter"] = slope, inter
    if window is not None:
        header["cal_min"], header["cal_max"] = window
    data = header.binaryblock + b"\0\0\0\0" + array.tobytes(order="F")
    path.write_bytes(gzip.compress(data, 1, mtime=0) if path.suffix == ".gz" else data)
    return path
