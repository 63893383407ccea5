"""Decisions, and what is worked out from one count of their outcomes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from medimg.evaluation.metrics.arithmetic import (
    Bools,
    Floats,
    case_weights,
    known_values,
    mean_defined,
    ratio,
)


def most_probable(probabilities: Any) -> Bools:
    """Return decisions bool (N, K): the class of the highest probability, the first of equals."""
    values = np.asarray(probabilities)
    return np.asarray(values.argmax(axis=1)[:, None] == np.arange(values.shape[1]))


def over_half(probabilities: Any) -> Bools:
    """Return decisions bool (N, K): every label with a probability over one half."""
    return np.asarray(np.asarray(probabilities) > 0.5)


class Counts(NamedTuple):
    """Weighted cases of each class against the rest; every field (K, ...)."""

    tn: Floats
    fp: Floats
    fn: Floats
    tp: Floats


def count(decisions: Bools, targets: Any, weights: Any = None) -> Counts:
    """Return the outcomes of decisions bool (N, K), counted over known targets alone."""
    known, truth = known_values(targets)
    weight = known * case_weights(weights, len(truth))[:, None]
    true, positive = truth * weight, decisions * weight
    tp = (true * decisions).sum(axis=0)
    fp, fn = positive.sum(axis=0) - tp, true.sum(axis=0) - tp
    return Counts(weight.sum(axis=0) - tp - fp - fn, fp, fn, tp)


def confusion(decisions: Bools, targets: Any, weights: Any = None) -> Floats:
    """Return weighted counts float64 (K, K), rows true and columns decided; exclusive classes."""
    _, truth = known_values(targets)
    table = truth.T @ (decisions * case_weights(weights, len(truth))[:, None])
    return np.asarray(table, np.float64)


def counts_of_confusion(table: Floats) -> Counts:
    """Return each class against the rest of a confusion matrix (K, K, ...)."""
    tp = np.einsum("kk...->k...", table)
    fp, fn = table.sum(axis=0) - tp, table.sum(axis=1) - tp
    return Counts(table.sum(axis=(0, 1)) - tp - fp - fn, fp, fn, tp)


def recall_of(c: Counts) -> Floats:
    """Return TP / (TP + FN), the sensitivity (K, ...)."""
    return ratio(c.tp, c.tp + c.fn)


def specificity_of(c: Counts) -> Floats:
    """Return TN / (TN + FP) (K, ...)."""
    return ratio(c.tn, c.tn + c.fp)


def precision_of(c: Counts) -> Floats:
    """Return TP / (TP + FP), the positive predictive value (K, ...)."""
    return ratio(c.tp, c.tp + c.fp)


def npv_of(c: Counts) -> Floats:
    """Return TN / (TN + FN), the negative predictive value (K, ...)."""
    return ratio(c.tn, c.tn + c.fn)


def f1_of(c: Counts) -> Floats:
    """Return 2 TP / (2 TP + FP + FN) (K, ...)."""
    return ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)


def class_mcc_of(c: Counts) -> Floats:
    """Return Matthews' correlation of each class with what is decided (K, ...).

    0 where every case is decided alike; NaN where every case is of one kind. Matthews, Biochim.
    Biophys. Acta 405 (1975) 442.
    """
    cases, others = c.tp + c.fn, c.tn + c.fp
    spread = np.sqrt(cases * others) * np.sqrt((c.tp + c.fp) * (c.tn + c.fn))
    value = ratio(c.tp * c.tn - c.fp * c.fn, spread)
    return np.where((cases > 0) & (others > 0), np.nan_to_num(value), np.nan)


def class_kappa_of(c: Counts) -> Floats:
    """Return Cohen's kappa of each class with what is decided (K, ...)."""
    total, chance = sum(c), (c.tp + c.fn) * (c.tn + c.fn) + (c.tn + c.fp) * (c.tp + c.fp)
    return 1 - ratio((c.fp + c.fn) * total, chance)


def lr_positive_of(c: Counts) -> Floats:
    """Return sensitivity / (1 - specificity), the positive likelihood ratio (K, ...).

    NaN where nothing is a false alarm: the ratio has no bound then. Deeks and Altman, BMJ 329
    (2004) 168.
    """
    return ratio(c.tp * (c.tn + c.fp), c.fp * (c.tp + c.fn))


def lr_negative_of(c: Counts) -> Floats:
    """Return (1 - sensitivity) / specificity, the negative likelihood ratio (K, ...)."""
    return ratio(c.fn * (c.tn + c.fp), c.tn * (c.tp + c.fn))


def prevalence_of(c: Counts) -> Floats:
    """Return the share of known cases that have the class (K, ...)."""
    return ratio(c.tp + c.fn, sum(c))


def accuracy_of(c: Counts) -> Floats:
    """Return the share of cases in the right class, for exclusive classes (...)."""
    # A case counts in every class's row: the sum over one row is the number of cases.
    return ratio(c.tp.sum(axis=0), (c.tn + c.fp + c.fn + c.tp)[0])


def label_accuracy_of(c: Counts) -> Floats:
    """Return the share of known labels decided right, for `multilabel` (...)."""
    return ratio((c.tp + c.tn).sum(axis=0), (c.tn + c.fp + c.fn + c.tp).sum(axis=0))


def recall_macro_of(c: Counts) -> Floats:
    """Return the mean recall of the classes that have cases (...)."""
    return mean_defined(recall_of(c))


def specificity_macro_of(c: Counts) -> Floats:
    """Return the mean specificity of the classes that have other cases (...)."""
    return mean_defined(specificity_of(c))


def label_balanced_accuracy_of(c: Counts) -> Floats:
    """Return the mean over labels of (sensitivity + specificity) / 2, for `multilabel` (...)."""
    return mean_defined((recall_of(c) + specificity_of(c)) / 2)


def precision_macro_of(c: Counts) -> Floats:
    """Return the mean precision of the classes that have cases or are predicted (...).

    A class that has cases and is never predicted counts as 0: leaving it out would reward a
    model for giving the class up.
    """
    value = precision_of(c)
    return mean_defined(np.where(np.isnan(value) & (c.fn > 0), 0.0, value))


def f1_macro_of(c: Counts) -> Floats:
    """Return the mean F1 of the classes that have cases or are predicted (...)."""
    return mean_defined(f1_of(c))


def label_mcc_of(c: Counts) -> Floats:
    """Return the mean over labels of Matthews' correlation, for `multilabel` (...)."""
    return mean_defined(class_mcc_of(c))


def label_kappa_of(c: Counts) -> Floats:
    """Return the mean over labels of Cohen's kappa, for `multilabel` (...)."""
    return mean_defined(class_kappa_of(c))


def no_information_rate_of(c: Counts) -> Floats:
    """Return the accuracy of always deciding for the commonest class, for exclusive classes (...).

    What accuracy has to be read against: a set of 90% healthy people gives .9 for nothing.
    """
    return np.asarray(prevalence_of(c).max(axis=0))


def label_no_information_rate_of(c: Counts) -> Floats:
    """Return the label accuracy of always deciding what is commoner, for `multilabel` (...)."""
    commoner = np.maximum(c.tp + c.fn, c.tn + c.fp)
    return ratio(commoner.sum(axis=0), np.sum(c, axis=(0, 1)))
