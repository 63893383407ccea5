"""Options that could only be a mistake are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from medimg.training.options import FitOptions


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "step", "steps": (-5,)}, "steps"),
        ({"schedule": "step", "steps": (0, 3)}, "steps"),
        ({"epochs": 5, "schedule": "step", "steps": (2, 5)}, "steps: 5 is not below epochs: 5"),
        (
            {"epochs": 5, "freeze": True, "unfreeze_every": 5},
            "unfreeze_every: 5 is not below epochs: 5",
        ),
        (
            {"average": "swa", "monitor": "val_loss", "patience": 3},
            "patience does not go with average: swa",
        ),
        ({"average": "swa", "converge": 0.1}, "converge does not go with average: swa"),
    ],
)
def test_options_that_would_do_nothing_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FitOptions(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 5, "schedule": "step", "steps": (1, 4)},
        {"epochs": 1, "warmup": 2},
        {"epochs": 5, "freeze": True, "unfreeze_every": 4},
        {"average": "ema", "monitor": "val_loss", "patience": 3, "converge": 0.1},
        {"average": "swa", "monitor": "val_loss"},
    ],
)
def test_their_neighbours_are_taken(given: dict[str, Any]) -> None:
    FitOptions(**given)


@pytest.mark.parametrize("name", ["warmup", "weight_decay", "logit_adjustment", "clip"])
def test_no_option_is_infinite(name: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        FitOptions(**{name: float("inf")})
