"""The peers of `bench_train.py`: what their tutorials show, each run in a process of its own.

    python benchmarks/train_peers.py PEER NETWORK ROOT EPOCHS THREADS

PEER: torchvision (its dataset, `ToTensor`, a `DataLoader`), tensors (a `DataLoader` over a
`TensorDataset`), lightning, keras (on JAX), plain (float32, NCHW, a resident tensor), bare
(forward, backward and step on one batch, as medimg sets them). ROOT holds the IDX files as
torchvision wants them. One JSON line out: seconds of training from first batch to last and accuracy,
or images a second (plain, bare).
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: Network -> hidden widths, or what builds it.
HIDDEN = {"mlp": (512, 256), "tiny": (10,)}
BATCH = 128
#: Network -> batch and steps timed, of those that are too slow for whole epochs; 91 is a sixth
#: of BreastMNIST, on which medimg trains its ResNet, so that every batch is whole.
TIMED = {"resnet": (91, 12), "cnn": (BATCH, 60)}
UNTIMED = 4


def images(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 (N, 28, 28) and labels (N,) of the IDX files."""
    raw = root / "FashionMNIST" / "raw"
    pixels = np.frombuffer((raw / f"{part}-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    labels = np.frombuffer((raw / f"{part}-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    return pixels.reshape(-1, 28, 28), labels


def torch_mlp(hidden: tuple[int, ...]) -> Any:
    """Return the network that the tutorials write."""
    from torch import nn

    widths = [784, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def loaders(root: Path, peer: str) -> tuple[Any, Any]:
    """Return the training and the test loader."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    if peer == "tensors":
        data = []
        for part in ("train", "t10k"):
            x, y = images(root, part)
            tensor = torch.from_numpy(x.copy()).unsqueeze(1).float() / 255
            data.append(TensorDataset(tensor, torch.from_numpy(y.astype(np.int64))))
    else:
        from torchvision.datasets import FashionMNIST
        from torchvision.transforms import ToTensor

        data = [FashionMNIST(str(root), train=t, transform=ToTensor()) for t in (True, False)]
    return DataLoader(data[0], BATCH, shuffle=True), DataLoader(data[1], 1024)


def accuracy(model: Any, test: Any) -> float:
    """Return the share of right answers on test."""
    import torch

    model.eval()
    with torch.no_grad():
        right = [(model(x).argmax(1) == y).float().mean() * len(y) for x, y in test]
    return float(sum(right)) / 10000


def loop(root: Path, network: str, epochs: int, peer: str) -> dict[str, float]:
    """Train as a PyTorch tutorial does."""
    import torch
    from torch import nn

    train, test = loaders(root, peer)
    model = torch_mlp(HIDDEN[network])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    start = time.perf_counter()
    for _ in range(epochs):
        for x, y in train:
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
    return {"training": time.perf_counter() - start, "accuracy": accuracy(model, test)}


def lightning(root: Path, network: str, epochs: int) -> dict[str, float]:
    """Train as Lightning's tutorial does; logging and checkpoints off."""
    import lightning as L
    import torch
    from torch import nn

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch_mlp(HIDDEN[network])
            self.clock = [0.0, 0.0]

        def training_step(self, batch: Any, _: int) -> Any:
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

        def on_train_start(self) -> None:
            self.clock[0] = time.perf_counter()

        def on_train_end(self) -> None:
            self.clock[1] = time.perf_counter()

    train, test = loaders(root, "torchvision")
    module = Module()
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train)
    seconds = module.clock[1] - module.clock[0]
    return {"training": seconds, "accuracy": accuracy(module.net, test)}


def keras(root: Path, network: str, epochs: int) -> dict[str, float]:
    """Train as the Keras tutorial does, on JAX; what compiling costs is in the first epoch."""
    import keras as k

    class Clock(k.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            self.start = time.perf_counter()

        def on_train_end(self, logs: Any = None) -> None:
            self.seconds = time.perf_counter() - self.start

    (x, y), (tx, ty) = (
        (pixels.astype("float32") / 255, labels)
        for pixels, labels in (images(root, part) for part in ("train", "t10k"))
    )
    dense = [k.layers.Dense(width, activation="relu") for width in HIDDEN[network]]
    model = k.Sequential([k.Input((28, 28)), k.layers.Flatten(), *dense, k.layers.Dense(10)])
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(k.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    clock = Clock()
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[clock])
    _, right = model.evaluate(tx, ty, batch_size=1024, verbose=0)
    return {"training": clock.seconds, "accuracy": right}


def convolutional(network: str) -> Any:
    """Return medimg's network of that name: the comparison is of how it is trained."""
    from medimg.models.build import build_model

    name, options = ("cnn", {}) if network == "cnn" else ("resnet18", {"stem": "small"})
    return build_model(name, shape=(1, 28, 28), classes=10, seed=0, **options)


def timed(
    step: Callable[[Any, Any], None], batches: Iterator[Any], network: str
) -> dict[str, float]:
    """Return images a second at the median step; the first steps, which set up, are left out."""
    size, count = TIMED[network]
    seconds = []
    for _ in range(count + UNTIMED):
        start = time.perf_counter()
        step(*next(batches))
        seconds.append(time.perf_counter() - start)
    return {"images_a_second": size / statistics.median(seconds[UNTIMED:])}


def plain(root: Path, network: str) -> dict[str, float]:
    """Time the steps of a plain loop: float32, NCHW, a resident tensor, Adam."""
    import torch

    x, y = images(root, "train")
    pixels = torch.from_numpy(x.copy()).unsqueeze(1).float() / 255
    labels = torch.from_numpy(y.astype(np.int64))
    model = convolutional(network).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    order = iter(torch.randperm(len(pixels)).split(TIMED[network][0]))
    return timed(step, ((pixels[p], labels[p]) for p in order), network)


def bare(root: Path, network: str) -> dict[str, float]:
    """Time forward, backward and step alone, as medimg sets them: the floor of its loop."""
    import torch

    from medimg.training.heap import kept_heap
    from medimg.training.precision import autocast, pick_precision

    device = torch.device("cpu")
    model = convolutional(network).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    context = autocast(device, pick_precision("auto", device))
    x, y = images(root, "train")
    size = TIMED[network][0]
    pixels = torch.from_numpy(x[:size].copy()).unsqueeze(1).float() / 255
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(y[:size].astype(np.int64))

    def step(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        with context:
            out = model(x)
        torch.nn.functional.cross_entropy(out.float(), y).backward()
        optimizer.step()

    with kept_heap():
        return timed(step, itertools.repeat((pixels, labels)), network)


def main() -> None:
    """Run one peer and print one JSON line."""
    peer, network, place, epochs, threads = sys.argv[1:]
    root = Path(place)
    os.environ["KERAS_BACKEND"] = "jax"
    if peer == "keras":
        found = keras(root, network, int(epochs))
    else:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(int(threads))
        if peer in ("plain", "bare"):
            found = {"plain": plain, "bare": bare}[peer](root, network)
        elif peer == "lightning":
            found = lightning(root, network, int(epochs))
        else:
            found = loop(root, network, int(epochs), peer)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
