"""Isotonic regression: the rising line nearest to shares of cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from medimg.evaluation.metrics import Floats


def rising(hits: Any, cases: Any) -> Floats:
    """Return the rising shares float64 (M,) nearest to `hits` / `cases`, by least squares.

    By pooling adjacent violators: neighbours of which the lower has the higher share get one
    value in the end (Ayer et al., Ann. Math. Stat. 26 (1955) 641). In time linear in M.

    Parameters
    ----------
    hits, cases : numbers (M,)
        Of each level of the score, from the lowest; `cases` above 0.
    """
    from scipy.optimize import isotonic_regression

    weights = np.asarray(cases, np.float64)
    return np.asarray(isotonic_regression(np.asarray(hits) / weights, weights=weights).x)
