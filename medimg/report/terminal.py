"""`print_table`: an evaluation in the terminal, or as plain text where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import Metrics
from medimg.report.in_short import lines
from medimg.report.words import (
    DISCLAIMER,
    cases_text,
    conditional_text,
    in_reading_order,
    interval_text,
    label,
    method_text,
    null_text,
    task_text,
    value_text,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
#: Room for the name of a class, for one number over its interval, and between two, in letters.
NAME, CELL, GAP = 16, 13, 3
INTERVAL = "95% interval"


def print_table(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print the numbers of an evaluation with their intervals, methods, units and n.

    Metrics and operating points in full, without what one of two classes says twice; other
    prevalences, groups, prediction sets and another set in short. The rest stands in the report.

    Parameters
    ----------
    evaluation : Evaluation
        What to print.
    console : rich.console.Console, optional
        Where to; standard output by default, 100 columns wide where that is no terminal. Of a
        wider one 100 columns are used.
    """
    from rich.console import Console

    if console is None:
        console = Console() if Console().is_terminal else Console(width=WIDTH)
    words, reasons = _Words(console), _Reasons()
    width = min(console.width, WIDTH)
    parts: list[Table | Text] = [words(_heading(evaluation)), _metrics(evaluation, words, reasons)]
    points = {f"{o.label}: {o.rule}": o.metrics for o in evaluation.operating}
    for corner, rows in (("operating point", points), ("class", _classes(evaluation))):
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        for some in _chunks(names, max((width - NAME) // (CELL + GAP), 1)):
            parts.append(_rows(corner, rows, some, words, reasons))
            parts += map(words, _methods(rows, some))
    parts += map(words, [*lines(evaluation), *reasons.lines(), *evaluation.notes])
    parts.append(words(f"\n{conditional_text(evaluation)} {DISCLAIMER}"))
    for part in parts:
        console.print(part, width=width)


class _Words:
    """Text as this console can show it: no markup, no control codes, no foreign letters."""

    def __init__(self, console: Console) -> None:
        self.encoding = console.encoding

    def __call__(self, words: str) -> Text:
        from rich.text import Text

        seen = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in words)
        if not self.encoding.lower().startswith("utf"):
            seen = seen.replace("–", "-").encode(self.encoding, "replace").decode(self.encoding)
        return Text(seen)


class _Reasons:
    """Numbers the reasons why something is missing, so that each is written once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def interval(self, estimate: Estimate) -> str:
        """Return the interval and the mark of the reason, whichever there are."""
        interval, reason = interval_text(estimate), estimate.reason
        if reason is None:
            return interval or "none"
        number = self.numbers.setdefault(reason, len(self.numbers) + 1)
        return f"{interval or 'none'} [{number}]"

    def lines(self) -> Iterable[str]:
        return (f"[{number}] {reason}" for reason, number in self.numbers.items())


def _heading(evaluation: Evaluation) -> str:
    calibrated = "calibrated" if evaluation.calibrated else "not calibrated"
    split = f"{evaluation.split}: " if evaluation.split else ""
    cases = cases_text(evaluation.n, evaluation.n_patients)
    return f"{split}{cases}; {task_text(evaluation.space)}; probabilities {calibrated}"


def _classes(evaluation: Evaluation) -> Mapping[str, Metrics]:
    """Return the metrics of each class; none of two with a target condition.

    Those of the condition stand among all metrics, and those of its absence mirror them.
    """
    return {} if evaluation.space.positive is not None else evaluation.per_class


def _metrics(evaluation: Evaluation, words: _Words, reasons: _Reasons) -> Table:
    names = ["metric", "value", INTERVAL, "method", "unit", "cases"]
    names += [] if evaluation.n_patients is None else ["patients"]
    table = _table(*map(words, names), right=("value", "cases", "patients"))
    condition = evaluation.space.positive is not None
    for name, e in in_reading_order(evaluation).items():
        if condition and name.endswith("_macro"):
            continue
        method = method_text(e).split(", by ")[0]
        beside = "\n".join([reasons.interval(e), *null_text(e).split(", ")]).rstrip()
        cells = [label(name), value_text(e), beside, method, e.unit]
        counts = [e.n] if evaluation.n_patients is None else [e.n, e.n_patients]
        table.add_row(*map(words, cells + ["–" if n is None else f"{n:,}" for n in counts]))
    return table


def _rows(
    corner: str,
    rows: Mapping[str, Mapping[str, Estimate]],
    names: Sequence[str],
    words: _Words,
    reasons: _Reasons,
) -> Table:
    labels = [_in_lines(label(name)) for name in names]
    table = _table(*map(words, (corner, *labels)), right=labels)
    for name_of_row, row in rows.items():
        found = [row.get(name) for name in names]
        cells = ["" if e is None else _in_a_cell(e, reasons.interval(e)) for e in found]
        table.add_row(*map(words, (name_of_row, *cells)))
    return table


def _methods(rows: Mapping[str, Mapping[str, Estimate]], names: Sequence[str]) -> Iterable[str]:
    """Yield each method with the columns that it made and the n that they rest on."""
    methods: dict[str, list[str]] = {}
    for name in names:
        column = [row[name] for row in rows.values() if name in row]
        few, many = min(e.n for e in column), max(e.n for e in column)
        n = f"{few:,}" if few == many else f"{few:,} to {many:,}"
        for method in dict.fromkeys(method_text(e) for e in column if e.low is not None):
            methods.setdefault(method, []).append(f"{label(name)} (n {n})")
    for method, columns in methods.items():
        yield f"{method}: {', '.join(columns)}"


def _table(*names: Text, right: Sequence[str]) -> Table:
    """Return an empty table; its columns of numbers are as wide as they need, never broken."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        justify: Literal["right", "left"] = "right" if name.plain in right else "left"
        whole = justify == "right" or name.plain == INTERVAL
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole)
    return table


def _in_lines(words: str) -> str:
    """Return words in lines of at most `CELL` letters, where they have blanks."""
    return "\n".join(wrap(words, CELL, break_long_words=False))


def _in_a_cell(estimate: Estimate, interval: str) -> str:
    """Return a number over its interval, which is broken after its dash where it is long."""
    broken = _in_lines(interval)
    if max(map(len, broken.split("\n"))) > CELL:
        broken = _in_lines(interval.replace("–", "– ")).replace("– ", "–")
    return f"{value_text(estimate)}\n{broken}"


def _chunks(names: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (names[i : i + size] for i in range(0, len(names), size))
