"""Which frames of their files the rows of a table mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from medimg.data.options import IndexOptions
from medimg.data.sources import table
from medimg.data.sources.dicom.index.cases import Unit
from medimg.data.sources.dicom.index.match import Match
from medimg.errors import LabelError

_WHOLE = re.compile(r"0*(\d{1,9})(\.0*)?")


def read_frames(
    sheet: pd.DataFrame, options: IndexOptions, name: str
) -> tuple[str | None, list[str]]:
    """Return the column of frames, and the frame that each row (R,) means; blank: all of them.

    Whole numbers are written as those of cases: ``00`` becomes ``0``, and so does ``0.0``.

    Raises
    ------
    UsageError
        Several columns could be it.
    """
    blank = [""] * len(sheet)
    if options.unit != "frame":
        return None, blank
    column = table.one_column(sheet, "frame", None, name, optional=True)
    if column is None:
        return None, blank
    cells = [cell.strip() for cell in sheet[column]]
    whole = [_WHOLE.fullmatch(cell) for cell in cells]
    return column, [str(int(m[1])) if m else c for m, c in zip(whole, cells, strict=True)]


def frame_counts(units: Sequence[Unit], match: Match) -> dict[int, int]:
    """Return thing that has cases -> the most frames of a file of it; 0 where files are whole."""
    counts: dict[int, int] = {}
    for unit in units:
        own = int(unit.frame) + 1 if unit.frame else 0
        for member in unit.members:
            number = match.instances[member]
            if number >= 0:
                counts[number] = max(counts.get(number, 0), own)
    return counts


def is_there(frame: str, count: int) -> bool:
    """Whether a file of so many frames has this one."""
    return _number(frame) in range(count)


def refuse_from_one(
    match: Match, frames: Sequence[str], counts: Mapping[int, int], name: str
) -> None:
    """Refuse rows that count the frames of a file from 1: each would label the next frame.

    Raises
    ------
    LabelError
        With how many files these are.
    """
    said: dict[int, set[int]] = {}
    for number, frame in zip(match.rows, frames, strict=True):
        if frame and number in counts:
            said.setdefault(number, set()).add(_number(frame))
    bad = sum(min(own) == 1 and max(own) == counts[number] for number, own in said.items())
    if bad:
        raise LabelError(
            f"{name}: the frames of {bad} files run from 1 to their number; "
            "frames are numbered from 0",
            remedy="take 1 from each number of a frame",
        )


def _number(frame: str) -> int:
    """Return the number of a frame; -1 where the text is none."""
    return int(frame) if frame.isdecimal() and len(frame) < 10 else -1
