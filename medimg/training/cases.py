"""The training cases: which they are, where their pixels lie, how they are drawn.

B batch, C channels, D H W space, N training cases, K classes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg.data.batches import Batches
from medimg.data.store import ImageStore
from medimg.errors import TrainingError, UsageError
from medimg.inference.forward import chunks, to_device
from medimg.labels import class_index
from medimg.training.options import FitOptions

#: Training data of up to so many bytes are kept in memory; larger ones are memory-mapped.
RESIDENT_BYTES = 4 * 2**30


class Cases:
    """The training pixels: resident on the device where they fit, else memory-mapped."""

    def __init__(self, store: ImageStore, rows: NDArray[np.intp], device: torch.device) -> None:
        self.store, self.rows, self.device = store, rows, device
        size = len(rows) * math.prod(store.shape) * store.pixels.dtype.itemsize
        self.resident = to_device(store.read(rows), device) if size <= RESIDENT_BYTES else None

    def take(self, positions: Tensor) -> Tensor:
        """Return the integers (B, C, [D,] H, W) at `positions` of the training cases."""
        if self.resident is None:
            return to_device(self.store.read(self.rows[positions.cpu().numpy()]), self.device)
        return self.resident[positions]


def training_rows(store: ImageStore) -> NDArray[np.intp]:
    """Return the rows of split train with any known target."""
    rows = store.manifest.rows("train")
    targets = store.manifest.targets[rows]
    rows = rows[~np.isnan(targets).all(axis=1)]
    present = (np.nansum(store.manifest.targets[rows], axis=0) > 0).sum()
    if not len(rows) or (store.manifest.space.exclusive and present < 2):
        raise TrainingError(
            f"split train has {len(rows)} labelled cases of {present} classes",
            remedy="give cases of at least two classes; `medimg show` prints the counts",
        )
    return rows


def make_batches(
    options: FitOptions, targets: NDArray[np.float32], exclusive: bool, generator: torch.Generator
) -> Batches:
    """Return the index batches of the training cases; `exclusive` is one class a case."""
    if options.sampler != "natural" and not exclusive:
        raise UsageError(
            f"fit.sampler: {options.sampler}, with several labels a case",
            remedy="use sampler: natural",
        )
    size = len(targets) if options.batch_size == "all" else options.batch_size
    return Batches(class_index(targets), size, options.sampler, generator)


def moments(store: ImageStore, rows: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) of the training pixels as shares of the range.

    Exact: from the count of every stored value.
    """
    top = np.iinfo(store.pixels.dtype).max
    counts = np.zeros((store.shape[0], int(top) + 1), np.int64)
    for batch in chunks(store, rows):
        for channel, row in enumerate(counts):
            row += np.bincount(batch[:, channel].ravel(), minlength=len(row))
    values = np.arange(int(top) + 1) / top
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
    std = np.where(std > 1e-6, std, 1.0)
    return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def memory_format(model: nn.Module, store: ImageStore) -> torch.memory_format:
    """Return channels_last for convolutions of images: a third faster on the CPU."""
    images = len(store.shape) == 3 and any(isinstance(m, nn.Conv2d) for m in model.modules())
    return torch.channels_last if images else torch.contiguous_format
