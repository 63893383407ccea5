"""Networks: shapes, gradients, seeds, initialization, and the NumPy oracle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from oracles.numpy_network import NumpyNetwork
from torch import nn

import medimg
from medimg.errors import UsageError
from medimg.labels import LabelSpace
from medimg.models.build import MODELS, build_model, require_space, spec_of
from medimg.models.layers import ACTIVATIONS
from medimg.models.names import NAMES, OWN, list_models
from medimg.models.options import OPTIONS, family

SHAPES = [(1, 8, 8), (3, 9, 7), (1, 5, 6, 7)]
Proves = Callable[[nn.Module, tuple[int, ...], int], None]


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("outputs", ["classes", "one", "cumulative"])
def test_every_parameter_gets_a_gradient(name: str, shape: tuple[int, ...], outputs: str) -> None:
    model = build_model(name, shape=shape, classes=2, dropout=0.1, outputs=outputs)
    logits = model(torch.randn(4, *shape, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (4, 2)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        # Two classes have a single cut point, and so no gaps.
        assert parameter.grad.abs().sum() > 0 or not parameter.numel(), name


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    "shape", [(1, 12, 12), pytest.param((2, 6, 8, 7), marks=pytest.mark.slow)], ids=str
)
def test_a_network_trains_and_travels(
    name: str, shape: tuple[int, ...], proves_itself: Proves
) -> None:
    proves_itself(build_model(name, shape=shape, classes=3), shape, 3)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
def test_a_network_of_ordered_classes_trains_and_travels(name: str, proves_itself: Proves) -> None:
    shape = (1, 4, 6, 5)
    proves_itself(build_model(name, shape=shape, classes=4, outputs="cumulative"), shape, 4)


@pytest.mark.parametrize("norm, kind", [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)])
def test_an_mlp_takes_a_normalization(
    norm: str, kind: type[nn.Module], proves_itself: Proves
) -> None:
    model = build_model("mlp", shape=(1, 5, 5), classes=3, hidden=(7, 6), norm=norm)
    kinds = [type(m) for m in model.children()]
    assert kinds == [nn.Flatten, *[nn.Linear, kind, nn.ReLU] * 2, nn.Linear]
    proves_itself(model, (1, 5, 5), 3)


def test_the_names_of_layers_stay_as_bundles_have_them() -> None:
    state = build_model("mlp", shape=(1, 2, 2), classes=2, hidden=(4, 3), dropout=0.5).state_dict()
    assert [n for n in state if n.endswith("weight")] == ["1.weight", "4.weight", "7.weight"]
    cnn = build_model("cnn", shape=(1, 8, 8), classes=2, dropout=0.5).state_dict()
    assert [n for n in cnn if n.endswith("running_mean")] == [
        f"{i}.running_mean" for i in (1, 5, 9)
    ]
    assert [n for n in cnn if n.endswith("bias")][-1] == "14.bias"


def test_the_seed_gives_the_weights_and_leaves_the_global_state() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_model("mlp", shape=(1, 4, 4), classes=3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    second = build_model("mlp", shape=(1, 4, 4), classes=3, seed=1)
    other = build_model("mlp", shape=(1, 4, 4), classes=3, seed=2)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_one_output_is_the_logit_of_the_second_class() -> None:
    model = build_model("mlp", shape=(1, 2, 2), classes=2, outputs="one")
    logits = model(torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(logits[:, 0], torch.zeros(5))
    with pytest.raises(UsageError, match="one output"):
        build_model("mlp", shape=(1, 2, 2), classes=3, outputs="one")


@pytest.mark.parametrize(
    "outputs, kind, classes, refused",
    [
        ("cumulative", "multiclass", 3, True),
        ("cumulative", "multilabel", 3, True),
        ("cumulative", "ordinal", 3, False),
        ("one", "multilabel", 2, True),
        ("one", "multiclass", 2, False),
        ("classes", "multilabel", 3, False),
    ],
)
def test_outputs_are_held_against_the_labels(
    outputs: str, kind: str, classes: int, refused: bool
) -> None:
    model = build_model("mlp", shape=(1, 2, 2), classes=classes, outputs=outputs)
    space = LabelSpace(tuple("abc"[:classes]), kind)
    if not refused:
        require_space(model, space)
        return
    with pytest.raises(UsageError, match=f"outputs: {outputs}"):
        require_space(model, space)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_flattened_head_sees_every_place(shape: tuple[int, ...]) -> None:
    model = build_model("cnn", shape=shape, classes=3, widths=(4, 8), head="flatten").eval()
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    assert model(x).shape == (2, 3)
    assert not torch.allclose(model(x), model(x.flip(-1)), atol=1e-4)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_can_be_asked_for(activation: str) -> None:
    model = build_model("mlp", shape=(1, 2, 2), classes=2, activation=activation)
    assert isinstance(model[2], type(ACTIVATIONS[activation]()))  # type: ignore[index]


@pytest.mark.parametrize(
    "init, std",
    [("zeros", 0.0), ("normal(0.5)", 0.5), ("he", (2 / 400) ** 0.5), ("xavier", (2 / 600) ** 0.5)],
)
def test_initialization_has_its_spread(init: str, std: float) -> None:
    model = build_model("mlp", shape=(1, 20, 20), classes=2, hidden=(200,), init=init)
    layer = model[1]  # type: ignore[index]
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02, abs=1e-12)
    assert layer.bias.abs().max().item() == 0


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("mpl", {}, "did you mean mlp"),
        ("resnet19", {}, "did you mean resnet18"),
        ("torchvision/resnet19", {}, "did you mean torchvision/resnet18"),
        ("mlp", {"hiden": (3,)}, "hiden"),
        ("mlp", {"hidden": (0,)}, "hidden"),
        ("mlp", {"init": "xavir"}, "xavier"),
        ("cnn", {"widths": ()}, "widths"),
        ("mlp", {"dropout": 1.0}, "dropout"),
        ("resnet18", {"stem": "large"}, "stem"),
        ("torchvision/resnet18", {"activation": "elu"}, "activation"),
        ("mlp", {"outputs": "cumulative"}, "two or more ordered classes"),
    ],
)
def test_a_wrong_model_is_named(name: str, options: dict[str, object], message: str) -> None:
    classes = 1 if options.get("outputs") == "cumulative" else 2
    with pytest.raises(UsageError, match=message):
        build_model(name, shape=(1, 4, 4), classes=classes, **options)


def test_names_and_options_agree() -> None:
    assert set(MODELS) == set(OWN)
    assert {family(name) for name in NAMES} == set(OPTIONS)


def test_networks_are_listed_by_pattern() -> None:
    assert medimg.list_models("resnet*") == ["resnet18", "resnet34", "resnet50"]
    assert list_models() == list(NAMES)
    assert len(set(NAMES)) == len(NAMES)
    assert "monai/vit" in list_models("monai/*")
    assert list_models("nothing*") == []


def test_naming_networks_loads_no_torch_and_building_loads_no_library() -> None:
    code = (
        "import sys; import medimg; medimg.list_models(); assert 'torch' not in sys.modules;"
        "medimg.build_model('cnn', shape=(1, 8, 8), classes=2);"
        "sys.exit(bool({'torchvision', 'monai'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_module_of_ones_own_is_custom() -> None:
    assert spec_of(nn.Flatten(), (1, 2, 2), 4).name == "custom"


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("outputs", ["classes", "one"])
def test_the_mlp_gives_what_the_numpy_network_gives(activation: str, outputs: str) -> None:
    model = build_model(
        "mlp", shape=(1, 3, 3), classes=2, hidden=(5, 4), activation=activation, outputs=outputs
    ).double()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    weights = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in layers]
    x = np.random.default_rng(0).standard_normal((6, 9))
    loss = "cross_entropy" if outputs == "classes" else "binary_cross_entropy"
    oracle = NumpyNetwork(weights, activation=activation, loss=loss)
    logits = model(torch.from_numpy(x).view(6, 1, 3, 3)).detach().numpy()
    theirs = oracle.forward(x)
    assert np.allclose(logits[:, -theirs.shape[1] :], theirs, atol=1e-12)
