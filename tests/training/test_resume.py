"""A training that was stopped anywhere goes on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torchvision.transforms.v2 import RandomHorizontalFlip

import medimg as mi
import medimg.training.fit as fit_module
from medimg.data.augment.options import AugmentOptions
from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import UsageError
from medimg.models.build import build_model
from medimg.testing import make_npz
from medimg.training.checkpoint import Checkpoint
from medimg.training.fit import fit
from medimg.training.options import FitOptions

RICH = {
    "epochs": 3,
    "batch_size": 16,
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 1,
    "sampler": "stratified",
    "monitor": "val_loss",
    "average": "ema",
    "average_epochs": 0.5,
    "augment": AugmentOptions(flip_horizontal=True, rotate=10, noise=0.1, mixup=0.2),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("store")
    path = make_npz(folder / "x.npz", n={"train": 70, "val": 20, "test": 10}, classes=3)
    return ImageStore.build(index(path), Preprocess(), folder / "s")


class Dying(Checkpoint):
    """A checkpoint after whose n-th state the process is gone."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self.left = after

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.left -= 1
        if not self.left:
            raise MemoryError


def train(store: ImageStore, options: FitOptions, **given: Any) -> tuple[Any, list[Any]]:
    model = build_model("cnn", shape=store.shape, classes=3, seed=0, widths=(4, 8), dropout=0.2)
    return fit(model, store, options, seed=3, **given)


def weights(trained: tuple[Any, list[Any]]) -> dict[str, Tensor]:
    return dict(trained[0].model.state_dict())


def same(a: tuple[Any, list[Any]], b: tuple[Any, list[Any]]) -> bool:
    rows = [[{k: r[k] for k in r if k != "seconds"} for r in trained[1]] for trained in (a, b)]
    first, second = weights(a), weights(b)
    return rows[0] == rows[1] and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "average": "swa"},
        {"optimizer": "muon", "sampler": "weighted", "accumulate": 3, "clip": 0.1},
        {"freeze": True, "unfreeze_every": 1, "layer_decay": 0.5, "sampler": "natural"},
    ],
)
def test_resume_in_mid_epoch_equals_uninterrupted(
    store: ImageStore, tmp_path: Path, changes: dict[str, Any]
) -> None:
    if "average" in changes:
        changes = {**changes, "average_epochs": 2.0}
    options = FitOptions(**{**RICH, **changes, "checkpoint_steps": 1})
    whole = train(store, options)
    for after in (1, 4, 7, 12):
        folder = tmp_path / str(after)
        with pytest.raises(MemoryError):
            train(store, options, checkpoint=Dying(folder, after))
        again = train(store, options, checkpoint=Checkpoint(folder))
        assert same(whole, again)


