"""Optimizers by name."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from medimg.errors import UsageError
from medimg.training.adam import LeanAdam
from medimg.training.groups import Group, parameter_groups
from medimg.training.muon import MuonWithAdamW
from medimg.training.options import FitOptions


class Optimizer(Protocol):
    """What the training needs of an optimizer, be it one of torch's or two as one."""

    @property
    def param_groups(self) -> list[Group]:
        """The groups of parameters; their ``lr`` may be changed in place."""

    def step(self) -> Any:
        """Change the parameters by their gradients; those without one stay."""

    def zero_grad(self) -> None:
        """Set the gradients to None."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors and plain Python types."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Set what `state_dict` returned."""


def make_optimizer(model: nn.Module, options: FitOptions) -> Optimizer:
    """Return the optimizer of a network that is on its device and in its memory format.

    Fused, which gives the same steps in one pass over the memory.

    Raises
    ------
    UsageError
        No parameter can be trained; or ``muon`` for a network without a hidden matrix.
    """
    groups = parameter_groups(model, options)
    if not groups:
        raise UsageError(
            "the network has no parameter to train",
            remedy="set requires_grad of those that are to be trained",
        )
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            groups,
            lr=options.lr,
            momentum=options.momentum,
            nesterov=options.nesterov,
            fused=True,
        )
    if options.optimizer == "muon":
        return MuonWithAdamW(model, groups, options.lr)
    return LeanAdam(groups, options.lr, decoupled=options.optimizer == "adamw")
