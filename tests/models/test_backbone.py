"""Networks of torchvision and MONAI: built, trained, refused, and back from a bundle."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from medimg.errors import UsageError
from medimg.models.build import build_model
from medimg.models.names import MONAI, TORCHVISION
from medimg.models.stages import named_stages

Proves = Callable[[nn.Module, tuple[int, ...], int], None]

SLOW = pytest.mark.slow

#: Smallest sides that the tests train the networks at which do not take 64.
SIDES = {"torchvision/inception_v3": 80, "torchvision/maxvit_t": 224, "torchvision/vit_h_14": 56}


def test_the_names_are_those_that_torchvision_has() -> None:
    from torchvision import models

    assert sorted(TORCHVISION) == sorted(models.list_models(module=models))


@pytest.mark.parametrize(
    "name, shape, stages, head",
    [
        ("torchvision/squeezenet1_1", (1, 32, 32), 10, "classifier.3"),
        ("torchvision/mnasnet0_5", (2, 64, 64), 11, "classifier.1"),
        ("torchvision/regnet_y_400mf", (1, 28, 28), 6, "fc"),
        ("monai/resnet10", (1, 12, 12, 12), 6, "fc"),
        pytest.param("torchvision/densenet121", (1, 32, 32), 9, "classifier", marks=SLOW),
        pytest.param("torchvision/googlenet", (1, 28, 28), 13, "fc", marks=SLOW),
        pytest.param("monai/densenet121", (1, 32, 32), 9, "class_layers.out", marks=SLOW),
    ],
)
def test_a_few_train_and_travel(
    name: str, shape: tuple[int, ...], stages: int, head: str, proves_itself: Proves
) -> None:
    model = build_model(name, shape=shape, classes=3)
    found = named_stages(model)
    assert (len(found), found[-1].names) == (stages, [head])
    proves_itself(model, shape, 3)


@SLOW
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [f"torchvision/{name}" for name in TORCHVISION])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_of_torchvision_trains_and_travels(
    name: str, channels: int, proves_itself: Proves
) -> None:
    side = SIDES.get(name, 64)
    shape = (channels, side, side)
    proves_itself(build_model(name, shape=shape, classes=3), shape, 3)


@SLOW
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [f"monai/{name}" for name in MONAI])
@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 64, 64), (1, 32, 32, 32)], ids=str)
def test_every_network_of_monai_trains_and_travels(
    name: str, shape: tuple[int, ...], proves_itself: Proves
) -> None:
    proves_itself(build_model(name, shape=shape, classes=3), shape, 3)


@pytest.mark.parametrize("outputs, classes", [("one", 2), ("cumulative", 4)])
def test_a_backbone_takes_the_other_outputs(
    outputs: str, classes: int, proves_itself: Proves
) -> None:
    shape = (1, 64, 64)
    model = build_model(
        "torchvision/shufflenet_v2_x0_5", shape=shape, classes=classes, outputs=outputs, dropout=0.1
    )
    assert named_stages(model)[-1].names == ["fc"]
    if outputs == "cumulative":
        proves_itself(model, shape, classes)
    else:
        assert torch.equal(model(torch.zeros(2, *shape))[:, 0], torch.zeros(2))


@pytest.mark.parametrize(
    "name, shape, message",
    [
        ("torchvision/alexnet", (1, 28, 28), r"28 x 28: .*\n.*preprocess.size: \[64, 64\]"),
        ("torchvision/densenet121", (1, 28, 28), r"\[32, 32\]"),
        ("torchvision/inception_v3", (1, 64, 64), r"\[80, 80\]"),
        ("torchvision/vit_b_16", (1, 28, 28), r"\[16, 16\]"),
        ("torchvision/vit_b_16", (1, 32, 48), r"\[16, 16\]"),
        ("torchvision/maxvit_t", (1, 64, 64), r"\[224, 224\]"),
        ("torchvision/resnet18", (1, 8, 8, 8), "is for images.*\n.*resnet18"),
    ],
)
def test_a_size_that_a_network_does_not_take_is_refused_with_one_that_it_takes(
    name: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(name, shape=shape, classes=2)


@SLOW
def test_the_transformers_patch_divides_the_picture() -> None:
    for shape, side in (((1, 28, 28), 7), ((1, 64, 64), 16), ((1, 28, 28, 28), 7)):
        model = build_model("monai/vit", shape=shape, classes=2)
        patch = model.get_submodule("patch_embedding.patch_embeddings")
        assert patch.kernel_size == (side,) * (len(shape) - 1)
    with pytest.raises(UsageError, match=r"no patch.*\n.*\[8, 8\]"):
        build_model("monai/vit", shape=(1, 29, 29), classes=2)


def test_other_channels_keep_the_spread_of_the_response() -> None:
    x = torch.randn(4, 12, 32, 32, generator=torch.Generator().manual_seed(0))
    spreads = [
        build_model("torchvision/resnet18", shape=(c, 32, 32), classes=2).conv1(x[:, :c]).std()  # type: ignore[operator]
        for c in (1, 3, 12)
    ]
    assert max(spreads) / min(spreads) < 1.15


def test_the_seed_gives_a_backbones_weights() -> None:
    first, second = (
        build_model("torchvision/mnasnet0_5", shape=(1, 32, 32), classes=2, seed=3).state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["cnn", "resnet18", "torchvision/regnet_y_400mf", "monai/vit"])
def test_cuda_gives_what_the_cpu_gives(name: str) -> None:
    model = build_model(name, shape=(1, 32, 32), classes=3).eval()
    x = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        here = model(x)
        assert torch.allclose(model.cuda()(x.cuda()).cpu(), here, rtol=1e-3, atol=1e-4)
