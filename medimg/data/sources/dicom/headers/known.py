"""The rows of an earlier scan, for files that have not changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from medimg.data.sources.dicom.headers.tags import COLUMNS

Columns = dict[str, list[str]]


def picked(columns: Mapping[str, Sequence[str]], rows: Sequence[int]) -> Columns:
    """Return some rows of a table, in the order of `rows`."""
    if len(rows) < 2:
        return {name: [column[row] for row in rows] for name, column in columns.items()}
    pick = itemgetter(*rows)
    return {name: list(pick(column)) for name, column in columns.items()}


class Known:
    """The rows of an earlier scan, by source, size and modification time."""

    def __init__(self, columns: Mapping[str, Sequence[str]] | None) -> None:
        names = ("source", *COLUMNS)
        complete = columns is not None and all(name in columns for name in names)
        self.columns: dict[str, list[str]] = {
            name: list(columns[name]) if columns is not None and complete else [] for name in names
        }
        stamps = (self.columns[name] for name in ("source", "size", "mtime_ns"))
        self._rows = {stamp: row for row, stamp in enumerate(zip(*stamps, strict=True))}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def row(self, source: str, size: int, mtime_ns: int) -> int | None:
        """Return the row of a file that has not changed.

        A DICOMDIR (no pixels, no SOP class) is read each time: what it references may be gone.
        """
        row = self._rows.get((source, str(size), str(mtime_ns)))
        if row is None or not (self.columns["SOPClassUID"][row] or self.columns["Rows"][row]):
            return None
        return row if self.columns["kind"][row] else None
