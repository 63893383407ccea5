"""The statistics of the benchmark on MedMNIST: paired by seed and by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
TARGETS = np.tile([0, 0, 1], 20)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import medmnist_table

    monkeypatch.setattr(medmnist_table, "RESAMPLES", 200)
    return medmnist_table


def cell(arm: str, seed: int, right: np.ndarray, name: str = "breast") -> dict[str, Any]:
    """Return a cell whose arm is right on the cases `right` (N,), and sure of it."""
    said = np.where(right, TARGETS, 1 - TARGETS)
    probabilities = np.eye(2)[said] * 0.8 + 0.1
    test = {"target": TARGETS.tolist(), "logits": np.log(probabilities).tolist()}
    figures = dict.fromkeys(("ece", "brier", "nll"), 0.1)
    figures |= {"accuracy": float(right.mean()), "auroc": 0.9}
    return {
        "set": name,
        "arm": arm,
        "seed": seed,
        "recipe": arm,
        "epochs": 1,
        "shortened": False,
        "training_seconds": 1.0,
        "test": test | {"probabilities": probabilities.tolist()},
        "figures": {"before": figures, "after": figures},
        "log": [{"event": "scored", "split": "test", "cases": len(TARGETS)}],
    }


def rights(seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random(len(TARGETS)) < share


def test_an_arm_does_not_differ_from_itself(table: Any) -> None:
    cells = [cell(a, s, rights(s, 0.7)) for a in ("ours", "official") for s in range(3)]
    found = table.summary(cells)["sets"]["breast"]
    assert found["accuracy_difference"] == {"value": 0.0, "interval": [0.0, 0.0]}
    assert found["auroc_difference"]["interval"] == [0.0, 0.0]


def test_both_seeds_and_cases_widen_the_interval(table: Any) -> None:
    rng = np.random.default_rng(0)
    targets = np.eye(2)[TARGETS]
    shown = [np.array(cell("a", s, rights(s, 0.8))["test"]["probabilities"]) for s in range(4)]
    always, never = targets * 0.8 + 0.1, 0.9 - targets * 0.8
    accuracy = table.METRICS["accuracy"]
    same_seed = table.draws([(shown[0], never)] * 4, targets, accuracy, rng)
    seeds_only = table.draws([(always, never), (never, never)] * 2, targets, accuracy, rng)
    both = table.draws([(p, never) for p in shown], targets, accuracy, rng)
    assert abs(same_seed.std() - np.sqrt(0.8 * 0.2 / 60)) < 0.015  # cases alone: binomial
    assert abs(seeds_only.std() - 0.25) < 0.03  # four draws of 0 or 1, each with sd one half
    assert both.std() > 0


def test_seeds_that_one_arm_lacks_are_left_out_of_the_difference(table: Any) -> None:
    cells = [cell("ours", s, rights(s, 0.9)) for s in range(3)]
    cells += [cell("official", 1, rights(1, 0.9))]
    found = table.summary(cells)["sets"]["breast"]
    assert found["accuracy_difference"]["value"] == 0.0
    assert found["ours"]["seeds"] == [0, 1, 2]


def test_other_cases_of_test_are_refused(table: Any) -> None:
    cells = [cell("ours", 0, rights(0, 0.9)), cell("official", 0, rights(0, 0.9))]
    cells[1]["test"]["target"] = cells[1]["test"]["target"][::-1]
    with pytest.raises(SystemExit, match="other cases"):
        table.summary(cells)


def test_several_recipes_of_ours_are_told(table: Any) -> None:
    cells = [cell("ours", s, rights(s, 0.9)) for s in range(2)]
    assert table.summary(cells)["one_recipe"]
    assert not table.summary([cells[0], cells[1] | {"recipe": "another"}])["one_recipe"]


def test_the_table_names_seeds_differences_and_published_figures(
    table: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [cell(a, s, rights(s, 0.9)) for a in ("ours", "official") for s in range(2)]
    table.print_table(cells)
    printed = capsys.readouterr().out
    assert "2 seeds" in printed and "| 0.863 | 0.865 |" in printed
    assert "| pooled | accuracy |" in printed and "| once |" in printed
