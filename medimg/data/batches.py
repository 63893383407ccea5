"""Index batches: which cases make up each training batch, drawn from an explicit generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

Sampler = Literal["natural", "weighted", "stratified"]


class Normalize:
    """The only normalization, its factors made once for all batches of a training.

    Parameters
    ----------
    mean, std : float32 (C,)
        Of the integers as shares of the largest one, in [0, 1].
    """

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        self._narrow, self._wide = 1 / (std * 255.0), 1 / (std * 65535.0)
        self._offset = -mean / std

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return normalized float32 of stored integers.

        Parameters
        ----------
        batch : uint8, or int16 with the bits of uint16 (B, C, [D,] H, W)
        """
        wide = batch.dtype == torch.int16
        shape = (1, -1, *[1] * (batch.ndim - 2))
        scale = self._wide if wide else self._narrow
        floats = (batch.to(torch.int32) & 0xFFFF if wide else batch).to(torch.float32)
        return floats.mul_(scale.view(shape)).add_(self._offset.view(shape))


def to_float(batch: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Return normalized float32 of one batch of stored integers; see `Normalize`."""
    return Normalize(mean, std)(batch)


def batch_sizes(n: int, size: int) -> list[int]:
    """Return how many cases each batch of an epoch holds.

    A last batch of a single case joins the one before it: batch normalization cannot take one.
    """
    sizes = [size] * (n // size)
    rest = n % size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


class Batches:
    """The batches of each epoch.

    Parameters
    ----------
    classes : int64 (N,)
        The class of each training case; only used by `weighted` and `stratified`.
    size : int
        Cases a batch.
    sampler : {"natural", "weighted", "stratified"}
        Every case once, shuffled; N draws with replacement at equal shares of the classes;
        every case once, each batch with the shares of the classes in the whole, within one.
    generator : torch.Generator
        On the CPU; its state is the place in the sequence.
    """

    def __init__(
        self,
        classes: NDArray[np.int64],
        size: int,
        sampler: Sampler,
        generator: torch.Generator,
    ) -> None:
        self.classes = torch.from_numpy(np.ascontiguousarray(classes))
        self.sizes = batch_sizes(len(classes), size)
        self.generator = generator
        self._draw = {
            "natural": self._natural,
            "weighted": self._weighted,
            "stratified": self._stratified,
        }[sampler]
        if sampler == "stratified":
            counts = np.bincount(classes, minlength=int(classes.max()) + 1)
            self._table = torch.from_numpy(stratified_counts(counts, self.sizes))

    def __len__(self) -> int:
        return len(self.sizes)

    def order(self) -> tuple[torch.Tensor, ...]:
        """Return int64 (B,) positions among the training cases for each batch of the next epoch.

        All of them are drawn at once: from the state that the generator had before, the same
        epoch can be drawn again, and gone on with in its middle.
        """
        return torch.split(self._draw(), self.sizes)

    def _shuffled(self, n: int) -> torch.Tensor:
        return torch.randperm(n, generator=self.generator)

    def _natural(self) -> torch.Tensor:
        return self._shuffled(len(self.classes))

    def _weighted(self) -> torch.Tensor:
        """Draw a class, then one of its cases."""
        n, counts = len(self.classes), torch.bincount(self.classes)
        present = torch.nonzero(counts).flatten()
        drawn = present[torch.randint(len(present), (n,), generator=self.generator)]
        shares = torch.rand(n, generator=self.generator, dtype=torch.float64)
        starts = counts.cumsum(0) - counts
        place = starts[drawn] + (shares * counts[drawn]).long()
        return self.classes.argsort(stable=True)[place]

    def _stratified(self) -> torch.Tensor:
        """Give each case a batch, class by class, then mix the cases of a batch."""
        rows = torch.arange(len(self.sizes))
        full = sum(size == self.sizes[0] for size in self.sizes)
        rows[:full] = self._shuffled(full)
        batch_of = torch.empty_like(self.classes)
        for k, counts in enumerate(self._table[rows].T):
            members = torch.nonzero(self.classes == k).flatten()
            members = members[self._shuffled(len(members))]
            batch_of[members] = torch.repeat_interleave(torch.arange(len(rows)), counts)
        mixed = self._shuffled(len(batch_of))
        return mixed[batch_of[mixed].argsort(stable=True)]


def stratified_counts(counts: NDArray[np.int64], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return how many cases of each class (J, K) each batch holds.

    Every entry is its exact share rounded down or up, rows sum to the batch sizes and columns
    to the class counts. Such a table always exists (the integrality of flows); it is found as
    a maximum flow of the units that rounding down leaves over.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    j, k = len(sizes), len(counts)
    total = int(counts.sum())
    products = np.outer(sizes, counts)
    floors = products // total
    batch, label = np.nonzero(products % total)
    source, sink = j + k, j + k + 1
    tails = np.concatenate([np.full(j, source), batch, j + np.arange(k)])
    heads = np.concatenate([np.arange(j), j + label, np.full(k, sink)])
    left_of_batch = np.asarray(sizes) - floors.sum(axis=1)
    left_of_class = counts - floors.sum(axis=0)
    capacity = np.concatenate([left_of_batch, np.ones(len(batch), int), left_of_class])
    graph = csr_array((capacity.astype(np.int32), (tails, heads)), shape=(j + k + 2,) * 2)
    flow = maximum_flow(graph, source, sink).flow[:j, j : j + k]
    return np.asarray(floors + flow.toarray(), np.int64)
