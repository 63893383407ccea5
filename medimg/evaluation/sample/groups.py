"""A column of metadata cut into groups of cases that are large enough to be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from medimg.errors import UsageError, nearest
from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.tables import column_text

BLANK = "(not given)"
MOST_GROUPS = 20
#: A column of more distinct numbers than this is a quantity, and cut at its quantiles.
MOST_CODES = 10
_QUANTILE_BINS = 4

_AGE = re.compile(r"(\d{3})([DWMY])")
#: Years in one unit of a DICOM age string (PS3.5 section 6.2, AS).
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a column that have ten patients or more.

    Parameters
    ----------
    column : str
    masks : dict of str to bool (N,)
        The cases of each group, in the order in which groups are read; every case stands in one
        at most.
    suppressed, suppressed_cases : int
        Groups under ten patients, which are not named, and their cases.
    note : str
        How the column was cut, and what is not shown.
    """

    column: str
    masks: dict[str, Bools]
    suppressed: int
    suppressed_cases: int
    note: str


def cells_of(metadata: pd.DataFrame, column: str) -> list[str]:
    """Return the cells (N,) of a column of metadata as text without blanks at the ends.

    Raises
    ------
    UsageError
        No such column.
    """
    names = [str(c) for c in metadata.columns]
    if column not in names:
        there = f"columns here: {', '.join(names)}" if names else "the predictions have none"
        raise UsageError(
            f"no column {column!r} in the metadata{nearest(column, names)}",
            remedy=f"name a column of metadata; {there}",
        )
    values = metadata.iloc[:, names.index(column)].to_numpy()
    return [cell.strip() for cell in column_text(values)]


def groups_of(column: str, cells: Iterable[str], units: Units) -> Groups:
    """Cut the cells (N,) of a column into groups of at least ten patients.

    A blank cell is of the group `BLANK`. More than ten distinct numbers (or DICOM ages, in
    years) are cut at the quartiles of the patients, into fewer parts where there are fewer than
    forty. Of more than twenty groups the largest are taken.

    Parameters
    ----------
    cells : iterable of str (N,)
    units : Units
        What is counted as one: patients where ids came, else cases.
    """
    texts = np.asarray(list(cells), object)
    numbers = numbers_of(texts)
    note = ""
    if numbers is not None and len(np.unique(numbers[texts != ""])) > MOST_CODES:
        masks = _quantile_bins(numbers, units)
        note = f"cut into {len(masks)} at quantiles of the {units.kind}s"
    else:
        masks = {str(t): texts == t for t in sorted(set(texts) - {""}, key=_reading_order)}
    blank = np.asarray(texts == "")
    if blank.any():
        masks[BLANK] = masks.get(BLANK, np.zeros_like(blank)) | blank
    return _large_enough(column, masks, units, note)


def numbers_of(texts: Iterable[str]) -> Floats | None:
    """Return cells as numbers float64 (N,), NaN where blank; None where any other is no number."""
    try:
        values = np.asarray([_number(text) for text in texts], np.float64)
    except ValueError:
        return None
    return values if np.isfinite(values).any() and not np.isinf(values).any() else None


def _number(text: str) -> float:
    if not text:
        return float("nan")
    age = _AGE.fullmatch(text)
    value = float(text) if age is None else int(age[1]) * _YEARS[age[2]]
    if value != value:
        raise ValueError(text)
    return value


def _quantile_bins(numbers: Floats, units: Units) -> dict[str, Bools]:
    """Return bins of about as many patients each, however many cases a patient has."""
    known = ~np.isnan(numbers)
    one_each = np.unique(np.stack([units.of_case[known], numbers[known]]), axis=1)[1]
    parts = int(np.clip(units.count(known) // MIN_UNITS, 1, _QUANTILE_BINS))
    shares = np.arange(1, parts) / parts
    cuts = np.unique(np.quantile(one_each, shares, method="inverted_cdf"))
    cuts = cuts[cuts < one_each.max()]
    place = np.where(known, np.searchsorted(cuts, numbers, side="left"), -1)
    return {name: place == i for i, name in enumerate(_bin_names(cuts))}


def _bin_names(cuts: Floats) -> list[str]:
    """Return names that give the cuts alone: the youngest or oldest patient's age is not told."""
    if not len(cuts):
        return ["(given)"]
    digits = next(d for d in range(4, 18) if len({f"{c:.{d}g}" for c in cuts}) == len(cuts))
    ends = [f"{c:.{digits}g}" for c in cuts]
    middle = [f"over {low} to {high}" for low, high in pairwise(ends)]
    return [f"up to {ends[0]}", *middle, f"over {ends[-1]}"]


def _reading_order(text: Any) -> tuple[bool, float, str]:
    try:
        return False, _number(text), text
    except ValueError:
        return True, 0.0, text


def _large_enough(column: str, masks: dict[str, Bools], units: Units, note: str) -> Groups:
    size = {name: units.count(mask) for name, mask in masks.items()}
    shown = [name for name in masks if size[name] >= MIN_UNITS]
    small = [name for name in masks if size[name] < MIN_UNITS]
    notes = [note] if note else []
    if len(shown) > MOST_GROUPS:
        largest = sorted(shown, key=lambda name: (-size[name], name))[:MOST_GROUPS]
        notes.append(f"the {MOST_GROUPS} largest of {len(shown)} groups")
        shown = [name for name in shown if name in largest]
    if len(shown) < 2:
        notes.append(f"fewer than two groups of ten {units.kind}s: nothing to compare")
    cases = sum(int(masks[name].sum()) for name in small)
    kept = {name: masks[name] for name in shown}
    return Groups(column, kept, len(small), cases, "; ".join(notes))
