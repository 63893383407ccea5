"""Weights from elsewhere: adapted, renamed, refused by name, and never wanted by a bundle."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from medimg.errors import SourceNotFound, UsageError
from medimg.models.build import build_model, spec_of
from medimg.models.published import renamed
from medimg.models.weights import (
    IMAGENET,
    adapt_channels,
    pretrained_statistics,
    read_weights,
    transfer,
)

SLOW = pytest.mark.slow


def random_state(model: nn.Module, seed: int = 7) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(value.shape, generator=generator) + 0.5
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from torchvision import models

    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(random_state(models.resnet18()), path)
    return path


def test_one_channel_gives_what_three_alike_give() -> None:
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    grey = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    response = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    for channels in (1, 3, 6, 9):
        adapted = adapt_channels(weight, channels)
        assert adapted.shape == (4, channels, 3, 3)
        mine = nn.functional.conv2d(grey.expand(-1, channels, -1, -1), adapted)
        assert torch.allclose(mine, response, atol=1e-5)
    one = adapt_channels(weight, 1)
    again = nn.functional.conv2d(grey.expand(-1, 5, -1, -1), adapt_channels(one, 5))
    assert torch.allclose(again, response, atol=1e-5)


@pytest.mark.parametrize("name", ["torchvision/resnet18", "resnet18"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_gives_all_but_the_head(name: str, channels: int, resnet_file: Path) -> None:
    options: dict[str, Any] = {"stem": "usual"} if name == "resnet18" else {}
    shape = (channels, 32, 32)
    plain = build_model(name, shape=shape, classes=2, **options).state_dict()
    model = build_model(name, shape=shape, classes=2, weights=str(resnet_file), **options)
    source = torch.load(resnet_file)
    for key, value in model.state_dict().items():
        if key.startswith("fc."):
            assert torch.equal(value, plain[key])
        elif key == "conv1.weight":
            assert torch.equal(value, adapt_channels(source[key], channels))
        elif not key.endswith("num_batches_tracked"):
            assert torch.equal(value, source[key])
    assert spec_of(model, shape, 2).options["weights"] is None
    assert pretrained_statistics(model) is None


def test_ones_own_network_goes_on_from_its_file(tmp_path: Path) -> None:
    first = build_model("cnn", shape=(1, 8, 8), classes=5, widths=(4, 8))
    save_file(first.state_dict(), tmp_path / "cnn.safetensors")
    second = build_model(
        "cnn",
        shape=(3, 8, 8),
        classes=2,
        widths=(4, 8),
        seed=1,
        outputs="one",
        weights=str(tmp_path / "cnn.safetensors"),
    )
    state = second.state_dict()
    assert torch.equal(state["4.weight"], first.state_dict()["4.weight"])
    assert torch.allclose(state["0.weight"].sum(1), first.state_dict()["0.weight"][:, 0])


@pytest.mark.parametrize("wrapping", ["state_dict", "model"])
def test_what_scripts_wrap_around_weights_is_taken_off(wrapping: str, tmp_path: Path) -> None:
    torch.save({wrapping: {"module.a": torch.ones(2)}, "epoch": 3}, tmp_path / "w.pt")
    assert list(read_weights(tmp_path / "w.pt")) == ["a"]


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="no file"):
        read_weights(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("weights")
    torch.save({"a": 1}, tmp_path / "number.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    (tmp_path / "torso.safetensors").write_bytes(b"\x10\0\0\0")
    for name in ("text.pt", "number.pt", "module.pt", "torso.safetensors"):
        with pytest.raises(UsageError, match=name):
            read_weights(tmp_path / name)


def test_weights_of_another_network_are_refused_by_name(resnet_file: Path) -> None:
    path = str(resnet_file)
    with pytest.raises(UsageError, match=r"layer1\.2\.bn1\.bias among them"):
        build_model("torchvision/resnet34", shape=(1, 32, 32), classes=2, weights=path)
    with pytest.raises(UsageError, match=re.escape("conv1.weight is (64, 3, 7, 7) there")):
        build_model("resnet18", shape=(3, 28, 28), classes=2, weights=path)
    with pytest.raises(UsageError, match="are not the network's"):
        transfer(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), {"7.weight": torch.ones(1)}, "x")


@pytest.mark.parametrize("name", ["cnn", "resnet18", pytest.param("monai/vit", marks=SLOW)])
def test_default_weights_of_a_network_without_any_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"nobody publishes weights of {name}"):
        build_model(name, shape=(1, 32, 32), classes=2, weights="default")


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(SourceNotFound, match=r"f37072fd\.pth.*no route.*\n.*connect"):
        build_model("torchvision/resnet18", shape=(1, 32, 32), classes=2, weights="default")


@pytest.mark.parametrize(
    "name, file, statistics",
    [
        ("torchvision/squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", (0.449, 0.226)),
        pytest.param("torchvision/googlenet", "googlenet-1378be20.pth", (0.5, 0.5), marks=SLOW),
    ],
)
def test_published_weights_bring_their_normalization(
    name: str,
    file: str,
    statistics: tuple[float, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision import models

    aux = {"init_weights": False} if name.endswith("googlenet") else {}
    source = models.get_model(name.partition("/")[2], weights=None, **aux)
    cache = tmp_path / "checkpoints"
    cache.mkdir()
    torch.save(source.state_dict(), cache / file)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for weights in ("default", str(cache / file)):
        model = build_model(name, shape=(1, 32, 32), classes=2, weights=weights)
        found = pretrained_statistics(model)
        assert found is not None
        assert found[0] == pytest.approx((statistics[0],), abs=6e-4)
        assert found[1] == pytest.approx((statistics[1],), abs=6e-4)


def test_statistics_follow_the_channels() -> None:
    assert IMAGENET.of(3) is IMAGENET
    assert IMAGENET.of(1).mean == pytest.approx((0.449,), abs=1e-3)
    assert IMAGENET.of(4).std == (0.229, 0.224, 0.225, 0.229)


#: From the names of the modules to those of the old files: what `renamed` takes back.
OLD = {
    "torchvision/densenet121": [(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2")],
    "monai/densenet121": [
        (r"(denselayer\d+)\.layers\.(norm|conv)([12])", r"\1.\2.\3"),
        (r"^class_layers\.out\.", "classifier."),
    ],
    "monai/seresnet50": [
        (r"^(layer[1-4]\.\d+)\.conv(\d)\.conv\.", r"\1.conv\2."),
        (r"^(layer[1-4]\.\d+)\.conv(\d)\.adn\.N\.", r"\1.bn\2."),
        (r"\.se_layer\.fc\.0\.", ".se_module.fc1."),
        (r"\.se_layer\.fc\.2\.", ".se_module.fc2."),
        (r"\.project\.conv\.", ".downsample.0."),
        (r"\.project\.adn\.N\.", ".downsample.1."),
    ],
    "monai/efficientnet-b0": [(r"^_blocks\.\d+\.(\d+\.)", r"_blocks.\1")],
}


@SLOW
@pytest.mark.parametrize("name", OLD)
def test_the_names_of_old_files_are_understood(name: str) -> None:
    model = build_model(name, shape=(3, 64, 64), classes=2)
    wanted = random_state(model)
    old = wanted
    for pattern, replacement in OLD[name]:
        old = {re.sub(pattern, replacement, key): value for key, value in old.items()}
    assert set(old) != set(wanted) and len(old) == len(wanted)
    if name == "monai/seresnet50":  # squeezed by convolutions there, by linear layers here
        old = {k: v[..., None, None] if "fc" in k and v.ndim == 2 else v for k, v in old.items()}
    transfer(model, renamed(old, name, model), "old")
    head = tuple(model.state_dict())[-1].rpartition(".")[0]
    for key, value in model.state_dict().items():
        if key in wanted and not key.startswith(head):
            assert torch.equal(value, wanted[key]), key


@SLOW
def test_shortcuts_without_weights_become_ones_that_can_learn() -> None:
    from monai.networks.nets import resnet18

    theirs = resnet18(spatial_dims=3, n_input_channels=1, num_classes=2, shortcut_type="A").eval()
    state = {n: w for n, w in theirs.state_dict().items() if not n.startswith("fc.")}
    model = build_model("monai/resnet18", shape=(1, 16, 16, 16), classes=2).eval()
    transfer(model, renamed(state, "monai/resnet18", model), "MedicalNet")
    theirs.fc = model.fc
    x = torch.randn(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(model(x), theirs(x), rtol=1e-4, atol=1e-4)


@SLOW
def test_a_transformers_positions_are_resized() -> None:
    from torchvision.models.vision_transformer import interpolate_embeddings

    name = "torchvision/vit_b_32"
    state = build_model(name, shape=(3, 128, 128), classes=2).state_dict()
    model = build_model(name, shape=(3, 64, 64), classes=2)
    transfer(model, renamed(dict(state), name, model), "larger")
    key = "encoder.pos_embedding"
    theirs = interpolate_embeddings(64, 32, dict(state))[key]
    assert torch.allclose(model.state_dict()[key], theirs, atol=1e-6)
