"""Makers of tiny data for tests and first steps: pictures that can be learnt, in every format.

Every maker takes a seed and gives the same bytes for the same arguments.
"""

from __future__ import annotations

import csv
import gzip
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.calibrator import to_probabilities
from medimg.data.manifest import Manifest
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

__all__ = [
    "make_idx",
    "make_image_folder",
    "make_manifest",
    "make_nifti",
    "make_npz",
    "make_pictures",
    "make_predictions",
    "make_table",
    "write_idx",
]

PathLike = str | os.PathLike[str]


def make_pictures(
    labels: Sequence[int] | NDArray[Any],
    *,
    shape: tuple[int, ...] = (16, 16),
    channels: int = 1,
    classes: int | None = None,
    noise: float = 0.2,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Return pictures whose class is a bright bar at a height of its own, in noise.

    Parameters
    ----------
    labels : int (N,)
        The class of each picture.
    shape : tuple of int
        [D,] H, W.
    channels : {1, 3}
        3 adds a last axis.
    classes : int, optional
        How many classes there are; default: as many as occur.
    noise : float
        Standard deviation as a share of the brightness of the bar.

    Returns
    -------
    uint8 (N, [D,] H, W) or (N, [D,] H, W, 3)
    """
    labels = np.asarray(labels, np.int64)
    count = classes or int(labels.max()) + 1
    generator = np.random.default_rng(seed)
    size = (len(labels), *shape, *((3,) if channels == 3 else ()))
    pictures = 40 + 160 * noise * generator.standard_normal(size)
    rows = np.moveaxis(pictures, 1 + len(shape) - 2, 1)  # H next to N, whatever lies between
    edges = np.linspace(0, shape[-2], count + 1).round().astype(int)
    for picture, label in zip(rows, labels, strict=True):
        picture[edges[label] : max(edges[label + 1], edges[label] + 1)] += 160
    return pictures.clip(0, 255).round().astype(np.uint8)


def make_image_folder(
    folder: PathLike,
    *,
    classes: Sequence[str] = ("benign", "malignant"),
    per_class: int = 6,
    size: tuple[int, int] = (16, 16),
    mode: str = "L",
    splits: Sequence[str] = (),
    ending: str = ".png",
    seed: int = 0,
) -> Path:
    """Write a folder with one subfolder a class, below one a split where `splits` are named.

    `mode` is one of Pillow's, `ending` one of its formats.
    """
    folder = Path(folder)
    labels = np.repeat(np.arange(len(classes)), per_class)
    for number, split in enumerate(splits or ("",)):
        pictures = make_pictures(labels, shape=size, seed=seed + number)
        for row, (picture, label) in enumerate(zip(pictures, labels.tolist(), strict=True)):
            path = folder / split / classes[label] / f"{row % per_class}{ending}"
            _write_picture(path, picture, mode)
    return folder


def make_table(
    folder: PathLike,
    *,
    n: int = 12,
    classes: Sequence[str] = ("benign", "malignant"),
    kind: str = "multiclass",
    patients: int | None = None,
    size: tuple[int, int] = (16, 16),
    separator: str = ",",
    seed: int = 0,
) -> Path:
    """Write `n` pictures into ``FOLDER/images`` and ``FOLDER/labels.csv``; return the table.

    Its columns are `path`, `patient_id` (every patient has pictures in turn; ids with leading
    zeros) and `label`, or for ``kind="multilabel"`` one column `label_CLASS` of 1 and 0 a class.
    """
    folder = Path(folder)
    generator = np.random.default_rng(seed)
    labels = (np.arange(n) % len(classes)).tolist()
    flags = generator.random((n, len(classes))) < 0.5
    rows = []
    for row, picture in enumerate(make_pictures(labels, shape=size, seed=seed)):
        _write_picture(folder / "images" / f"{row:03d}.png", picture, "L")
        values = flags[row].astype(int) if kind == "multilabel" else [classes[labels[row]]]
        rows.append([f"images/{row:03d}.png", f"{row % (patients or n):03d}", *values])
    names = [f"label_{c}" for c in classes] if kind == "multilabel" else ["label"]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter=separator, lineterminator="\n")
        writer.writerows([["path", "patient_id", *names], *rows])
    return folder / "labels.csv"


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


def make_manifest(
    n: int = 40,
    *,
    space: LabelSpace | None = None,
    patients: int | None = None,
    splits: Sequence[str] = (),
    unknown: float = 0.0,
    root: PathLike = ".",
    seed: int = 0,
) -> Manifest:
    """Return a manifest of `n` cases without any pictures.

    Parameters
    ----------
    space : LabelSpace, optional
        Default: two classes, the second the target condition.
    patients : int, optional
        How many patients the cases are of, in turn; default: no patient ids.
    splits : sequence of str
        Given in turn; default: blank.
    unknown : float
        The share of unknown targets (cases, or labels where it is multilabel).
    """
    space = space or LabelSpace(("benign", "malignant"), positive="malignant")
    generator = np.random.default_rng(seed)
    rows = np.arange(n)
    frame = pd.DataFrame({"case_id": [f"case{i:05d}.png" for i in rows]}, dtype=object)
    frame["source"] = frame["case_id"]
    frame["patient_id"] = [f"{i % patients:03d}" if patients else "" for i in rows]
    frame["split"] = [splits[i % len(splits)] if splits else "" for i in range(n)]
    chance = np.full((n, space.k), 1 / space.k if space.exclusive else 0.5)
    targets = _draw(chance, space, unknown, generator)
    return Manifest(frame, targets, space, Path(root))


def make_predictions(
    n: int = 200,
    space: LabelSpace | None = None,
    seed: int = 0,
    *,
    temperature: float = 1.0,
    shift: float = 0.0,
    spread: float = 2.0,
    patients: int | None = None,
    unknown: float = 0.0,
    split: str = "test",
) -> Predictions:
    """Return predictions whose true calibration is known.

    Logits z are drawn, then targets from the probabilities of z: those are calibrated by
    construction. The scores are ``temperature * z``, with `shift` added to the last class: so
    a fitted temperature must come out as `temperature`.

    Parameters
    ----------
    n : int
        Cases.
    space : LabelSpace, optional
        Default: two classes, the second the target condition.
    spread : float
        Standard deviation of z.
    patients : int, optional
        How many patients the cases are of, in turn; default: no patient ids.
    unknown : float
        The share of unknown targets (cases, or labels where it is multilabel).
    """
    space = space or LabelSpace(("benign", "malignant"), positive="malignant")
    generator = np.random.default_rng(seed)
    logits = spread * generator.standard_normal((n, space.k))
    targets = _draw(to_probabilities(logits, "logits", space), space, unknown, generator)
    scores = temperature * logits
    scores[:, -1] += shift
    return Predictions(
        case_id=np.array([f"case{i:06d}" for i in range(n)], object),
        scores=scores.astype(np.float32),
        kind="logits",
        space=space,
        targets=targets,
        patient_id=np.array([f"p{i % patients:05d}" for i in range(n)]) if patients else None,
        split=np.full(n, split, object),
    )


def _draw(
    chance: NDArray[np.float64], space: LabelSpace, unknown: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return targets float32 (N, K) drawn with these chances, a share of them unknown."""
    n = len(chance)
    if space.exclusive:
        ends = chance.cumsum(axis=1)
        classes = (generator.random((n, 1)) * ends[:, -1:] >= ends).sum(axis=1)
        targets = space.one_hot(classes.clip(0, space.k - 1))
        targets[generator.random(n) < unknown] = np.nan
        return targets
    targets = (generator.random(chance.shape) < chance).astype(np.float32)
    targets[generator.random(chance.shape) < unknown] = np.nan
    return targets


def _write_picture(path: Path, picture: NDArray[np.uint8], mode: str) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    if mode == "I;16":
        image = Image.fromarray(picture.astype(np.uint16) * 257)
    elif mode != "L":
        image = image.convert(mode)
    image.save(path)
