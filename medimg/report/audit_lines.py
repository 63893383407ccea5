"""An audit in lines of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from medimg.data.checks.findings import Audit
from medimg.report.audit import AuditView, view
from medimg.report.findings import Shown

_WIDTH, _INDENT, _NAME = 100, 13, 44
#: Rows of the metadata that the terminal shows; the page and `audit.json` have more.
_ROWS = 15
#: Groups of a finding that the terminal names.
_GROUPS = 3


def lines(found: Audit) -> Iterator[str]:
    """Yield what an audit found, in lines of a terminal."""
    seen = view(found)
    for shown in (*seen.findings, *seen.information):
        yield from _finding(shown)
    yield from _metadata(seen)
    for name, why in seen.not_checked.items():
        yield from _wrapped(f"not checked: {name.replace('_', ' ')}: {why}", 4)
    for note in seen.notes:
        yield from _wrapped(f"note: {note}", 4)
    yield seen.summary


def _finding(shown: Shown) -> Iterator[str]:
    f = shown.finding
    severity = "LEAK" if f.severity == "leak" else f.severity
    yield f"{severity:<{_INDENT}}{f.code}{'  ' * bool(shown.count)}{shown.count}"
    tables = [] if shown.facts else [f"{name}: {_table(t)}" for name, t in shown.tables.items()]
    more = len(f.groups) - _GROUPS
    groups = [*shown.groups[:_GROUPS], *([f"and {more:,} more"] if more > 0 else [])]
    for words in (f.text, *shown.facts, *tables, *groups):
        yield from _wrapped(words)
    yield ""


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the first rows of a table in one piece of text."""
    said = [" ".join(row.values()) for row in rows[:_GROUPS]]
    more = [f"and {len(rows) - _GROUPS:,} more"] if len(rows) > _GROUPS else []
    return "; ".join([*said, *more])


def _metadata(seen: AuditView) -> Iterator[str]:
    if not seen.predictors:
        return
    yield "metadata as a predictor of the label: AUROC, and 95% of what permuted labels give"
    for row in seen.predictors[:_ROWS]:
        name = row.name if len(row.name) <= _NAME else f"{row.name[: _NAME - 4]} ..."
        yield f"  {name:<{_NAME}}  {row.auroc:>6}  {row.chance:>12}  {row.cases:>8}  {row.verdict}".rstrip()
    if len(seen.predictors) > _ROWS:
        yield f"  and {len(seen.predictors) - _ROWS:,} more"
    yield ""


def _wrapped(words: str, indent: int = _INDENT) -> list[str]:
    """Return text in lines; a case id is never broken."""
    first = "" if indent < _INDENT else " " * indent
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
