"""Activations, initializations and heads that the networks share.

B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from medimg.models.options import ModelOptions, parse_init

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


class Cumulative(nn.Module):
    r"""Proportional odds: one latent z and K - 1 ordered cut points to K log-probabilities.

    P(class <= k) = sigmoid(c_k - z) (McCullagh, J. R. Stat. Soc. B 42, 1980). Each cut point
    lies a softplus above the one before, so that they stay in order whatever is learned. At
    first all classes are alike at z = 0.

    Parameters
    ----------
    classes : int
        K, at least 2.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        shares = torch.arange(1, classes, dtype=torch.float64) / classes
        cuts = torch.logit(shares)
        self.lowest = nn.Parameter(cuts[:1].float())
        self.gaps = nn.Parameter(cuts.diff().expm1().log().float())

    def forward(self, z: Tensor) -> Tensor:
        """Return log-probabilities (B, K) of the latent z (B, 1), float32 at least.

        sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), and a - b is a gap:
        no difference of two numbers near each other is ever taken.
        """
        z = z.to(torch.promote_types(z.dtype, self.lowest.dtype))
        gaps = functional.softplus(self.gaps)
        cuts = torch.cat([self.lowest, self.lowest + gaps.cumsum(0)])
        below, above = functional.logsigmoid(cuts - z), functional.logsigmoid(z - cuts)
        between = below[:, 1:] + above[:, :-1] + torch.log(-torch.expm1(-gaps))
        return torch.cat([below[:, :1], between, above[:, -1:]], dim=1)


def head_layers(features: int, classes: int, options: ModelOptions) -> list[nn.Module]:
    """Return the layers from features (B, F) to logits (B, K), dropout first."""
    layers: list[nn.Module] = [nn.Dropout(options.dropout)] if options.dropout else []
    if options.outputs == "one":
        return [*layers, nn.Linear(features, 1), OneOutput()]
    if options.outputs == "cumulative":
        # No bias: it would move the cut points, and nothing else.
        return [*layers, nn.Linear(features, 1, bias=False), Cumulative(classes)]
    return [*layers, nn.Linear(features, classes)]


def initialize(model: nn.Module, init: str) -> None:
    """Set the weights of linear and convolutional layers in place; biases become 0.

    ``xavier`` is Glorot and Bengio (AISTATS 2010), ``he`` is He et al. (ICCV 2015), both
    normal; ``default`` leaves the network's own.
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
