"""The multi-layer perceptron."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import nn

from medimg.models.dense import DenseStack
from medimg.models.layers import ACTIVATIONS, head_layers
from medimg.models.options import MLPOptions

NORMS: dict[str, type[nn.BatchNorm1d] | type[nn.LayerNorm]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


def mlp(shape: tuple[int, ...], classes: int, options: MLPOptions) -> nn.Sequential:
    """Return a network from (B, C, [D,] H, W) to logits (B, K)."""
    widths = [prod(shape), *options.hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers.append(nn.Linear(inputs, outputs))
        if options.norm != "none":
            layers.append(NORMS[options.norm](outputs))
        layers.append(ACTIVATIONS[options.activation]())
        if options.dropout:
            layers.append(nn.Dropout(options.dropout))
    # The last hidden layer brings the head's dropout; without one, dropping is dropping pixels.
    bare = options.model_copy(update={"dropout": 0.0})
    return DenseStack(*layers, *head_layers(widths[-1], classes, bare))
