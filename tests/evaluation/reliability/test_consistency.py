"""Consistency resampling against exact distributions, and what images of one patient change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from medimg.evaluation.reliability.binning import PlugIn
from medimg.evaluation.reliability.consistency import DRAWS, draw_outcomes, p_value, two_sided
from medimg.evaluation.reliability.probability import Probability


def drawn(p, units=None, seed=0):
    cuts = PlugIn.of(p).cuts
    return draw_outcomes([p], [cuts], units or p.unit.max() + 1, seed)[0]


def poisson_binomial(chances):
    """Return the exact distribution (n + 1,) of how many of independent cases come true."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1 - chance, chance])
    return law


def test_expected_ece_is_that_of_the_exact_distribution(simulated):
    p = simulated(60)
    wide = PlugIn.of(p).wide
    exact = 0.0
    for first, size, sure in zip(wide.first, wide.size.astype(int), wide.sure, strict=True):
        law = poisson_binomial(p.confidence[first : first + size])
        exact += law @ np.abs(np.arange(size + 1) - sure)
    draws = PlugIn.of(p).errors(drawn(p).hits)["ece"]
    assert draws.shape == (DRAWS,)
    assert draws.mean() == pytest.approx(exact / 60, abs=4 * draws.std() / np.sqrt(DRAWS))


def test_drawn_brier_scores_have_the_moments_of_spiegelhalter(simulated):
    p = simulated(300)
    chance, draws = p.confidence, drawn(p).brier
    spread = np.sqrt(((1 - 2 * chance) ** 2 * chance * (1 - chance)).sum()) / 300
    assert draws.mean() == pytest.approx((chance * (1 - chance)).mean(), abs=4 * spread / 31)
    assert draws.std() == pytest.approx(spread, rel=0.1)


def test_independent_cases_draw_one_class_each():
    rng = np.random.default_rng(0)
    chance = rng.dirichlet((1, 2, 3), size=40)
    start = np.cumsum(chance, axis=1) - chance
    unit = np.arange(40)
    each = [
        Probability.of_cases(str(k), chance[:, k], 1 - chance[:, k], unit % 2, start[:, k], unit)
        for k in range(3)
    ]
    draws = draw_outcomes(each, [np.zeros(1, np.int64)] * 3, 40, 0)
    assert (sum(d.hits for d in draws) == 40).all()


def test_the_images_of_a_patient_come_true_together(as_probability):
    p = as_probability(np.full(30, 0.3), np.zeros(30), np.arange(30) // 5)
    counts = draw_outcomes([p], [np.zeros(1, np.int64)], 6, 0)[0].hits
    assert (counts % 5 == 0).all()
    assert counts.mean() == pytest.approx(9, abs=0.5)


def test_certain_and_impossible_cases_are_drawn_so(as_probability):
    p = as_probability([0.0] * 50 + [1.0] * 50, [0] * 50 + [1] * 50)
    counts = draw_outcomes([p], [np.asarray([0, 50])], 100, 0)[0].hits
    assert (counts[0] == 0).all() and (counts[1] == 50).all()


def test_same_seed_same_draws(simulated):
    p = simulated(50)
    assert (drawn(p, seed=3).hits == drawn(p, seed=3).hits).all()
    assert (drawn(p, seed=3).hits != drawn(p, seed=4).hits).any()


def test_p_value_counts_the_observed_value_itself():
    draws = np.asarray([0.1, 0.2, 0.3, 0.4])
    assert p_value(0.5, draws) == 1 / 5
    assert p_value(0.3, draws) == 3 / 5
    assert p_value(0.0, draws) == 1.0
    assert two_sided(0.05, draws) == 2 / 5
    assert two_sided(0.25, draws) == 1.0


def p_values(simulate, images, shared, runs=300):
    """Return p of the ECE of calibrated models, whose patients have one outcome each."""
    rng, found = np.random.default_rng(images), []
    for run in range(runs):
        chance = np.repeat(rng.beta(1, 2, size=60), images)
        hit = np.repeat(rng.random(60) < chance[::images], images)
        unit = np.arange(60 * images) // (images if shared else 1)
        p = simulate(chance, hit, unit)
        plug_in = PlugIn.of(p)
        seen = plug_in.errors(np.add.reduceat(p.hit, plug_in.cuts)[:, None])["ece"][0]
        found.append(p_value(float(seen), plug_in.errors(drawn(p, seed=run).hits)["ece"]))
    return np.asarray(found)


@pytest.mark.parametrize("images", [1, 4])
def test_p_is_uniform_under_perfect_calibration_by_patient(as_probability, images):
    found = p_values(as_probability, images, shared=True)
    assert kstest(found, "uniform").pvalue > 0.01


def test_p_by_image_would_find_miscalibration_where_there_is_none(as_probability):
    assert (p_values(as_probability, 4, shared=False) < 0.05).mean() > 0.3
