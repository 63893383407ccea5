"""Model and pixels to logits and `Predictions`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg.data.batches import to_float
from medimg.data.preprocess import Integers
from medimg.data.store import ImageStore
from medimg.errors import UsageError
from medimg.progress import Progress

#: Integers (B, C, [D,] H, W) to logits float32 (B, K).
Network = Callable[[Integers], NDArray[np.float32]]

#: Input values a batch: keeps the memory of a forward pass bounded whatever the picture's size.
_VALUES, _MOST = 2**22, 1024


def pick_device(device: str | torch.device) -> torch.device:
    """Return the device of a name; ``"auto"`` is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"device {device!r} is unknown", remedy="auto, cpu or cuda") from error
    if picked.type not in ("cpu", "cuda"):
        raise UsageError(f"device {device!r} is not used", remedy="auto, cpu or cuda")
    if picked.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: there is no CUDA device", remedy="use auto or cpu")
    return picked


def batch_length(shape: Sequence[int]) -> int:
    """Return how many cases of a shape (C, [D,] H, W) go through a network at once."""
    return max(1, min(_MOST, _VALUES // prod(shape)))


def chunks(store: ImageStore, rows: NDArray[np.intp]) -> Iterator[Integers]:
    """Yield the pixels of `rows` in batches."""
    length = batch_length(store.shape)
    for start in range(0, len(rows), length):
        yield store.read(rows[start : start + length])


def to_device(integers: Integers, device: torch.device) -> Tensor:
    """Return stored integers as a tensor on `device`.

    uint16 travels as int16 of the same bits, which every device can index; `to_float` knows.
    """
    if integers.dtype == np.uint16:
        integers = integers.view(np.int16)
    return torch.from_numpy(integers).to(device)


def checked_logits(logits: Tensor, cases: int, classes: int) -> Tensor:
    """Return `logits`; a network of another output than (B, K) raises by name."""
    if logits.shape != (cases, classes):
        raise UsageError(
            f"the network gives {tuple(logits.shape)} for {cases} cases of {classes} classes",
            remedy="give logits (B, K); for one output z of two classes, (0, z)",
        )
    return logits


@contextmanager
def exact_kernels(device: torch.device) -> Iterator[None]:
    """Have CUDA's convolutions in full float32 and the same each time, while it lasts.

    By default cuDNN multiplies in TF32 (10 bits of mantissa) and picks kernels by a race.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


@contextmanager
def running(
    model: nn.Module,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    shift: Sequence[float],
    classes: int,
    device: torch.device,
) -> Iterator[Network]:
    """Yield the function from one batch of integers to its logits, in evaluation mode.

    Parameters
    ----------
    model : nn.Module
        On `device`.
    mean, std : sequence of float (C,)
        The normalization.
    shift : sequence of float (K,)
        Subtracted from the logits.
    """
    training = model.training
    model.eval()
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    mean_, std_, shift_ = (
        torch.tensor(v, dtype=torch.float32, device=device) for v in (mean, std, shift)
    )

    @torch.inference_mode()
    def network(integers: Integers) -> NDArray[np.float32]:
        with exact_kernels(device):
            batch = to_float(to_device(integers, device), mean_, std_).to(dtype)
            logits = checked_logits(model(batch), len(batch), classes) - shift_
            return np.asarray(logits.to(torch.float32).cpu().numpy())

    try:
        yield network
    finally:
        model.train(training)


def forward(
    model: nn.Module,
    batches: Iterable[Integers],
    total: int,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    shift: Sequence[float],
    classes: int,
    device: torch.device,
    label: str | None = "predicting",
) -> NDArray[np.float32]:
    """Return logits float32 (N, K), in float32 and evaluation mode; see `running`.

    Parameters
    ----------
    batches : iterable of uint8 or uint16 (B, C, [D,] H, W)
    total : int
        N, for the progress.
    label : str, optional
        What the progress says; None shows none.
    """
    out = [np.empty((0, classes), np.float32)]
    with (
        running(model, mean=mean, std=std, shift=shift, classes=classes, device=device) as network,
        Progress(label or "", total, "cases", shown=label is not None) as progress,
    ):
        for integers in batches:
            out.append(network(integers))
            progress.advance(len(integers))
    return np.concatenate(out)
