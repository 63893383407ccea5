"""Networks: shapes, gradients, seeds, initialization, and the NumPy oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles.numpy_network import NumpyNetwork
from torch import nn

from medimg.errors import UsageError
from medimg.models.build import MODELS, build_model, spec_of
from medimg.models.layers import ACTIVATIONS
from medimg.models.options import OPTIONS

SHAPES = [(1, 8, 8), (3, 9, 7), (1, 5, 6, 7)]


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("outputs", ["classes", "one"])
def test_every_parameter_gets_a_gradient(name: str, shape: tuple[int, ...], outputs: str) -> None:
    model = build_model(name, shape=shape, classes=2, dropout=0.1, outputs=outputs)
    logits = model(torch.randn(4, *shape, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (4, 2)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


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
        ("mlp", {"hiden": (3,)}, "hiden"),
        ("mlp", {"hidden": (0,)}, "hidden"),
        ("mlp", {"init": "xavir"}, "xavier"),
        ("cnn", {"widths": ()}, "widths"),
        ("mlp", {"dropout": 1.0}, "dropout"),
    ],
)
def test_a_wrong_model_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(name, shape=(1, 4, 4), classes=2, **options)


def test_names_and_options_agree() -> None:
    assert set(MODELS) == set(OPTIONS)


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
