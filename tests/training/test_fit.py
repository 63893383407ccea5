"""Training: the same bits from the same seed, also after a kill; the best weights are a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.numpy_network import SGD, Adam, NumpyNetwork
from torch import nn

from medimg.data.augment.options import AugmentOptions
from medimg.data.batches import to_float
from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.errors import TrainingError, UsageError
from medimg.models.build import build_model
from medimg.testing import make_npz, make_table
from medimg.training.fit import fit
from medimg.training.options import FitOptions

RICH = FitOptions(
    epochs=6,
    batch_size=16,
    optimizer="adamw",
    lr=3e-3,
    weight_decay=0.01,
    schedule="cosine",
    warmup=1,
    class_weights="balanced",
    sampler="stratified",
    monitor="val_loss",
    augment=AugmentOptions(flip_horizontal=True, rotate=10, contrast=0.2, cutout=0.2),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("store")
    path = make_npz(folder / "x.npz", n={"train": 90, "val": 30, "test": 30}, classes=3)
    return ImageStore.build(split(index(path), calib=0, test=0.2), Preprocess(), folder / "s")


def model_for(store: ImageStore, name: str = "cnn", **options: Any) -> nn.Module:
    options = ({"widths": (4, 8), "dropout": 0.2} if name == "cnn" else {"hidden": (8,)}) | options
    return build_model(name, shape=store.shape, classes=store.manifest.space.k, seed=0, **options)


def state_of(bundle: Any) -> dict[str, torch.Tensor]:
    return dict(bundle.model.state_dict())


def same(first: Any, second: Any) -> bool:
    a, b = state_of(first), state_of(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns(store: ImageStore) -> None:
    bundle, history = fit(model_for(store), store, FitOptions(epochs=15, batch_size=16, lr=1e-2))
    assert history[-1]["train_loss"] < 0.3
    predictions = bundle.predict(store, "test")
    right = predictions.probabilities.argmax(1) == predictions.targets.argmax(1)
    assert right.mean() > 0.9


def test_the_same_seed_gives_the_same_bits_whatever_ran_before(store: ImageStore) -> None:
    first, _ = fit(model_for(store), store, RICH, seed=3)
    torch.manual_seed(77)
    torch.randn(10)
    state = torch.get_rng_state()
    second, _ = fit(model_for(store), store, RICH, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(first, second)
    assert first.bundle_id == second.bundle_id
    other, _ = fit(model_for(store), store, RICH, seed=4)
    assert not same(first, other)


def test_best_weights_survive_further_training(store: ImageStore) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}
    model = model_for(store)

    def note(row: dict[str, Any]) -> None:
        if row["event"] == "epoch":
            seen[row["epoch"]] = {n: t.clone() for n, t in model.state_dict().items()}

    bundle, history = fit(model, store, RICH, log=note)
    (best,) = [row["epoch"] for row in history if row.get("best")]
    assert best == min(history, key=lambda row: row["val_loss"])["epoch"]
    for name, tensor in state_of(bundle).items():
        assert torch.equal(tensor, seen[best][name])


def test_patience_and_convergence_stop_the_training(store: ImageStore) -> None:
    early = FitOptions(epochs=200, batch_size=16, lr=0.05, monitor="val_loss", patience=3)
    _, history = fit(model_for(store), store, early)
    (best,) = [row["epoch"] for row in history if row.get("best")]
    assert len(history) == best + 3 < 200
    converge = FitOptions(epochs=500, batch_size="all", optimizer="sgd", lr=1.0, converge=0.3)
    _, history = fit(model_for(store, "mlp"), store, converge)
    assert 11 <= len(history) < 500
    losses = [row["train_loss"] for row in history]
    assert losses[-11] - losses[-1] < 0.3 * losses[-11]


def test_a_loss_that_blows_up_is_an_error_with_the_epoch(store: ImageStore) -> None:
    options = FitOptions(epochs=30, batch_size=16, optimizer="sgd", lr=1e5, loss="cross_entropy")
    with pytest.raises(TrainingError, match="three steps in a row"):
        fit(model_for(store, "mlp", activation="identity", hidden=(8, 8, 8)), store, options)


def test_monitoring_without_val_is_refused(tmp_path: Path) -> None:
    path = make_npz(tmp_path / "x.npz", n={"train": 20, "test": 8})
    store = ImageStore.build(index(path), Preprocess(), tmp_path / "s")
    with pytest.raises(UsageError, match="monitor"):
        fit(model_for(store, "mlp"), store, FitOptions(epochs=1, monitor="val_auroc"))


def test_one_class_alone_teaches_nothing(tmp_path: Path) -> None:
    path = make_npz(tmp_path / "x.npz", n={"train": 20, "test": 8})
    manifest = index(path)
    keep = (manifest.targets[:, 0] == 1) | (manifest.split == "test")
    store = ImageStore.build(manifest.take(keep), Preprocess(), tmp_path / "s")
    with pytest.raises(TrainingError, match="1 classes"):
        fit(model_for(store, "mlp"), store, FitOptions(epochs=1))


@pytest.mark.parametrize("kind", ["multilabel", "ordinal"])
def test_other_label_spaces_train_with_unknown_targets(tmp_path: Path, kind: str) -> None:
    table = make_table(tmp_path, n=60, kind="multilabel" if kind == "multilabel" else "multiclass")
    manifest = index(table, kind=kind, classes=("benign", "malignant"))
    targets = manifest.targets.copy()
    targets[::7] = np.nan
    manifest = type(manifest)(manifest.frame, targets, manifest.space, manifest.root)
    store = ImageStore.build(split(manifest), Preprocess(size=(8, 8)), tmp_path / "s")
    bundle, history = fit(model_for(store), store, FitOptions(epochs=3, batch_size=8))
    assert all(np.isfinite(row["train_loss"]) for row in history)
    assert np.isfinite(bundle.predict(store).scores).all()


def test_volumes_train(tmp_path: Path) -> None:
    path = make_npz(tmp_path / "x.npz", n={"train": 24, "val": 8, "test": 8}, shape=(6, 8, 8))
    store = ImageStore.build(index(path), Preprocess(bits=16), tmp_path / "s")
    augment = AugmentOptions(flip_horizontal=True, rotate=5, shift=0.1)
    bundle, _ = fit(model_for(store), store, FitOptions(epochs=2, batch_size=8, augment=augment))
    assert bundle.predict(store, "test").scores.shape == (8, 2)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize(
    "outputs, loss", [("classes", "cross_entropy"), ("classes", "mse"), ("one", "bce")]
)
def test_training_takes_the_steps_of_the_numpy_network(
    tmp_path: Path, optimizer: str, outputs: str, loss: str
) -> None:
    """Whole batches, so that both see the same cases: parameters agree after ten steps."""
    path = make_npz(tmp_path / "x.npz", n={"train": 20, "test": 4})
    store = ImageStore.build(index(path), Preprocess(), tmp_path / "s")
    model = model_for(store, "mlp", outputs=outputs, activation="tanh")
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    weights = [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in layers]
    names = {"cross_entropy": "cross_entropy", "mse": "softmax_mse", "bce": "binary_cross_entropy"}
    oracle = NumpyNetwork(weights, activation="tanh", loss=names[loss])
    options = FitOptions(
        epochs=10,
        batch_size="all",
        optimizer="adam" if optimizer == "adam" else "sgd",
        momentum=0.9 if optimizer == "momentum" else 0,
        lr=1e-2,
        weight_decay=1e-3,
        loss=loss,  # type: ignore[arg-type]
    )
    bundle, _ = fit(model, store, options)
    rows = store.manifest.rows("train")
    mean, std = torch.tensor(bundle.mean), torch.tensor(bundle.std)
    x = to_float(torch.from_numpy(store.read(rows)), mean, std).double().numpy()
    targets = store.manifest.targets[rows]
    targets = targets[:, 1:] if outputs == "one" else targets
    step = (
        Adam(lr=1e-2, weight_decay=1e-3)
        if optimizer == "adam"
        else SGD(lr=1e-2, momentum=options.momentum, weight_decay=1e-3)
    )
    for _ in range(10):
        step.step(oracle.params, oracle.gradients(x, targets))
    trained = [p.detach().numpy() for p in bundle.model.parameters()]
    for mine, theirs in zip(trained, oracle.params, strict=True):
        assert np.allclose(mine, theirs, atol=2e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_nearly_what_the_cpu_gives(store: ImageStore) -> None:
    options = FitOptions(epochs=2, batch_size=16)
    first, _ = fit(model_for(store, dropout=0), store, options, device="cpu")
    second, _ = fit(model_for(store, dropout=0), store, options, device="cuda")
    for name, tensor in state_of(first).items():
        assert torch.allclose(tensor.float(), state_of(second)[name].float(), atol=1e-2)


def test_augmentation_leaves_no_bias_in_the_probabilities(tmp_path: Path) -> None:
    """Batch normalization's statistics are those of plain pictures: the mean probability on the
    training cases is their share, though they were trained on turned and cut ones."""
    path = make_npz(tmp_path / "x.npz", n={"train": 200, "test": 8}, shape=(12, 12))
    arrays = dict(np.load(path))
    noise = np.random.default_rng(0).normal(0, 60, arrays["train_images"].shape)
    arrays["train_images"] = (arrays["train_images"] + noise).clip(0, 255).astype(np.uint8)
    np.savez(path, **arrays)
    store = ImageStore.build(index(path), Preprocess(), tmp_path / "s")
    augment = AugmentOptions(rotate=30, scale=0.3, shift=0.2, cutout=0.3)
    options = FitOptions(epochs=8, batch_size=32, lr=3e-3, augment=augment)
    bundle, _ = fit(model_for(store, dropout=0), store, options)
    norms = [m for m in bundle.model.modules() if isinstance(m, nn.BatchNorm2d)]
    convolution = next(m for m in bundle.model.modules() if isinstance(m, nn.Conv2d))
    rows = store.manifest.rows("train")
    x = to_float(
        torch.from_numpy(store.read(rows)), torch.tensor(bundle.mean), torch.tensor(bundle.std)
    )
    with torch.no_grad():
        plain = convolution(x).mean(dim=(0, 2, 3))
    assert norms[0].running_mean is not None
    assert torch.allclose(norms[0].running_mean, plain, atol=0.02)
