"""Manifests without pictures and predictions whose calibration is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.calibrator import to_probabilities
from medimg.data.manifest import Manifest
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.testing.pictures import PathLike


def make_manifest(
    n: int = 40,
    *,
    space: LabelSpace | None = None,
    patients: int | None = None,
    splits: Sequence[str] = (),
    unknown: float = 0.0,
    root: PathLike = ".",
    seed: int = 0,
) -> Manifest:
    """Return a manifest of `n` cases without any pictures.

    Parameters
    ----------
    space : LabelSpace, optional
        Default: two classes, the second the target condition.
    patients : int, optional
        How many patients the cases are of, in turn; default: no patient ids.
    splits : sequence of str
        Given in turn; default: blank.
    unknown : float
        The share of unknown targets (cases, or labels where it is multilabel).
    """
    space = space or LabelSpace(("benign", "malignant"), positive="malignant")
    generator = np.random.default_rng(seed)
    rows = np.arange(n)
    frame = pd.DataFrame({"case_id": [f"case{i:05d}.png" for i in rows]}, dtype=object)
    frame["source"] = frame["case_id"]
    frame["patient_id"] = [f"{i % patients:03d}" if patients else "" for i in rows]
    frame["split"] = [splits[i % len(splits)] if splits else "" for i in range(n)]
    chance = np.full((n, space.k), 1 / space.k if space.exclusive else 0.5)
    targets = _draw(chance, space, unknown, generator)
    return Manifest(frame, targets, space, Path(root))


def make_predictions(
    n: int = 200,
    space: LabelSpace | None = None,
    seed: int = 0,
    *,
    temperature: float = 1.0,
    shift: float = 0.0,
    spread: float = 2.0,
    patients: int | None = None,
    unknown: float = 0.0,
    split: str = "test",
) -> Predictions:
    """Return predictions whose true calibration is known.

    Logits z are drawn, then targets from the probabilities of z: those are calibrated by
    construction. The scores are ``temperature * z``, with `shift` added to the last class: so
    a fitted temperature must come out as `temperature`.

    Parameters
    ----------
    n : int
        Cases.
    space : LabelSpace, optional
        Default: two classes, the second the target condition.
    spread : float
        Standard deviation of z.
    patients : int, optional
        How many patients the cases are of, in turn; default: no patient ids.
    unknown : float
        The share of unknown targets (cases, or labels where it is multilabel).
    """
    space = space or LabelSpace(("benign", "malignant"), positive="malignant")
    generator = np.random.default_rng(seed)
    logits = spread * generator.standard_normal((n, space.k))
    targets = _draw(to_probabilities(logits, "logits", space), space, unknown, generator)
    scores = temperature * logits
    scores[:, -1] += shift
    return Predictions(
        case_id=np.array([f"case{i:06d}" for i in range(n)], object),
        scores=scores.astype(np.float32),
        kind="logits",
        space=space,
        targets=targets,
        patient_id=np.array([f"p{i % patients:05d}" for i in range(n)]) if patients else None,
        split=np.full(n, split, object),
    )


def _draw(
    chance: NDArray[np.float64], space: LabelSpace, unknown: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return targets float32 (N, K) drawn with these chances, a share of them unknown."""
    n = len(chance)
    if space.exclusive:
        ends = chance.cumsum(axis=1)
        classes = (generator.random((n, 1)) * ends[:, -1:] >= ends).sum(axis=1)
        targets = space.one_hot(classes.clip(0, space.k - 1))
        targets[generator.random(n) < unknown] = np.nan
        return targets
    targets = (generator.random(chance.shape) < chance).astype(np.float32)
    targets[generator.random(chance.shape) < unknown] = np.nan
    return targets
