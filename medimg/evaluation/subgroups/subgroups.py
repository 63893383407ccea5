"""The metrics of groups of cases, and how far each group lies from all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from medimg.evaluation.estimates.direction import is_better
from medimg.evaluation.intervals.differences import simultaneous
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import Group, Subgroups
from medimg.evaluation.sample import Sample
from medimg.evaluation.sample.groups import Groups, cells_of, groups_of
from medimg.evaluation.subgroups.parts import GroupAgainstRest, against_rest

#: What is shown of each group, in this order, where the kind of task has it.
METRICS = (
    *("prevalence", "accuracy", "exact_match", "balanced_accuracy", "sensitivity", "specificity"),
    *("ppv", "npv", "f1", "f1_macro", "auroc", "auroc_macro", "average_precision"),
    *("average_precision_macro", "grade_error", "quadratic_kappa", "brier", "ece"),
)
#: Figures of the people in a group, of which none is worst.
_OF_PEOPLE = ("prevalence",)


def subgroups(
    sample: Sample, metadata: pd.DataFrame, options: EvaluateOptions
) -> tuple[Subgroups, ...]:
    """Return the groups of each column of `options.subgroups`.

    Each metric of a group gets the interval that it gets for all cases. A gap is that of the
    group less that of all other cases; the intervals of one metric's gaps hold together for all
    groups of the column, and their p-values are adjusted for their number (not for the number
    of metrics or columns): see `differences.simultaneous`. Group and others are resampled by patient
    in common, so that a patient with cases in both counts as one; the note says how many resamples
    were drawn again because a group had lost a class.

    Groups under ten patients are counted and neither named nor shown. Where fewer than two
    groups are left there is no gap: it would tell what the few others are like.

    Parameters
    ----------
    sample : Sample
    metadata : DataFrame (N rows)
        One row for each case of the sample.
    options : EvaluateOptions
        `subgroups`, `resamples` and `seed`.

    Raises
    ------
    UsageError
        A column that the metadata do not have.
    """
    columns = {name: cells_of(metadata, name) for name in options.subgroups}
    return tuple(
        _of_column(sample, groups_of(name, cells, sample.units), options)
        for name, cells in columns.items()
    )


def _of_column(sample: Sample, groups: Groups, options: EvaluateOptions) -> Subgroups:
    found, redrawn = against_rest(sample, groups.masks, _names(sample), options)
    gaps = _gaps(found)
    shown = tuple(
        Group(
            name=name,
            n=int(rows.sum()),
            n_patients=sample.units.patients(rows),
            metrics=found[name].group,
            gaps=gaps[name],
        )
        for name, rows in groups.masks.items()
    )
    return Subgroups(
        column=groups.column,
        groups=shown,
        suppressed=groups.suppressed,
        suppressed_cases=groups.suppressed_cases,
        worst=_worst(shown),
        note="; ".join(note for note in (groups.note, _of_redrawn(redrawn)) if note),
    )


def _of_redrawn(redrawn: int) -> str:
    if not redrawn:
        return ""
    return f"{redrawn} resamples in which a group had lost a class were drawn again"


def _names(sample: Sample) -> list[str]:
    """Return the metrics to show; of a target condition no mean over the two classes."""
    condition = sample.two_classes and sample.space.positive is not None
    return [name for name in METRICS if not (condition and name.endswith("_macro"))]


def _gaps(found: Mapping[str, GroupAgainstRest]) -> dict[str, dict[str, Estimate]]:
    """Return the gaps of each group; those of one metric get their intervals together."""
    gaps: dict[str, dict[str, Estimate]] = {name: {} for name in found}
    if len(found) < 2:
        return gaps
    for metric in next(iter(found.values())).group:
        for name, gap in _with_intervals(metric, found).items():
            gaps[name][metric] = gap
    return gaps


def _with_intervals(metric: str, found: Mapping[str, GroupAgainstRest]) -> dict[str, Estimate]:
    gaps = {name: compared.gap(metric) for name, compared in found.items()}
    each = {name: compared.difference(metric) for name, compared in found.items()}
    sure = {name: d for name, d in each.items() if d is not None}
    if not sure:
        return gaps
    draws = np.stack([found[n].draws[metric][0] - found[n].draws[metric][1] for n in sure])
    ends = simultaneous(list(sure.values()), draws)
    if ends is None:
        reason = "every resample gives the same value: the bootstrap cannot tell its spread"
        return gaps | {name: replace(gaps[name], reason=reason) for name in sure}
    for name, (low, high, p) in zip(sure, ends, strict=True):
        gaps[name] = replace(gaps[name], low=low, high=high, method="max-t", expected=0.0, p=p)
    return gaps


def _worst(groups: Sequence[Group]) -> dict[str, str]:
    """Return the group with the worst value of each metric, of those that have an interval."""
    worst = {}
    for metric in (m for m in METRICS if m not in _OF_PEOPLE):
        found = {g.name: g.metrics[metric] for g in groups if metric in g.metrics}
        values = {
            name: e.value * is_better(metric)
            for name, e in found.items()
            if e.value is not None and e.low is not None
        }
        if len(values) > 1:
            worst[metric] = min(values, key=values.__getitem__)
    return worst
