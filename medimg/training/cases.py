"""The training cases: which they are, their targets, their pixels on the device.

C channels, N training cases, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg.data.batches import Batches, Normalize
from medimg.data.store import ImageStore
from medimg.errors import TrainingError, UsageError
from medimg.inference.forward import batch_length, chunks
from medimg.labels import class_index
from medimg.models.weights import pretrained_statistics
from medimg.training.feed import Feed
from medimg.training.norms import CASES
from medimg.training.options import FitOptions


class Cases:
    """The labelled cases of split train.

    Attributes
    ----------
    rows : intp (N,)
        In the store.
    known : float32 (N, K)
        Their targets in {0, 1, NaN}.
    targets : Tensor
        The same on the device.
    classes : int64 (N,) or None
        On the CPU; None where a case has several labels.
    mean, std : float32 (C,)
        On the device: those that the network was pretrained with, else of these cases.
    feed : Feed
    """

    def __init__(self, store: ImageStore, model: nn.Module, device: torch.device) -> None:
        self.store = store
        self.rows = training_rows(store)
        self.known = store.manifest.targets[self.rows]
        self.targets = torch.from_numpy(self.known.copy()).to(device)
        exclusive = store.manifest.space.exclusive
        self.classes = torch.from_numpy(class_index(self.known)) if exclusive else None
        mean, std = pretrained_statistics(model) or moments(store, self.rows)
        self.mean, self.std = (
            torch.as_tensor(m, dtype=torch.float32, device=device) for m in (mean, std)
        )
        self._normalize = Normalize(self.mean, self.std)
        self.dtype = next(model.parameters()).dtype
        self.feed = Feed(store, self.rows, device)

    def floats(self, integers: Tensor) -> Tensor:
        """Return normalized values of stored integers, in the type of the network's weights."""
        return self._normalize(integers).to(self.dtype)

    def plain(self, order: Tensor, size: int) -> Iterator[Tensor]:
        """Yield cases in order, not augmented, for the statistics of batch normalization.

        Parameters
        ----------
        order : int64 (N,)
        size : int
            The largest batch of the training.
        """
        size = min(batch_length(self.store.shape), size)
        for positions in torch.split(order[:CASES].to(self.targets.device), size):
            if len(positions) == size or len(order) < size:
                yield self.floats(self.feed.take(positions))

    def ids(self, positions: Tensor) -> list[str]:
        """Return the case ids at positions among the training cases."""
        ids = self.store.manifest.frame["case_id"].to_numpy()
        return [str(name) for name in ids[self.rows[positions.cpu().numpy()]]]


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


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return the layout of weights and batches: channels last where there are convolutions.

    The products of bfloat16 and the vector units both want the channels of a pixel together.
    """
    kinds = {type(module) for module in model.modules()}
    if nn.Conv3d in kinds:
        return torch.channels_last_3d
    return torch.channels_last if nn.Conv2d in kinds else torch.contiguous_format
