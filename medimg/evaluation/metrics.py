"""Metrics: plain functions ``(probabilities, targets, weights=None) -> float``, in float64.

N cases, K classes. `probabilities` (N, K); `targets` (N, K) in {0, 1, NaN}, where NaN is unknown
and left out; `weights` (N,), none negative, where a weight of 2 counts a case twice. NaN comes
back where a metric is not defined. Functions that end in `_of` take sums in place of cases, with
any further axes behind (`...`), so that many resamples are worked out at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Metric(Protocol):
    """A function of probabilities (N, K), targets (N, K) and weights (N,)."""

    def __call__(self, probabilities: Any, targets: Any, weights: Any = None, /) -> float: ...


Decide = Callable[[Any], Bools]

BINS = 15


# Decisions and what comes of them


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
    known, truth = _known(targets)
    weight = known * _weights(weights, len(truth))[:, None]
    true, positive = truth * weight, decisions * weight
    tp = (true * decisions).sum(axis=0)
    fp, fn = positive.sum(axis=0) - tp, true.sum(axis=0) - tp
    return Counts(weight.sum(axis=0) - tp - fp - fn, fp, fn, tp)


def confusion(decisions: Bools, targets: Any, weights: Any = None) -> Floats:
    """Return weighted counts float64 (K, K), rows true and columns decided; exclusive classes."""
    _, truth = _known(targets)
    table = truth.T @ (decisions * _weights(weights, len(truth))[:, None])
    return np.asarray(table, np.float64)


def counts_of_confusion(table: Floats) -> Counts:
    """Return each class against the rest of a confusion matrix (K, K, ...)."""
    tp = np.einsum("kk...->k...", table)
    fp, fn = table.sum(axis=0) - tp, table.sum(axis=1) - tp
    return Counts(table.sum(axis=(0, 1)) - tp - fp - fn, fp, fn, tp)


# Of counts, for each class


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


# Of counts, for all classes together


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


# Of a confusion matrix of ordered classes


def grade_error_of(table: Floats) -> Floats:
    """Return the mean absolute error of the grade of a confusion matrix (K, K, ...)."""
    return ratio(np.tensordot(_distance(len(table)), table, 2), table.sum(axis=(0, 1)))


def quadratic_kappa_of(table: Floats) -> Floats:
    """Return Cohen's kappa with quadratic weights of a confusion matrix (K, K, ...).

    Cohen, Psychol. Bull. 70 (1968) 213.
    """
    cost = _distance(len(table)) ** 2
    seen = np.tensordot(cost, table, 2) * table.sum(axis=(0, 1))
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    chance = (rows * np.tensordot(cost, columns, 1)).sum(axis=0)
    return 1 - ratio(seen, chance)


# Ranks


def staircase(scores: Any, target: Any, weights: Any = None) -> tuple[Floats, Floats]:
    """Return false and true positives (M + 1,) as the threshold falls past M distinct scores.

    `scores`, `target` and `weights` are (N,). Cases of one score come in together, so that ties
    are neither won nor lost. Unknown cases and cases without weight are left out.
    """
    known, truth = _known(target)
    weight = _weights(weights, len(truth))
    rows = np.flatnonzero(known & (weight > 0))
    score = np.asarray(scores)[rows]
    order = np.argsort(-score, kind="stable")
    score, rows = score[order], rows[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)[: len(score)])
    false = np.cumsum(weight[rows] * (1 - truth[rows]))[last]
    true = np.cumsum(weight[rows] * truth[rows])[last]
    return np.append(0.0, false), np.append(0.0, true)


def auroc(probabilities: Any, targets: Any, weights: Any = None) -> Floats:
    """Return the area under the ROC curve of each class against the rest (K,).

    The chance that a case of the class scores above another one, a tie counting half (Hanley
    and McNeil, Radiology 143 (1982) 29). Exact for whole weights up to 2**53 pairs.
    """
    return _each_class(_auroc_one, probabilities, targets, weights)


def average_precision(probabilities: Any, targets: Any, weights: Any = None) -> Floats:
    """Return the average precision of each class against the rest (K,).

    The precision at each threshold weighted by the recall gained there, without interpolation.
    """
    return _each_class(_average_precision_one, probabilities, targets, weights)


def _auroc_one(false: Floats, true: Floats) -> float:
    area = (np.diff(false) * (true[1:] + true[:-1])).sum() / 2
    return float(area / (false[-1] * true[-1]))


def _average_precision_one(false: Floats, true: Floats) -> float:
    precision = true[1:] / (true[1:] + false[1:])
    return float((np.diff(true) * precision).sum() / true[-1])


def _each_class(
    one: Callable[[Floats, Floats], float], probabilities: Any, targets: Any, weights: Any
) -> Floats:
    pairs = zip(np.asarray(probabilities).T, np.asarray(targets).T, strict=True)
    steps = [staircase(p, t, weights) for p, t in pairs]
    # Without both kinds of case there is nothing to rank.
    return np.asarray([one(*s) if min(s[0][-1], s[1][-1]) > 0 else np.nan for s in steps])


# Probabilities


def brier_terms(probabilities: Any, targets: Any) -> Floats:
    """Return the squared error (N,) of each case, summed over exclusive classes; NaN if unknown.

    Halved for two classes, so that it is the usual (p - y)**2. Brier, Mon. Weather Rev. 78
    (1950) 1.
    """
    square = (np.asarray(probabilities, np.float64) - np.asarray(targets, np.float64)) ** 2
    total: Floats = square.sum(axis=1)
    return total / 2 if square.shape[1] == 2 else total


def label_brier_terms(probabilities: Any, targets: Any) -> Floats:
    """Return the squared error (N,) of each case, averaged over its known labels."""
    known, truth = _known(targets)
    square = np.where(known, (np.asarray(probabilities, np.float64) - truth) ** 2, 0)
    return ratio(square.sum(axis=1), known.sum(axis=1).astype(np.float64))


def nll_terms(probabilities: Any, targets: Any) -> Floats:
    """Return -log p (N,) of the true class of each case; NaN where it is unknown.

    A probability under 1e-12 is taken as 1e-12. Logits give it without that bound:
    `medimg.calibrator.log_likelihood_terms`.
    """
    logs = np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-12))
    return np.asarray(-(np.asarray(targets, np.float64) * logs).sum(axis=1))


def label_nll_terms(probabilities: Any, targets: Any) -> Floats:
    """Return the binary -log-likelihood (N,) of each case, averaged over its known labels."""
    known, truth = _known(targets)
    p = np.asarray(probabilities, np.float64)
    logs = np.log(np.maximum(np.where(truth > 0, p, 1 - p), 1e-12))
    return ratio(-(logs * known).sum(axis=1), known.sum(axis=1).astype(np.float64))


def exact_terms(probabilities: Any, targets: Any) -> Floats:
    """Return 1 (N,) where all known labels of a case are decided right, else 0."""
    known, truth = _known(targets)
    right = ((over_half(probabilities) == (truth > 0)) | ~known).all(axis=1)
    return np.where(known.any(axis=1), right, np.nan)


class Bins(NamedTuple):
    """A reliability table; every field float64 (15,), NaN for the means of an empty bin."""

    weight: Floats
    confidence: Floats
    frequency: Floats


def reliability(confidence: Any, hit: Any, weights: Any = None) -> Bins:
    """Return 15 equal-width bins of confidence (N,) in [0, 1] and what came of it (N,) in {0, 1}.

    A bin holds its lower edge; the last one holds 1 as well. Unknown cases are left out.
    """
    known, truth = _known(hit)
    weight = _weights(weights, len(truth)) * known
    confidence = np.asarray(confidence, np.float64)
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    mass, sure, came = (
        np.asarray(np.bincount(place, weight * v, BINS), np.float64)
        for v in (np.ones_like(confidence), confidence, truth)
    )
    return Bins(mass, ratio(sure, mass), ratio(came, mass))


def ece_of(bins: Bins) -> float:
    """Return the expected calibration error of a reliability table (plug-in, L1).

    Naeini, Cooper and Hauskrecht, AAAI 2015.
    """
    total = bins.weight.sum()
    gap = np.nan_to_num(np.abs(bins.confidence - bins.frequency))
    return float((gap * bins.weight).sum() / total) if total > 0 else float("nan")


def top_label(probabilities: Any, targets: Any) -> tuple[Floats, Floats]:
    """Return the highest probability (N,) and whether its class was right (N,), NaN unknown."""
    p = np.asarray(probabilities, np.float64)
    chosen = p.argmax(axis=1)[:, None]
    hit = np.take_along_axis(np.asarray(targets, np.float64), chosen, axis=1)
    return p.max(axis=1), hit[:, 0]


# The metrics


def accuracy(
    probabilities: Any, targets: Any, weights: Any = None, *, decide: Decide = most_probable
) -> float:
    """Return the share of cases whose most probable class is the true one."""
    return float(accuracy_of(count(decide(probabilities), targets, weights)))


def label_accuracy(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the share of known labels decided right at .5. Rare labels make it high for nothing."""
    return float(label_accuracy_of(count(over_half(probabilities), targets, weights)))


