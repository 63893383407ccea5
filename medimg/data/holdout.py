"""Which cases are held out as the test: a site, a scanner, a period."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.sample import plain_name
from medimg.data.groups import column_of
from medimg.data.ids import plain_text, spellings
from medimg.data.manifest import Manifest
from medimg.data.sources.dicom.index.visits import parse_date
from medimg.errors import ManifestError, UsageError, nearest

#: DICOM's DT (PS3.5 6.2): the day, the time right behind it, the zone.
_DATE_TIME = re.compile(r"(\d{8})\d{2,6}(\.\d{1,6})?([+-]\d{4})?")
#: Columns whose values name places and machines, and so may stand in a message; as `plain_name`
#: gives them.
_SHOWN = (
    *("site", "center", "centre", "scanner", "vendor", "manufacturer", "manufacturermodelname"),
    *("model", "device", "modality", "kernel", "convolutionkernel", "dataset", "cohort"),
)
_MOST_SHOWN = 10


def held_out(
    manifest: Manifest, hold_out: Sequence[str] = (), after: str | None = None
) -> NDArray[np.bool_]:
    """Return which cases any of the conditions holds out, bool (N,).

    Parameters
    ----------
    hold_out : sequence of str
        ``COLUMN=VALUE`` each; values that differ in blanks around them, capitals or leading
        zeros alone are one.
    after : str, optional
        ``COLUMN=DAY``: the cases of that day and later. Days are written ``2024-01-31`` or
        ``20240131``, also with a time behind them.

    Raises
    ------
    UsageError
        A condition that is not written so, an unknown column, or one that no case meets.
    ManifestError
        A case whose cell is blank, or whose date cannot be read: on which side it belongs is
        not known.
    """
    held = np.zeros(len(manifest), bool)
    for condition in (hold_out,) if isinstance(hold_out, str) else hold_out:
        held |= _equal(manifest, *_parts("hold_out", condition, "site=B"))
    if after is not None:
        held |= _on_or_after(manifest, *_parts("after", after, "date=2024-01-01"))
    return held


def _parts(option: str, condition: str, example: str) -> tuple[str, str]:
    column, _, value = (part.strip() for part in condition.partition("="))
    if not column or not value:
        raise UsageError(f"{option} {condition!r}", remedy=f"write COLUMN=VALUE, as in {example}")
    return column, value


def _equal(manifest: Manifest, name: str, value: str) -> NDArray[np.bool_]:
    column = column_of(manifest, name)
    numbers, texts = spellings(manifest.frame[column])
    same = np.array([plain_text(text) == plain_text(value) for text in texts])[numbers]
    if not same.any():
        there = sorted({texts[number].strip() for number in np.unique(numbers)} - {""})
        remedy = f"give one of the {len(there)} values that it holds"
        near = ""
        if plain_name(column) in _SHOWN:
            more = ", ..." if len(there) > _MOST_SHOWN else ""
            remedy += f": {', '.join(there[:_MOST_SHOWN])}{more}"
            near = nearest(value, there)
        raise UsageError(f"no case has {column}={value}{near}", remedy=remedy)
    _require_known(manifest, column, np.array([not text.strip() for text in texts])[numbers], "")
    return same


def _require_known(manifest: Manifest, column: str, unknown: NDArray[np.bool_], form: str) -> None:
    if unknown.any():
        raise ManifestError(
            f"{unknown.sum()} of {len(manifest)} cases have no {column} that can be read, the "
            f"first: {manifest.case_id[unknown][0]}",
            remedy=f"fill it in{form}, or leave these cases out (split none)",
        )


def _on_or_after(manifest: Manifest, name: str, day: str) -> NDArray[np.bool_]:
    column, first = column_of(manifest, name), _day(day)
    if first is None:
        raise UsageError(
            f"after {name}={day}: no date", remedy="write it as 2024-01-31 or 20240131"
        )
    numbers, texts = spellings(manifest.frame[column])
    days = [_day(text) for text in texts]
    unknown = np.array([day is None for day in days])[numbers]
    _require_known(manifest, column, unknown, " as 2024-01-31 or 20240131")
    late = np.array([day is not None and day >= first for day in days])[numbers]
    if not late.any():
        raise UsageError(f"no case is of {first} or later ({column})", remedy="give an earlier day")
    return late


def _day(text: str) -> date | None:
    whole = _DATE_TIME.fullmatch(text.strip())
    return parse_date(whole[1] if whole else text)
