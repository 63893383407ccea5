"""`--where`: which images to take, by what their headers say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from medimg.data.sources.dicom.index.metadata import NUMBER, NUMBERS
from medimg.errors import UsageError, nearest

#: Days in each unit of an age string (PS3.5 section 6.2, AS).
_AGE_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}
_FORM = re.compile(r"\s*(\w+)\s*(!=|!~|<=|>=|=|~|<|>)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


class Condition(NamedTuple):
    """One condition: a column, and what its text must be like."""

    keyword: str
    holds: Callable[[str], bool]


def parse(text: str, known: Collection[str]) -> Condition:
    """Return the condition of a text.

    Parameters
    ----------
    text : str
        ``KEYWORD=VALUE``: the value, or one of several, is this text; numbers are compared as
        numbers where the element holds numbers. ``~`` searches a regular expression in the
        whole value (several joined by a backslash). ``!=`` and ``!~`` are their opposites.
        ``<``, ``>``, ``<=``, ``>=`` compare numbers, dates (``20240131`` or ``2024-01-31``) and
        ages (``050Y``); a value that is none holds nothing. A blank value is an absent element.
    known : collection of str
        The keywords that an index keeps.

    Raises
    ------
    UsageError
        Another form, an unknown keyword (with the nearest), no regular expression or no number.
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
    if operator in _ORDERS:
        return Condition(keyword, _ordered(value, operator, text))
    test = _searched(value, text) if operator.endswith("~") else _equal(value, keyword in NUMBERS)
    return Condition(keyword, (lambda cell: not test(cell)) if operator[0] == "!" else test)


def keep(columns: Mapping[str, Sequence[str]], conditions: Sequence[Condition]) -> list[bool]:
    """Return which rows (N,) meet every condition."""
    kept = [True] * len(columns["source"])
    for keyword, holds in conditions:
        column = columns[keyword]
        known = {cell: holds(cell) for cell in set(column)}
        kept = [was and known[cell] for was, cell in zip(kept, column, strict=True)]
    return kept


def _equal(value: str, numeric: bool) -> Callable[[str], bool]:
    number = measure(value) if numeric else None

    def test(cell: str) -> bool:
        parts = [part.strip() for part in cell.split("\\")]
        if value == cell or value in parts:
            return True
        return number is not None and any(measure(part) == number for part in parts)

    return test


def _searched(value: str, text: str) -> Callable[[str], bool]:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise UsageError(
            f"--where {text!r}: {error}", remedy="give a regular expression, such as LOCALIZER"
        ) from error
    return lambda cell: pattern.search(cell) is not None


def _ordered(value: str, operator: str, text: str) -> Callable[[str], bool]:
    limit, order = measure(value), _ORDERS[operator]
    if limit is None:
        raise UsageError(
            f"--where {text!r}: {value!r} has no order",
            remedy="give a number, a date as 20240131 or an age as 050Y",
        )

    def test(cell: str) -> bool:
        number = measure(cell.partition("\\")[0])
        return number is not None and order(number, limit)

    return test


def measure(text: str) -> float | None:
    """Return a number, an age in days or a date as the number YYYYMMDD; None for other text."""
    text = text.strip()
    if re.fullmatch(r"\d{3}[DWMY]", text):
        return int(text[:3]) * _AGE_DAYS[text[3]]
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        text = text.replace("-", "")
    number = float(text) if NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None
