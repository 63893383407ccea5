"""The multi-layer perceptron."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import nn

from medimg.models.layers import ACTIVATIONS, OneOutput
from medimg.models.options import MLPOptions


def mlp(shape: tuple[int, ...], classes: int, options: MLPOptions) -> nn.Sequential:
    """Return a network from (B, C, [D,] H, W) to logits (B, K)."""
    widths = [prod(shape), *options.hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[options.activation]()]
        if options.dropout:
            layers.append(nn.Dropout(options.dropout))
    if options.outputs == "one":
        layers += [nn.Linear(widths[-1], 1), OneOutput()]
    else:
        layers.append(nn.Linear(widths[-1], classes))
    return nn.Sequential(*layers)
