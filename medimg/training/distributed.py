"""`World`: the processes that train together, one under `python -m medimg`, many under torchrun.

Each process is a rank, from 0. A batch is one batch of the whole world: every rank draws the same
order and the same changes from the same generators, takes its part, and DistributedDataParallel
averages the gradients, so that all ranks make the same step.

B batch, K classes, N cases.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg.errors import UsageError
from medimg.files import fingerprint
from medimg.inference.forward import pick_device
from medimg.training.rendezvous import join, together, world_size
from medimg.training.replica import Replica


@dataclass(frozen=True)
class World:
    """The processes that train together, as one of them sees it.

    Parameters
    ----------
    rank : int
        Of this process, in [0, size).
    size : int
        How many processes there are.
    local : int
        This one's number on its machine: which CUDA device is its own.
    waiting : torch.distributed.ProcessGroup, optional
        Over which long waits go; None where there is one process.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    waiting: Any = None

    @classmethod
    def current(cls) -> World:
        """Return the world that torchrun made by its environment variables, and join it once.

        A program that has joined it itself is taken at its word.

        Raises
        ------
        UsageError
            Some of torchrun's variables are there and others are not.
        """
        global _joined
        size = world_size()
        if size == 1:
            return cls()
        if _joined is None:
            _joined = cls(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]), join())
        return _joined

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks: rank 0."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """Return this rank's device; ``auto`` and ``cuda`` are the CUDA device of its number.

        Raises
        ------
        UsageError
            One device for all ranks is named, or there are more ranks than devices.
        """
        device = pick_device(name)
        if self.size == 1 or device.type == "cpu":
            return device
        if device.index is not None:
            raise UsageError(
                f"device {name!r} for {self.size} processes", remedy="use auto, cuda or cpu"
            )
        if self.local >= torch.cuda.device_count():
            raise UsageError(
                f"process {self.local} of this machine has no CUDA device of its own: there are "
                f"{torch.cuda.device_count()}",
                remedy=f"give torchrun --nproc-per-node {torch.cuda.device_count()}",
            )
        torch.cuda.set_device(self.local)  # NCCL and pinned memory go by the current device
        return torch.device("cuda", self.local)

    def part(self, n: int) -> slice:
        """Return this rank's part of `n` cases, in order; parts differ by one case at most."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def batch(self, n: int) -> tuple[slice, float]:
        """Return this rank's part of a batch of `n` cases, and the weight of its loss.

        The weight times the sum of the losses of the part, divided by the count of the whole
        batch, has gradients whose mean over the ranks is the gradient of the whole batch.

        A batch that has not two cases for each rank is taken whole by all of them, with
        weight 1: no rank is left without a gradient to bring, and batch normalization has more
        than one case to look at.
        """
        if self.size == 1 or n < 2 * self.size:
            return slice(0, n), 1.0
        return self.part(n), float(self.size)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the network to train with: `model` itself, or it under data parallelism.

        On CUDA its batch normalization is made to go over the cases of all ranks; on the CPU,
        where torch has none that does, each rank normalizes by its own part of a batch, and the
        running statistics are those of rank 0 (`share_buffers`). Weights and buffers of rank 0
        go to all ranks.

        Parameters
        ----------
        model : nn.Module
            On this rank's device. Its parameters stay the same objects.
        """
        if self.size == 1:
            return model
        self.share_buffers(model)
        return Replica(model)

    def unsynced(self, network: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which gradients add up here and wait: all parts but the last."""
        return network.unsynced() if isinstance(network, Replica) else nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Go back from a loss; but for what is `unsynced`, the gradients come from all ranks."""
        with together() if self.size > 1 else nullcontext():
            torch.autograd.backward(loss)

    def share_buffers(self, model: nn.Module) -> None:
        """Give all ranks the buffers of rank 0, before a network is looked at or kept."""
        if self.size > 1:
            with together():
                for buffer in model.buffers():
                    dist.broadcast(buffer, src=0)

    def agree(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether any rank raised it; every rank has to ask.

        Over the CPU, so that it waits for no CUDA kernel.
        """
        if self.size == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.uint8)
        with together():
            dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in raised.tolist()]

    def require_same(
        self,
        thing: Any,
        what: str = "data, options or seeds",
        remedy: str = "give each machine the same config and the same copy of the data",
    ) -> None:
        """Refuse ranks that have set out to train different things.

        Parameters
        ----------
        thing : anything that goes into JSON
            Of which two ranks must have the same: data, options, seed.
        what, remedy : str
            Its name, and the way out, in the error.

        Raises
        ------
        UsageError
            Theirs differ, as where a machine has another copy of the data.
        """
        mine = int(fingerprint(thing)[:8], 16)
        both = torch.tensor([mine, -mine])
        if self.size > 1:
            with together():
                dist.all_reduce(both, op=dist.ReduceOp.MAX)
        if both.sum():
            raise UsageError(f"the processes of this training have different {what}", remedy=remedy)

    def sum(self, values: Tensor) -> Tensor:
        """Return `values` added up over the ranks, in place."""
        if self.size > 1:
            with together():
                dist.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values` over the ranks, in place."""
        return self.sum(values).div_(self.size)

    def gather(self, mine: Tensor) -> list[Tensor]:
        """Return the tensors, of one shape, of all ranks in their order."""
        if self.size == 1:
            return [mine]
        found = [torch.empty_like(mine) for _ in range(self.size)]
        with together():
            dist.all_gather(found, mine)
        return found

    def gather_rows(self, rows: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """Return float32 (n, K), in order, of the rows of each rank's `part(n)`.

        No row stands for padding, so that no case counts twice.
        """
        if self.size == 1:
            return rows
        whole = torch.zeros(n, rows.shape[1])
        whole[self.part(n)] = torch.from_numpy(rows)
        return np.asarray(self.sum(whole).numpy())

    def barrier(self) -> None:
        """Wait, for hours if need be, until all ranks have come here."""
        if self.size > 1:
            with together():
                dist.barrier(group=self.waiting)

    def seed(self, seed: int) -> int:
        """Return the seed of what each rank draws for itself (dropout); rank 0 has `seed`."""
        return seed + self.rank * 0x9E3779B9  # far apart, so that no seed is another's neighbour

    def rng_states(self, device: torch.device) -> list[Tensor]:
        """Return the states of each rank's own generators, uint8, the CPU's before the device's."""
        states = [torch.get_rng_state()]
        if device.type == "cuda":
            states.append(torch.cuda.get_rng_state(device))
        return self.gather(torch.cat(states))

    def set_rng_states(self, states: Sequence[Tensor], device: torch.device) -> None:
        """Set what `rng_states` returned.

        Raises
        ------
        UsageError
            They are of another number of processes, or of another kind of device.
        """
        length = len(torch.get_rng_state())
        if len(states) != self.size:
            raise UsageError(
                f"the training was begun by {len(states)} processes, and these are {self.size}: "
                "it would not go on to the same weights",
                remedy=f"give torchrun --nproc-per-node {len(states)}"
                if len(states) > 1
                else "go on without torchrun, or start again with --overwrite",
            )
        mine = states[self.rank]
        if (len(mine) > length) != (device.type == "cuda"):
            raise UsageError(
                f"the training was begun on another kind of device than {device.type}",
                remedy="name the former device (device: cuda or cpu), or give --overwrite",
            )
        torch.set_rng_state(mine[:length])
        if device.type == "cuda":
            torch.cuda.set_rng_state(mine[length:], device)

    def leave(self) -> None:
        """Take this process out of the world, when all that the ranks do together is done."""
        global _joined
        if self.size > 1:
            self.barrier()
            dist.destroy_process_group()
            _joined = None


_joined: World | None = None
