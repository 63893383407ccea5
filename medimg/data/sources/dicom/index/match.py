"""What rows of a table and instances mean the same thing: by a file's name, or by an id."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medimg.data.ids import plain_text
from medimg.data.sources import table

NONE, SEVERAL = -1, -2


class Match(NamedTuple):
    """Rows of the table and instances that mean one thing have one number.

    rows : list of int (R,)
        `NONE` where no instance is meant, `SEVERAL` where it is not plain which.
    instances : list of int (I,)
        `NONE` where no row can mean it.
    """

    rows: list[int]
    instances: list[int]

    @property
    def found(self) -> int:
        """How many rows mean something that is there."""
        return sum(number >= 0 for number in self.rows)


def match_ids(cells: Sequence[str], ids: Sequence[str]) -> Match:
    """Match cells (R,) and ids (I,) as text, character by character; a blank is no id."""
    numbers = {id_: number for number, id_ in enumerate(dict.fromkeys(ids)) if id_}
    return Match([numbers.get(c, NONE) for c in cells], [numbers.get(i, NONE) for i in ids])


def match_files(cells: Sequence[str], sources: Sequence[str], root: Path, near: Path) -> Match:
    """Match cells (R,) and sources (I,): each instance is a thing of its own.

    A cell is a path relative to `root`, or to the folder `near` of the table, or an absolute
    one; or the name alone, where one file alone has it; each with the file's ending or without.
    """
    whole = {source: number for number, source in enumerate(sources)}
    rows = [whole.get(cell, NONE) for cell in cells]
    left = [row for row, number in enumerate(rows) if number == NONE and cells[row].strip()]
    if left:
        names = _Names(sources, whole, root, near)
        for row in left:
            rows[row] = names.find(table.slashes(cells[row]))
    return Match(rows, list(range(len(sources))))


class _Names:
    """The ways in which a file may be named."""

    def __init__(
        self, sources: Sequence[str], whole: Mapping[str, int], root: Path, near: Path
    ) -> None:
        self.root, self.near = os.path.abspath(root), os.path.abspath(near)  # noqa: PTH100
        bare = [base_name(source) for source in sources]
        self.ways = [
            whole,
            _unique(bare),
            _unique([_stem(source) for source in sources]),
            _unique([_stem(name) for name in bare]),
        ]

    def find(self, cell: str) -> int:
        """Return the file that a cell names, `NONE`, or `SEVERAL` where it names several."""
        for way in self.ways:
            for name in (cell, *self._relative(cell)):
                if name in way:
                    return way[name]
        return NONE

    def _relative(self, cell: str) -> list[str]:
        """Return the path from the root of a path from the table's folder."""
        if "/" not in cell:
            return []
        paths = [os.path.normpath(os.path.join(base, cell)) for base in (self.root, self.near)]  # noqa: PTH118
        return [p[len(self.root) + 1 :] for p in paths if p.startswith(self.root + os.sep)]


def _unique(names: Sequence[str]) -> dict[str, int]:
    """Return name -> number; `SEVERAL` for one that stands more than once."""
    numbers: dict[str, int] = {}
    for number, name in enumerate(names):
        numbers[name] = SEVERAL if name in numbers else number
    return numbers


def base_name(source: str) -> str:
    """Return the name of a file, or of a member of an archive, without its folders."""
    return re.split("[/#]", source)[-1]


def _stem(name: str) -> str:
    start, dot, _ = name.rpartition(".")
    return start if dot and not start.endswith("/") and start else name


def plain_ids(columns: Mapping[str, Sequence[str]], what: str) -> dict[str, int]:
    """Return id without blanks, zeros and capitals -> an instance that has it."""
    ids = columns["source"] if what == "file" else columns[what]
    if what == "file":
        ids = [base_name(source) for source in ids]
    return {plain_text(id_): number for number, id_ in enumerate(ids) if id_}
