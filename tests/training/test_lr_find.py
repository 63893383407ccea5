"""The learning-rate finder: what it suggests, and that it leaves no trace."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.models.build import build_model
from medimg.testing import make_npz
from medimg.training.fit import fit
from medimg.training.lr_find import FEWEST, HIGHEST, LOWEST, STEPS, judge, lr_find
from medimg.training.options import FitOptions
from medimg.training.setup import Setup

RATES = np.geomspace(LOWEST, HIGHEST, STEPS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("store")
    path = make_npz(folder / "x.npz", n={"train": 120, "val": 40, "test": 20}, classes=3)
    return ImageStore.build(split(index(path), calib=0, test=0.2), Preprocess(), folder / "s")


def mlp(store: ImageStore) -> torch.nn.Module:
    return build_model("mlp", shape=store.shape, classes=3, hidden=(16,))


def test_a_third_of_the_rate_where_the_fall_ends_is_suggested() -> None:
    """A fall over a decade that ends at .03; whether a valley or a rise follows is the same."""
    decades = np.log10(RATES / 0.03)
    noise = np.random.default_rng(0).normal(0, 0.03, STEPS)
    for slope in (0, 2):
        losses = 1 - decades.clip(-1, 0) - 1 + slope * decades.clip(0.3) + noise
        found = judge(RATES.tolist(), losses.tolist())
        assert found.suggestion == pytest.approx(0.01, rel=0.4)
        assert found.reason.startswith("a third of")
        assert len(found.rates) == len(found.losses) == len(found.smoothed) == STEPS


def test_a_loss_that_only_varies_suggests_nothing() -> None:
    rng = np.random.default_rng(0)
    found = [judge(RATES.tolist(), rng.normal(1, 0.1, STEPS).tolist()) for _ in range(200)]
    nothing = [each for each in found if each.suggestion is None]
    assert len(nothing) > 0.95 * len(found)
    assert "from batch to batch" in nothing[0].reason


def test_a_loss_that_diverges_at_once_suggests_nothing() -> None:
    for steps in (0, 1, FEWEST - 1):
        found = judge(RATES[:steps].tolist(), [1.0] * steps)
        assert found.suggestion is None
        assert "diverged" in found.reason


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_training_at_the_suggestion_learns(store: ImageStore, optimizer: str) -> None:
    options = FitOptions(optimizer=optimizer, batch_size=16, epochs=10)
    found = lr_find(mlp(store), store, options, device="cpu")
    assert found.suggestion is not None
    assert found.rates == pytest.approx(RATES[: len(found.rates)])
    _, history = fit(
        mlp(store), store, options.model_copy(update={"lr": found.suggestion}), device="cpu"
    )
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]


def test_a_sweep_ends_where_the_loss_diverges(store: ImageStore) -> None:
    dealt = store.manifest.targets[np.random.default_rng(0).permutation(len(store.manifest))]
    random = replace(store, manifest=replace(store.manifest, targets=dealt))
    options = FitOptions(batch_size=16, optimizer="sgd", momentum=0.9)
    found = lr_find(mlp(store), random, options, device="cpu")
    assert FEWEST < len(found.rates) < STEPS
    assert all(np.isfinite(found.losses))


def test_the_finder_leaves_model_options_and_random_state_as_they_were(store: ImageStore) -> None:
    model = build_model("cnn", shape=store.shape, classes=3, widths=(4, 8), dropout=0.3).eval()
    before, spec = copy.deepcopy(model.state_dict()), model.medimg_spec
    random = torch.get_rng_state()
    options = FitOptions(batch_size=32, freeze=True, average="ema")
    first = lr_find(model, store, options, seed=3, device="cpu")
    assert torch.equal(torch.get_rng_state(), random)
    assert not model.training
    assert model.medimg_spec is spec
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert lr_find(model, store, options, seed=3, device="cpu") == first
    assert lr_find(model, store, options, seed=4, device="cpu") != first


def test_the_precision_is_that_of_the_training(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network in float64 is not cast, whatever is asked for."""
    dtypes: list[torch.dtype] = []

    def note(*given: Any, dtype: torch.dtype, **others: Any) -> Setup:
        dtypes.append(dtype)
        return Setup(*given, dtype=dtype, **others)

    for start in (lr_find, fit):
        monkeypatch.setattr(sys.modules[start.__module__], "Setup", note)
        for model in (mlp(store), mlp(store).double()):
            options = FitOptions(epochs=1, batch_size=32, precision="bfloat16")
            start(model, store, options, device="cpu")
    assert dtypes == [torch.bfloat16, torch.float32] * 2


def test_the_rate_of_the_options_has_no_part(store: ImageStore) -> None:
    plain = FitOptions(batch_size=32)
    other = FitOptions(batch_size=32, lr=7.0, schedule="cosine", warmup=2, epochs=3)
    found = [lr_find(mlp(store), store, options, device="cpu") for options in (plain, other)]
    assert found[0] == found[1]


def test_only_the_training_cases_are_looked_at(store: ImageStore) -> None:
    names = store.manifest.split.copy()
    names[np.isin(names, ("val", "test"))] = "none"
    alone = replace(store, manifest=store.manifest.with_column("split", names))
    options = FitOptions(batch_size=32)
    found = [lr_find(mlp(s), s, options, device="cpu") for s in (store, alone)]
    assert found[0] == found[1]
