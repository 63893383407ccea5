"""The tables that lie beside a manifest: the files of its volumes, and its folds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.errors import ManifestError
from medimg.tables import read_table, write_table

#: The columns of a table of instances that say which files a volume is made of.
_FILE_COLUMNS = ("case_id", "position", "source")
_FOLD_COLUMNS = ("case_id", "fold", "split")


def write_files(path: Path, files: Mapping[str, tuple[str, ...]]) -> None:
    """Write the ordered sources of each volume, unless a table that names them is there."""
    if not files or (path.is_file() and read_files(path) == files):
        return
    rows = [(c, str(i), s) for c, own in files.items() for i, s in enumerate(own)]
    columns = zip(*rows, strict=True)
    write_table(path, dict(zip(_FILE_COLUMNS, columns, strict=True)), mode=0o600)


def read_files(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the ordered sources of each volume that a table of instances names."""
    if not path.is_file():
        return {}
    table = _read(path, _FILE_COLUMNS, "index again")
    rows = table[(table["case_id"] != "") & (table["position"] != "")]
    files: dict[str, list[tuple[int, str]]] = {}
    for case_id, position, source in zip(*(rows[c] for c in _FILE_COLUMNS), strict=True):
        files.setdefault(case_id, []).append((int(position), source))
    return {case_id: tuple(s for _, s in sorted(own)) for case_id, own in files.items()}


def write_folds(path: Path, case_id: NDArray[Any], folds: NDArray[Any]) -> None:
    """Write the splits (N, F) of cases as one row a case and fold; folds count from 1."""
    n, count = folds.shape
    columns = (
        np.repeat(case_id, count),
        np.tile(np.arange(1, count + 1).astype(str).astype(object), n),
        folds.ravel(),
    )
    write_table(path, dict(zip(_FOLD_COLUMNS, columns, strict=True)), mode=0o600)


def read_folds(path: Path, case_id: NDArray[Any]) -> NDArray[Any]:
    """Return the splits (N, F) of the cases (N,), as text; further cases of the table are let be.

    Raises
    ------
    ManifestError
        A case stands in some folds alone, in one of them twice, or in none.
    """
    remedy = "split again: `medimg split --folds`"
    table = _read(path, _FOLD_COLUMNS, remedy)
    table = table[table["case_id"].isin(set(case_id))]
    if table.duplicated(["case_id", "fold"]).any():
        twice = table[table.duplicated(["case_id", "fold"])].iloc[0]
        raise ManifestError(
            f"{path}: case {twice['case_id']!r} stands twice in fold {twice['fold']}",
            remedy=remedy,
        )
    wide = table.pivot(index="case_id", columns="fold", values="split").reindex(case_id)
    names = [str(number) for number in range(1, wide.shape[1] + 1)]
    if set(wide.columns) != set(names):
        raise ManifestError(
            f"{path}: folds {sorted(wide.columns)} are not numbered from 1", remedy=remedy
        )
    lacking = wide.isna().any(axis=1).to_numpy()
    if lacking.any() or not names:
        raise ManifestError(
            f"{path}: {lacking.sum() or len(case_id)} cases have no split in some fold, "
            f"the first {case_id[lacking.argmax()]!r}",
            remedy=remedy,
        )
    return wide[names].to_numpy(dtype=object)


def _read(path: Path, columns: tuple[str, ...], remedy: str) -> pd.DataFrame:
    table = read_table(path)
    if not set(columns) <= set(table):
        raise ManifestError(f"{path} has not the columns {', '.join(columns)}", remedy=remedy)
    return table
