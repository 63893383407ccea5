"""What the order of the scores tells of each class against the rest.

A staircase is the false and the true positives (M + 1,) as the threshold falls past M distinct
scores, from (0, 0) to all cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from medimg.evaluation.metrics.arithmetic import Floats, case_weights, known_values

OfSteps = Callable[[Floats, Floats], float]

MAX_FPR = 0.1
"""The false-positive rate up to which `auroc_partial` looks."""

WANTED = 0.95
"""The specificity at which sensitivity is read off, and the sensitivity for the reverse."""

SLACK = 1e-9
"""A share within this of what is wanted has reached it: .95 of 20 is 19, whatever it rounds to."""


def staircase(scores: Any, target: Any, weights: Any = None) -> tuple[Floats, Floats]:
    """Return false and true positives (M + 1,) as the threshold falls past M distinct scores.

    `scores`, `target` and `weights` are (N,). Cases of one score come in together, so that ties
    are neither won nor lost. Unknown cases and cases without weight are left out.
    """
    known, truth = known_values(target)
    weight = case_weights(weights, len(truth))
    rows = np.flatnonzero(known & (weight > 0))
    score = np.asarray(scores)[rows]
    order = np.argsort(-score, kind="stable")
    score, rows = score[order], rows[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)[: len(score)])
    false = np.cumsum(weight[rows] * (1 - truth[rows]))[last]
    true = np.cumsum(weight[rows] * truth[rows])[last]
    return np.append(0.0, false), np.append(0.0, true)


def auroc_of(false: Floats, true: Floats) -> float:
    """Return the area under the ROC curve of a staircase; NaN without both kinds of case."""
    if not _both(false, true):
        return float("nan")
    area = (np.diff(false) * (true[1:] + true[:-1])).sum() / 2
    return float(area / (false[-1] * true[-1]))


def average_precision_of(false: Floats, true: Floats) -> float:
    """Return the average precision of a staircase; NaN without both kinds of case."""
    if not _both(false, true):
        return float("nan")
    precision = true[1:] / (true[1:] + false[1:])
    return float((np.diff(true) * precision).sum() / true[-1])


def auroc_partial_of(false: Floats, true: Floats) -> float:
    """Return the area under the ROC curve up to a false-positive rate of .1, standardised.

    .5 is chance and 1 is perfect. McClish, Med. Decis. Making 9 (1989) 190.
    """
    if not _both(false, true):
        return float("nan")
    bound = MAX_FPR * false[-1]
    stop = int(np.searchsorted(false, bound, side="right"))
    height = np.interp(bound, false[stop - 1 : stop + 1], true[stop - 1 : stop + 1])
    x, y = np.append(false[:stop], bound), np.append(true[:stop], height)
    area = (np.diff(x) * (y[1:] + y[:-1])).sum() / (2 * false[-1] * true[-1])
    return float(mcclish(area))


def sensitivity_at_specificity_of(false: Floats, true: Floats) -> float:
    """Return the highest sensitivity of a threshold whose specificity is at least .95.

    Only thresholds that the scores allow; nothing is interpolated between them.
    """
    if not _both(false, true):
        return float("nan")
    return float(true[false <= (1 - WANTED + SLACK) * false[-1]].max() / true[-1])


def specificity_at_sensitivity_of(false: Floats, true: Floats) -> float:
    """Return the highest specificity of a threshold whose sensitivity is at least .95.

    Only thresholds that the scores allow; nothing is interpolated between them.
    """
    if not _both(false, true):
        return float("nan")
    return float(1 - false[true >= (WANTED - SLACK) * true[-1]].min() / false[-1])


RANKED: dict[str, OfSteps] = {
    "auroc": auroc_of,
    "average_precision": average_precision_of,
    "auroc_partial": auroc_partial_of,
    "sensitivity_at_specificity": sensitivity_at_specificity_of,
    "specificity_at_sensitivity": specificity_at_sensitivity_of,
}
"""What one staircase tells, by name."""


def mcclish(area: Any) -> Floats:
    """Return an area under the ROC curve up to `MAX_FPR`, so that chance is .5 and the most 1."""
    chance = MAX_FPR**2 / 2
    return (1 + (np.asarray(area, np.float64) - chance) / (MAX_FPR - chance)) / 2


def auroc(probabilities: Any, targets: Any, weights: Any = None) -> Floats:
    """Return the area under the ROC curve of each class against the rest (K,).

    The chance that a case of the class scores above another one, a tie counting half (Hanley
    and McNeil, Radiology 143 (1982) 29). Exact for whole weights up to 2**52 pairs.
    """
    return _each_class(auroc_of, probabilities, targets, weights)


def average_precision(probabilities: Any, targets: Any, weights: Any = None) -> Floats:
    """Return the average precision of each class against the rest (K,).

    The precision at each threshold weighted by the recall gained there, without interpolation.
    """
    return _each_class(average_precision_of, probabilities, targets, weights)


def auroc_partial(probabilities: Any, targets: Any, weights: Any = None) -> Floats:
    """Return the standardised AUROC up to a false-positive rate of .1 of each class (K,)."""
    return _each_class(auroc_partial_of, probabilities, targets, weights)


def sensitivity_at_specificity(probabilities: Any, targets: Any, weights: Any = None) -> Floats:
    """Return the sensitivity where the specificity is at least .95, of each class (K,)."""
    return _each_class(sensitivity_at_specificity_of, probabilities, targets, weights)


def specificity_at_sensitivity(probabilities: Any, targets: Any, weights: Any = None) -> Floats:
    """Return the specificity where the sensitivity is at least .95, of each class (K,)."""
    return _each_class(specificity_at_sensitivity_of, probabilities, targets, weights)


def _both(false: Floats, true: Floats) -> bool:
    return bool(false[-1] > 0 and true[-1] > 0)


def _each_class(one: OfSteps, probabilities: Any, targets: Any, weights: Any) -> Floats:
    pairs = zip(np.asarray(probabilities).T, np.asarray(targets).T, strict=True)
    return np.asarray([one(*staircase(p, t, weights)) for p, t in pairs])
