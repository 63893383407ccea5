"""The probabilities of a trained network are those of the data, whatever balanced its batches."""

from __future__ import annotations

import numpy as np
import pytest

import medimg as mi

SHARE = 0.1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> mi.ImageStore:
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 1200), ("val", 40), ("test", 1200)):
        ill = rng.random(n) < SHARE
        pixels = rng.normal(110, 30, (n, 8, 8)) + 25 * ill[:, None, None]
        arrays[f"{split}_images"] = np.clip(pixels, 0, 255).astype(np.uint8)
        arrays[f"{split}_labels"] = ill[:, None].astype(np.uint8)
    np.savez(folder / "x.npz", **arrays)
    manifest = mi.index(folder / "x.npz")
    return mi.ImageStore.build(manifest, mi.Preprocess(), folder / "cache")


@pytest.mark.parametrize(
    "changes",
    [{"augment": {"noise": 0.1, "contrast": 0.3}}, {"average": "ema"}, {}],
    ids=["augmented", "averaged", "plain"],
)
def test_a_balanced_sampler_leaves_the_share_of_the_data(
    store: mi.ImageStore, changes: dict[str, object]
) -> None:
    model = mi.build_model("cnn", shape=store.shape, classes=2, widths=(8, 16))
    options = mi.FitOptions(epochs=6, lr=3e-3, batch_size=64, sampler="weighted", **changes)
    bundle, _ = mi.fit(model, store, options)
    predictions = bundle.predict(store, "test")
    found = predictions.probabilities[:, 1].mean()
    assert abs(found - predictions.targets[:, 1].mean()) < 0.04
