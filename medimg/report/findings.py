"""One finding of an audit in words, short enough to be printed whatever it found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.findings import Finding
from medimg.report.words import number

#: Groups of a finding, cases of a group and parts of a cell that are named.
GROUPS, CASES, PARTS = 12, 4, 6
#: Details that are shown as pictures and in the table of all metadata.
_ELSEWHERE = ("pairs", "predictors")
#: Counts of groups that a finding may bring -> the words for them.
_COUNTS = {"of_one_patient": "within one known patient", "of_one_class": "within one known class"}


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a pair: uint8 (H, W) or (H, W, 3), and whose it is."""

    image: NDArray[np.uint8]
    case_id: str
    split: str
    label: str


@dataclass(frozen=True)
class Pair:
    """Pictures that stand side by side, what is said of them, and how many more there are."""

    pictures: tuple[Picture, ...]
    words: str = ""
    more: int = 0


@dataclass(frozen=True)
class Shown:
    """One finding as it is printed.

    Parameters
    ----------
    finding : Finding
    reason : str, optional
        Why a known leak may pass.
    count : str
        How many groups and cases; empty where it names none.
    facts : sequence of str
        What else is known of it: its own words where it brings any.
    tables : mapping of str to sequence of mapping
        Its tables: name, then rows; cells are text.
    groups : sequence of str
        The first groups in words.
    more : int
        How many groups these do not name.
    pairs : sequence of Pair
        The first groups in pictures.
    """

    finding: Finding
    reason: str | None
    count: str
    facts: Sequence[str]
    tables: Mapping[str, Sequence[Mapping[str, str]]]
    groups: Sequence[str]
    more: int
    pairs: Sequence[Pair]


def shown_as(finding: Finding, reason: str | None, pairs: Sequence[Pair]) -> Shown:
    """Return a finding as it is printed; `reason` says why a known leak may pass."""
    details, groups = finding.details, members(finding)
    here = {str(k): v for k, v in details.items() if k not in _ELSEWHERE}
    tables = {k: v for k, v in here.items() if _is_table(v)}
    rest = {k: v for k, v in here.items() if k not in tables}
    cells = {
        name: [{str(k): cell(v) for k, v in row.items()} for row in rows]
        for name, rows in tables.items()
    }
    return Shown(
        finding=finding,
        reason=reason,
        count=_count(finding),
        facts=[*map(str, rest.get("words", ()))] or list(_facts(rest, len(groups))),
        tables=cells,
        groups=[_group(*group) for group in groups[:GROUPS]],
        more=max(len(groups) - GROUPS, 0),
        pairs=pairs,
    )


def _count(finding: Finding) -> str:
    """Return how many groups and cases; groups of one case are cases."""
    if not finding.groups:
        return ""
    cases = plural(len(set(chain.from_iterable(finding.groups))), "case")
    if all(len(group) == 1 for group in finding.groups):
        return cases
    word = "pair" if "pairs" in finding.details else "group"
    return f"{plural(len(finding.groups), word)}, {cases}"


def _group(cases: Sequence[str], words: str) -> str:
    more = f" = ... ({len(cases):,} cases)" if len(cases) > CASES else ""
    joined = " ~ " if words else " = "
    return joined.join(cases[:CASES]) + more + (f" ({words})" if words else "")


def _is_table(value: Any) -> bool:
    rows = isinstance(value, list | tuple) and len(value) > 0
    return rows and all(isinstance(row, Mapping) for row in value)


def _facts(details: Mapping[str, Any], groups: int) -> Iterable[str]:
    for name, value in details.items():
        if name in _COUNTS:
            yield f"{value:,} of {groups:,} {_COUNTS[name]}"
        else:
            yield f"{name.replace('_', ' ')}: {cell(value)}"


def cell(value: Any) -> str:
    """Return one value as text; of many the first few and how many there are."""
    if isinstance(value, Mapping):
        value = [f"{name} {cell(part)}" for name, part in value.items()]
    if isinstance(value, list | tuple):
        more = f", ... ({len(value):,})" if len(value) > PARTS else ""
        return ", ".join(map(cell, value[:PARTS])) + more
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return number(float(value)) if math.isfinite(value) else "–"
    return "–" if value is None else str(value)


def plural(count: int, word: str) -> str:
    """Return ``1 leak`` or ``2 leaks``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def percent(share: float) -> str:
    """Return a share as per cent; 100% only where it is."""
    return f"{min(share, 0.999) if share < 1 else share:.1%}".replace(".0%", "%")


def members(finding: Finding) -> list[tuple[Sequence[str], str]]:
    """Return the cases of each group and what is said of it; the most similar pairs first."""
    pairs: Sequence[Mapping[str, Any]] = finding.details.get("pairs", ())
    if not pairs:
        return [(group, "") for group in finding.groups]
    ordered = sorted(pairs, key=lambda pair: (-pair["similarity"], *pair["cases"]))
    return [
        (
            pair["cases"],
            f"similarity {percent(pair['similarity'])}; {pair.get('how', '')}".strip("; "),
        )
        for pair in ordered
    ]
