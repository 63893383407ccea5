"""Calibration slope and intercept: what logistic recalibration would change.

n cases, d parameters, U units that have cases.
"""

from __future__ import annotations

import numpy as np

from medimg.calibrator import probability_of
from medimg.evaluation.metrics import Floats
from medimg.evaluation.reliability.linear import Spread
from medimg.evaluation.reliability.probability import Probability

_STEPS = 100


def log_odds(p: Probability) -> Floats:
    """Return the log-odds (n,) of each probability; infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p.confidence) - np.log(p.rest))


def without_fit(p: Probability, logit: Floats, *, free: bool) -> str | None:
    """Return why a logistic regression has no maximum, or None; `free`: of the slope as well."""
    sure = np.count_nonzero(~np.isfinite(logit))
    if sure:
        return f"probabilities of exactly 0 or 1 ({sure}) have no log-odds"
    came, not_came = logit[p.hit == 1], logit[p.hit == 0]
    if not (came.size and not_came.size):
        return "every case came true" if came.size else "no case came true"
    if not free:
        return None
    if logit[0] == logit[-1]:
        return "all probabilities are equal"
    if came.min() >= not_came.max() or came.max() <= not_came.min():
        return "the probabilities separate the cases: no finite slope fits best"
    return None


def slope(p: Probability, logit: Floats) -> tuple[float, Spread] | None:
    """Return the calibration slope and its spread; None where the fit does not settle.

    The slope of a logistic regression of the outcome on the log-odds, its intercept free (Cox,
    Biometrika 45 (1958) 562): under 1 where the probabilities are too extreme.
    """
    centre, scale = logit.mean(), logit.std()
    design = np.stack([np.ones_like(logit), (logit - centre) / scale], axis=1)
    fitted = _fit(p, design, np.zeros_like(logit))
    if fitted is None:
        return None
    value, changes = fitted
    return float(value[1] / scale), Spread.of(changes[:, 1] / scale)


def intercept(p: Probability, logit: Floats) -> tuple[float, Spread] | None:
    """Return the calibration intercept and its spread; None where the fit does not settle.

    Calibration-in-the-large: the intercept where the slope is kept at 1 (Van Calster et al.,
    BMC Med. 17 (2019) 230): over 0 where the probabilities are too low.
    """
    fitted = _fit(p, np.ones((len(logit), 1)), logit)
    if fitted is None:
        return None
    value, changes = fitted
    return float(value[0]), Spread.of(changes[:, 0])


def _fit(p: Probability, design: Floats, offset: Floats) -> tuple[Floats, Floats] | None:
    """Return the coefficients (d,) of a logistic regression, and each unit's change (U, d).

    Newton's method, its step halved as long as the likelihood falls; without a penalty.
    """
    at = move = np.zeros(design.shape[1])
    best = -np.inf
    for _ in range(_STEPS):
        logit = design @ (at + move) + offset
        likelihood = float((p.hit * logit - np.logaddexp(0, logit)).sum())
        if likelihood < best - 1e-9 * abs(best):
            move = move / 2
            continue
        at, best, chance = at + move, likelihood, probability_of(logit)
        score = design * (p.hit - chance)[:, None]
        terms = design[:, :, None] * design[:, None, :] * (chance * (1 - chance))[:, None, None]
        try:
            move = np.linalg.solve(terms.sum(axis=0), score.sum(axis=0))
            if np.abs(move).max() < 1e-9:
                return at, _changes(p, score, terms)
        except np.linalg.LinAlgError:  # every probability is at its end: there is no curvature
            return None
        if not np.isfinite(move).all():
            return None
    return None


def _changes(p: Probability, score: Floats, terms: Floats) -> Floats:
    """Return how leaving out each unit would move the coefficients (U, d), in one step.

    The jackknife to first order (CR3; Bell and McCaffrey, Surv. Methodol. 28 (2002) 169): a unit
    that the fit leans on counts for more than in the plain sandwich.
    """
    d = score.shape[1]
    own = np.stack([p.by_unit(terms[:, i, j]) for i in range(d) for j in range(d)], axis=1)
    left = terms.sum(axis=0) - own.reshape(-1, d, d)
    sums = np.stack([p.by_unit(column) for column in score.T], axis=1)
    return np.asarray(np.linalg.solve(left, sums[:, :, None])[:, :, 0])
