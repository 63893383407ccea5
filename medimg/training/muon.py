"""Muon for the hidden matrices of a network, AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from medimg.errors import UsageError
from medimg.models.stages import stages
from medimg.training.adam import LeanAdam
from medimg.training.groups import Group


class MuonWithAdamW:
    """Steps every hidden matrix by its orthogonalized momentum (Jordan et al. 2024).

    The weights of linear layers and convolutions below the head are matrices, a kernel
    (O, I, ...) one of O rows. The length of a step is matched to AdamW's (Liu et al. 2025,
    arXiv:2502.16982), so that the two share one learning rate and decay. Head, biases,
    normalizations, embeddings and convolutions by groups take AdamW.

    Parameters
    ----------
    model : nn.Module
        On its device, in its memory format.
    groups : sequence of dict
        As `medimg.training.groups.parameter_groups` makes them.

    Raises
    ------
    UsageError
        The network has no hidden matrix to train.
    """

    def __init__(self, model: nn.Module, groups: Sequence[Group], lr: float) -> None:
        ids = _hidden_matrices(model)
        own = [p for group in groups for p in group["params"] if id(p) in ids]
        if not own:
            raise UsageError(
                "fit.optimizer: muon, with a network that has no hidden matrix to train",
                remedy="use optimizer: adamw",
            )
        self._matrices = {id(p): _Matrix(p) for p in own}
        flat = [
            group
            | {"params": [self._matrices[id(p)].flat for p in group["params"] if id(p) in ids]}
            for group in groups
        ]
        rest = [
            group | {"params": [p for p in group["params"] if id(p) not in ids]} for group in groups
        ]
        self._parts: dict[str, torch.optim.Optimizer] = {
            "muon": torch.optim.Muon(
                [group for group in flat if group["params"]],
                lr=lr,
                adjust_lr_fn="match_rms_adamw",
            )
        }
        if rest := [group for group in rest if group["params"]]:
            self._parts["adamw"] = LeanAdam(rest, lr, decoupled=True)

    @property
    def param_groups(self) -> list[Group]:
        """The groups of both; their ``lr`` may be changed in place."""
        return [group for part in self._parts.values() for group in part.param_groups]

    def step(self) -> None:
        """Change the parameters by their gradients; those without one stay."""
        for matrix in self._matrices.values():
            matrix.take_gradient()
        for part in self._parts.values():
            part.step()

    def zero_grad(self) -> None:
        """Set the gradients to None."""
        for matrix in self._matrices.values():
            matrix.kernel.grad = None
        for part in self._parts.values():
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors and plain Python types."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set what `state_dict` returned."""
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])


class _Matrix:
    """A weight (O, I, ...) and its view (O, I...), the latter in the order of its memory.

    The order of columns is nothing to an orthogonalization: those of O P are those of O, moved
    likewise. So a kernel in channels_last is viewed as it lies, and never copied.
    """

    def __init__(self, kernel: nn.Parameter) -> None:
        self.kernel = kernel
        strides = kernel.stride()
        inner = sorted(range(1, kernel.ndim), key=lambda d: (-strides[d], d))
        self.order = (0, *inner)
        self.flat = nn.Parameter(self._flatten(kernel.detach()), requires_grad=False)

    def take_gradient(self) -> None:
        """Point the view to where weight and gradient lie now."""
        self.flat.data = self._flatten(self.kernel.detach())
        grad = self.kernel.grad
        self.flat.grad = None if grad is None else grad.permute(self.order).flatten(1)

    def _flatten(self, weight: Tensor) -> Tensor:
        return weight.permute(self.order).view(len(weight), -1)


def _hidden_matrices(model: nn.Module) -> set[int]:
    """Return the ids of the weights of linear layers and convolutions below the head."""
    head = {id(p) for p in stages(model)[-1]}
    layers = (m for m in model.modules() if isinstance(m, nn.Linear | _ConvNd))
    weights = (m.weight for m in layers if getattr(m, "groups", 1) == 1)
    return {id(weight) for weight in weights} - head
