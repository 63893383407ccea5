"""The training pixels, a batch at a time, on the device.

B batch, C channels, D H W space. Resident on the device where they fit, as the integers that the
store keeps; else memory-mapped, with one thread that reads ahead. Worker processes would spend
more on handing arrays over than reading them costs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg.data.store import ImageStore
from medimg.inference.forward import to_device
from medimg.training.quota import ROOT, group_memory, text
from medimg.training.rendezvous import neighbours

#: Share of the free memory that the training pixels may take, of all processes of a machine.
SHARE = 0.5

#: Batches that are read ahead.
AHEAD = 3

_CPU = torch.device("cpu")


class Feed:
    """The pixels of some rows of a store, on a device.

    Parameters
    ----------
    rows : int (N,)
        Rows of the store's manifest; positions below count among them.
    """

    def __init__(self, store: ImageStore, rows: NDArray[np.intp], device: torch.device) -> None:
        self.store, self.rows, self.device = store, rows, device
        size = len(rows) * math.prod(store.shape) * store.pixels.dtype.itemsize
        fits = size <= SHARE * free_memory(device) / (neighbours() if device.type == "cpu" else 1)
        self.resident = to_device(store.read(rows), device) if fits else None

    def take(self, positions: Tensor) -> Tensor:
        """Return the integers (B, C, [D,] H, W) at `positions`; see `to_float` for their dtype."""
        if self.resident is None:
            return to_device(self._read(positions), self.device)
        return self.resident.index_select(0, positions.to(self.device))

    def batches(self, order: Iterable[Tensor]) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield each batch's positions int64 (B,) and integers, both on the device.

        Parameters
        ----------
        order : iterable of int64 (B,)
            On the CPU. It runs ahead of what is yielded, on the caller's thread: no generator
            that others draw from in between may stand behind it.
        """
        if self.resident is None:
            yield from self._ahead(order)
            return
        for positions in self._moved(order):
            yield positions, self.resident.index_select(0, positions)

    def _moved(self, order: Iterable[Tensor]) -> Iterable[Tensor]:
        """Return the order on the device, moved at once: a copy a batch waits for the device."""
        if self.device.type == "cpu":
            return order
        parts = list(order)
        if not parts:  # gone on with after an epoch's last step
            return parts
        moved = torch.cat(parts).to(self.device)
        return torch.split(moved, [len(part) for part in parts])

    def _ahead(self, order: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Read on one thread; it ends with the generator, whatever ends that."""
        reading: deque[tuple[Tensor, Future[Tensor]]] = deque()
        reader = ThreadPoolExecutor(1, thread_name_prefix="medimg-feed")
        try:
            for positions in order:
                reading.append((positions, reader.submit(self._pinned, positions)))
                if len(reading) > AHEAD:
                    yield self._arrived(*reading.popleft())
            while reading:
                yield self._arrived(*reading.popleft())
        finally:
            reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, positions: Tensor) -> NDArray[np.uint8] | NDArray[np.uint16]:
        return self.store.read(self.rows[positions.cpu().numpy()])

    def _pinned(self, positions: Tensor) -> Tensor:
        """Return a batch in memory that the device can fetch from by itself."""
        batch = to_device(self._read(positions), _CPU)
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def _arrived(self, positions: Tensor, batch: Future[Tensor]) -> tuple[Tensor, Tensor]:
        pixels = batch.result().to(self.device, non_blocking=True)
        return positions.to(self.device, non_blocking=True), pixels


def free_memory(device: torch.device) -> float:
    """Return the free bytes of a device; infinity where they cannot be asked for."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return min(available(), group_memory())


def available(root: Path = ROOT) -> float:
    """Return the bytes that the machine could give without swapping, infinity where unknown."""
    lines = text(root / "proc/meminfo").splitlines()
    free = dict(line.split(":", 1) for line in lines).get("MemAvailable")
    return math.inf if free is None else 1024.0 * int(free.split()[0])
