"""One step of a training: a batch in, the weights moved, or left as they were.

B batch, C channels, D H W space, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from medimg.errors import TrainingError
from medimg.inference.forward import checked_logits
from medimg.training.distributed import World
from medimg.training.guard import Guard
from medimg.training.losses import Loss
from medimg.training.optim import Optimizer
from medimg.training.precision import autocast


class Taken(NamedTuple):
    """What became of a step.

    Parameters
    ----------
    total : float
        The sum of the batch's losses, weighted as this rank's part is.
    divisor : float
        What the sum is divided by to be their mean.
    applied : bool
        False where it was not finite and the weights are as they were.
    """

    total: float
    divisor: float
    applied: bool


class Step:
    """Takes the steps of one training.

    Parameters
    ----------
    model : nn.Module
        The network, on its device.
    network : nn.Module
        What a batch goes through: `model`, or it under data parallelism.
    optimizer : Optimizer
        Its rates are set by the caller.
    loss : Loss
    classes : int
        K.
    dtype : torch.dtype
        Of the products: float32 or bfloat16.
    parts : int
        In how many parts a batch is taken; doubled where the memory of a CUDA device ends.
    clip : float, optional
        The largest norm of the gradient; a longer one is shortened to it.
    world : World
    tell : function
        Called once where a batch had to be split.
    """

    def __init__(
        self,
        model: nn.Module,
        network: nn.Module,
        optimizer: Optimizer,
        loss: Loss,
        *,
        classes: int,
        dtype: torch.dtype = torch.float32,
        parts: int = 1,
        clip: float | None = None,
        world: World | None = None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:
        self.model, self.network, self.optimizer, self.loss = model, network, optimizer, loss
        self.classes, self.dtype, self.parts, self.clip = classes, dtype, parts, clip
        self.world, self._tell = world or World(), tell
        self.guard = Guard(model)
        self._wanted = parts
        self._parameters = list(model.parameters())
        self._device = self._parameters[0].device
        self._autocast = autocast(self._device, dtype)

    def __call__(self, x: Tensor, targets: Tensor, weight: float = 1.0) -> Taken:
        """Move the weights down the gradient of a batch's mean loss.

        Parts and ranks add up to the mathematics of the whole batch, but for batch
        normalization, which knows what goes through the network at once.

        Parameters
        ----------
        x : float32 (B, C, [D,] H, W)
            This rank's part of the batch, normalized.
        targets : float32 (B, K)
        weight : float
            Of this rank's part, see `World.batch`.
        """
        self.guard.keep()
        count = self.loss.count(targets)
        if weight != 1:
            count = self.world.sum(count)
        count = count.clamp(min=1)  # of labels, none of a batch may be known
        divisor = count if weight == 1 else count / weight
        total = self._descend(x, targets, divisor)
        while total is None:
            self._halve(len(x))
            total = self._descend(x, targets, divisor)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = get_total_norm(gradients) if self.clip is not None or total.is_cuda else None
        loss, cases, size = _numbers(total, count, gradients, norm)
        applied = math.isfinite(loss + size)
        if self.world.size > 1:
            applied = not self.world.agree([not applied])[0]
        if applied:
            if self.clip is not None and norm is not None:
                clip_grads_with_norm_(self._parameters, self.clip, norm)
            self.optimizer.step()
            self.guard.skipped = 0
        return Taken(loss * weight, cases, applied)

    def _descend(self, x: Tensor, targets: Tensor, divisor: Tensor) -> Tensor | None:
        """Leave the gradients of sum / `divisor`, return the sum; None where memory ended."""
        self.optimizer.zero_grad()
        parts = min(self.parts, max(1, len(x) // 2))  # batch normalization takes no single case
        total = None
        try:
            for number, (x_part, t_part) in enumerate(_split(x, targets, parts), start=1):
                with nullcontext() if number == parts else self.world.unsynced(self.network):
                    part = self._loss(x_part, t_part)
                    self.world.backward(part / divisor)
                total = part.detach() if total is None else total + part.detach()
        except torch.cuda.OutOfMemoryError:
            return None
        return total

    def _loss(self, x: Tensor, targets: Tensor) -> Tensor:
        with self._autocast:
            logits = self.network(x)
        return self.loss.total(checked_logits(logits, len(x), self.classes), targets)

    def _halve(self, cases: int) -> None:
        """Take batches in twice as many parts from now on.

        Raises
        ------
        TrainingError
            A single case is too much, or other processes wait in the middle of their step.
        """
        if self.parts >= cases or self.world.size > 1:
            raise TrainingError(
                f"a batch of {-(-cases // self.parts)} cases does not fit the memory of the "
                f"{self._device.type} device",
                remedy="lower fit.batch_size or raise fit.accumulate"
                if self.parts < cases
                else "make the pictures (preprocess.size) or the network smaller",
            )
        if self.parts == self._wanted:
            self._tell(
                "the memory of the device is full: batches are split and their gradients added "
                "up from here on, with the same result (but for batch normalization)"
            )
        self.parts *= 2
        self.guard.put_back()
        self.optimizer.zero_grad()
        torch.cuda.empty_cache()


def _split(x: Tensor, targets: Tensor, parts: int) -> Iterable[tuple[Tensor, Tensor]]:
    if parts == 1:
        return [(x, targets)]
    return zip(x.tensor_split(parts), targets.tensor_split(parts), strict=True)


def _numbers(
    total: Tensor, count: Tensor, gradients: Sequence[Tensor], norm: Tensor | None
) -> tuple[float, float, float]:
    """Return loss, count and a number that is finite only if all gradients are.

    The norm is one; a sum is finite only if its terms are, and on the CPU one sum a tensor costs
    a third of the norms. A CUDA device is waited for once.
    """
    if norm is not None:
        loss, cases, size = torch.stack([total, count.to(total), norm.to(total)]).tolist()
        return loss, cases, size
    return total.item(), count.item(), sum([g.sum().item() for g in gradients])
