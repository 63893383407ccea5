"""Which column of a table of labels names the scans, and by what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from medimg.data.ids import plain_text
from medimg.data.options import IndexOptions
from medimg.data.sources import table
from medimg.data.sources.dicom.index.match import Match, match_files, match_ids, plain_ids
from medimg.errors import LabelError, UsageError, nearest

#: What a key column may hold, from the narrowest to the widest.
IDENTITIES = (
    *("file", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
    *("AccessionNumber", "PatientID"),
)
#: What a column holds -> its plain names, without case, blanks, hyphens and underscores.
_NAMES = {
    "file": {
        *(name.replace("_", "") for name in table.NAMES["path"]),
        *("dicom", "dicomname", "dicomfile", "dicompath", "dicomfilename", "dcm", "dcmpath"),
    },
    "SOPInstanceUID": {"sopinstanceuid", "sopuid", "instanceuid", "imageuid"},
    "SeriesInstanceUID": {"seriesinstanceuid", "seriesuid"},
    "StudyInstanceUID": {"studyinstanceuid", "studyuid"},
    "AccessionNumber": {"accessionnumber", "accession", "accessionno"},
    "PatientID": {"patientid", "patient", "subject", "subjectid"},
}


class Key(NamedTuple):
    """The column that names the scans, what it holds, and what it matches."""

    column: str
    what: str
    match: Match


class _Matcher(NamedTuple):
    sheet: pd.DataFrame
    columns: Mapping[str, Sequence[str]]
    root: Path
    path: Path

    def __call__(self, column: str, what: str) -> Key:
        cells = list(self.sheet[column])
        if what == "file":
            match = match_files(cells, self.columns["source"], self.root, self.path.parent)
        else:
            match = match_ids(cells, self.columns[what])
        return Key(column, what, match)


def find_key(
    sheet: pd.DataFrame,
    columns: Mapping[str, Sequence[str]],
    options: IndexOptions,
    root: Path,
    path: Path,
) -> Key:
    """Return the key of a table: as the options say, else the narrowest that is plain and fits.

    Parameters
    ----------
    sheet : DataFrame (R rows) of str
    columns : mapping of str to sequence of str (I,)
        Those of a `Scan`, one row an instance.
    root, path : path
        The folder of the scans, and the table.

    Raises
    ------
    UsageError
        No column or several could be the key, or hold several things.
    LabelError
        Not one row matches.
    """
    matcher = _Matcher(sheet, columns, root, path)
    given, what = _given(sheet, options, str(path))
    choices = (
        _plain(sheet, str(path))
        if given is None
        else [(given, w) for w in ((what,) if what else IDENTITIES)]
    )
    tried = [matcher(*choice) for choice in choices]
    found = [key for key in tried if any(number != -1 for number in key.match.rows)]
    if not found:
        raise _nothing_matches(matcher, tried)
    if given is None:
        found = [key for key in found if key.what == found[0].what]
    if len(found) > 1:
        possible = ", ".join(f"{key.column}={key.what}" for key in found)
        raise UsageError(
            f"{path}: the key could be each of {possible}", remedy="say which: --key COLUMN=WHAT"
        )
    return found[0]


def _given(sheet: pd.DataFrame, options: IndexOptions, name: str) -> tuple[str | None, str | None]:
    """Return the column and what it holds, as far as the options or its name say so."""
    if options.path is not None:
        if options.key is not None:
            raise UsageError("path and key both name the key", remedy="leave path out")
        return table.there(sheet, options.path, "path", name), "file"
    if options.key is None:
        return None, None
    column, equals, what = options.key.rpartition("=")
    if options.key in sheet or not equals:
        column, what = options.key, ""
    elif what not in IDENTITIES:
        raise UsageError(
            f"--key {options.key!r}: {what!r} is nothing that a key holds"
            f"{nearest(what, IDENTITIES)}",
            remedy=f"one of {', '.join(IDENTITIES)}",
        )
    table.there(sheet, column, "key", name)
    return column, what or _meaning(column)


def _meaning(column: str) -> str | None:
    plain = re.sub(r"[\s_\-]+", "", column.lower())
    return next((what for what in IDENTITIES if plain in _NAMES[what]), None)


def _plain(sheet: pd.DataFrame, name: str) -> list[tuple[str, str]]:
    """Return the columns that are known by their names, the narrowest first."""
    meanings = [(str(column), _meaning(str(column))) for column in sheet.columns]
    found = [(column, what) for column, what in meanings if what is not None]
    if not found:
        raise UsageError(
            f"{name}: no column could name the scans: {', '.join(map(str, sheet.columns))}",
            remedy="name it: --key COLUMN, or --key COLUMN=WHAT with WHAT one of "
            + ", ".join(IDENTITIES),
        )
    return sorted(found, key=lambda pair: IDENTITIES.index(pair[1]))


def _nothing_matches(matcher: _Matcher, tried: Sequence[Key]) -> LabelError:
    """Return the error of a key that matches no scan, with what may be meant instead."""
    column, what, _ = tried[0]
    plain = plain_ids(matcher.columns, what)
    near = sum(plain_text(cell) in plain for cell in matcher.sheet[column] if cell.strip())
    others = [w for w in IDENTITIES if matcher(column, w).match.found]
    if near:
        remedy = f"{near} match without blanks, zeros and capitals; write them as the scans do"
    elif others:
        remedy = f"its values are those of {others[0]}: --key {column}={others[0]}"
    else:
        remedy = "check the folder and the table; --key COLUMN=WHAT names another column"
    said = ", ".join(f"{key.what} (column {key.column})" for key in tried)
    rows = len(matcher.sheet)
    return LabelError(
        f"{matcher.path}: none of {rows} rows matches a scan by {said}", remedy=remedy
    )
