"""How a training is refused at its beginning, and what it leaves at its end."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.errors import UsageError
from medimg.models.build import build_model
from medimg.testing import make_npz, make_table
from medimg.training import keeper
from medimg.training.checkpoint import Checkpoint
from medimg.training.fit import fit
from medimg.training.lr_find import lr_find
from medimg.training.options import FitOptions


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("store")
    path = make_npz(folder / "x.npz", n={"train": 64, "val": 20, "test": 10}, classes=3)
    return ImageStore.build(index(path), Preprocess(), folder / "s")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    """Two labels that do not exclude each other."""
    folder = tmp_path_factory.mktemp("several")
    table = make_table(folder, n=40, kind="multilabel")
    manifest = index(table, kind="multilabel", classes=("benign", "malignant"))
    return ImageStore.build(split(manifest), Preprocess(size=(8, 8)), folder / "s")


def mlp(store: ImageStore, **options: Any) -> nn.Module:
    classes = store.manifest.space.k
    return build_model("mlp", shape=store.shape, classes=classes, hidden=(8,), **options)


@pytest.mark.parametrize("start", [fit, lr_find])
def test_outputs_that_mean_nothing_in_the_labels_are_refused(
    start: Any, store: ImageStore, several: ImageStore
) -> None:
    with pytest.raises(UsageError, match="outputs: cumulative, with multiclass labels"):
        start(mlp(store, outputs="cumulative"), store, FitOptions(epochs=1))
    with pytest.raises(UsageError, match="outputs: one, with labels that do not exclude"):
        start(mlp(several, outputs="one"), several, FitOptions(epochs=1))


class Ended(Exception):
    """What ends a training in the tests."""


class Dying(Checkpoint):
    """A checkpoint after whose n-th state the process is gone."""

    left = 4

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.left -= 1
        if not self.left:
            raise Ended


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_a_training_goes_on_after_an_epochs_last_step(
    device: str, store: ImageStore, tmp_path: Path
) -> None:
    options = FitOptions(epochs=2, batch_size=16, checkpoint_steps=1)
    with pytest.raises(Ended):
        fit(mlp(store), store, options, device=device, checkpoint=Dying(tmp_path))
    state = Checkpoint(tmp_path).load()
    assert state is not None
    assert (state["epoch"], state["place"]) == (0, 4)
    again, history = fit(mlp(store), store, options, device=device, checkpoint=Checkpoint(tmp_path))
    whole, _ = fit(mlp(store), store, options, device=device)
    assert len(history) == 2
    pairs = zip(again.model.parameters(), whole.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_whatever_ends_a_training_nothing_stays_frozen(store: ImageStore) -> None:
    def end(row: dict[str, Any]) -> None:
        if row["event"] == "epoch":
            raise Ended

    model = build_model("cnn", shape=store.shape, classes=3, widths=(4,))
    with pytest.raises(Ended):
        fit(model, store, FitOptions(epochs=2, freeze=True), log=end)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_last_epoch_is_obeyed_and_the_state_is_kept(
    number: signal.Signals, store: ImageStore, tmp_path: Path
) -> None:
    got: list[int] = []

    def come(row: dict[str, Any]) -> None:
        if row["event"] == "end":
            signal.raise_signal(number)

    before = signal.signal(number, lambda number, frame: got.append(number))
    options = FitOptions(epochs=2, batch_size=16)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(mlp(store), store, options, log=come, checkpoint=Checkpoint(tmp_path))
    finally:
        signal.signal(number, before)
    assert got == [number]
    state = Checkpoint(tmp_path).load()
    assert state is not None
    assert state["epoch"] == 2
    assert len(fit(mlp(store), store, options, checkpoint=Checkpoint(tmp_path))[1]) == 2


def test_the_last_weights_stay_readable_beside_the_best(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where epochs are so short that not each of them is kept."""
    monkeypatch.setattr(keeper, "_SPARSE", 1e9)
    last: dict[str, torch.Tensor] = {}
    model = mlp(store)

    def note(row: dict[str, Any]) -> None:
        if row["event"] == "epoch":
            last.update({name: t.clone() for name, t in model.state_dict().items()})

    options = FitOptions(epochs=12, batch_size=16, lr=0.3, monitor="val_loss")
    bundle, history = fit(model, store, options, log=note, checkpoint=Checkpoint(tmp_path))
    assert not history[-1].get("best")
    state = Checkpoint(tmp_path).load()
    assert state is not None
    assert (state["epoch"], state["place"]) == (12, 0)
    assert all(torch.equal(value, last[name]) for name, value in state["model"].items())
    best = state["best"]["weights"]
    assert all(torch.equal(value, best[name]) for name, value in bundle.model.state_dict().items())


def test_every_epoch_that_is_not_short_is_kept(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written shortly before its end."""
    kept: list[tuple[int, int]] = []
    save = Checkpoint.save

    def note(checkpoint: Checkpoint, state: dict[str, Any]) -> None:
        save(checkpoint, state)
        kept.append((state["epoch"], state["place"]))

    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)))
    monkeypatch.setattr(Checkpoint, "save", note)
    monkeypatch.setattr(keeper, "time", clock)  # writing takes 1, an epoch of four steps 9
    monkeypatch.setattr(keeper, "_SPARSE", 5)
    options = FitOptions(epochs=3, batch_size=16, checkpoint_steps=1)
    fit(mlp(store), store, options, checkpoint=Checkpoint(tmp_path))
    assert {(1, 0), (2, 0), (3, 0)} <= set(kept)
