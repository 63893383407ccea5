"""How far the mean of a sample lies from the true one, by patient."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.intervals.proportions import jackknife
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats

METHOD = "student"
"""The name of an interval that `reach_of_mean` made."""


def reach_of_mean(values: Floats, rows: Bools, units: Units, *, off: float = 0.0) -> float:
    """Return half the width of the 95% interval of a mean, by Student's t.

    The variance is that of the ratio of both sums between units (`jackknife`), so that cases of
    one patient may be alike (Liang and Zeger, Biometrika 73 (1986) 13); one degree of freedom less
    than the effective number of units, which of equal size is their number.

    Parameters
    ----------
    values : float64 (N,)
    rows : bool (N,)
        The cases that the mean is over; of at least two units.
    units : Units
    off : float, optional
        One more unit, of the mean size, counts whose value is so far off: where nearly all values
        are alike, the sample may hold none that is not.
    """
    from scipy.special import stdtrit

    known = values[rows]
    n, count = len(known), units.count(rows)
    moves = jackknife(known - known.mean(), units.of_case[rows], units.n)
    square = float((moves**2).sum()) + (off * n / count) ** 2
    return float(stdtrit(units.effective(rows) - 1, 0.975) * np.sqrt(square) / n)