def exact_match(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the share of cases whose known labels are all decided right at .5."""
    return mean_term(exact_terms(probabilities, targets), weights)


def label_balanced_accuracy(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over labels of (sensitivity + specificity) / 2 at .5."""
    return float(label_balanced_accuracy_of(count(over_half(probabilities), targets, weights)))


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


def auroc_macro(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean one-vs-rest AUROC of the classes that have cases and other cases."""
    return float(mean_defined(auroc(probabilities, targets, weights)))


def average_precision_macro(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean one-vs-rest average precision."""
    return float(mean_defined(average_precision(probabilities, targets, weights)))


def brier(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean Brier score, summed over exclusive classes and halved for two."""
    return mean_term(brier_terms(probabilities, targets), weights)


def label_brier(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over cases of the mean squared error of their known labels."""
    return mean_term(label_brier_terms(probabilities, targets), weights)


def nll(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean negative log-likelihood, in nats."""
    return mean_term(nll_terms(probabilities, targets), weights)


def label_nll(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over cases of the mean binary negative log-likelihood of known labels."""
    return mean_term(label_nll_terms(probabilities, targets), weights)


def ece_top_label(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the ECE of the highest probability (Guo et al., ICML 2017)."""
    return ece_of(reliability(*top_label(probabilities, targets), weights))


def ece_positive(
    probabilities: Any, targets: Any, weights: Any = None, *, positive: int = 1
) -> float:
    """Return the ECE of the probability of one class, for two classes."""
    p, t = np.asarray(probabilities)[:, positive], np.asarray(targets)[:, positive]
    return ece_of(reliability(p, t, weights))


def label_ece(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean over labels of the ECE of each label's probability."""
    pairs = zip(np.asarray(probabilities).T, np.asarray(targets).T, strict=True)
    each = np.asarray([ece_of(reliability(p, t, weights)) for p, t in pairs])
    return float(mean_defined(each))


def grade_error(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return the mean absolute error of the most probable grade, for ordered classes."""
    return float(grade_error_of(confusion(most_probable(probabilities), targets, weights)))


def quadratic_kappa(probabilities: Any, targets: Any, weights: Any = None) -> float:
    """Return Cohen's kappa with quadratic weights of the most probable grade."""
    return float(quadratic_kappa_of(confusion(most_probable(probabilities), targets, weights)))


MULTICLASS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": recall_macro,
    "recall_macro": recall_macro,
    "specificity_macro": specificity_macro,
    "precision_macro": precision_macro,
    "f1_macro": f1_macro,
    "auroc_macro": auroc_macro,
    "average_precision_macro": average_precision_macro,
    "brier": brier,
    "nll": nll,
    "ece": ece_top_label,
}
TWO_CLASSES: Mapping[str, Metric] = {
    **MULTICLASS,
    "ece": ece_positive,
    "ece_top_label": ece_top_label,
}
ORDINAL: Mapping[str, Metric] = {
    **MULTICLASS,
    "grade_error": grade_error,
    "quadratic_kappa": quadratic_kappa,
}
MULTILABEL: Mapping[str, Metric] = {
    "accuracy": label_accuracy,
    "exact_match": exact_match,
    "balanced_accuracy": label_balanced_accuracy,
    "recall_macro": partial(recall_macro, decide=over_half),
    "specificity_macro": partial(specificity_macro, decide=over_half),
    "precision_macro": partial(precision_macro, decide=over_half),
    "f1_macro": partial(f1_macro, decide=over_half),
    "auroc_macro": auroc_macro,
    "average_precision_macro": average_precision_macro,
    "brier": label_brier,
    "nll": label_nll,
    "ece": label_ece,
}


# Arithmetic with what is not defined


def ratio(numerator: Any, denominator: Any) -> Floats:
    """Return numerator / denominator, NaN where the denominator is 0."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    empty = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    return np.asarray(np.divide(top, bottom, out=empty, where=bottom != 0))


def mean_defined(values: Floats) -> Floats:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is left."""
    return ratio(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0))


def mean_term(terms: Floats, weights: Any = None) -> float:
    """Return the weighted mean of terms (N,) that are not NaN."""
    known, filled = _known(terms)
    weight = _weights(weights, len(filled)) * known
    return float(ratio((weight * filled).sum(), weight.sum()))


def _known(targets: Any) -> tuple[Bools, Floats]:
    values = np.asarray(targets, np.float64)
    known = ~np.isnan(values)
    return known, np.where(known, values, 0.0)


def _weights(weights: Any, n: int) -> Floats:
    return np.ones(n) if weights is None else np.asarray(weights, np.float64)


def _distance(k: int) -> Floats:
    grades = np.arange(k, dtype=np.float64)
    return np.abs(grades[:, None] - grades)
