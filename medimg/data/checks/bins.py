"""Cells of a table as few categories: what a small model can learn from across patients."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Bins of a column of numbers, and categories of a column of words; the rest share one.
BINS, CATEGORIES = 10, 30
#: Values of one cell (``ORIGINAL\PRIMARY\AXIAL``) that are looked at.
_PARTS = 8
#: A column is one of numbers where at least this share of what is filled in are numbers.
_NUMERIC = 0.9
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,2})?")
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})([T ].*)?")
#: PS3.5 6.2, Age String: how many of its unit are a year.
_AGE = re.compile(r"(\d{3})([DWMY])")
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
_BLANK, _RARE = "", "\0rare"


class Binned(NamedTuple):
    """One column in categories.

    codes : int (N, P)
        The category of each of the P values that a cell holds; values that are the same
        everywhere are left out.
    reason : str
        Why nothing is left to learn from (P = 0); else empty.
    """

    codes: NDArray[np.intp]
    reason: str = ""


def binned(cells: NDArray[Any], groups: NDArray[np.intp]) -> Binned:
    r"""Cut a column into bins; a blank has its own.

    Numbers (ages such as ``060Y`` and dates such as ``2024-01-31`` among them) fall into at
    most 10 bins of equal counts. Of words, those of one group of cases alone share one
    category, because nothing can be learned from them about other groups, as do all but the
    30 that most groups have. A backslash parts the values of a cell (PS3.5 6.4), each of which
    is a column of its own.

    Parameters
    ----------
    cells : object (N,)
        Text; None and NaN are blank.
    groups : int (N,)
        Who each case is of.
    """
    text = as_text(cells)
    cut = [_cut(part) for part in _parted(text)]
    codes = [_merged(own, names, groups) for own, names in cut]
    kept = [code for code in codes if code.any()]
    if kept:
        return Binned(np.column_stack(kept))
    varies = any(len(names) > 1 for _, names in cut)
    reason = "hardly a value is shared by two patients" if varies else "one value only"
    return Binned(np.empty((len(text), 0), np.intp), reason)


def as_text(cells: NDArray[Any]) -> NDArray[np.object_]:
    """Return cells as text without blanks around it; None and NaN are blank."""
    blank = pd.isna(cells)
    text = ["" if b else str(cell).strip() for cell, b in zip(cells, blank, strict=True)]
    return np.array(text, object)


def _parted(text: NDArray[np.object_]) -> list[NDArray[np.object_]]:
    split = [cell.split("\\", _PARTS)[:_PARTS] for cell in text]
    width = max(map(len, split))
    filled = [[part.strip() for part in parts] + [""] * (width - len(parts)) for parts in split]
    return [np.array(column, object) for column in zip(*filled, strict=True)]


def _cut(text: NDArray[np.object_]) -> tuple[NDArray[np.intp], list[str]]:
    """Return the category (N,) of each cell, and their names; those of bins begin with NUL."""
    codes, values = pd.factorize(text, sort=True)
    names = [str(value) for value in values]
    numbers = np.array([_number(name) for name in names])
    filled = np.array([name != _BLANK for name in names])[codes]
    numeric = ~np.isnan(numbers[codes])
    if not filled.any() or numeric.sum() < _NUMERIC * filled.sum():
        return codes, names
    named = np.array(names, object)[codes]
    named[numeric] = [f"\0{b}" for b in _quantiles(numbers[codes][numeric]).tolist()]
    codes, values = pd.factorize(named, sort=True)
    return codes, [str(value) for value in values]


def _merged(
    codes: NDArray[np.intp], names: list[str], groups: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Give the words of one group alone, and those beyond the most frequent, one category."""
    pairs = np.unique(np.column_stack([codes, groups]), axis=0)
    held = np.bincount(pairs[:, 0], minlength=len(names))
    order = np.lexsort((np.arange(len(names)), -held))
    words = [n for n in order.tolist() if not names[n].startswith("\0") and names[n] != _BLANK]
    kept = {n for n in words[: CATEGORIES - 1] if held[n] > 1}
    named = [_RARE if n in set(words) - kept else name for n, name in enumerate(names)]
    merged, _ = pd.factorize(np.array(named, object), sort=True)
    return np.asarray(merged[codes], np.intp)


def _quantiles(numbers: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each number: one a number where they are few."""
    values, codes = np.unique(numbers, return_inverse=True)
    if len(values) <= BINS:
        return np.asarray(codes, np.intp)
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(numbers, inner, method="nearest"))
    return np.searchsorted(edges, numbers, side="right")


def _number(text: str) -> float:
    """Return the number that a text stands for, NaN where it is none."""
    if age := _AGE.fullmatch(text):
        return int(age[1]) / _PER_YEAR[age[2]]
    if date := _DATE.fullmatch(text):
        return float(date[1] + date[2] + date[3])
    if not _NUMBER.fullmatch(text):
        return math.nan
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else math.nan
