"""`Grid`: a table of numbers with their intervals, one row a class, a threshold or a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from medimg.evaluation.results.estimate import Estimate
from medimg.report.words import label, shared_method


@dataclass(frozen=True)
class GridRow:
    """A row's name, what is to know of it in a few words, and its cells by column."""

    name: str
    cells: Mapping[str, Estimate]
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """Rows under columns; a column holds the method that all its intervals share, or None."""

    corner: str
    columns: Mapping[str, str | None]
    rows: tuple[GridRow, ...]


def grid(
    corner: str,
    rows: Iterable[GridRow],
    names: Sequence[str] | None = None,
    words: Callable[[str], str] = label,
) -> Grid | None:
    """Return a grid of the columns `names` (all, by default) that any row has; None if empty.

    `words` turns the name of a column into its heading.
    """
    rows = list(rows)
    found = dict.fromkeys(name for row in rows for name in row.cells)
    chosen = [name for name in found if names is None or name in names]
    if not chosen:
        return None
    if names is not None:
        chosen.sort(key=list(names).index)
    columns = {
        words(n): shared_method(row.cells[n] for row in rows if n in row.cells) for n in chosen
    }
    kept = [
        GridRow(row.name, {words(n): row.cells[n] for n in chosen if n in row.cells}, row.note)
        for row in rows
    ]
    return Grid(corner, columns, tuple(kept))


def grid_of(
    corner: str, metrics: Mapping[str, Mapping[str, Estimate]], names: Sequence[str] | None = None
) -> Grid | None:
    """Return a grid of one row a key of `metrics`."""
    return grid(corner, [GridRow(name, cells) for name, cells in metrics.items()], names)
