"""Agreement of decided and true classes, from the confusion matrix of exclusive classes."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.metrics.arithmetic import Floats, ratio


def mcc_of(table: Floats) -> Floats:
    """Return Matthews' correlation of a confusion matrix (K, K, ...), its multiclass form.

    0 where every case is decided alike; NaN where every case is of one class. Gorodkin, Comput.
    Biol. Chem. 28 (2004) 367.
    """
    rows, columns, total = table.sum(axis=1), table.sum(axis=0), table.sum(axis=(0, 1))
    seen = np.einsum("kk...->...", table) * total - (rows * columns).sum(axis=0)
    spread_true = total**2 - (rows**2).sum(axis=0)
    spread_decided = total**2 - (columns**2).sum(axis=0)
    value = ratio(seen, np.sqrt(spread_true) * np.sqrt(spread_decided))
    return np.where(spread_true > 0, np.nan_to_num(value), np.nan)


def kappa_of(table: Floats) -> Floats:
    """Return Cohen's kappa of a confusion matrix (K, K, ...).

    Cohen, Educ. Psychol. Meas. 20 (1960) 37.
    """
    return _kappa(table, (_distance(len(table)) > 0).astype(np.float64))


def quadratic_kappa_of(table: Floats) -> Floats:
    """Return Cohen's kappa with quadratic weights of a confusion matrix (K, K, ...).

    Cohen, Psychol. Bull. 70 (1968) 213.
    """
    return _kappa(table, _distance(len(table)) ** 2)


def grade_error_of(table: Floats) -> Floats:
    """Return the mean absolute error of the grade of a confusion matrix (K, K, ...)."""
    return ratio(np.tensordot(_distance(len(table)), table, 2), table.sum(axis=(0, 1)))


def _kappa(table: Floats, cost: Floats) -> Floats:
    seen = np.tensordot(cost, table, 2) * table.sum(axis=(0, 1))
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    chance = (rows * np.tensordot(cost, columns, 1)).sum(axis=0)
    return 1 - ratio(seen, chance)


def _distance(k: int) -> Floats:
    grades = np.arange(k, dtype=np.float64)
    return np.abs(grades[:, None] - grades)
