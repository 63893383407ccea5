"""A small convolutional network for images and volumes."""

from __future__ import annotations

from math import prod

from torch import nn

from medimg.models.layers import ACTIVATIONS, head_layers
from medimg.models.options import CNNOptions


def cnn(shape: tuple[int, ...], classes: int, options: CNNOptions) -> nn.Sequential:
    """Return a network from (B, C, [D,] H, W) to logits (B, K).

    The picture is halved after each width but the last, as long as it has 2 pixels a side.
    """
    three = len(shape) == 4
    pool = nn.MaxPool3d if three else nn.MaxPool2d
    mean = nn.AdaptiveAvgPool3d if three else nn.AdaptiveAvgPool2d
    channels, size = shape[0], list(shape[1:])
    layers: list[nn.Module] = []
    for place, width in enumerate(options.widths):
        if place and min(size) >= 2:
            layers.append(pool(2))
            size = [side // 2 for side in size]
        for _ in range(options.convolutions):
            layers += _block(channels, width, options, three=three)
            channels = width
    if options.head == "mean":
        layers.append(mean(1))
        size = [1]
    layers.append(nn.Flatten())
    return nn.Sequential(*layers, *head_layers(channels * prod(size), classes, options))


def _block(inputs: int, outputs: int, options: CNNOptions, *, three: bool) -> list[nn.Module]:
    convolution = nn.Conv3d if three else nn.Conv2d
    norm = nn.BatchNorm3d if three else nn.BatchNorm2d
    return [
        convolution(inputs, outputs, 3, padding=1, bias=False),
        norm(outputs),
        ACTIVATIONS[options.activation](),
    ]
