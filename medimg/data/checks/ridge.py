"""How well categories predict a label in patients that were not learned from.

Ridge regression of the labels on one-hot categories has a closed form whose expensive part does
not know the labels: hundreds of permuted labels are further right-hand sides of one solve. Cases
of equal categories get equal scores, so that counts a pattern of categories are all it takes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: What is added to the diagonal: a category of one case counts for half of one of many.
RIDGE = 1.0
#: Scores nearer than rounding are equal.
_DIGITS = 9


class Design(NamedTuple):
    """Patterns (U, D), one-hot, and which of them each case has (N,)."""

    patterns: NDArray[np.float64]
    pattern: NDArray[np.intp]

    @classmethod
    def of(cls, codes: NDArray[np.intp]) -> Design:
        """Return the design of categories (N, P)."""
        patterns, pattern = np.unique(codes, axis=0, return_inverse=True)
        columns = [np.eye(part.max() + 1)[part] for part in patterns.T]
        return cls(np.hstack(columns), pattern.reshape(-1))


def within_fold_auroc(
    codes: NDArray[np.intp],
    labels: NDArray[np.float32],
    folds: NDArray[np.int8],
) -> NDArray[np.float64]:
    """Return the AUROC (R,) of each of many labels, real or permuted.

    It is the share of pairs, one case with the label and one without, both of one fold, that
    the model of the other folds puts in the right order (equal scores count half). Cases of
    different folds are not compared: each model has a level of its own, which hangs on how many
    of the label it saw and would pull the AUROC down.

    Parameters
    ----------
    codes : int (N, P)
        Categories of each case.
    labels : float32 (N, R) in {0, 1, NaN}
        An unknown one neither teaches nor is scored.
    folds : int (S, N)
        Folds, several times over.
    """
    design = Design.of(codes)
    unknown = np.isnan(labels)
    known = None if not unknown.any() else (~unknown).astype(np.float32)
    positive = labels if known is None else np.nan_to_num(labels)
    right, pairs = np.zeros(labels.shape[1]), np.zeros(labels.shape[1])
    for repeat in folds:
        rows = [np.flatnonzero(repeat == fold) for fold in np.unique(repeat)]
        parts = [_Fold.of(design, own, positive, known) for own in rows]
        total = [sum(moments) for moments in zip(*(part.moments for part in parts), strict=True)]
        for part in parts:
            others = [a - b for a, b in zip(total, part.moments, strict=True)]
            scores = _scores(part.patterns, *others)
            found = _concordant(scores, part.positive, part.known - part.positive)
            right, pairs = right + found[0], pairs + found[1]
    auroc = np.divide(right, pairs, out=np.full_like(right, 0.5), where=pairs > 0)
    return auroc.round(_DIGITS)


class _Fold(NamedTuple):
    """The patterns (U, D) of a fold and, of each, the positives and known labels (U, R).

    `moments` are sums over its cases: what the others learn from is the total less these.
    """

    patterns: NDArray[np.float64]
    positive: NDArray[np.float64]
    known: NDArray[np.float64]
    moments: tuple[Any, ...]

    @classmethod
    def of(
        cls,
        design: Design,
        rows: NDArray[np.intp],
        positive: NDArray[np.float32],
        known: NDArray[np.float32] | None,
    ) -> _Fold:
        """Return the fold of `rows`; `known` (N, R) where some labels are not."""
        from scipy import sparse

        here, member, count = np.unique(
            design.pattern[rows], return_inverse=True, return_counts=True
        )
        x = design.patterns[here]
        ones = (np.ones(len(rows), np.float32), (member, np.arange(len(rows))))
        add: Any = sparse.csr_matrix(ones, shape=(len(here), len(rows)))
        p = (add @ positive[rows]).astype(np.float64)
        # Where all are known, one column stands for all labels.
        t = count[:, None].astype(np.float64)
        if known is not None:
            t = (add @ known[rows]).astype(np.float64)
        weighted = x * count[:, None]
        moments = (float(len(rows)), weighted.sum(axis=0), weighted.T @ x)
        return cls(x, p, t, (*moments, x.T @ p, x.T @ t, p.sum(axis=0), t.sum(axis=0)))


def _scores(
    patterns: NDArray[np.float64],
    cases: float,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    positive: NDArray[np.float64],
    known: NDArray[np.float64],
    positives: NDArray[np.float64],
    knowns: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the scores (U, R) of patterns by the model that the moments of other folds give.

    An unknown label is taken for its mean, so that it moves nothing.
    """
    centre = first / cases
    covariance = second - cases * np.outer(centre, centre)
    mean = positives / np.maximum(knowns, 1)
    weights = np.linalg.solve(covariance + RIDGE * np.eye(len(first)), positive - known * mean)
    scores: NDArray[np.float64] = ((patterns - centre) @ weights).round(_DIGITS)
    return scores


def _concordant(
    scores: NDArray[np.float64], positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pairs in the right order, and all pairs, of each column (R,).

    Parameters
    ----------
    scores, positive, negative : float (U, R)
        The score of each pattern, and how many cases of it have the label or not.
    """
    order = np.argsort(scores, axis=0)
    ranked, positive, negative = (
        np.take_along_axis(values, order, axis=0) for values in (scores, positive, negative)
    )
    upto = np.cumsum(negative, axis=0)
    change = ranked[1:] != ranked[:-1]
    edge = np.ones((1, ranked.shape[1]), bool)
    begins, ends = np.concatenate([edge, change]), np.concatenate([change, edge])
    # Negatives below a run of equal scores, and up to its end: half of those within count.
    below = np.maximum.accumulate(np.where(begins, upto - negative, 0), axis=0)
    above = np.where(ends, upto, np.inf)[::-1]
    above = np.minimum.accumulate(above, axis=0)[::-1]
    right = (positive * (below + above) / 2).sum(axis=0)
    return right, positive.sum(axis=0) * upto[-1]
