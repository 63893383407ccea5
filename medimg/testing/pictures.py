"""Pictures whose class can be learnt, and folders and tables of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def _write_picture(path: Path, picture: NDArray[np.uint8], mode: str) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    if mode == "I;16":
        image = Image.fromarray(picture.astype(np.uint16) * 257)
    elif mode != "L":
        image = image.convert(mode)
    image.save(path)
