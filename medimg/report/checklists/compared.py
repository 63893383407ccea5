"""Facts of comparisons: groups, runs, and another set; None where nothing was compared."""

from __future__ import annotations

from medimg.evaluation.results.estimate import Estimate
from medimg.report.checklists import found
from medimg.report.checklists.found import few
from medimg.report.checklists.items import Known, joined
from medimg.report.findings import plural
from medimg.report.words import cases_text, label, number, p_text, short_text


def characteristics(known: Known) -> str | None:
    """Return the classes and the named columns of the evaluated cases."""
    lines = [found.classes(known)]
    for column in known.evaluation.subgroups:
        groups = [f"{g.name} {cases_text(g.n, g.n_patients)}" for g in column.groups]
        small = plural(column.suppressed, "group")
        hidden = f"; {small} of fewer than ten patients not named" if column.suppressed else ""
        lines.append(f"{column.column}: {few(groups, 20)}{hidden}.")
    return joined(*lines)


def gaps(known: Known) -> str | None:
    """Return which groups differ from the rest by more than chance would make them."""
    lines = []
    for column in known.evaluation.subgroups:
        apart = [
            f"{label(name)} in {group.name} {_estimate(gap)}"
            for group in column.groups
            for name, gap in group.gaps.items()
            if _leaves_out_zero(gap)
        ]
        kept = f"gaps whose interval leaves out 0: {few(apart, 4, '; ') or 'none'}"
        lines.append(f"By {column.column} ({plural(len(column.groups), 'group')}), {kept}.")
    return joined(*lines)


def runs(known: Known) -> str | None:
    """Return how far the runs of one model lie apart."""
    shown = [r for r in known.evaluation.runs if r.sd_runs is not None][:3]
    said = [
        f"{label(r.metric)} {short_text(r.mean)}, standard deviation of runs {number(r.sd_runs)}"
        for r in shown
        if r.sd_runs is not None
    ]
    return f"{len(shown[0].values)} runs of one model: {'; '.join(said)}." if said else None


def compared(known: Known) -> str | None:
    """Return which groups and runs were compared, and how."""
    e = known.evaluation
    columns = ", ".join(f"{s.column} ({plural(len(s.groups), 'group')})" for s in e.subgroups)
    lines = [
        f"Metrics in groups by {columns}; gaps to all others, with intervals that hold together "
        "for all groups of a column."
        if columns
        else "",
        f"{len(e.runs[0].values)} runs of one model taken together." if e.runs else "",
    ]
    return joined(*lines)


def performance(known: Known) -> str | None:
    """Return the headline metrics, how far runs lie apart, and which groups differ."""
    return joined(found.performance(known), runs(known), gaps(known))


def failures(known: Known) -> str | None:
    """Return how many decisions are wrong, and in which groups it does worse."""
    return joined(found.crosstab(known), gaps(known))


def other_set(known: Known) -> str | None:
    """Return how the cases differ from those of another set, where one was given."""
    shift = known.evaluation.shift
    if shift is None:
        return None
    differing = [
        f"{label(r.what)} {_value(r.here)} here, {_value(r.reference)} there"
        for r in (*shift.rows, *shift.metrics)
        if _leaves_out_zero(r.difference)
    ]
    beside = f"Beside {shift.reference} ({cases_text(shift.n_reference, None)})"
    what = few(differing, 6, "; ") or "none"
    return f"{beside}, differences whose interval leaves out 0: {what}."


def _value(value: float | None) -> str:
    return "–" if value is None else number(value)


def _leaves_out_zero(difference: Estimate) -> bool:
    low, high = difference.low, difference.high
    return low is not None and high is not None and (low > 0 or high < 0)


def _estimate(estimate: Estimate) -> str:
    p = "" if estimate.p is None else f", {p_text(estimate.p)}"
    return f"{short_text(estimate)}{p}"
