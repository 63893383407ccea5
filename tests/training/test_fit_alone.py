"""A training is its own: what ran before changes nothing of it, and it changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.models.build import build_model
from medimg.testing import make_npz
from medimg.training.fit import fit
from medimg.training.options import LOWER_IS_BETTER, FitOptions, Monitor


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("store")
    path = make_npz(folder / "x.npz", n={"train": 48, "val": 16, "test": 8}, classes=3)
    return ImageStore.build(index(path), Preprocess(), folder / "s")


def train(store: ImageStore, name: str = "cnn", **options: Any) -> tuple[Any, list[Any]]:
    given: dict[str, Any] = (
        {"widths": (4, 8), "dropout": 0.2} if name == "cnn" else {"hidden": (8,)}
    )
    model = build_model(name, shape=store.shape, classes=3, seed=0, **given)
    return fit(model, store, FitOptions(**{"epochs": 2, "batch_size": 16, **options}), seed=1)


def weights(bundle: Any) -> list[Tensor]:
    return list(bundle.model.state_dict().values())


def equal(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def test_torchs_global_state_changes_nothing_and_is_put_back(store: ImageStore) -> None:
    plain, _ = train(store, threads=1)
    before = torch.get_num_threads()
    model = build_model("cnn", shape=store.shape, classes=3, seed=0, widths=(4, 8), dropout=0.2)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    torch.set_num_threads(2)
    try:
        torch.randn(5)
        options = FitOptions(epochs=2, batch_size=16, threads=1)
        with torch.no_grad():
            other, _ = fit(model, store, options, seed=1)
        assert torch.get_num_threads() == 2
        assert torch.get_default_dtype() is torch.float64
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        torch.set_num_threads(before)
    assert equal(plain, other)
    with torch.autocast("cpu", torch.bfloat16):
        other, _ = train(store, threads=1, precision="float32")
    plain, _ = train(store, threads=1, precision="float32")
    assert equal(plain, other)


def test_no_part_of_a_batch_is_a_single_case(store: ImageStore) -> None:
    train(store, batch_size=18, accumulate=9)  # 48 cases: a last batch of 12


def test_the_threads_of_before_change_no_bit(store: ImageStore) -> None:
    plain, _ = train(store, threads=1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        other, _ = train(store, threads=1)
    finally:
        torch.set_num_threads(before)
    assert equal(plain, other)


@pytest.mark.parametrize("monitor", Monitor.__args__)  # type: ignore[attr-defined]
def test_any_metric_of_val_can_pick_the_epoch(store: ImageStore, monitor: Monitor) -> None:
    _, history = train(store, "mlp", epochs=4, lr=0.02, monitor=monitor)
    values = [row[monitor] for row in history]
    pick = min if monitor in LOWER_IS_BETTER else max
    (best,) = [row for row in history if row.get("best")]
    assert best[monitor] == pick(values)
    assert best["epoch"] == values.index(pick(values)) + 1


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_the_bundle_has_the_averaged_weights_and_their_statistics(
    store: ImageStore, average: str
) -> None:
    options = {"epochs": 3, "average": average, "average_epochs": 2.0, "lr": 0.01}
    plain, _ = train(store, epochs=3, lr=0.01)
    averaged, history = train(store, **options)
    assert not equal(plain, averaged)
    predicted = averaged.predict(store, "val")
    right = predicted.probabilities.argmax(1) == predicted.targets.argmax(1)
    assert history[-1]["val_accuracy"] == pytest.approx(right.mean())


def test_accumulation_gives_the_weights_of_whole_batches(store: ImageStore) -> None:
    """Without batch normalization and dropout, in float64, to its rounding."""
    found = []
    for accumulate in (1, 4):
        model = build_model("mlp", shape=store.shape, classes=3, seed=0, hidden=(8,)).double()
        options = FitOptions(epochs=2, batch_size=16, accumulate=accumulate, clip=0.5)
        found.append(fit(model, store, options, seed=1)[0])
    for a, b in zip(weights(found[0]), weights(found[1]), strict=True):
        assert a.dtype is torch.float64
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_a_users_transform_is_applied_to_training_cases_alone(store: ImageStore) -> None:
    seen: list[tuple[int, ...]] = []

    def transform(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return x.flip(-1)

    model = build_model("mlp", shape=store.shape, classes=3, seed=0, hidden=(8,))
    fit(model, store, FitOptions(epochs=2, batch_size=16), seed=1, transform=transform)
    assert seen == [store.shape] * 96


def test_a_frozen_network_can_be_trained_whole_afterwards(store: ImageStore) -> None:
    model = build_model("cnn", shape=store.shape, classes=3, seed=0, widths=(4, 8), dropout=0.0)
    before = [p.detach().clone() for p in model.parameters()]
    fit(model, store, FitOptions(epochs=1, batch_size=16, freeze=True))
    still = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert still[0]
    assert not all(still)
    fit(model, store, FitOptions(epochs=1, batch_size=16))
    assert not torch.equal(before[0], next(model.parameters()))


def test_the_losses_of_an_epoch_are_those_of_its_cases(store: ImageStore) -> None:
    """At a rate that moves nothing, train_loss is the loss of the training cases as they are."""
    model = build_model("mlp", shape=store.shape, classes=3, seed=0, hidden=(8,))
    options = FitOptions(epochs=1, batch_size=20, optimizer="sgd", lr=1e-12, precision="float32")
    bundle, history = fit(model, store, options)
    predicted = bundle.predict(store, "train")
    chosen = predicted.probabilities[np.arange(48), predicted.targets.argmax(1)]
    assert history[0]["train_loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)


def test_a_module_of_ones_own_is_trained_in_place(store: ImageStore, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(store.shape)), 3))
    before = model[1].weight.detach().clone()
    bundle, _ = fit(model, store, FitOptions(epochs=1, batch_size=16))
    assert bundle.model is model
    assert not torch.equal(before, model[1].weight)
