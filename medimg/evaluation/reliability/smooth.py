"""SmoothECE: a calibration error without bins."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.metrics import Floats
from medimg.evaluation.reliability.probability import Probability

_CELLS = 4096
"""Steps of the grid on [0, 1]: far finer than any bandwidth that a sample can support."""
_HALVINGS = 40


def smooth_ece(p: Probability) -> float:
    """Return SmoothECE: the error whose size is also the bandwidth that it was smoothed with.

    The residuals are smoothed by a Gaussian kernel that is reflected at 0 and 1, and the
    absolute values integrated; the one bandwidth that equals this integral is taken. Blasiok
    and Nakkiran, ICLR 2024 (arXiv 2309.12236).
    """
    spectrum = _spectrum(p)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):  # the error falls as the bandwidth grows
        middle = (low + high) / 2
        if smoothed_error(spectrum, middle) > middle:
            low = middle
        else:
            high = middle
    return high


def smoothed_error(spectrum: Floats, bandwidth: float) -> float:
    """Return the integral of the absolute smoothed residual, of its cosine series (M + 1,)."""
    from scipy.fft import dct

    # On [0, 1] the reflected Gaussian is the heat kernel, which damps each cosine by itself.
    decay = np.exp(-((np.pi * np.arange(len(spectrum)) * bandwidth) ** 2) / 2)
    return float(np.trapezoid(np.abs(dct(spectrum * decay, type=1)), dx=1 / (len(spectrum) - 1)))


def _spectrum(p: Probability) -> Floats:
    """Return the mean residual's cosine coefficients; each case shared by the two next nodes."""
    from scipy.fft import dct

    left = np.minimum((p.confidence * _CELLS).astype(np.int64), _CELLS - 1)
    share = p.confidence * _CELLS - left
    residual = (p.hit - p.confidence) / len(p.hit)
    nodes = np.bincount(left, residual * (1 - share), _CELLS + 1)
    nodes += np.bincount(left + 1, residual * share, _CELLS + 1)
    nodes[[0, -1]] *= 2  # this transform counts the ends once and all between them twice
    return np.asarray(dct(nodes, type=1) / 2)
