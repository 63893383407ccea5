"""The metrics of each kind of label space, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from medimg.evaluation.metrics import averages, counts, decided, ranks, terms
from medimg.evaluation.metrics.arithmetic import ClassMetric, Decide, Floats, Metric
from medimg.evaluation.metrics.bins import ece_positive, ece_top_label, label_ece
from medimg.evaluation.metrics.counts import Counts, count, most_probable, over_half

COUNTED: Mapping[str, Callable[[Counts], Floats]] = {
    "recall": counts.recall_of,
    "specificity": counts.specificity_of,
    "precision": counts.precision_of,
    "npv": counts.npv_of,
    "f1": counts.f1_of,
    "class_mcc": counts.class_mcc_of,
    "lr_positive": counts.lr_positive_of,
    "lr_negative": counts.lr_negative_of,
    "prevalence": counts.prevalence_of,
}
"""What one count of outcomes tells of each class, by name."""


def of_decisions(
    probabilities: Any,
    targets: Any,
    weights: Any = None,
    *,
    of: Callable[[Counts], Floats],
    decide: Decide = most_probable,
) -> Floats:
    """Return what counts tell of each class (K,), such as `recall_of`, from decisions."""
    return of(count(decide(probabilities), targets, weights))


def of_class(
    probabilities: Any,
    targets: Any,
    weights: Any = None,
    *,
    metric: ClassMetric,
    k: int = 1,
) -> float:
    """Return a metric of class `k` against the rest, by default of the second class."""
    return float(metric(probabilities, targets, weights)[k])


PER_CLASS: Mapping[str, ClassMetric] = {
    **{name: partial(of_decisions, of=of) for name, of in COUNTED.items()},
    "auroc": ranks.auroc,
    "average_precision": ranks.average_precision,
    "auroc_partial": ranks.auroc_partial,
    "sensitivity_at_specificity": ranks.sensitivity_at_specificity,
    "specificity_at_sensitivity": ranks.specificity_at_sensitivity,
}
"""Metrics of each class against the rest, for exclusive classes."""

PER_LABEL: Mapping[str, ClassMetric] = {
    **PER_CLASS,
    **{name: partial(of_decisions, of=of, decide=over_half) for name, of in COUNTED.items()},
}
"""Metrics of each label, for `multilabel`."""

_EXCLUSIVE: Mapping[str, Metric] = {
    "accuracy": decided.accuracy,
    "no_information_rate": decided.no_information_rate,
    "balanced_accuracy": decided.recall_macro,
    "recall_macro": decided.recall_macro,
    "specificity_macro": decided.specificity_macro,
    "precision_macro": decided.precision_macro,
    "f1_macro": decided.f1_macro,
    "mcc": decided.mcc,
    "kappa": decided.kappa,
    "auroc_macro": averages.auroc_macro,
    "average_precision_macro": averages.average_precision_macro,
    "brier": terms.brier,
    "nll": terms.nll,
}
_POOLED: Mapping[str, Metric] = {
    "auroc_weighted": averages.auroc_weighted,
    "auroc_micro": averages.auroc_micro,
    "average_precision_weighted": averages.average_precision_weighted,
    "average_precision_micro": averages.average_precision_micro,
}

MULTICLASS: Mapping[str, Metric] = {
    **_EXCLUSIVE,
    **_POOLED,
    "auroc_ovo": averages.auroc_ovo,
    **{f"top_{k}_accuracy": partial(terms.top_k_accuracy, k=k) for k in terms.TOP},
    "ece": ece_top_label,
}
"""More than two classes; for two the pairs and the pooled averages say nothing more."""

TWO_CLASSES: Mapping[str, Metric] = {
    **_EXCLUSIVE,
    "sensitivity": partial(of_class, metric=PER_CLASS["recall"]),
    "ppv": partial(of_class, metric=PER_CLASS["precision"]),
    **{
        name: partial(of_class, metric=metric)
        for name, metric in PER_CLASS.items()
        if name not in ("recall", "precision", "class_mcc")
    },
    "ece": ece_positive,
    "ece_top_label": ece_top_label,
}
"""Two classes; the target condition is the second."""

ORDINAL: Mapping[str, Metric] = {
    **MULTICLASS,
    "grade_error": decided.grade_error,
    "quadratic_kappa": decided.quadratic_kappa,
}
MULTILABEL: Mapping[str, Metric] = {
    "accuracy": decided.label_accuracy,
    "no_information_rate": decided.label_no_information_rate,
    "exact_match": terms.exact_match,
    "balanced_accuracy": decided.label_balanced_accuracy,
    "recall_macro": partial(decided.recall_macro, decide=over_half),
    "specificity_macro": partial(decided.specificity_macro, decide=over_half),
    "precision_macro": partial(decided.precision_macro, decide=over_half),
    "f1_macro": partial(decided.f1_macro, decide=over_half),
    "mcc": decided.label_mcc,
    "kappa": decided.label_kappa,
    "auroc_macro": averages.auroc_macro,
    "average_precision_macro": averages.average_precision_macro,
    **_POOLED,
    "brier": terms.label_brier,
    "nll": terms.label_nll,
    "ece": label_ece,
}
