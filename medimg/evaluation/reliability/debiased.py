"""The expected calibration error less what chance adds to it."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.metrics import Floats
from medimg.evaluation.reliability.binning import Binning
from medimg.evaluation.reliability.probability import Probability


def debiased_ece(p: Probability, binning: Binning) -> tuple[float, Floats]:
    """Return the debiased ECE in the L1 norm, and what each unit adds to its error (U,).

    Chance alone opens a gap in every bin. Where a gap is normal with standard error s, its
    absolute value is on average that of N(gap, s); what this adds is taken off again: the
    correction of Kumar, Liang and Ma (NeurIPS 2019) in its L1 form, with the mean of the folded
    normal in place of draws. s is that of a mean over units, so that the images of one patient
    do not count as so many cases. Near perfect calibration about half of the bias stays.
    """
    from scipy.special import ndtr

    residual, bin_of = p.confidence - p.hit, binning.case()
    gap = np.bincount(bin_of, residual) / binning.size
    size, spread = np.abs(gap), _spread(p, binning, residual - gap[bin_of])
    z = np.divide(size, spread, out=np.full_like(size, np.inf), where=spread > 0)
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + size * (2 * ndtr(z) - 1)
    share = binning.size / len(residual)
    value = max(float((share * (2 * size - folded)).sum()), 0.0)
    # To first order a case moves the gap of its bin, whose sign stays.
    moved = np.sign(gap)[bin_of] * residual - float((share * size).sum())
    return value, p.by_unit(moved) / len(residual)


def _spread(p: Probability, binning: Binning, centred: Floats) -> Floats:
    """Return the standard error (B,) of each bin's mean residual, by units."""
    of_case, units = p.members
    cells, cell = np.unique(binning.case() * units + of_case, return_inverse=True)
    bin_of = cells // units
    count = np.bincount(bin_of)
    square = np.bincount(bin_of, np.bincount(cell, centred) ** 2)
    return np.asarray(np.sqrt(square * count / np.maximum(count - 1, 1)) / binning.size)
