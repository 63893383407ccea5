"""Labels of a table, joined to scans by file name or by an id of their headers.

Ids are compared as text: ``007`` is not ``7``. What would match only without blanks, zeros or
capitals is listed with that reason, and never joined. Messages name rows of the table by their
number (the header is row 1), never an id: both tables may hold the names of patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.ids import plain_text
from medimg.data.options import IndexOptions
from medimg.data.sources import table
from medimg.data.sources.dicom.index.cases import Unit
from medimg.data.sources.dicom.index.frames import (
    frame_counts,
    is_there,
    read_frames,
    refuse_from_one,
)
from medimg.data.sources.dicom.index.key import Key, find_key
from medimg.data.sources.dicom.index.match import NONE, SEVERAL, Match, plain_ids
from medimg.data.sources.dicom.index.visits import (
    nearest_studies,
    refuse_namesakes,
    refuse_several_studies,
)
from medimg.errors import LabelError, UsageError

#: The reason of a row that is joined to nothing, though a person might think it should be.
STRIPPED = "matches only without blanks, zeros or capitals"


class Unmatched(NamedTuple):
    """A row of the table, from 0, that labels no case; why; and the instance it may mean."""

    row: int
    reason: str
    instance: int | None = None


class Joined(NamedTuple):
    """Which row labels which case.

    rows : list of int (N,)
        The row of the labels of each case, from 0; `NONE` where there is none.
    sheet : DataFrame (R rows)
        The table; cells in which the folded rows of a case differ are blank.
    labels : Labels
        Targets (R, K) of all rows, and their classes.
    unmatched : list of Unmatched
    key : Key
    label : tuple of str
        The columns of the labels.
    frame : str or None
        The column of the frames that rows mean; None where a row means whole files.
    """

    rows: list[int]
    sheet: pd.DataFrame
    labels: table.Labels
    unmatched: list[Unmatched]
    key: Key
    label: tuple[str, ...]
    frame: str | None


def join(
    sheet: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    units: Sequence[Unit],
    options: IndexOptions,
    *,
    root: Path,
    path: Path,
) -> Joined:
    """Join the rows of a table of labels to cases.

    Parameters
    ----------
    sheet : DataFrame (R rows) of str
    columns : mapping of str to sequence of str (I,)
        Those of a `Scan`, one row an instance.
    units : sequence of Unit (N,)
        The cases.
    root, path : path
        The folder of the scans, and the table.

    Raises
    ------
    UsageError
        The key, or what it holds, is not plain; options that do not fit it.
    LabelError
        Nothing matches; rows that mean one case disagree; an id stands for several patients,
        or for several studies where nobody says which is meant; frames are numbered from 1.
    """
    key = find_key(sheet, columns, options, root, path)
    _check_options(options, key.what)
    label = table.label_columns(sheet, options, str(path))
    labels = table.read_labels(
        sheet, table.Columns(key.column, label, None, None, None, None), options, str(path)
    )
    match, reasons = _narrowed(key, sheet, columns, options, path)
    rest = sheet.drop(columns=[key.column, *label])
    column, frames = read_frames(rest, options, str(path))
    there = frame_counts(units, match)
    refuse_from_one(match, frames, there, f"{path}: column {column}")
    folded = _Folded(sheet, labels.targets, options, str(path))
    rows = _label(units, match, folded, frames)
    left = _unmatched(key._replace(match=match), sheet, columns, there, reasons, frames)
    return Joined(rows, folded.sheet(), labels, left, key, label, column)


def _check_options(options: IndexOptions, what: str) -> None:
    if bool(options.key_date) != bool(options.within):
        raise UsageError("key_date and within go together", remedy="--key-date DATE --within 30d")
    if options.key_date and options.all_studies:
        raise UsageError("key_date together with all_studies", remedy="leave one of them out")
    if what != "PatientID" and (options.key_date or options.all_studies):
        said = "key_date" if options.key_date else "all_studies"
        raise UsageError(
            f"{said} has no meaning for a key of {what}", remedy="it is for a key of PatientID"
        )


def _narrowed(
    key: Key,
    sheet: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    options: IndexOptions,
    path: Path,
) -> tuple[Match, dict[int, str]]:
    """Return what rows and instances mean, once no id means several patients or studies.

    All instances count, also those left out and refused: a row may be of one of them.
    """
    name = f"{path}: column {key.column}"
    if key.what in ("AccessionNumber", "PatientID"):
        refuse_namesakes(key.match, columns, key.what, name)
    if key.what != "PatientID" or options.all_studies:
        return key.match, {}
    if options.key_date is None or options.within is None:
        refuse_several_studies(key.match, columns, name)
        return key.match, {}
    dates = list(sheet[table.there(sheet, options.key_date, "key_date", str(path))])
    return nearest_studies(key.match, columns, dates, int(options.within[:-1]), str(path))


class _Folded:
    """Several rows that mean one case: they must agree, and the first stands for them."""

    def __init__(
        self,
        table: pd.DataFrame,
        targets: NDArray[np.float32],
        options: IndexOptions,
        name: str,
    ) -> None:
        self.table, self.targets, self.name = table, targets, name
        self.own = [c for c in (options.patient_id, options.split) if c is not None]
        self.pairs: set[tuple[int, int]] = set()

    def first(self, rows: Iterable[int]) -> int:
        """Return the first of `rows`; the others are remembered as its doublets."""
        first, *others = sorted(rows)
        self.pairs.update((other, first) for other in others)
        return first

    def sheet(self) -> pd.DataFrame:
        """Return the table with those cells blanked in which doublets differ.

        Raises
        ------
        LabelError
            Two rows of one case differ in label, patient or split.
        """
        if not self.pairs:
            return self.table
        other, first = np.array(sorted(self.pairs)).T
        a, b = self.targets[other], self.targets[first]
        self._require(((a == b) | np.isnan(a) & np.isnan(b)).all(axis=1), other, first, "labels")
        blanked = {}
        for column in self.table.columns:
            cells = self.table[column].to_numpy(object).copy()
            same = cells[other] == cells[first]
            if column in self.own:
                self._require(same, other, first, f"column {column}")
            cells[first[~same]] = ""
            blanked[column] = cells
        return pd.DataFrame(blanked, dtype=object)

    def _require(
        self, same: NDArray[np.bool_], other: NDArray[Any], first: NDArray[Any], what: str
    ) -> None:
        bad = np.flatnonzero(~same)
        if len(bad):
            raise LabelError(
                f"{self.name}: rows {first[bad[0]] + 2} and {other[bad[0]] + 2} mean one scan and "
                f"differ in {what} ({len(set(first[bad]))} such scans)",
                remedy="leave one row a scan, or correct them",
            )


def _label(
    units: Sequence[Unit], match: Match, folded: _Folded, frames: Sequence[str]
) -> list[int]:
    """Return the row of each case, `NONE` where no row means it."""
    first: dict[int | tuple[int, str], int] = {}
    for row, (number, frame) in enumerate(zip(match.rows, frames, strict=True)):
        if number >= 0:
            thing = (number, frame) if frame else number
            if first.setdefault(thing, row) != row:
                folded.first((first[thing], row))
    labelled = []
    for unit in units:
        numbers = {match.instances[member] for member in unit.members}
        found = {first.get(n, NONE) for n in numbers}
        if unit.frame:
            found = {first.get((n, unit.frame), first.get(n, NONE)) for n in numbers}
        found.discard(NONE)
        labelled.append(folded.first(found) if len(found) > 1 else max(found, default=NONE))
    return labelled


def _unmatched(
    key: Key,
    sheet: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    there: Mapping[int, int],
    reasons: Mapping[int, str],
    frames: Sequence[str],
) -> list[Unmatched]:
    """Return the rows that label no case, each with its reason."""
    match = key.match
    left = [
        row
        for row, (number, frame) in enumerate(zip(match.rows, frames, strict=True))
        if number not in there or (frame and not is_there(frame, there[number]))
    ]
    if not left:
        return []
    meant = {number: instance for instance, number in enumerate(match.instances)}
    plain, cells = plain_ids(columns, key.what), list(sheet[key.column])
    found = []
    for row in left:
        number, cell = match.rows[row], cells[row]
        if row in reasons:
            found.append(Unmatched(row, reasons[row]))
        elif number in there:
            found.append(Unmatched(row, "no such frame", meant[number]))
        elif number >= 0:
            reason = "its scan is no case: refused, left out or no image"
            found.append(Unmatched(row, reason, meant[number]))
        elif number == SEVERAL:
            found.append(Unmatched(row, "several files have this name"))
        elif not cell.strip():
            found.append(Unmatched(row, "the key is blank"))
        elif plain_text(cell) in plain:
            found.append(Unmatched(row, STRIPPED, plain[plain_text(cell)]))
        else:
            found.append(Unmatched(row, "no such scan"))
    return found
