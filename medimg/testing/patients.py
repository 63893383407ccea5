"""Patients with several pictures each, alike to a degree that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest
from medimg.errors import UsageError
from medimg.labels import LabelSpace
from medimg.testing.pictures import PathLike

#: Cosines a side that a picture is made of, without the constant one; their grey levels.
_WAVES, _MEAN, _DEVIATION = 8, 128, 20


def make_patients(
    path: PathLike,
    *,
    patients: int = 60,
    per_patient: int = 6,
    correlation: float = 0.5,
    separation: float = 1.0,
    size: int = 16,
    seed: int = 0,
) -> Manifest:
    """Write pictures of patients to the archive `path` and return their manifest, not split yet.

    A picture is a smooth random field, the sum of one that all pictures of the patient share
    and one of its own, weighted so that every pixel of two pictures of one patient has the
    correlation asked for. Every second patient is ill: a bright spot in the middle is added,
    the same in everybody.

    How hard the task is on a new patient does not depend on `correlation`: a single picture has
    the same distribution whatever it is. No classifier can there have an AUROC above
    ``scipy.stats.norm.cdf(separation / sqrt(2))``: the classes are normal with one covariance,
    `separation` apart in its (Mahalanobis) units. A figure above that is a leak, or luck.

    Parameters
    ----------
    path : path
        An ``.npz``: `images` uint8 (N, H, W) and `labels` (N,).
    correlation : float in [0, 1]
        Between the pictures of one patient, beyond what the illness adds.
    separation : float
        At least 0, where nothing can be learnt.
    size : int
        Pixels a side, at least 8.
    seed : int
        Other patients of the same population for another seed.

    Raises
    ------
    UsageError
        A correlation outside of [0, 1], or pictures too small.
    """
    if not 0 <= correlation <= 1 or size < _WAVES:
        raise UsageError(
            f"correlation {correlation}, size {size}",
            remedy=f"give a correlation from 0 to 1 and a size of at least {_WAVES}",
        )
    generator = np.random.default_rng(seed)
    of = np.repeat(np.arange(patients), per_patient)
    waves = _waves(size)
    ill = of % 2
    shared = generator.standard_normal((patients, len(waves)))[of]
    own = generator.standard_normal((len(of), len(waves)))
    weights = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    weights += separation * ill[:, None] * _spot(waves)
    pictures = _MEAN + _DEVIATION * (weights @ waves).reshape(-1, size, size)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, images=pictures.clip(0, 255).round().astype(np.uint8), labels=ill)
    return _manifest(path, of, ill)


def _waves(size: int) -> NDArray[np.float64]:
    """Return the cosines (F, size**2), slow ones strongest, scaled to a mean variance of 1."""
    k = np.arange(_WAVES)
    cosines = np.cos(np.pi * np.outer(k, np.arange(size) + 0.5) / size)
    strength = 1 / np.hypot(k[:, None], k).clip(1)
    waves = np.einsum("kl,kx,ly->klxy", strength, cosines, cosines).reshape(-1, size * size)[1:]
    scaled: NDArray[np.float64] = waves / np.sqrt((waves**2).sum(axis=0).mean())
    return scaled


def _spot(waves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights (F,) of the waves that make a spot in the middle, of length 1."""
    size = int(np.sqrt(waves.shape[1]))
    along = np.exp(-(((np.arange(size) + 0.5) / size - 0.5) ** 2) / (2 * 0.12**2))
    weights = waves @ np.outer(along, along).ravel() / (waves**2).sum(axis=1)  # orthogonal waves
    unit: NDArray[np.float64] = weights / np.linalg.norm(weights)
    return unit


def _manifest(path: Path, of: NDArray[np.intp], ill: NDArray[np.intp]) -> Manifest:
    rows = [str(row) for row in range(len(of))]
    frame = pd.DataFrame(
        {
            "case_id": [f"{path.name}#images@{row}" for row in rows],
            "patient_id": [f"{patient:05d}" for patient in of],
            "source": f"{path.name}#images",
            "frame": rows,
        }
    )
    space = LabelSpace(("healthy", "ill"), positive="ill")
    return Manifest(frame, space.one_hot(ill), space, path.parent)
