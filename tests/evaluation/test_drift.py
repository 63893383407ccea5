"""Distances between two sets of people, and what chance makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medimg.evaluation.shift.drift import (
    kolmogorov_smirnov,
    permuted,
    stability_index,
    standardised_difference,
    total_variation,
)


def observed(distance, here):
    return float(distance(np.asarray(here, float)[:, None])[0])


def halves(one, two):
    return np.concatenate([one, two]), np.arange(len(one) + len(two)) < len(one)


def test_ks_distance_is_scipys():
    rng = np.random.default_rng(0)
    for decimals in (1, 8):
        one, two = (
            rng.normal(size=70).round(decimals),
            rng.normal(0.4, 1.2, size=90).round(decimals),
        )
        values, here = halves(one, two)
        found = observed(kolmogorov_smirnov(values, np.arange(160), 160), here)
        assert found == pytest.approx(stats.ks_2samp(one, two).statistic, abs=1e-12)


def test_ks_distance_of_many_values_is_scipys_to_two_thousandths():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=20_000), rng.normal(0.03, size=20_000)
    values, here = halves(one, two)
    found = observed(kolmogorov_smirnov(values, np.arange(40_000), 40_000), here)
    exact = stats.ks_2samp(one, two).statistic
    assert exact - 0.002 <= found <= exact


def test_permutation_p_value_of_ks_agrees_with_the_exact_one():
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=40), rng.normal(0.5, size=50)
    values, here = halves(one, two)
    distances = {"ks": kolmogorov_smirnov(values, np.arange(90), 90)}
    _, _, p = permuted(distances, here, permutations=4000, seed=0)["ks"]
    assert p == pytest.approx(stats.ks_2samp(one, two, method="exact").pvalue, abs=0.02)


def test_total_variation_by_hand():
    codes, here = halves([0] * 6 + [1] * 4, [0] * 10 + [1] * 5 + [2] * 5)
    assert observed(total_variation(codes, np.arange(30), 30), here) == pytest.approx(0.25)


def test_stability_index_by_hand():
    values, here = halves(np.repeat([0.0, 1.0], [30, 10]), np.repeat([0.0, 1.0], [10, 30]))
    p, q = 30.5 / 41, 10.5 / 41
    expected = 2 * (p - q) * np.log(p / q)
    assert observed(stability_index(values, np.arange(80), 80), here) == pytest.approx(expected)


def test_stability_index_stays_finite_where_the_sets_do_not_meet():
    values, here = halves(np.linspace(0, 1, 50), np.linspace(5, 6, 50))
    assert 1 < observed(stability_index(values, np.arange(100), 100), here) < 20


def test_standardised_difference_by_hand_leaves_unknown_values_out():
    values, here = halves([1.0, 3.0, np.nan, 5.0], [2.0, 2.0, 6.0, 6.0, np.nan])
    one, two = np.asarray([1, 3, 5]), np.asarray([2, 2, 6, 6])
    expected = (one.mean() - two.mean()) / np.sqrt((one.var() + two.var()) / 2)
    found = observed(standardised_difference(values, np.arange(9), 9), here)
    assert found == pytest.approx(expected)


def rejected(clustered, runs=60):
    """Return how often two sets of one population, five images a patient, are told apart."""
    hits = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(size=60), 5) + 0.5 * rng.normal(size=300)
        unit = np.repeat(np.arange(60), 5) if clustered else np.arange(300)
        n = 60 if clustered else 300
        here = np.arange(n) < n // 2
        distances = {"d": kolmogorov_smirnov(values, unit, n)}
        hits += permuted(distances, here, permutations=199, seed=seed)["d"][2] <= 0.05
    return hits / runs


def test_dealing_patients_keeps_the_error_and_dealing_images_does_not():
    assert rejected(clustered=True) < 0.13
    assert rejected(clustered=False) > 0.3


def test_memory_is_bounded_and_the_seed_decides():
    values = np.random.default_rng(0).normal(size=60_000)
    widths = []

    def counted(here):
        widths.append(here.size)
        return here.mean(axis=0)

    here = np.arange(60_000) < 100
    one = permuted({"n": counted}, here, permutations=50, seed=0)
    assert max(widths) <= 2**19
    assert one["n"] == pytest.approx((100 / 60_000, 100 / 60_000, 1.0))
    ks = {"d": kolmogorov_smirnov(values[:200], np.arange(200), 200)}
    first, again, other = (permuted(ks, here[:200], permutations=99, seed=s) for s in (0, 0, 1))
    assert first == again != other
