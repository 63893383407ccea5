"""Parts of an evaluation in a line each, for the terminal; the whole of them stands in the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import ShiftRow, Subgroups
from medimg.report.sections.groups import forest_names
from medimg.report.words import headline_names, label, number, short_text


def lines(evaluation: Evaluation) -> Iterator[str]:
    """Yield what is to know of other prevalences, groups, prediction sets and another set."""
    yield from _prevalences(evaluation)
    yield from _groups(evaluation)
    yield from _sets(evaluation)
    yield from _shift(evaluation)


def _prevalences(evaluation: Evaluation) -> Iterator[str]:
    for row in evaluation.prevalence:
        found = "; ".join(f"{label(name)} {short_text(e)}" for name, e in row.metrics.items())
        yield f"at a prevalence of {row.prevalence:g}, {row.label}: {row.rule}: {found}"


def _groups(evaluation: Evaluation) -> Iterator[str]:
    """Yield the worst group of each column, by the metrics that a reader looks for first."""
    for found in evaluation.subgroups:
        names = [name for name in forest_names(evaluation) if name in found.worst]
        worst = [f"{label(name)}: {_with(found, name, found.worst[name])}" for name in names]
        if worst:
            yield f"worst group by {found.column}: {'; '.join(worst)}"


def _with(found: Subgroups, metric: str, name: str) -> str:
    """Return a group's name with its number."""
    value = next((g.metrics[metric] for g in found.groups if g.name == name), None)
    return name if value is None else f"{name} {short_text(value)}"


def _sets(evaluation: Evaluation) -> Iterator[str]:
    """Yield what prediction sets promised, what they kept, and how large they are."""
    for found in evaluation.conformal:
        by = f" by {found.by}" if found.by else ""
        kept = [f"{label(n).lower()} {short_text(e)}" for n, e in found.metrics.items()]
        yield f"sets ({found.method}{by}, {1 - found.alpha:g} promised): {'; '.join(kept)}"


def _shift(evaluation: Evaluation) -> Iterator[str]:
    """Yield how the first metrics differ from those of another set, and which figures differ."""
    found = evaluation.shift
    if found is None:
        return
    metrics = {row.what: row for row in found.metrics}
    first = [metrics[name] for name in headline_names(evaluation) if name in metrics]
    yield f"less {found.reference} ({found.n_reference:,} cases): {_differences(first)}"
    differ = [row for row in found.rows if _leaves_out_0(row.difference)]
    told = sum(row.difference.low is not None for row in found.rows)
    if told:
        words = f": {_differences(differ)}" if differ else ""
        yield f"figures of the cases that differ from {found.reference}: {len(differ)} of {told}{words}"


def _differences(rows: Sequence[ShiftRow]) -> str:
    return "; ".join(f"{label(row.what)} {_signed(row.difference)}" for row in rows)


def _signed(difference: Estimate) -> str:
    value = difference.value
    plus = "+" if value is not None and value > 0 and number(value) != "0.000" else ""
    return plus + short_text(difference)


def _leaves_out_0(difference: Estimate) -> bool:
    low, high = difference.low, difference.high
    return low is not None and high is not None and not low <= 0 <= high
