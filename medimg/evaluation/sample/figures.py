"""Which metrics follow from one count of decisions, and which from the areas of each class."""

from __future__ import annotations

from medimg.evaluation import metrics as m
from medimg.evaluation.metrics import Counts, Floats
from medimg.labels import LabelSpace

Figures = dict[str, Floats]
"""Metrics of R sets of weights: over all classes (R,), for each class (K, R)."""

POOLED = ("auroc", "average_precision")
"""Areas that are averaged over the classes in several ways."""


def figures(counts: Counts, table: Floats | None, space: LabelSpace) -> Figures:
    """Return every metric that follows from one count of decisions, (K, ...) and (...).

    `table` (K, K, ...) is the confusion matrix, for exclusive classes.
    """
    each = {name: of(counts) for name, of in m.COUNTED.items()}
    macro = {
        "recall_macro": m.mean_defined(each["recall"]),
        "specificity_macro": m.mean_defined(each["specificity"]),
        "precision_macro": m.precision_macro_of(counts),
        "f1_macro": m.mean_defined(each["f1"]),
    }
    if not space.exclusive or table is None:
        return _of_labels(counts) | macro | each
    values = {
        "accuracy": m.accuracy_of(counts),
        "no_information_rate": m.no_information_rate_of(counts),
        "balanced_accuracy": macro["recall_macro"],
        "mcc": m.mcc_of(table),
        "kappa": m.kappa_of(table),
    }
    if space.kind == "ordinal":
        values["grade_error"] = m.grade_error_of(table)
        values["quadratic_kappa"] = m.quadratic_kappa_of(table)
    return values | macro | each


def means(each: Figures, cases: Floats | None) -> Figures:
    """Return the means over classes of areas (K, R), plain and weighted by `cases` (K, R).

    For two exclusive classes there is nothing to weigh: `cases` is None.
    """
    areas = {name: each[name] for name in POOLED if name in each}
    found = {f"{name}_macro": m.mean_defined(area) for name, area in areas.items()}
    if cases is None:
        return found
    return found | {f"{name}_weighted": m.mean_defined(area, cases) for name, area in areas.items()}


def _of_labels(counts: Counts) -> Figures:
    return {
        "accuracy": m.label_accuracy_of(counts),
        "no_information_rate": m.label_no_information_rate_of(counts),
        "balanced_accuracy": m.label_balanced_accuracy_of(counts),
        "mcc": m.label_mcc_of(counts),
        "kappa": m.label_kappa_of(counts),
    }
