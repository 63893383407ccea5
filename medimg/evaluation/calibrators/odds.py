"""Fitting what changes log odds one by one: Platt scaling, beta calibration, isotonic regression.

Of two exclusive classes there is one log odds, of labels one each, and of more exclusive classes
(isotonic alone) one for each class against the rest. A label whose known targets are all alike
keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medimg.calibrator import log_odds, probability_of
from medimg.evaluation.calibrators.isotonic import rising
from medimg.evaluation.calibrators.newton import lowest
from medimg.evaluation.calibrators.temperature import BOUNDS
from medimg.evaluation.metrics import Bools, Floats
from medimg.labels import LabelSpace


def fit_platt(
    logits: Floats, targets: Floats, space: LabelSpace, strength: float = 0
) -> dict[str, Any]:
    """Return slope a and offset b (M,) of a x + b, x the log odds.

    By logistic regression on targets that Platt's rule of succession smooths, (n + 1) / (n + 2)
    of n positives and 1 / (n + 2) of n negatives: no set, however well it is told apart, makes
    the model infinitely sure (Platt, Adv. Large Margin Classifiers, 1999). The slope lies within
    `BOUNDS`, so that the order of the scores is kept.
    """
    found = []
    for odds, hits in _maps(logits, targets, space):
        design = np.stack([odds, np.ones_like(odds)], axis=1)
        found.append(_logistic(design, hits, np.array([1.0, 0.0])))
    return {"exclusive": space.exclusive} | _named(("slope", "offset"), found)


def fit_beta(
    logits: Floats, targets: Floats, space: LabelSpace, strength: float = 0
) -> dict[str, Any]:
    """Return a, b and c (M,) of a log p - b log(1 - p) + c.

    Kull, Silva Filho and Flach, AISTATS 2017; on targets smoothed as in `fit_platt`, a and b
    within `BOUNDS` (they are at least 0 there), so that the order of the scores is kept.
    """
    found = []
    for odds, hits in _maps(logits, targets, space):
        log_p, log_q = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
        design = np.stack([log_p, -log_q, np.ones_like(odds)], axis=1)
        found.append(_logistic(design, hits, np.array([1.0, 1.0, 0.0])))
    return {"exclusive": space.exclusive} | _named("abc", found)


def fit_isotonic(
    logits: Floats, targets: Floats, space: LabelSpace, strength: float = 0
) -> dict[str, Any]:
    """Return the points (log odds) and values (probabilities) of each rising line.

    Zadrozny and Elkan, KDD 2002, by pool-adjacent-violators. The line would end at 0 and 1
    wherever the outermost cases are of one class, and one later error would cost without bound:
    hence one further case of the other class stands beyond either end, as in a rule of
    succession, and m outermost cases of one class come to m / (m + 1) at the most. More than
    two classes are fitted each against the rest and then divided by their sum.
    """
    lines = [_line(*pair) for pair in _maps(logits, targets, space)]
    return {
        "exclusive": space.exclusive,
        "points": tuple(points for points, _ in lines),
        "values": tuple(values for _, values in lines),
    }


def _maps(logits: Floats, targets: Floats, space: LabelSpace) -> Iterator[tuple[Floats, Bools]]:
    """Yield the known log odds (n,) of each map, and whether the case has the class."""
    odds = log_odds(logits, exclusive=space.exclusive)
    for x, target in zip(odds.T, targets.T[-odds.shape[1] :], strict=True):
        known = ~np.isnan(target)
        yield x[known], target[known] == 1


def _logistic(design: Floats, hits: Bools, start: Floats) -> Floats:
    """Return the coefficients (P,) of a logistic regression on a design (n, P).

    All but the last, the offset, lie within `BOUNDS`. They are `start` where hits (n,) are alike.
    """
    positive, n = int(hits.sum()), len(hits)
    if not 0 < positive < n:
        return start
    wanted = np.where(hits, (positive + 1) / (positive + 2), 1 / (n - positive + 2))
    # Columns of one size, so that logits of any scale are fitted alike.
    size = np.sqrt((design**2).mean(axis=0))
    size[size == 0] = 1
    scaled = design / size

    def loss(values: Floats) -> tuple[float, Floats]:
        z = scaled @ values
        terms = np.logaddexp(0, z) - wanted * z
        return float(terms.mean()), scaled.T @ (probability_of(z) - wanted) / n

    def curvature(values: Floats) -> Floats:
        p = probability_of(scaled @ values)
        return np.asarray(scaled.T @ ((p * (1 - p))[:, None] * scaled) / n)

    ends = np.repeat([[BOUNDS[0]], [BOUNDS[1]]], len(start), axis=1)
    ends[:, -1] = -np.inf, np.inf
    found = lowest(loss, curvature, start, (ends[0] * size, ends[1] * size))
    return np.asarray(found / size)


def _line(odds: Floats, hits: Bools) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if hits.all() or not hits.any():
        return (), ()
    points, group = np.unique(odds, return_inverse=True)
    count = np.concatenate([[1], np.bincount(group), [1]])
    positive = np.concatenate([[1], np.bincount(group, weights=hits), [0]])
    values = rising(positive, count)[1:-1]
    # Within a block the line is level: its two ends are enough.
    level = np.diff(values) == 0
    kept = ~(np.append(False, level) & np.append(level, False))
    return tuple(points[kept].tolist()), tuple(values[kept].tolist())


def _named(names: tuple[str, ...] | str, found: list[Floats]) -> dict[str, Any]:
    return {name: tuple(float(f[i]) for f in found) for i, name in enumerate(names)}
