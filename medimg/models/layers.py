"""Activations, initializations and the one-output head that the networks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from medimg.models.options import parse_init

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}


class OneOutput(nn.Module):
    """Turns a single output z (B, 1) into the logits (0, z) (B, 2) of two classes."""

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (B, 2)."""
        return torch.cat([torch.zeros_like(z), z], dim=1)


def initialize(model: nn.Module, init: str) -> None:
    """Set the weights of linear and convolutional layers in place; biases become 0.

    ``xavier`` is Glorot and Bengio (AISTATS 2010), ``he`` is He et al. (ICCV 2015), both
    normal; ``default`` leaves torch's own.
    """
    scheme, std = parse_init(init)
    if scheme == "default":
        return
    setters: dict[str, Callable[[Tensor], Tensor]] = {
        "zeros": nn.init.zeros_,
        "xavier": nn.init.xavier_normal_,
        "he": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "normal": lambda w: nn.init.normal_(w, std=std),
    }
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            setters[scheme](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
