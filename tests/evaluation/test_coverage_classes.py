"""The intervals over several classes and labels hold the truth: one cell here, all nightly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "simulate_coverage_classes.py"


def load():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    return module


simulate = load()


def noise(draws):
    """Three standard errors of a coverage of .95."""
    return 3 * np.sqrt(0.95 * 0.05 / draws)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_intervals_over_several_classes_hold_the_truth(kind):
    found = simulate.measure(simulate.Cell(kind, (0.4, 0.3, 0.3), 1.5, 90), draws=60)
    names = simulate.LABELS if kind == "multilabel" else simulate.EXCLUSIVE
    judged = {name: found[name] for name in names if name in found}
    assert len(judged) >= 8
    for name, (given, coverage) in judged.items():
        assert given > 0.9 and coverage > 0.93 - noise(60), name


def test_true_values_are_those_of_chance_where_the_classes_do_not_differ():
    truth = simulate.truth_of(simulate.Cell("multiclass", (0.4, 0.3, 0.3), 0.0, 90))
    assert truth["auroc_macro"] == pytest.approx(0.5, abs=0.005)
    assert truth["accuracy"] == pytest.approx(0.4, abs=0.005)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cell", simulate.GRID, ids=lambda cell: cell.name)
def test_intervals_hold_the_truth_in_every_cell(cell):
    """They may hold it more often than they say where the classes are nearly told apart."""
    for name, (given, coverage) in simulate.measure(cell, draws=400).items():
        if given >= 0.5:
            assert coverage > 0.93 - noise(400), name
