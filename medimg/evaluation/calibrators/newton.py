"""The lowest point of a convex loss, by Newton's method within bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medimg.evaluation.metrics import Floats


def lowest(
    loss: Callable[[Floats], tuple[float, Floats]],
    curvature: Callable[[Floats], Floats],
    start: Floats,
    bounds: tuple[Floats | float, Floats | float] = (-np.inf, np.inf),
) -> Floats:
    """Return where a convex loss of P numbers is least.

    Projected Newton steps (Bertsekas, SIAM J. Control Optim. 20 (1982) 221), damped where they
    would lead uphill.

    Parameters
    ----------
    loss : callable
        Takes values (P,), returns the loss and its slope (P,).
    curvature : callable
        Takes values (P,), returns the second derivatives (P, P).
    start : floating (P,)
    bounds : (lowest, highest), each a number or (P,)
    """
    values = np.clip(start, *bounds)
    damping, (height, slope), bend = 1e-6, loss(values), curvature(values)
    while damping < 1e6:
        stopped = ((values <= bounds[0]) & (slope > 0)) | ((values >= bounds[1]) & (slope < 0))
        free = np.flatnonzero(~stopped)
        if np.abs(slope[free]).max(initial=0) < 1e-9:
            break
        moved = values.copy()
        damped = bend[np.ix_(free, free)] + damping * np.eye(len(free))
        moved[free] -= np.linalg.solve(damped, slope[free])
        moved = np.clip(moved, *bounds)
        reached, ahead = loss(moved)
        if reached < height:
            values, height, slope, bend = moved, reached, ahead, curvature(moved)
            damping = max(damping / 10, 1e-12)
        else:
            damping *= 10
    return np.asarray(values)
