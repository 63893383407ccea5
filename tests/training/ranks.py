"""What each of several processes does in the tests: `python ranks.py OUT`, under RANK and so on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medimg.data.augment.options import AugmentOptions
from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.errors import TrainingError, UsageError
from medimg.training.checkpoint import Checkpoint
from medimg.training.distributed import World
from medimg.training.fit import fit
from medimg.training.options import FitOptions
from medimg.training.state import identity


def start(out: Path, size: int) -> list[dict[str, Any]]:
    """Start `size` processes as torchrun does; return what each found, and what was said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", __file__, str(out)],
            env=os.environ
            | common
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    said = [process.communicate(timeout=240)[1] for process in processes]
    files = [out / f"{rank}.pt" for rank in range(size)]
    assert all(file.is_file() for file in files), "".join(said)
    return [torch.load(file, weights_only=True) for file in files]


def speak(world: World) -> dict[str, Any]:
    """Use everything by which ranks exchange values."""
    torch.manual_seed(world.seed(7))
    states = world.rng_states(torch.device("cpu"))
    drawn = torch.rand(3)
    world.set_rng_states(states, torch.device("cpu"))
    rows = np.arange(10, dtype=np.float32).reshape(5, 2) / 3
    return {
        "agreed": world.agree([False, world.first, True]),
        "sum": world.sum(torch.tensor([world.rank + 1.0])),
        "mean": world.mean(torch.tensor(float(world.rank))),
        "rows": torch.from_numpy(world.gather_rows(rows[world.part(5)], 5)),
        "none": torch.from_numpy(world.gather_rows(rows[:0], 0)),
        "states": states,
        "drawn": drawn,
        "drawn_again": torch.rand(3),
    }


def network(shape: Sequence[int] = (1, 8, 8), *, norm: bool = False) -> nn.Sequential:
    """Return a small network for pictures (C, H, W) of three classes, in float64."""
    values = 4 * (shape[1] - 2) * (shape[2] - 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(shape[0], 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(values, 3)]
        if norm:
            layers.insert(1, nn.BatchNorm2d(4))
        return nn.Sequential(*layers).double()


def learn(world: World, *, parts: int = 1, norm: bool = False, thaw: int = 0) -> dict[str, Tensor]:
    """Train for six steps on batches of 9 and, at last, 3 cases; return the weights.

    `thaw`: the step from which on the first layer is trained as well.
    """
    draw = torch.Generator().manual_seed(1)
    model = network(norm=norm)
    model[0].requires_grad_(not thaw)
    replica = world.wrap(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step, n in enumerate((9, 9, 9, 9, 9, 3)):
        if thaw and step == thaw:
            model[0].requires_grad_(True)
        x = torch.randn(n, 1, 8, 8, generator=draw, dtype=torch.float64)
        y = torch.randint(3, (n,), generator=draw)
        mine, weight = world.batch(n)
        pieces = list(zip(x[mine].chunk(parts), y[mine].chunk(parts), strict=True))
        for number, (some, wanted) in enumerate(pieces, start=1):
            if number < len(pieces):
                with world.unsynced(replica):
                    _backward(replica, some, wanted, weight / n)
            else:
                _backward(replica, some, wanted, weight / n)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    world.share_buffers(model)
    return {name: value.clone() for name, value in model.state_dict().items()}


def _backward(replica: nn.Module, x: Tensor, y: Tensor, weight: float) -> None:
    loss = weight * nn.functional.cross_entropy(replica(x), y, reduction="sum")
    torch.autograd.backward(loss)


#: What `learn` is asked for in the tests.
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"parts": 2},
    "unfrozen": {"thaw": 3},
    "unfrozen_accumulated": {"thaw": 3, "parts": 2},
    "norm": {"norm": True},
}


#: Of a whole training, by `fit`: an epoch in float64, and ten steps in float32.
FITS = {
    "float64": FitOptions(
        epochs=1,
        batch_size=16,
        precision="float32",
        lr=1e-2,
        class_weights="balanced",
        clip=1.0,
        monitor="val_loss",
        augment=AugmentOptions(flip_horizontal=True, rotate=20, noise=0.05, mixup=0.4),
    ),
    "float32": FitOptions(epochs=1, batch_size=9, precision="float32", lr=1e-3),
}


def train(name: str, folder: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Return weights and history of one of `FITS` on the store of `make_store`."""
    store = make_store(folder)
    model = network(store.shape)
    _, history = fit(
        model if name == "float64" else model.float(), store, FITS[name], device="cpu", seed=3
    )
    return dict(model.state_dict()), history


def make_store(folder: Path) -> ImageStore:
    """Make a store of 90 training cases, or open it."""
    manifest = split(index(folder / "x.npz"), calib=0, test=0.2)
    return ImageStore.build(manifest, Preprocess(), folder / "store")


def find_all(world: World, out: Path) -> dict[str, Any]:
    """Return what this rank found in all that several processes do here."""
    found: dict[str, Any] = {"spoken": speak(world)}
    found["learnt"] = {name: learn(world, **options) for name, options in CASES.items()}
    found["refused"] = part(world, out)
    found["fits"] = {name: train(name, out) for name in FITS}
    return found


def part(world: World, out: Path) -> str:
    """Go on where rank 0 alone has a checkpoint; return what is said of it."""
    store, options = make_store(out), FITS["float64"]
    checkpoint = Checkpoint(out / f"checkpoint-{world.rank}")
    if world.first:
        about = identity(network(store.shape), store, options, 0)
        checkpoint.save({"identity": about, "epoch": 1, "place": 0})
        checkpoint = Checkpoint(checkpoint.folder)
    try:
        fit(network(store.shape), store, options, device="cpu", checkpoint=checkpoint)
    except UsageError as error:
        return str(error)
    return ""


def lose(world: World, out: Path) -> None:
    """Have rank 1 killed, and note what rank 0 hears of it."""
    world.barrier()
    if not world.first:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        world.barrier()
    except TrainingError as error:
        (out / "heard").write_text(str(error))


if __name__ == "__main__":
    here, folder = World.current(), Path(sys.argv[1])
    torch.save(find_all(here, folder), folder / f"{here.rank}.pt")
    lose(here, folder)
