"""Parameters by stage and kind: who learns how fast, who decays, and who stands still.

A stage is a part of a network, the first fed with the pictures, the last the head; see
`medimg.models.stages.stages`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from medimg.models.stages import stages
from medimg.training.options import FitOptions

Group = dict[str, Any]


def parameter_groups(model: nn.Module, options: FitOptions) -> list[Group]:
    """Return groups for an optimizer: ``params``, ``scale`` of the rate and ``weight_decay``.

    A stage learns at `layer_decay` times the rate of the one above it, the head at the whole
    rate (Howard and Ruder, ACL 2018; Clark et al., ICLR 2020). Decoupled decay (adamw, muon)
    leaves out what has one dimension, biases and the scales of normalizations; the L2 penalty of
    sgd and adam is of all parameters, as it is defined.

    What the user has frozen (``requires_grad`` is False) stays out.
    """
    decoupled = options.optimizer in ("adamw", "muon")
    groups: dict[tuple[float, float], Group] = {}
    parts = stages(model)
    for place, parameters in enumerate(parts):
        scale = options.layer_decay ** (len(parts) - 1 - place)
        for parameter in parameters:
            if parameter.requires_grad:
                spared = decoupled and parameter.ndim < 2
                decay = 0.0 if spared else options.weight_decay
                group: Group = {"params": [], "scale": scale, "weight_decay": decay}
                groups.setdefault((scale, decay), group)["params"].append(parameter)
    return list(groups.values())


class Freezer:
    """Which stages are trained in an epoch; `freeze` begins with the head alone.

    To be made of a new network, before any `begin`: what the user has frozen stays so.
    """

    def __init__(self, model: nn.Module, options: FitOptions) -> None:
        self.model, self.options = model, options
        self.stages = [[p for p in part if p.requires_grad] for part in stages(model)]

    def begin(self, epoch: int) -> None:
        """Set the network to what an epoch (from 0) trains.

        A batch normalization whose scale and shift stand still keeps its statistics too: those
        are what the weights above it and below it were fitted to.
        """
        if self.options.freeze:
            shut = max(0, len(self.stages) - self._open(epoch))
            for place, parameters in enumerate(self.stages):
                for parameter in parameters:
                    parameter.requires_grad_(place >= shut)
        self.model.train()
        for norm in frozen_norms(self.model):
            norm.eval()

    def release(self) -> None:
        """Let all that `begin` froze be trained again, by whoever trains the network next."""
        for parameters in self.stages:
            for parameter in parameters:
                parameter.requires_grad_()

    def _open(self, epoch: int) -> int:
        """Return how many stages, counted from the head, an epoch trains."""
        every = self.options.unfreeze_every
        return 1 if every is None else 1 + math.floor(epoch / every)


def frozen_norms(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the batch normalizations whose scale and shift are not trained."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.affine and not module.weight.requires_grad:
            yield module
