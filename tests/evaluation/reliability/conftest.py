"""Probabilities made of plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medimg.evaluation.reliability.probability import Probability

AsProbability = Callable[..., Probability]


def _probability(confidence: Any, hit: Any, unit: Any = None) -> Probability:
    """Return the probability of cases (N,), each a unit of its own where none are given."""
    p = np.asarray(confidence, np.float64)
    unit = np.arange(len(p)) if unit is None else np.asarray(unit)
    return Probability.of_cases(
        "ill", p, 1 - p, np.asarray(hit, np.float64), np.zeros(len(p)), unit
    )


def _simulated(n: int = 400, seed: int = 0, power: float = 1.0, images: int = 1) -> Probability:
    """Return n cases of tied and untied confidence; `power` of the odds: 1 is calibrated."""
    rng = np.random.default_rng(seed)
    confidence = np.clip(np.round(rng.beta(0.8, 1.6, size=n), 2), 0.004, 0.996)
    odds = (confidence / (1 - confidence)) ** power
    hit = rng.random(n) < odds / (1 + odds)
    return _probability(confidence, hit, np.arange(n) // images)


@pytest.fixture
def as_probability() -> AsProbability:
    return _probability


@pytest.fixture
def simulated() -> AsProbability:
    return _simulated
