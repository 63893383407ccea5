"""Which coverages a correct method can show with so many calibration and test cases.

With n calibration units and m to judge by, the number that is covered follows the beta-binomial
law with parameters k = ceil((1 - alpha)(n + 1)) and n + 1 - k (Angelopoulos and Bates,
arXiv 2107.07511, section 3.2): a plain binomial one forgets that the threshold is drawn too.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from medimg.evaluation.metrics import Floats


def covered_law(n: int, m: int, alpha: float) -> Floats:
    """Return the chance that 0, 1, ..., m of m units are covered, float64 (m + 1,)."""
    from scipy.special import betaln, gammaln

    # The same rounding as in the threshold: 1 - .9 is a little less than .1.
    k = int(np.ceil((1 - alpha) * (n + 1) - 1e-9))
    if k > n:
        return np.append(np.zeros(m), 1.0)
    x = np.arange(m + 1)
    ways = gammaln(m + 1) - gammaln(x + 1) - gammaln(m - x + 1)
    return np.asarray(np.exp(ways + betaln(k + x, n + 1 - k + m - x) - betaln(k, n + 1 - k)))


def coverage_bounds(sizes: Iterable[tuple[int, int]], alpha: float) -> tuple[float, float] | None:
    """Return within which 95% of the coverages lie; None where nothing is judged.

    `sizes` are n and m of each group that has a threshold of its own. Scores that are tied can
    only add to the coverage.
    """
    law = np.ones(1)
    for n, m in sizes:
        law = np.convolve(law, covered_law(n, m, alpha))
    if len(law) == 1:
        return None
    total = np.cumsum(law)
    low, high = (int(np.searchsorted(total, q)) for q in (0.025, 0.975))
    return low / (len(law) - 1), high / (len(law) - 1)