def test_a_damaged_checkpoint_costs_steps_and_no_bits(
    store: ImageStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = FitOptions(**{**RICH, "checkpoint_steps": 1})
    whole = train(store, options)
    with pytest.raises(MemoryError):
        train(store, options, checkpoint=Dying(tmp_path, 7))
    latest = max(tmp_path.glob("*.pt"), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(latest.read_bytes())
    data[len(data) // 2] ^= 4
    latest.write_bytes(data)
    rows: list[dict[str, Any]] = []
    assert same(whole, train(store, options, checkpoint=Checkpoint(tmp_path), log=rows.append))
    assert latest.name in next(row["note"] for row in rows if row["event"] == "note")
    assert latest.name in capsys.readouterr().err


def test_threads_and_precision_of_the_checkpoint_are_used_again(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits depend on both, and what is free or there may be another the next day."""
    options = FitOptions(epochs=1, batch_size=16, checkpoint_steps=1)
    rows: list[dict[str, Any]] = []
    for threads, precision in ((1, torch.float32), (2, torch.bfloat16)):
        monkeypatch.setattr(fit_module, "pick_threads", lambda wanted, n=threads: n)
        monkeypatch.setattr(fit_module, "pick_precision", lambda *given, p=precision: p)
        checkpoint = Dying(tmp_path, 2) if not rows else Checkpoint(tmp_path)
        try:
            train(store, options, checkpoint=checkpoint, log=rows.append)
        except MemoryError:
            continue
    starts = [row for row in rows if row["event"] == "start"]
    assert [row["step"] for row in starts] == [0, 2]
    assert all((row["threads"], row["precision"]) == (1, "float32") for row in starts)


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"lr": 0.5}, r"fit\.lr was 0\.001, and is 0\.5"),
        ({"augment": AugmentOptions(rotate=5)}, r"fit\.augment\.flip_horizontal was True"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_by_what_differs(
    store: ImageStore, tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    train(store, FitOptions(**{**RICH, "epochs": 1, "warmup": 0}), checkpoint=Checkpoint(tmp_path))
    with pytest.raises(UsageError, match=key):
        options = FitOptions(**{**RICH, "epochs": 1, "warmup": 0, **changes})
        train(store, options, checkpoint=Checkpoint(tmp_path))


def test_a_training_that_lost_its_transform_is_refused(store: ImageStore, tmp_path: Path) -> None:
    def model() -> nn.Module:
        return build_model("cnn", shape=store.shape, classes=3, widths=(4,))

    options = FitOptions(epochs=1, batch_size=16)
    transform = RandomHorizontalFlip()
    fit(model(), store, options, checkpoint=Checkpoint(tmp_path), transform=transform)
    with pytest.raises(UsageError, match=r"transform was .*RandomHorizontalFlip, and is none"):
        fit(model(), store, options, checkpoint=Checkpoint(tmp_path))


def test_how_often_the_state_is_kept_may_change(store: ImageStore, tmp_path: Path) -> None:
    for steps in (1, 2):
        options = FitOptions(epochs=1, batch_size=16, checkpoint_steps=steps)
        train(store, options, checkpoint=Checkpoint(tmp_path))


class Interrupting(nn.Module):
    """A network in whose n-th training step a signal comes."""

    def __init__(self, model: nn.Module, step: int, number: signal.Signals) -> None:
        super().__init__()
        self.model, self.left, self.number = model, step, number

    def forward(self, x: Tensor) -> Tensor:
        self.left -= self.training
        if not self.left and self.training:
            signal.raise_signal(self.number)
        logits: Tensor = self.model(x)
        return logits


@pytest.mark.parametrize("step", [1, 5, 10])
def test_ctrl_c_saves_the_step_that_it_came_in(
    store: ImageStore, tmp_path: Path, step: int
) -> None:
    options = FitOptions(**RICH)
    inner = build_model("cnn", shape=store.shape, classes=3, seed=0, widths=(4, 8), dropout=0.2)
    model = Interrupting(inner, step, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(model, store, options, checkpoint=Checkpoint(tmp_path))
    state = Checkpoint(tmp_path).load()
    assert state is not None
    assert 5 * state["epoch"] + state["place"] == step
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_ends_with_the_signals_status_and_goes_on_to_the_same_bytes(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    path = make_npz(tmp_path / "x.npz", n={"train": 400, "val": 20, "test": 20})
    config = tmp_path / "c.yaml"
    values = {
        "data": {"source": str(path), "cache": str(tmp_path / "cache")},
        "model": {"name": "mlp", "hidden": [16], "dropout": 0.2},
        "fit": {"epochs": 25, "batch_size": 4, "threads": 1},
        "evaluate": {"resamples": 100},
    }
    config.write_text(yaml.safe_dump(values))
    run = tmp_path / "run"
    command = [sys.executable, "-m", "medimg", "train", str(config), "-o", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = run / "log.jsonl"
    while process.poll() is None and not (log.is_file() and '"epoch"' in log.read_text()):
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == status
    assert "--resume" in said
    assert Checkpoint(run / "checkpoint").load() is not None
    mi.run(config, run, resume=True)
    mi.run(config, tmp_path / "whole")
    for name in ("bundle/weights.safetensors", "predictions/test.csv"):
        assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def killed(folder: Path, trials: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed.py")), str(folder), str(trials)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return [line.split()[0] for line in done.stdout.splitlines()]


def test_a_training_killed_at_a_random_moment_ends_in_the_same_bits(tmp_path: Path) -> None:
    assert killed(tmp_path, 5) == ["same"] * 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_killed_trainings_end_in_the_same_bits(tmp_path: Path) -> None:
    assert killed(tmp_path, 100) == ["same"] * 100
