"""One epoch's batches, drawn at once: their cases, and what is randomly changed in each.

B batch, N training cases.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from medimg.data.augment import Augment, Draw
from medimg.data.augment.mix import mixes
from medimg.data.batches import Batches
from medimg.training.distributed import World


class Batch(NamedTuple):
    """One batch, and this rank's part of it.

    Parameters
    ----------
    positions : int64 (B,)
        Among the training cases, of the whole batch.
    mine : slice
        This rank's part.
    weight : float
        Of the loss of that part, see `World.batch`.
    seed : int
        Of the random changes of the whole batch.
    """

    positions: Tensor
    mine: slice
    weight: float
    seed: int


class Epoch:
    """The batches of an epoch.

    All that is random in them is drawn from the generator at once, so that its state at the
    epoch's start and a number of batches are the place of a training, however far ahead the
    pixels are read.

    Parameters
    ----------
    classes : int64 (N,), optional
        The class of each training case; None where a case has several labels.
    generator : torch.Generator
        On the CPU.
    """

    def __init__(
        self,
        batches: Batches,
        augment: Augment,
        classes: Tensor | None,
        generator: torch.Generator,
        world: World,
    ) -> None:
        self._augment, self._classes, self._world = augment, classes, world
        order = batches.order()
        seeds = torch.randint(2**31, (len(order),), generator=generator).tolist()
        self.batches = [
            Batch(positions, *world.batch(len(positions)), seed)
            for positions, seed in zip(order, seeds, strict=True)
        ]
        self._generator = torch.Generator()

    def draw(self, batch: Batch) -> Draw | None:
        """Return the random changes of this rank's part of a batch, the same at each call."""
        if not self._augment.on:
            return None
        self._generator.manual_seed(batch.seed)
        classes = None if self._classes is None else self._classes[batch.positions]
        draw = self._augment.draw(len(batch.positions), self._generator, classes)
        return draw if self._world.size == 1 else draw.take(batch.mine)

    def wanted(self, batch: Batch) -> Tensor:
        """Return int64 (R,), the training cases whose pixels this rank needs for a batch.

        Those that others' cases are mixed into may lie in the part of another rank.
        """
        if self._world.size > 1 and mixes(self._augment.options):
            draw = self.draw(batch)
            if draw is not None:
                return batch.positions[draw.rows]
        return batch.positions[batch.mine]
