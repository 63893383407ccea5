"""Groups of cases beside each other: subgroups, runs, and another set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import Group, ShiftRow, Subgroups
from medimg.report.figures.forest import ForestRow, forest_plot
from medimg.report.grid import Grid, GridRow, grid
from medimg.report.svg import Figure
from medimg.report.words import cases_text, label, number

#: Metrics of which a forest is drawn, where groups have them.
FORESTS = (
    ("auroc", "sensitivity", "specificity", "brier"),
    ("auroc_macro", "balanced_accuracy", "accuracy", "brier"),
)


@dataclass(frozen=True)
class SubgroupsView:
    """The groups of one column."""

    column: str
    figures: list[Figure]
    gaps: Grid | None
    more_gaps: Grid | None
    metrics: Grid | None
    worst: str
    left_out: str
    note: str


def subgroups(e: Evaluation) -> list[SubgroupsView]:
    """Return a view of each column."""
    return [_view(e, i, found) for i, found in enumerate(e.subgroups)]


def forest_names(e: Evaluation) -> Sequence[str]:
    """Return the metrics that are drawn for groups."""
    return FORESTS[0] if e.space.k == 2 and e.space.exclusive else FORESTS[1]


def _view(e: Evaluation, i: int, found: Subgroups) -> SubgroupsView:
    first = forest_names(e)
    rows = [GridRow(g.name, g.metrics, cases_text(g.n, g.n_patients)) for g in found.groups]
    gaps = [GridRow(g.name, g.gaps, cases_text(g.n, g.n_patients)) for g in found.groups]
    others = [name for g in found.groups for name in g.gaps if name not in first]
    drawn = [_forest(f"forest-{i}-{j}", name, found.groups, e) for j, name in enumerate(first)]
    return SubgroupsView(
        column=found.column,
        figures=[figure for figure in drawn if figure is not None],
        gaps=grid("Group less the rest", gaps, first),
        more_gaps=grid("Group less the rest", gaps, others) if others else None,
        metrics=grid("Group", rows),
        worst="; ".join(f"{label(m)}: {g}" for m, g in found.worst.items() if m in first),
        left_out=_left_out(found),
        note=found.note,
    )


def _left_out(found: Subgroups) -> str:
    if not found.suppressed:
        return ""
    groups = "1 group" if found.suppressed == 1 else f"{found.suppressed} groups"
    cases = cases_text(found.suppressed_cases, None)
    return f"{groups} of fewer than ten patients ({cases} together) not shown."


def _forest(key: str, name: str, groups: Sequence[Group], e: Evaluation) -> Figure | None:
    rows = [ForestRow(g.name, f"{g.n:,}", g.metrics[name]) for g in groups if name in g.metrics]
    if not any(row.estimate.value is not None for row in rows):
        return None
    whole = e.metrics.get(name)
    value = None if whole is None else whole.value
    reference = None if value is None else (value, f"all cases: {number(value)}")
    return forest_plot(key, label(name), rows, reference=reference)


# ---------------------------------------------------------------- several runs, another set


@dataclass(frozen=True)
class RunView:
    """One metric of several runs: their values, and what spreads it."""

    name: str
    mean: Estimate
    values: str
    sd_runs: str
    sd_sample: str
    share: str


def runs(e: Evaluation) -> list[RunView]:
    """Return a row for each metric of several runs."""
    return [
        RunView(
            name=row.metric,
            mean=row.mean,
            values=", ".join(_or_dash(v) for v in row.values),
            sd_runs=_or_dash(row.sd_runs),
            sd_sample=_or_dash(row.sd_sample),
            share="–" if row.share_runs is None else f"{100 * row.share_runs:.0f}%",
        )
        for row in e.runs
    ]


@dataclass(frozen=True)
class ShiftView:
    """One figure of the set at hand, of the reference, and their difference."""

    what: str
    here: str
    reference: str
    difference: Estimate


def shift_rows(rows: Sequence[ShiftRow]) -> list[ShiftView]:
    """Return the rows of a shift in words."""
    return [
        ShiftView(label(r.what), _or_dash(r.here), _or_dash(r.reference), r.difference)
        for r in rows
    ]


def _or_dash(value: float | None) -> str:
    return "–" if value is None else number(value)
