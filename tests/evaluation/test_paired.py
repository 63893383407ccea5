"""Paired tests and intervals of two models on the same cases."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from medimg.evaluation.intervals.paired import mcnemar, paired_difference
from medimg.evaluation.intervals.units import Units

Bools = NDArray[np.bool_]


def table(both: int, b: int, c: int, neither: int) -> tuple[Bools, Bools, Bools, Units]:
    right = np.repeat([True, True, False, False], [both, b, c, neither])
    reference = np.repeat([True, False, True, False], [both, b, c, neither])
    n = len(right)
    return right, reference, np.ones(n, bool), Units(np.arange(n), n, "case")


def test_mcnemar_of_independent_cases_is_the_mid_p_test_worked_by_hand() -> None:
    # 1 of 7 discordant: 2 (P(0) + P(1)) - P(1) = 2 (1 + 7) / 128 - 7 / 128.
    assert mcnemar(*table(20, 1, 6, 3)) == pytest.approx(9 / 128)


def test_mid_p_lies_below_the_exact_test() -> None:
    exact = binomtest(2, 12).pvalue
    assert 0.5 * exact < mcnemar(*table(30, 2, 10, 5)) < exact


def test_models_that_agree_everywhere_do_not_differ() -> None:
    assert mcnemar(*table(20, 0, 0, 3)) == 1
    low, high = paired_difference(*table(20, 0, 0, 3))
    assert low == pytest.approx(-high) and high > 0


def test_paired_difference_is_bonett_and_prices() -> None:
    low, high = paired_difference(*table(60, 12, 4, 24))
    b, c, n = 13 / 102, 5 / 102, 102
    half = 1.959963984540054 * np.sqrt((b + c - (b - c) ** 2) / n)
    # The variance takes n cases and two added ones about the centre in place of n + 2.
    assert (low + high) / 2 == pytest.approx(b - c)
    assert (high - low) / 2 == pytest.approx(half, rel=2e-3)


def test_doubling_every_image_of_a_patient_adds_no_evidence() -> None:
    right, reference, rows, _ = table(20, 3, 9, 8)
    n = len(right)
    twice = Units(np.tile(np.arange(n), 2), n, "patient")
    doubled = mcnemar(np.tile(right, 2), np.tile(reference, 2), np.tile(rows, 2), twice)
    assert doubled == pytest.approx(2 * (1 - NormalDist().cdf(6 / np.sqrt(12))))


def simulate(
    patients: int, images: int, shares: tuple[float, float], rng: np.random.Generator
) -> tuple[Bools, Bools, Units]:
    """Two models whose errors go together, with a correlation of .6 within a patient."""
    of_case = np.repeat(np.arange(patients), images)
    n = len(of_case)
    noise = [
        np.sqrt(0.6) * rng.normal(size=patients)[of_case] + np.sqrt(0.4) * rng.normal(size=n)
        for _ in range(2)
    ]
    first, second = noise[0], 0.7 * noise[0] + np.sqrt(0.51) * noise[1]
    cut = [NormalDist().inv_cdf(share) for share in shares]
    return first < cut[0], second < cut[1], Units(of_case, patients, "patient")


@pytest.mark.parametrize("images", [1, 5])
@pytest.mark.parametrize("patients", [54, 156])
def test_intervals_cover_and_the_test_keeps_its_level(patients: int, images: int) -> None:
    rng = np.random.default_rng(0)
    covered, rejected, draws = 0, 0, 1500
    for _ in range(draws):
        right, reference, units = simulate(patients, images, (0.85, 0.85), rng)
        rows = np.ones(len(right), bool)
        low, high = paired_difference(right, reference, rows, units)
        covered += low <= 0 <= high
        rejected += mcnemar(right, reference, rows, units) < 0.05
    assert 0.935 <= covered / draws <= 0.98
    assert rejected / draws <= 0.065
