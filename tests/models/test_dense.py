"""The fused layers against autograd's own."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from medimg.models import dense
from medimg.models.dense import DenseStack

BF16 = torch.bfloat16


def layers(widths: tuple[int, ...], activation: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    made: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        made += [nn.Linear(inputs, outputs), activation()]
    return made[:-1]


def pair(*modules: nn.Module) -> tuple[nn.Sequential, DenseStack]:
    torch.manual_seed(0)
    plain = nn.Sequential(*modules)
    return plain, DenseStack(*copy.deepcopy(list(modules)))


def gradients(model: nn.Module, x: Tensor, lower: bool = False) -> list[Tensor]:
    """Return output and gradients: of the input where it takes one, then of the weights."""
    wanted = [t for t in (x, *model.parameters()) if t.requires_grad]
    with torch.autocast("cpu", BF16, enabled=lower):
        out = model(x)
    slope = torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, wanted, slope)]


def distance(a: Tensor, b: Tensor) -> float:
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp(min=1e-2))  # a zero gradient is rounding noise


SWEEP = [
    ((784, 512, 256, 10), 128),
    ((784, 10, 10), 64),
    ((300, 200), 3),
    ((300, 200, 1), 1),
    ((8, 5000, 8), 7),
    ((256, 256, 256, 256), 33),
]


@pytest.mark.parametrize(("widths", "batch"), SWEEP)
@pytest.mark.parametrize("input_gradient", [False, True])
def test_gradients_are_those_of_autograd_in_float32(
    widths: tuple[int, ...], batch: int, input_gradient: bool
) -> None:
    plain, stack = pair(*layers(widths))
    x = torch.randn(batch, widths[0], requires_grad=input_gradient)
    for found, expected in zip(gradients(stack, x), gradients(plain, x), strict=True):
        assert found.dtype == torch.float32
        assert distance(found, expected) < 2e-6


@pytest.mark.parametrize(("widths", "batch"), SWEEP)
def test_bfloat16_is_no_further_from_float32_than_autocast_is(
    widths: tuple[int, ...], batch: int
) -> None:
    plain, stack = pair(*layers(widths))
    x = torch.randn(batch, widths[0])
    exact = gradients(plain, x)
    theirs = gradients(plain, x, lower=True)
    ours = gradients(stack, x, lower=True)
    assert all(t.dtype == torch.float32 for t in ours)
    for found, reference, expected in zip(ours, theirs, exact, strict=True):
        assert distance(found, expected) < max(1.5 * distance(reference, expected), 2e-6)


def test_output_relu_is_taken_back() -> None:
    plain, stack = pair(nn.Linear(300, 200), nn.ReLU())
    x = torch.randn(16, 300)
    for found, expected in zip(gradients(stack, x), gradients(plain, x), strict=True):
        assert distance(found, expected) < 2e-6


@pytest.mark.parametrize("lower", [False, True])
def test_dropout_scales_what_it_keeps_and_lets_nothing_else_back(lower: bool) -> None:
    torch.manual_seed(0)
    stack = DenseStack(nn.Linear(400, 300), nn.ReLU(), nn.Dropout(0.25), nn.Linear(300, 200))
    first, last = stack[0], stack[3]
    assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
    seen = []
    real = dense._linear

    def spy(x: Tensor, *rest: object) -> Tensor:
        seen.append(x)
        return real(x, *rest)  # type: ignore[arg-type]

    x = torch.randn(64, 400)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "_linear", spy)
        _, *found = gradients(stack, x, lower)
    kept = seen[1] > 0
    before = torch.relu(first(x))
    assert 0.70 < kept.sum() / (before > 0).sum() < 0.80
    tolerance = 2e-2 if lower else 1e-5
    hidden = torch.where(kept, before / 0.75, torch.zeros(()))
    assert distance(seen[1], hidden) < tolerance
    out = last(hidden)
    slope = torch.linspace(-1, 1, out.numel()).view_as(out)
    expected = torch.autograd.grad(out, list(stack.parameters()), slope)
    for got, wanted in zip(found, expected, strict=True):
        assert distance(got, wanted) < tolerance


def test_frozen_layers_get_no_gradient_and_the_others_the_same() -> None:
    plain, stack = pair(*layers((784, 512, 256, 10)))
    for model in (plain, stack):
        for parameter in list(model.parameters())[:3]:
            parameter.requires_grad_(False)
    x = torch.randn(32, 784)
    ours, theirs = gradients(stack, x), gradients(plain, x)
    assert len(ours) == len(theirs) == 4
    assert all(distance(a, b) < 2e-6 for a, b in zip(ours, theirs, strict=True))


def test_a_layer_without_bias_is_fused() -> None:
    plain, stack = pair(nn.Linear(300, 200, bias=False), nn.ReLU(), nn.Linear(200, 200))
    x = torch.randn(8, 300)
    for found, expected in zip(gradients(stack, x), gradients(plain, x), strict=True):
        assert distance(found, expected) < 2e-6


def test_gradients_can_be_differentiated_again() -> None:
    plain, stack = pair(*layers((200, 300, 200)))
    x = torch.randn(5, 200, requires_grad=True)

    def penalty(model: nn.Module) -> list[Tensor]:
        (slope,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
        return list(torch.autograd.grad(slope.square().sum(), list(model.parameters())))

    for found, expected in zip(penalty(stack), penalty(plain), strict=True):
        assert distance(found, expected) < 1e-5


@pytest.mark.parametrize(
    "modules",
    [
        layers((784, 300, 10), nn.Tanh),
        [nn.Linear(300, 200, bias=False), nn.BatchNorm1d(200), nn.ReLU(), nn.Linear(200, 200)],
    ],
)
def test_other_modules_stand_between(modules: list[nn.Module]) -> None:
    plain, stack = pair(*modules)
    x = torch.randn(16, 784 if isinstance(modules[0], nn.Flatten) else 300)
    for found, expected in zip(gradients(stack, x), gradients(plain, x), strict=True):
        assert distance(found, expected) < 1e-5


def test_evaluation_float64_and_no_grad_are_bit_for_bit_plain() -> None:
    plain, stack = pair(*layers((784, 512, 10)))
    x = torch.randn(16, 784)
    with torch.no_grad():
        assert torch.equal(stack(x), plain(x))
    assert torch.equal(stack.eval()(x), plain.eval()(x))
    doubled = [m.double().train()(x.double()) for m in (stack, plain)]
    assert torch.equal(*doubled)


def test_hooks_on_a_layer_are_called() -> None:
    _, stack = pair(*layers((784, 512, 10)))
    called = []
    stack[1].register_forward_hook(lambda *_: called.append(1))
    stack(torch.randn(4, 784)).sum().backward()
    assert called == [1]


def test_works_under_torch_func() -> None:
    _, stack = pair(*layers((200, 300, 200)))
    x = torch.randn(5, 200)

    def total(parameters: dict[str, Tensor]) -> Tensor:
        out: Tensor = torch.func.functional_call(stack, parameters, x).sum()
        return out

    found = torch.func.grad(total)(dict(stack.named_parameters()))
    assert set(found) == {name for name, _ in stack.named_parameters()}


def test_state_dict_is_that_of_a_plain_sequential() -> None:
    plain, stack = pair(*layers((784, 512, 256, 10)))
    assert list(stack.state_dict()) == list(plain.state_dict())
    stack.load_state_dict(plain.state_dict())


def test_without_torchs_own_names_the_gradients_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, stack = pair(*layers((300, 200, 10)))
    x = torch.randn(33, 300)
    expected = gradients(stack[1:], x)
    monkeypatch.setattr(dense, "_GATE", None)
    found = gradients(stack[1:], x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    fused = []
    monkeypatch.setattr(dense, "fused", lambda *given: fused.append(given))
    monkeypatch.setattr(dense, "_HOOKS", ("_hooks_of_another_name",))
    gradients(stack[1:], x)
    monkeypatch.undo()
    monkeypatch.setattr(dense, "_transforms_active", lambda: True)
    gradients(stack[1:], x)
    assert not fused


def test_without_onednn_the_gradients_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, stack = pair(*layers((784, 512, 10)))
    monkeypatch.setattr(dense, "_ONEDNN", None)
    x = torch.randn(16, 784)
    for found, expected in zip(gradients(stack, x), gradients(plain, x), strict=True):
        assert distance(found, expected) < 2e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_is_a_plain_sequential() -> None:
    plain, stack = pair(*layers((784, 512, 10)))
    x = torch.randn(16, 784, device="cuda")
    assert torch.equal(stack.cuda()(x), plain.cuda()(x))
