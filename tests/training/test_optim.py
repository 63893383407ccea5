"""Optimizers: the steps that their papers give, to the bits of torch where torch has them."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medimg.errors import UsageError
from medimg.models.build import build_model
from medimg.training.adam import LeanAdam
from medimg.training.optim import make_optimizer
from medimg.training.options import FitOptions
from medimg.training.schedule import learning_rate, set_rates

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "nesterov": {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    "adam": {"optimizer": "adam", "weight_decay": 1e-2},
    "adamw": {"optimizer": "adamw", "weight_decay": 1e-2},
    "muon": {"optimizer": "muon", "weight_decay": 1e-2},
}


def options_of(name: str, **more: Any) -> FitOptions:
    return FitOptions(**{"optimizer": name} | OPTIMIZERS[name] | {"lr": 1e-2} | more)


def network(name: str = "cnn") -> nn.Module:
    options = {"widths": (4, 8)} if name == "cnn" else {"hidden": (8, 6)}
    return build_model(name, shape=(1, 8, 8), classes=3, seed=0, **options)


def set_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = gradient.contiguous(memory_format=layout_of(parameter))


def layout_of(x: Tensor) -> torch.memory_format:
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last and not x.is_contiguous() else torch.contiguous_format


def take_steps(model: nn.Module, optimizer: Any, seeds: range) -> list[Tensor]:
    for seed in seeds:
        set_gradients(model, seed)
        optimizer.step()
        optimizer.zero_grad()
    return [p.detach().clone() for p in model.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("decoupled", [False, True])
def test_lean_adam_takes_the_steps_of_torch_to_the_bit(decoupled: bool) -> None:
    ours, theirs = network("mlp"), network("mlp")
    lean = LeanAdam(
        [{"params": list(ours.parameters()), "weight_decay": 0.1}], 1e-2, decoupled=decoupled
    )
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    whole = kind(theirs.parameters(), lr=1e-2, weight_decay=0.1, fused=True)
    for seed in range(6):
        for model, optimizer in ((ours, lean), (theirs, whole)):
            set_gradients(model, seed)
            if seed in (0, 3):  # one that has no gradient stays, and its count of steps with it
                next(model.parameters()).grad = None
            optimizer.param_groups[0]["lr"] = 1e-2 / (seed + 1)
            optimizer.step()
    assert same(list(ours.parameters()), list(theirs.parameters()))
    counts = [float(lean.state[p]["step"]) for p in ours.parameters()]
    assert counts == [4.0] + [6.0] * (len(counts) - 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_optimizer_goes_on_to_the_same_bits(name: str) -> None:
    model = network()
    optimizer = make_optimizer(model, options_of(name))
    take_steps(model, optimizer, range(3))
    weights = copy.deepcopy(model.state_dict())
    buffer = io.BytesIO()
    torch.save(optimizer.state_dict(), buffer)
    whole = take_steps(model, optimizer, range(3, 6))

    buffer.seek(0)
    other = network()
    other.load_state_dict(weights)
    resumed = make_optimizer(other, options_of(name))
    take_steps(other, resumed, range(9, 10))  # has a state of its own, to be replaced
    other.load_state_dict(weights)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    assert same(whole, take_steps(other, resumed, range(3, 6)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_moves_every_parameter_and_forgets_gradients(name: str) -> None:
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = make_optimizer(model, options_of(name))
    after = take_steps(model, optimizer, range(1))
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_nesterov_looks_ahead() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    optimizer = make_optimizer(model, options_of("nesterov", lr=0.1))
    for gradient in (1.0, 2.0):
        model.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
    # v1 = 1, step 1 + .9 v1; v2 = .9 + 2, step 2 + .9 v2 (Sutskever et al. 2013, as in torch)
    assert model.weight.item() == pytest.approx(1 - 0.1 * 1.9 - 0.1 * (2 + 0.9 * 2.9))


@pytest.mark.parametrize(("name", "spared"), [("adam", False), ("adamw", True), ("muon", True)])
def test_decoupled_decay_spares_biases_and_normalizations(name: str, spared: bool) -> None:
    model = network()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.5)
    optimizer = make_optimizer(model, options_of(name))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter in model.parameters():
        still = bool((parameter == 0.5).all())
        assert still == (spared and parameter.ndim < 2)


def test_muon_steps_hidden_matrices_as_torch_does_and_the_head_by_adamw() -> None:
    model = network()
    weights = {name: p for name, p in model.named_parameters() if p.ndim >= 2}
    head = list(weights)[-1]
    hidden = {name: nn.Parameter(p.detach().flatten(1).clone()) for name, p in weights.items()}
    last = nn.Parameter(hidden.pop(head).detach().clone())
    muon = torch.optim.Muon(
        hidden.values(), lr=1e-2, weight_decay=1e-2, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW([last], lr=1e-2, weight_decay=1e-2, fused=True)
    optimizer = make_optimizer(model, options_of("muon"))
    for seed in range(3):
        set_gradients(model, seed)
        for name, matrix in hidden.items():
            gradient = weights[name].grad
            assert gradient is not None
            matrix.grad = gradient.flatten(1).clone()
        last.grad = weights[head].grad
        for each in (optimizer, muon, adamw):
            each.step()
    for name, matrix in hidden.items():
        assert torch.equal(weights[name].flatten(1), matrix)
    assert torch.equal(weights[head], last)


def test_muon_steps_are_orthogonal_and_as_long_as_those_of_adamw() -> None:
    model = network("mlp")
    weight = next(model.parameters())
    before = weight.detach().clone()
    optimizer = make_optimizer(model, options_of("muon", weight_decay=0.0))
    set_gradients(model, 0)
    optimizer.step()
    step = (before - weight.detach()) / (1e-2 * 0.2 * 64**0.5)  # (8, 64)
    values = torch.linalg.svdvals(step)
    assert values.min() > 0.5
    assert values.max() < 1.5
    assert 0.1 < (before - weight.detach()).square().mean().sqrt() / 1e-2 < 0.4


def test_muon_does_not_care_how_a_kernel_lies_in_memory() -> None:
    plain, last = network(), network().to(memory_format=torch.channels_last)
    found = [
        take_steps(model, make_optimizer(model, options_of("muon")), range(3))
        for model in (plain, last)
    ]
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=2e-3)  # bfloat16 inside, another order of sums


def test_muon_without_a_hidden_matrix_is_refused_by_name() -> None:
    softmax = build_model("mlp", shape=(1, 8, 8), classes=3, hidden=())
    with pytest.raises(UsageError, match=r"muon.*no hidden matrix"):
        make_optimizer(softmax, options_of("muon"))


def test_a_network_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(UsageError, match="no parameter to train"):
        make_optimizer(network().requires_grad_(False), FitOptions())


def test_lean_adam_takes_torchs_way_with_a_closure_and_without_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for way in ("kernel", "closure", "none"):
        model = network("mlp")
        with monkeypatch.context() as patch:
            if way == "none":
                patch.delattr(torch, "_fused_adam_")
            optimizer = LeanAdam([{"params": list(model.parameters())}], 1e-2, decoupled=False)
        for seed in range(4):
            set_gradients(model, seed)
            closure = (lambda: 7.0) if way == "closure" else None
            assert optimizer.step(closure) == (7.0 if closure else None)
        found.append([p.detach().clone() for p in model.parameters()])
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_the_schedule_rises_falls_and_is_scaled_by_group() -> None:
    cosine = FitOptions(epochs=10, lr=1.0, schedule="cosine", warmup=2)
    rates = [learning_rate(cosine, step, 5) for step in range(50)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[30] == pytest.approx(0.5)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    steps = FitOptions(epochs=4, lr=1.0, schedule="step", steps=(1, 3), step_factor=0.5)
    assert [learning_rate(steps, i, 1) for i in range(4)] == [1, 0.5, 0.5, 0.25]
    optimizer = make_optimizer(network(), options_of("adam", layer_decay=0.5))
    set_rates(optimizer, 0.4)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx([0.1, 0.2, 0.4])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_step_waits_for_the_device(name: str) -> None:
    model = network().cuda()
    optimizer = make_optimizer(model, options_of(name))
    for number in range(4):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        torch.cuda.set_sync_debug_mode("error" if number > 1 else "default")
        try:
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("warmup, steps", [(0.5, 5), (0.01, 10), (1.5, 3)])
def test_a_warm_up_never_goes_beyond_the_rate(warmup: float, steps: int) -> None:
    options = FitOptions(epochs=2, lr=1e-3, warmup=warmup)
    rates = [learning_rate(options, step, steps) for step in range(2 * steps)]
    assert max(rates) == rates[-1] == 1e-3
