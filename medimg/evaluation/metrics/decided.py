"""Metrics of what is decided: the most probable class, or every label over one half."""

from __future__ import annotations

from typing import Any

from medimg.evaluation.metrics.agreement import (
    grade_error_of,
    kappa_of,
    mcc_of,
    quadratic_kappa_of,
)
from medimg.evaluation.metrics.arithmetic import Decide, Floats
from medimg.evaluation.metrics.counts import (
    accuracy_of,
    confusion,
    count,
    f1_macro_of,
    label_accuracy_of,
    label_balanced_accuracy_of,
    label_kappa_of,
    label_mcc_of,
    label_no_information_rate_of,
    most_probable,
    no_information_rate_of,
    over_half,
    precision_macro_of,
    recall_macro_of,
    specificity_macro_of,
)


def accuracy(
    probabilities: Any, targets: Any, weights: Any = None, *, decide: Decide = most_probable
) -> float:
    """Return the share of cases whose most probable class is the true one."""
    return float(accuracy_of(count(decide(probabilities), targets, weights)))


def recall_macro(
    probabilities: Any, targets: Any, weights: Any = None, *, decide: Decide = most_probable
) -> float:
    """Return the mean recall of the classes that have cases; the balanced accuracy."""
    return float(recall_macro_of(count(decide(probabilities), targets, weights)))


def specificity_macro(
    probabilities: Any, targets: Any, weights: Any = None, *, decide: Decide = most_probable
) -> float:
    """Return the mean over classes of the share of other cases that are not taken for it."""
    return float(specificity_macro_of(count(decide(probabilities), targets, weights)))


def precision_macro(
    probabilities: Any, targets: Any, weights: Any = None, *, decide: Decide = most_probable
) -> float:
    """Return the mean precision; a class that has cases and is never predicted counts as 0."""
    return float(precision_macro_of(count(decide(probabilities), targets, weights)))


def f1_macro(
    probabilities: Any, targets: Any, weights: Any = None, *, decide: Decide = most_probable
) -> float:
    """Return the mean F1 of the classes that have cases or are predicted."""
    return float(f1_macro_of(count(decide(probabilities), targets, weights)))


def mcc(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return Matthews' correlation of the true and the most probable class."""
    return float(mcc_of(_table(probabilities, targets, weights)))


def kappa(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return Cohen's kappa of the true and the most probable class."""
    return float(kappa_of(_table(probabilities, targets, weights)))


def quadratic_kappa(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return Cohen's kappa with quadratic weights of the most probable grade."""
    return float(quadratic_kappa_of(_table(probabilities, targets, weights)))


def grade_error(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean absolute error of the most probable grade, for ordered classes."""
    return float(grade_error_of(_table(probabilities, targets, weights)))


def no_information_rate(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the accuracy of always deciding for the commonest class, whatever is decided."""
    return float(no_information_rate_of(count(most_probable(probabilities), targets, weights)))


def label_accuracy(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the share of known labels decided right at .5. Rare labels make it high for nothing."""
    return float(label_accuracy_of(count(over_half(probabilities), targets, weights)))


def label_balanced_accuracy(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over labels of (sensitivity + specificity) / 2 at .5."""
    return float(label_balanced_accuracy_of(count(over_half(probabilities), targets, weights)))


def label_mcc(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over labels of Matthews' correlation at .5."""
    return float(label_mcc_of(count(over_half(probabilities), targets, weights)))


def label_kappa(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over labels of Cohen's kappa at .5."""
    return float(label_kappa_of(count(over_half(probabilities), targets, weights)))


def label_no_information_rate(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the label accuracy of always deciding what is commoner, whatever is decided."""
    return float(label_no_information_rate_of(count(over_half(probabilities), targets, weights)))


def _table(probabilities: Any, targets: Any, weights: Any) -> Floats:
    return confusion(most_probable(probabilities), targets, weights)
