"""Which cases are of one image: the same file and frame, or volumes that share a file."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest


class Files(NamedTuple):
    """The F files of N cases: a volume has several.

    Parameters
    ----------
    rows : int (F,)
        The case of each.
    sources : list of str (F,)
    frames : list of str (F,)
        Blank where the whole file is meant.
    """

    rows: NDArray[np.intp]
    sources: list[str]
    frames: list[str]


def files_of(manifest: Manifest) -> Files:
    """Return every file of every case; a volume's stand after those of the single cases."""
    rows = np.arange(len(manifest))
    sources, frames = (manifest.frame[c].to_numpy().tolist() for c in ("source", "frame"))
    if not manifest.files:
        return Files(rows, sources, frames)
    ids = manifest.case_id.tolist()
    alone = [row for row in range(len(ids)) if ids[row] not in manifest.files]
    pairs = [(row, file) for row in range(len(ids)) for file in manifest.files.get(ids[row], ())]
    of_volumes = [row for row, _ in pairs]
    return Files(
        np.array([*alone, *of_volumes], np.intp),
        [*(sources[row] for row in alone), *(file for _, file in pairs)],
        [*(frames[row] for row in alone), *(frames[row] for row in of_volumes)],
    )


def shared_images(files: Files) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return the rows of cases (E,), the image (E,) that each shares with others, how many images.

    A file that is listed as a whole is one image with each of its frames. Images are numbered
    by the text of source and frame; a case of several shared files stands there several times.
    """
    source, names = pd.factorize(np.array(_normal(files.sources), object))
    if len(names) == len(files.rows):
        return np.empty(0, np.intp), np.empty(0, np.intp), 0
    frames = np.array(files.frames, object)
    frame, numbers = pd.factorize(frames)
    whole = np.zeros(len(names), bool)
    whole[source[frames == ""]] = True
    part = np.where(whole[source], 0, frame + 1)
    image = source * (len(numbers) + 1) + part
    table = pd.DataFrame({"row": files.rows, "image": image}).drop_duplicates()
    table = table[table.duplicated("image", keep=False)]
    there = table["image"].unique()
    texts = [(names[i // (len(numbers) + 1)], _frame(numbers, i)) for i in there.tolist()]
    order = sorted(range(len(there)), key=texts.__getitem__)
    rank = pd.Series(range(len(there)), index=there[order])
    rows = np.asarray(table["row"], np.intp)
    return rows, np.asarray(rank.loc[table["image"]], np.intp), len(there)


def _frame(numbers: NDArray[np.object_], image: int) -> str:
    part = image % (len(numbers) + 1)
    return str(numbers[part - 1]) if part else ""


def _normal(sources: Iterable[str]) -> list[str]:
    """Return sources without ``./``, ``../`` and doubled slashes."""
    texts = list(sources)
    together = "\0".join(texts)
    if not any(mark in together for mark in ("//", "./", "/.")):
        return texts
    return [posixpath.normpath(text) for text in texts]
