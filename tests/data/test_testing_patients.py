"""Made patients: alike as much as was asked for, and as hard to tell apart as was promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import UsageError
from medimg.evaluation.metrics import auroc
from medimg.testing import make_patients
from medimg.testing.patients import _spot, _waves


def pictures(path: Path) -> NDArray[np.float64]:
    with np.load(path) as archive:
        flat: NDArray[np.float64] = archive["images"].reshape(len(archive["images"]), -1) / 1.0
    return flat


def correlations(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of each pixel over pairs of pictures."""
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    product = (first * second).mean(axis=0)
    return np.asarray(product / first.std(axis=0) / second.std(axis=0))


@pytest.mark.parametrize("correlation", (0.0, 0.4, 0.8, 1.0))
def test_every_pixel_has_the_correlation_asked_for(tmp_path: Path, correlation: float) -> None:
    path = tmp_path / "p.npz"
    make_patients(path, patients=3000, per_patient=2, correlation=correlation, separation=0)
    x = pictures(path)
    within = correlations(x[::2], x[1::2])
    assert np.abs(within - correlation).max() < 0.08
    assert abs(within.mean() - correlation) < 0.02
    assert np.abs(correlations(x[:-2:2], x[2::2])).max() < 0.08


@pytest.mark.parametrize("separation", (0.0, 1.0, 2.0))
@pytest.mark.parametrize("correlation", (0.0, 0.9))
def test_the_best_reader_reaches_the_ceiling_at_any_correlation(
    tmp_path: Path, correlation: float, separation: float
) -> None:
    manifest = make_patients(
        tmp_path / "p.npz",
        patients=20_000,
        per_patient=1,
        correlation=correlation,
        separation=separation,
    )
    store = ImageStore.build(manifest, Preprocess(), tmp_path / "store")
    # The reader that knows the population: the spot in the coordinates where all noise is alike.
    x = store.read(np.arange(len(store))).reshape(len(store), -1)
    score = x @ np.linalg.pinv(_waves(16)) @ _spot(_waves(16))
    reached = auroc(np.column_stack([-score, score]), store.manifest.targets)[1]
    assert abs(reached - stats.norm.cdf(separation / np.sqrt(2))) < 0.012


def test_the_manifest_knows_the_patients_and_agrees_with_the_index(tmp_path: Path) -> None:
    manifest = make_patients(tmp_path / "p.npz", patients=5, per_patient=3)
    again = index(tmp_path / "p.npz")
    assert (manifest.case_id == again.case_id).all()
    assert (manifest.targets == again.targets).all()
    assert (manifest.split == "").all()
    rows = manifest.frame["frame"].astype(int)
    assert (manifest.frame["patient_id"].astype(int) == rows // 3).all()
    assert (manifest.targets.argmax(axis=1) == rows // 3 % 2).all()
    assert manifest.space.positive == "ill"


def test_same_seed_same_patients_other_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_patients(tmp_path / f"{name}.npz", patients=4, seed=seed)
    a, b, c = (pictures(tmp_path / f"{name}.npz") for name in "abc")
    assert (a == b).all() and (a != c).any()
    assert a.min() > 0 and a.max() < 255  # nothing clipped


@pytest.mark.parametrize("wrong", ({"correlation": 1.1}, {"correlation": -0.1}, {"size": 4}))
def test_impossible_patients_are_refused(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="correlation"):
        make_patients(tmp_path / "p.npz", **wrong)  # type: ignore[arg-type]
