"""Simulated predictions for the tests of the evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medimg.labels import LabelSpace
from medimg.predictions import Predictions

Maker = Callable[..., Predictions]


def _logits(rng: np.random.Generator, targets: Any, gain: float) -> Any:
    noise = rng.normal(size=targets.shape)
    # Rounded, so that scores are tied.
    return np.round(noise + gain * np.nan_to_num(targets), 1).astype(np.float32)


def _make(
    n: int = 200,
    k: int = 3,
    *,
    kind: str = "multiclass",
    positive: str | None = None,
    seed: int = 0,
    gain: float = 1.5,
    images: int = 0,
    unknown: float = 0.0,
    share: tuple[float, ...] | None = None,
) -> Predictions:
    """Return n simulated cases; `images` a patient (0: no patient ids), some targets unknown."""
    rng = np.random.default_rng(seed)
    space = LabelSpace(tuple("abcdefghij"[:k]), kind, positive)
    if kind == "multilabel":
        targets = (rng.random((n, k)) < 0.3).astype(np.float32)
        targets[rng.random((n, k)) < unknown] = np.nan
    else:
        labels = rng.choice(k, size=n, p=share)
        targets = space.one_hot(np.where(rng.random(n) < unknown, -1, labels))
    return Predictions(
        case_id=np.asarray([f"case{i:06d}" for i in range(n)]),
        scores=_logits(rng, targets, gain),
        kind="logits",
        space=space,
        targets=targets,
        patient_id=np.asarray([f"P{i // images:05d}" for i in range(n)]) if images else None,
        split=np.asarray(["test"] * n),
    )


@pytest.fixture
def make() -> Maker:
    return _make


@pytest.fixture
def shuffled() -> Callable[[Predictions], Predictions]:
    """Takes predictions and makes them of the same rows in another order."""
    return lambda p: p.take(np.random.default_rng(5).permutation(len(p)))
