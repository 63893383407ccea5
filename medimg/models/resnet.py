"""Residual networks (He et al., CVPR 2016) for images and volumes, small and usual.

The names of the parameters are those of torchvision's, so that weights can be exchanged.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from medimg.models.layers import ACTIVATIONS, head_layers
from medimg.models.options import ResNetOptions

WIDTHS = (64, 128, 256, 512)
#: Longest side that the small stem is taken for: a volume has as many places at 32 a side as a
#: picture at 181.
SMALL_SIDE = {2: 64, 3: 32}


class Depth(NamedTuple):
    """Blocks at each width, and whether each is a bottleneck of three convolutions."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool


DEPTHS = {
    "resnet18": Depth((2, 2, 2, 2), bottleneck=False),
    "resnet34": Depth((3, 4, 6, 3), bottleneck=False),
    "resnet50": Depth((3, 4, 6, 3), bottleneck=True),
}


class Layers(NamedTuple):
    """The layers of a dimension."""

    conv: type[nn.Conv2d] | type[nn.Conv3d]
    norm: type[nn.BatchNorm2d] | type[nn.BatchNorm3d]
    pool: type[nn.MaxPool2d] | type[nn.MaxPool3d]
    mean: type[nn.AdaptiveAvgPool2d] | type[nn.AdaptiveAvgPool3d]


LAYERS = {
    2: Layers(nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d),
    3: Layers(nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AdaptiveAvgPool3d),
}


class Block(nn.Module):
    """Two convolutions, or three of which the first narrows, beside a shortcut."""

    def __init__(
        self, inputs: int, width: int, stride: int, bottleneck: bool, act: str, of: Layers
    ) -> None:
        super().__init__()
        if bottleneck:
            outputs = 4 * width
            self.conv1 = of.conv(inputs, width, 1, bias=False)
            # The stride stands here, not in conv1: version 1.5, as torchvision has it.
            self.conv2 = of.conv(width, width, 3, stride, 1, bias=False)
            self.conv3: nn.Module | None = of.conv(width, outputs, 1, bias=False)
        else:
            outputs = width
            self.conv1 = of.conv(inputs, width, 3, stride, 1, bias=False)
            self.conv2 = of.conv(width, width, 3, 1, 1, bias=False)
            self.conv3 = None
        self.bn1, self.bn2 = of.norm(width), of.norm(width)
        self.bn3 = of.norm(outputs) if bottleneck else None
        self.act = ACTIVATIONS[act]()
        self.downsample = None
        if stride > 1 or inputs != outputs:
            shortcut = of.conv(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, of.norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features, at its stride."""
        h = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        if self.conv3 is not None and self.bn3 is not None:
            h = self.bn3(self.conv3(self.act(h)))
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.act(h + shortcut)
        return out


class ResNet(nn.Sequential):
    """Stem, four layers of blocks, mean and head."""


def resnet(name: str, shape: tuple[int, ...], classes: int, options: ResNetOptions) -> ResNet:
    """Return the network `name` from (B, C, [D,] H, W) to logits (B, K)."""
    blocks, bottleneck = DEPTHS[name]
    dimensions = len(shape) - 1
    of = LAYERS[dimensions]
    small = options.stem == "small" or (
        options.stem == "auto" and max(shape[1:]) <= SMALL_SIDE[dimensions]
    )
    model = ResNet()
    side, stride, padding = (3, 1, 1) if small else (7, 2, 3)
    model.add_module("conv1", of.conv(shape[0], WIDTHS[0], side, stride, padding, bias=False))
    model.add_module("bn1", of.norm(WIDTHS[0]))
    model.add_module("act", ACTIVATIONS[options.activation]())
    if not small:
        model.add_module("maxpool", of.pool(3, 2, 1))
    inputs = WIDTHS[0]
    for number, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True), start=1):
        layer = nn.Sequential()
        for place in range(count):
            stride = 2 if number > 1 and place == 0 else 1
            layer.append(Block(inputs, width, stride, bottleneck, options.activation, of))
            inputs = 4 * width if bottleneck else width
        model.add_module(f"layer{number}", layer)
    model.add_module("avgpool", of.mean(1))
    model.add_module("flatten", nn.Flatten())
    head = head_layers(inputs, classes, options)
    model.add_module("fc", head[0] if len(head) == 1 else nn.Sequential(*head))
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
