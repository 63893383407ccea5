"""`Sample`: the cases of one evaluation, laid out so that many resamples cost one product.

N cases, K classes, U units (patients or cases), R sets of weights, M distinct scores of the
cases of one class. Every metric is made of sums over cases. The cases are sorted once; each sum
is a row of a sparse matrix over the units, and the sums of R resamples are its product with
their weights (U, R).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.calibrator import log_likelihood_terms
from medimg.errors import PredictionsError, UsageError
from medimg.evaluation import metrics as m
from medimg.evaluation.intervals import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools, Counts, Floats
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

Figures = dict[str, Floats]
"""Metrics of R sets of weights: over all classes (R,), for each class (K, R)."""


def one_split(predictions: Predictions, split: str | None = None) -> tuple[Predictions, str]:
    """Return the cases of one split and its name; `"all"` where the table names none.

    Raises
    ------
    UsageError
        Several splits and none asked for: numbers over train and test together mean nothing.
    """
    if split is not None:
        return predictions.select(split), split
    there = [] if predictions.split is None else sorted(set(predictions.split))
    if len(there) > 1:
        raise UsageError(
            f"the predictions hold several splits: {', '.join(s or '(blank)' for s in there)}",
            remedy="name one of them, such as split='test' (--split test)",
        )
    return predictions, (there[0] if there else "") or "all"


def known_cases(predictions: Predictions, split: str) -> Predictions:
    """Return the cases that have any known target; none at all raises."""
    if not predictions.known.any():
        raise PredictionsError(
            f"none of {len(predictions)} cases of split {split!r} has a known target",
            remedy="add what is known in a column target (a class name), or target:CLASS (1, 0)",
        )
    return predictions.take(predictions.known)


@dataclass(frozen=True, eq=False)
class Sample:
    """The cases of one evaluation that have a known target.

    Parameters
    ----------
    space : LabelSpace
    probabilities : float64 (N, K)
    targets : float64 (N, K)
    nll : float64 (N,)
        Negative log-likelihood of each case, from the logits where there are any.
    units : Units
    """

    space: LabelSpace
    probabilities: Floats
    targets: Floats
    nll: Floats
    units: Units

    @classmethod
    def of(cls, predictions: Predictions) -> Sample:
        """Return the sample of predictions whose targets are known."""
        p, targets = predictions.probabilities, predictions.targets.astype(np.float64)
        space = predictions.space
        if predictions.kind == "probabilities" and predictions.calibrator is None:
            nll = m.nll_terms(p, targets) if space.exclusive else m.label_nll_terms(p, targets)
        else:
            nll = log_likelihood_terms(predictions.calibrated_logits, targets, space)
        units = Units.of(predictions.case_id, predictions.patient_id)
        return cls(space, p, targets, nll, units)

    @property
    def two_classes(self) -> bool:
        """Whether there are exactly two classes that exclude each other."""
        return self.space.exclusive and self.space.k == 2

    @property
    def primary(self) -> int:
        """The column of the target condition; the second where none is named."""
        index = self.space.positive_index
        return 1 if index is None else index

    @cached_property
    def decisions(self) -> Bools:
        """What is decided, bool (N, K): the most probable class, or every label over .5."""
        decide = m.most_probable if self.space.exclusive else m.over_half
        return decide(self.probabilities)

    @cached_property
    def ranking(self) -> Floats:
        """What each class is ranked by, float64 (N, K).

        The probabilities; for two classes the first mirrors the second, because near 1 a
        probability has fewer digits than its complement and would tie what the other tells
        apart.
        """
        if not self.two_classes:
            return self.probabilities
        score = self.probabilities[:, 1]
        return np.stack([-score, score], axis=1)

    @cached_property
    def terms(self) -> dict[str, Floats]:
        """The metrics that are means over cases, each (N,)."""
        if self.space.exclusive:
            return {"brier": m.brier_terms(self.probabilities, self.targets), "nll": self.nll}
        return {
            "brier": m.label_brier_terms(self.probabilities, self.targets),
            "nll": self.nll,
            "exact_match": m.exact_terms(self.probabilities, self.targets),
        }

    def point(self) -> Figures:
        """Return the metrics of the sample itself (R = 1), by the plain way."""
        table = None
        if self.space.exclusive:
            table = m.confusion(self.decisions, self.targets)[..., None]
        counts = Counts(*(c[:, None] for c in m.count(self.decisions, self.targets)))
        return {
            **figures(counts, table, self.space),
            **{name: np.asarray([m.mean_term(term)]) for name, term in self.terms.items()},
            **_of_ranks(
                m.auroc(self.ranking, self.targets)[:, None],
                m.average_precision(self.ranking, self.targets)[:, None],
            ),
        }


def figures(counts: Counts, table: Floats | None, space: LabelSpace) -> Figures:
    """Return every metric that follows from one count of decisions, (K, ...) and (...).

    `table` (K, K, ...) is the confusion matrix, for exclusive classes.
    """
    macro = m.recall_macro_of(counts)
    values = {
        "accuracy": m.accuracy_of(counts) if space.exclusive else m.label_accuracy_of(counts),
        "balanced_accuracy": macro if space.exclusive else m.label_balanced_accuracy_of(counts),
        "recall_macro": macro,
        "specificity_macro": m.specificity_macro_of(counts),
        "precision_macro": m.precision_macro_of(counts),
        "f1_macro": m.f1_macro_of(counts),
        "recall": m.recall_of(counts),
        "specificity": m.specificity_of(counts),
        "precision": m.precision_of(counts),
        "npv": m.npv_of(counts),
        "f1": m.f1_of(counts),
    }
    if space.kind == "ordinal" and table is not None:
        values["grade_error"] = m.grade_error_of(table)
        values["quadratic_kappa"] = m.quadratic_kappa_of(table)
    return values


def _of_ranks(auroc: Floats, average_precision: Floats) -> Figures:
    return {
        "auroc": auroc,
        "average_precision": average_precision,
        "auroc_macro": m.mean_defined(auroc),
        "average_precision_macro": m.mean_defined(average_precision),
    }


class Lacking:
    """Which resamples have lost a class that was there in at least `MIN_UNITS` units.

    Rarer classes get no resampled interval, and are not waited for.
    """

    def __init__(self, sample: Sample) -> None:
        kinds = [sample.targets == 1]
        if not sample.space.exclusive:
            kinds.append(sample.targets == 0)
        masks = [mask for kind in kinds for mask in kind.T if sample.units.count(mask) >= MIN_UNITS]
        row, case = np.nonzero(np.reshape(masks, (len(masks), len(sample.targets))))
        self.present = _ones(row, case, len(masks), sample.units)

    def __call__(self, weights: Floats) -> Bools:
        """Return a mask (R,) of weights (U, R)."""
        return np.asarray((self.present @ weights == 0).any(axis=0))


class Resampled:
    """The metrics of a `Sample` under weights (U, R) of its units, all R at once."""

    def __init__(self, sample: Sample) -> None:
        self.space = sample.space
        code, case, self.shape = _outcomes(sample.decisions, sample.targets, sample.space)
        size = int(np.prod(self.shape))
        unit = sample.units
        self.outcomes = _sums(code, case, np.ones(len(case)), size, unit)
        self.names = list(sample.terms)
        values = np.stack([np.ones(len(sample.nll)), *sample.terms.values()])
        row, column = np.indices(values.shape)
        self.terms = _sums(row.ravel(), column.ravel(), values.ravel(), len(values), unit)
        pairs = zip(sample.ranking.T, sample.targets.T, strict=True)
        self.ranks = [_Ranks(score, target, unit) for score, target in pairs]

    def __call__(self, weights: Floats) -> Figures:
        """Return the metrics (R,) and (K, R) of weights float64 (U, R)."""
        table = (self.outcomes @ weights).reshape(*self.shape, -1)
        if self.space.exclusive:
            counts = m.counts_of_confusion(table)
        else:
            counts = Counts(table[:, 0, 0], table[:, 0, 1], table[:, 1, 0], table[:, 1, 1])
        total, *sums = self.terms @ weights
        areas = np.stack([ranks(weights) for ranks in self.ranks])
        return {
            **figures(counts, table, self.space),
            **{name: s / total for name, s in zip(self.names, sums, strict=True)},
            **_of_ranks(areas[:, 0], areas[:, 1]),
        }


class _Ranks:
    """AUROC and average precision of one class under weights (U, R).

    The cases of the class fall into M groups of one score, from the lowest; the others into
    those strictly between two groups (M + 1 places) and those tied with one.
    """

    def __init__(self, scores: Floats, target: Floats, units: Units) -> None:
        cases, others = np.flatnonzero(target == 1), np.flatnonzero(target == 0)
        levels, group = np.unique(scores[cases], return_inverse=True)
        place = np.searchsorted(levels, scores[others])
        tied = np.append(levels, np.nan)[place] == scores[others]
        self.m = len(levels)
        self.defined = len(cases) > 0 and len(others) > 0
        self.cases = _ones(group, cases, self.m, units)
        self.between = _ones(place[~tied], others[~tied], self.m + 1, units)
        self.tied = _ones(place[tied], others[tied], self.m, units) if tied.any() else None

    def __call__(self, weights: Floats) -> Floats:
        """Return AUROC and average precision, (2, R)."""
        if not self.defined:
            return np.full((2, weights.shape[1]), np.nan)
        true, between = self.cases @ weights, self.between @ weights
        below = np.cumsum(between[:-1], axis=0)
        others = below[-1] + between[-1]
        if self.tied is None:
            won = (true * below).sum(axis=0)
        else:
            tied = self.tied @ weights
            up_to = np.cumsum(tied, axis=0)
            below, others = below + up_to - tied, others + up_to[-1]
            won = (true * (below + tied / 2)).sum(axis=0)
        every = true.sum(axis=0)
        above = every - np.cumsum(true, axis=0) + true
        gained = true * _share(above, others - below)
        return np.stack([m.ratio(won, every * others), m.ratio(gained.sum(axis=0), every)])


def _share(true: Floats, false: Floats) -> Floats:
    """Return true / (true + false), 0 where both are 0."""
    both = true + false
    return np.asarray(np.divide(true, both, out=np.zeros_like(both), where=both > 0))


def _outcomes(
    decisions: Bools, targets: Floats, space: LabelSpace
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, ...]]:
    """Return the outcome of each decision as a code, its case, and the shape of their table.

    (K, K), true by decided, for exclusive classes; else (K, 2, 2), label by true by decided.
    """
    k = space.k
    if space.exclusive:
        code = targets.argmax(axis=1) * k + decisions.argmax(axis=1)
        return code, np.arange(len(code)), (k, k)
    case, label = np.nonzero(~np.isnan(targets))
    outcome = 2 * (targets[case, label] > 0) + decisions[case, label]
    return label * 4 + outcome, case, (k, 2, 2)


def _sums(row: Any, case: Any, values: Floats, size: int, units: Units) -> Any:
    """Return the sparse matrix (size, U) that adds `values` of cases into rows."""
    from scipy.sparse import csr_array

    return csr_array((values, (row, units.of_case[case])), shape=(size, units.n))


def _ones(row: Any, case: Any, size: int, units: Units) -> Any:
    return _sums(row, case, np.ones(len(case)), size, units)
