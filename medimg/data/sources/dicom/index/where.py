"""`--where`: which images to take, by what their headers say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from medimg.data.sources.dicom.headers.tags import KEPT
from medimg.data.sources.dicom.index.metadata import NUMBER, NUMBERS
from medimg.data.sources.dicom.index.visits import parse_date
from medimg.errors import UsageError, nearest

#: Days in each unit of an age string (PS3.5 section 6.2, AS).
_AGE_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
#: Elements whose values are dates.
_DATES = frozenset(keyword for keyword, kept in KEPT.items() if kept.vr == "DA")
_FORM = re.compile(r"\s*(\w+)\s*(!=(?!=)|!~|<=|>=|==?|~|<|>)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


class Condition(NamedTuple):
    """One condition: a column, what its text must be like, and the condition as it was given."""

    keyword: str
    holds: Callable[[str], bool]
    text: str


def parse(text: str, known: Collection[str]) -> Condition:
    """Return the condition of a text.

    Parameters
    ----------
    text : str
        ``KEYWORD=VALUE``, also with ``==``: the value, or one of several, is this text; numbers
        and dates (``20240131`` or ``2024-01-31``) are compared as such where the element holds
        them. ``~`` searches a regular expression in the whole value (several joined by a
        backslash). ``!=`` and ``!~`` are their opposites. ``<``, ``>``, ``<=``, ``>=`` compare
        numbers, dates and ages (``050Y``); a value that is none holds nothing. A blank value is
        an absent element.
    known : collection of str
        The keywords that an index keeps.

    Raises
    ------
    UsageError
        Another form, an unknown keyword (with the nearest), no regular expression, number or
        date.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise UsageError(
            f"--where {text!r} is no condition",
            remedy="write KEYWORD=VALUE, or with !=, ~, !~, <, >, <=, >=: --where Modality=CT",
        )
    keyword, operator, value = form[1], form[2], form[3].strip()
    if keyword not in known:
        raise UsageError(
            f"--where {text!r}: an index keeps no {keyword}{nearest(keyword, known)}",
            remedy=f"one of {', '.join(known)}",
        )
    return _condition(keyword, operator, value, text)


def _condition(keyword: str, operator: str, value: str, text: str) -> Condition:
    if keyword in _DATES and value and not operator.endswith("~") and parse_date(value) is None:
        raise UsageError(
            f"--where {text!r}: {value!r} is no date",
            remedy="give a date as 2024-01-31 or 20240131; ~ searches the text",
        )
    scale = _day if keyword in _DATES else measure
    if operator in _ORDERS:
        return Condition(keyword, _ordered(value, operator, text, scale), text)
    if operator.endswith("~"):
        test = _searched(value, text)
    else:
        test = _equal(value, scale if keyword in NUMBERS | _DATES else None)
    return Condition(keyword, (lambda cell: not test(cell)) if operator[0] == "!" else test, text)


def keep(columns: Mapping[str, Sequence[str]], conditions: Sequence[Condition]) -> list[bool]:
    """Return which rows (N,) meet every condition."""
    kept = [True] * len(columns["source"])
    for keyword, holds, _ in conditions:
        column = columns[keyword]
        known = {cell: holds(cell) for cell in set(column)}
        kept = [was and known[cell] for was, cell in zip(kept, column, strict=True)]
    return kept


def to_blame(
    columns: Mapping[str, Sequence[str]], conditions: Sequence[Condition], rows: Sequence[int]
) -> str:
    """Return which conditions leave out all of `rows`, in words; blank where some are kept."""

    def none(some: Sequence[Condition]) -> bool:
        kept = keep(columns, some)
        return not any(kept[row] for row in rows)

    if not rows or not none(conditions):
        return ""
    alone = [f"--where {one.text!r}" for one in conditions if none([one])]
    if alone:
        return f"{' and '.join(alone)} {'leave' if alone[1:] else 'leaves'} out every image"
    said = " and ".join(f"--where {one.text!r}" for one in conditions)
    return f"{said} together leave out every image"


def _equal(value: str, scale: Callable[[str], float | None] | None) -> Callable[[str], bool]:
    """Return a test of equality: as text and, where there is a scale, as numbers on it."""
    number = scale(value) if scale else None

    def test(cell: str) -> bool:
        parts = [part.strip() for part in cell.split("\\")]
        if value == cell or value in parts:
            return True
        return scale is not None and number is not None and number in map(scale, parts)

    return test


def _searched(value: str, text: str) -> Callable[[str], bool]:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise UsageError(
            f"--where {text!r}: {error}", remedy="give a regular expression, such as LOCALIZER"
        ) from error
    return lambda cell: pattern.search(cell) is not None


def _ordered(
    value: str, operator: str, text: str, scale: Callable[[str], float | None]
) -> Callable[[str], bool]:
    limit, order = scale(value), _ORDERS[operator]
    if limit is None:
        raise UsageError(
            f"--where {text!r}: {value!r} has no order",
            remedy="give a number, a date as 20240131 or an age as 050Y",
        )

    def test(cell: str) -> bool:
        number = scale(cell.partition("\\")[0])
        return number is not None and order(number, limit)

    return test


def measure(text: str) -> float | None:
    """Return a number, an age in days or a date as the number YYYYMMDD; None for other text."""
    text = text.strip()
    if re.fullmatch(r"\d{3}[DWMY]", text):
        return int(text[:3]) * _AGE_DAYS[text[3]]
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return _day(text)
    number = float(text) if NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _day(text: str) -> float | None:
    """Return a date as the number YYYYMMDD; None for other text."""
    day = parse_date(text)
    return None if day is None else float(f"{day:%Y%m%d}")
