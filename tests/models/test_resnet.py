"""Residual networks: those of the paper, in 2D and 3D, with the stem that fits the picture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medimg.models.build import build_model


@pytest.mark.parametrize(
    "shape, stem, side",
    [
        ((1, 28, 28), "auto", 3),
        ((3, 64, 64), "auto", 3),
        ((1, 65, 28), "auto", 7),
        ((1, 28, 28, 28), "auto", 3),
        ((1, 64, 64, 64), "auto", 7),
        ((1, 28, 28), "usual", 7),
        ((1, 128, 128), "small", 3),
    ],
    ids=str,
)
def test_the_stem_follows_the_side(shape: tuple[int, ...], stem: str, side: int) -> None:
    model = build_model("resnet18", shape=shape, classes=2, stem=stem)
    assert model.conv1.weight.shape[1:] == (shape[0], *[side] * (len(shape) - 1))  # type: ignore[union-attr,index]
    assert hasattr(model, "maxpool") == (side == 7)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_it_gives_what_torchvisions_gives(name: str) -> None:
    from torchvision import models

    theirs = models.get_model(name, weights=None, num_classes=3).eval()
    mine = build_model(name, shape=(3, 40, 48), classes=3, stem="usual").eval()
    generator = torch.Generator().manual_seed(0)
    for buffer in theirs.state_dict().values():
        if buffer.ndim == 1:
            buffer.add_(torch.rand(buffer.shape, generator=generator))
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 40, 48, generator=generator)
    with torch.inference_mode():
        assert torch.allclose(mine(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_a_volume_of_copies_gives_what_the_picture_gives() -> None:
    flat = build_model("resnet18", shape=(1, 9, 9), classes=2).eval()
    deep = build_model("resnet18", shape=(1, 5, 9, 9), classes=2).eval()
    state = deep.state_dict()
    for name, weight in flat.state_dict().items():
        place = state[name]
        if weight.ndim == 4:
            place.zero_()
            place[:, :, place.shape[2] // 2] = weight
        else:
            place.copy_(weight)
    x = torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        volume = deep(x.unsqueeze(2).expand(-1, -1, 5, -1, -1).contiguous())
        assert torch.allclose(volume, flat(x), atol=1e-5)


def test_dropout_stands_before_the_head() -> None:
    model = build_model("resnet18", shape=(1, 8, 8), classes=2, dropout=0.3)
    assert isinstance(model.fc, nn.Sequential)
    assert [type(m) for m in model.fc] == [nn.Dropout, nn.Linear]
