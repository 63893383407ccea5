"""SmoothECE, the debiased ECE and the parts of the Brier score, each against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from medimg.evaluation.reliability.binning import PlugIn
from medimg.evaluation.reliability.corp import brier_parts, isotonic
from medimg.evaluation.reliability.debiased import debiased_ece
from medimg.evaluation.reliability.smooth import smooth_ece


def smoothed(p, bandwidth, nodes=4001):
    """Return the smoothed error by the definition: reflected kernels, trapezoidal rule."""
    at = np.linspace(0, 1, nodes)
    residual = (p.hit - p.confidence) / len(p.hit)
    total = np.zeros(nodes)
    for middle, r in zip(p.confidence, residual, strict=True):
        for turn in (-1, 0, 1):
            for image in (2 * turn + middle, 2 * turn - middle):
                total += r * norm.pdf(at, image, bandwidth)
    return np.trapezoid(np.abs(total), at)


@pytest.mark.parametrize(("n", "power"), [(30, 1.0), (60, 3.0), (40, 0.2)])
def test_smooth_ece_equals_its_definition(simulated, n, power):
    p = simulated(n, seed=n, power=power)
    theirs = brentq(lambda width: smoothed(p, width) - width, 0.005, 1)
    assert smooth_ece(p) == pytest.approx(theirs, abs=1e-6)


def test_smooth_ece_of_one_sided_error_is_that_error(as_probability):
    # All residuals point one way: no smoothing takes any of it off.
    p = as_probability(np.linspace(0.3, 0.7, 50), np.zeros(50))
    assert smooth_ece(p) == pytest.approx(0.5, abs=1e-9)


def test_smooth_ece_of_a_perfect_model_is_0(as_probability):
    assert smooth_ece(as_probability([0.0, 0.0, 1.0], [0, 0, 1])) == pytest.approx(0, abs=1e-9)


def test_debiased_ece_worked_by_hand(as_probability):
    # One bin: 100 cases of .5, 60 true. The gap is .1, its standard error that of the mean.
    p = as_probability(np.full(100, 0.5), np.arange(100) < 60)
    error = np.sqrt(0.6 * 0.4 / 99)
    folded = error * np.sqrt(2 / np.pi) * np.exp(-0.5 * (0.1 / error) ** 2)
    folded += 0.1 * (1 - 2 * norm.cdf(-0.1 / error))
    value, changes = debiased_ece(p, PlugIn.of(p).wide)
    assert value == pytest.approx(2 * 0.1 - folded, abs=1e-12)
    assert np.sqrt((changes**2).sum()) == pytest.approx(np.sqrt(0.6 * 0.4 / 100), abs=1e-12)


def test_debiasing_by_patient_equals_one_image_a_patient_repeated(as_probability, simulated):
    one = simulated(200, power=2.0)
    many = as_probability(
        np.repeat(one.confidence, 3), np.repeat(one.hit, 3), np.repeat(one.unit, 3)
    )
    (a, moved_a), (b, moved_b) = (debiased_ece(p, PlugIn.of(p).wide) for p in (one, many))
    assert a == pytest.approx(b, abs=1e-12)
    assert (moved_a**2).sum() == pytest.approx((moved_b**2).sum(), abs=1e-12)


def test_debiasing_takes_off_most_of_what_chance_adds(simulated):
    plugged, debiased = [], []
    for seed in range(200):
        p = simulated(1000, seed=seed, power=1.0)
        plug_in = PlugIn.of(p)
        plugged.append(plug_in.errors(np.add.reduceat(p.hit, plug_in.cuts)[:, None])["ece"][0])
        debiased.append(debiased_ece(p, plug_in.wide)[0])
    assert np.mean(debiased) < 0.65 * np.mean(plugged)


@pytest.mark.parametrize("seed", range(5))
def test_isotonic_regression_equals_sklearn(simulated, seed):
    p = simulated(int(10 ** (seed / 2 + 1)), seed=seed)
    theirs = IsotonicRegression().fit_transform(p.confidence, p.hit)
    np.testing.assert_allclose(isotonic(p), theirs, atol=1e-12)


def test_brier_parts_sum_to_the_score_exactly(simulated):
    p = simulated(700, power=0.5)
    parts = brier_parts(p)
    total = parts["brier_reliability"] - parts["brier_resolution"] + parts["brier_uncertainty"]
    assert total == pytest.approx(brier_score_loss(p.hit, p.confidence), abs=1e-15)
    assert min(parts.values()) >= 0


def test_brier_parts_worked_by_hand(as_probability):
    # Isotonic: 0 for the first, 1/3 for the next three, 1 for the last; prevalence .4.
    p = as_probability([0.1, 0.2, 0.4, 0.4, 0.9], [0, 1, 0, 0, 1])
    score = (0.01 + 0.64 + 0.16 + 0.16 + 0.01) / 5
    best = (4 / 9 + 2 / 9) / 5
    assert brier_parts(p) == {
        "brier_reliability": pytest.approx(score - best),
        "brier_resolution": pytest.approx(0.4 * 0.6 - best),
        "brier_uncertainty": pytest.approx(0.4 * 0.6),
    }
