"""Coverage of the calibration measures: a few cells here, the whole table under `slow`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("slope", "intercept", "brier")


def load() -> Any:
    path = ROOT / "scripts" / "simulate_calibration.py"
    spec = importlib.util.spec_from_file_location("simulate_calibration", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


simulate = load()
NOISE = 3.3
"""Standard errors that a simulated rate may be off by."""


def within(rate: float, low: float, high: float, draws: int) -> bool:
    off = NOISE * (0.05 * 0.95 / draws) ** 0.5
    return low - off <= rate <= high + off


@pytest.mark.parametrize(
    "cell",
    [
        simulate.Cell(1000, 1, 0.3, 0.9, 0.7, 0.3),
        simulate.Cell(200, 5, 0.3, 0.98, 0.7, 0.3),
        simulate.Cell(156, 1, 0.1, 0.9, 0.7, 0.3),
    ],
    ids=str,
)
def test_slope_intercept_and_brier_cover_and_by_image_they_would_not(cell):
    row = simulate.intervals(cell, 150)
    assert all(within(row[name], 0.93, 0.97, 150) for name in NAMES)
    if cell.images > 1:
        assert all(row[f"{name} by image"] < 0.9 for name in NAMES)


def test_debiased_ece_covers_where_it_is_printed():
    row = simulate.debiased(simulate.Cell(10_000, 1, 0.3, 0.8, 0.7, 0.1), 60)
    assert row["printed"] == 1
    assert within(row["coverage"], 0.93, 0.97, 60)
    assert abs(row["bias of debiased"]) < row["bias of plug-in"]


def test_a_perfect_model_of_many_images_a_patient_is_accused_in_one_of_twenty_samples():
    row = simulate.rejections(simulate.Cell(156, 5, 0.3, 0.8), 100)
    names = ("ece", "ece_equal_mass", "mce", *NAMES)
    assert all(within(row[name], 0, 0.05, 100) for name in names)
    assert row["ece by image"] > 0.15
    assert row["mean ECE"] == pytest.approx(row["expected"], rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("cell", simulate.INTERVALS, ids=str)
def test_slope_intercept_and_brier_cover(cell):
    row = simulate.intervals(cell, 1000, seed=1)
    # With so few of an outcome, to have ten at all is a selection that widens the intervals.
    most = 0.97 if cell.patients * cell.prevalence > 20 else 0.985
    assert all(within(row[name], 0.93, most, 1000) for name in NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("cell", simulate.DEBIASED, ids=str)
def test_debiased_ece_covers_or_is_not_printed(cell):
    row = simulate.debiased(cell, 1000, seed=1)
    if row["true ECE"] < 0.03:
        assert row["printed"] < 0.01
    else:
        assert within(row["coverage"], 0.93, 0.97, 1000 * row["printed"])


@pytest.mark.slow
@pytest.mark.parametrize("cell", simulate.PERFECT, ids=str)
def test_a_perfect_model_is_accused_as_often_as_the_page_says(cell):
    row = simulate.rejections(cell, 1000, seed=1)
    most = 0.06 if cell.images == 1 else 0.1
    assert all(within(row[n], 0, most, 1000) for n in ("ece", "ece_equal_mass", "mce", *NAMES))
