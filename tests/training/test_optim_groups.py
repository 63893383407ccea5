"""Stages: who learns how fast, and who stands still until when."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medimg.models.build import build_model
from medimg.models.stages import stages
from medimg.training.groups import Freezer, frozen_norms, parameter_groups
from medimg.training.optim import make_optimizer
from medimg.training.options import FitOptions


def network() -> nn.Module:
    return build_model("cnn", shape=(1, 8, 8), classes=3, widths=(4, 8))


def trained(model: nn.Module) -> list[bool]:
    """Whether all of each stage is trained; none is in part."""
    found = []
    for part in stages(model):
        assert len({p.requires_grad for p in part}) == 1
        found.append(part[0].requires_grad)
    return found


def test_a_stage_learns_at_a_share_of_the_rate_of_the_one_above_it() -> None:
    model = network()
    groups = parameter_groups(model, FitOptions(layer_decay=0.5))
    scale = {id(p): group["scale"] for group in groups for p in group["params"]}
    assert [{scale[id(p)] for p in part} for part in stages(model)] == [{0.25}, {0.5}, {1.0}]


def test_plain_options_make_one_group_of_all_parameters() -> None:
    model = network()
    (group,) = parameter_groups(model, FitOptions(optimizer="sgd", weight_decay=1e-3))
    assert {id(p) for p in group["params"]} == {id(p) for p in model.parameters()}


def test_a_frozen_network_trains_its_head_alone() -> None:
    model = network()
    freezer = Freezer(model, FitOptions(freeze=True))
    freezer.begin(0)
    assert trained(model) == [False, False, True]
    freezer.begin(5)
    assert trained(model) == [False, False, True]


def test_stages_join_the_training_from_the_head_on() -> None:
    model = network()
    freezer = Freezer(model, FitOptions(freeze=True, unfreeze_every=2))
    seen = []
    for epoch in range(6):
        freezer.begin(epoch)
        seen.append(trained(model))
    assert [sum(parts) for parts in seen] == [1, 1, 2, 2, 3, 3]
    # A resumed training begins anywhere.
    other = network()
    Freezer(other, FitOptions(freeze=True, unfreeze_every=2)).begin(3)
    assert trained(other) == seen[3]


def test_a_frozen_normalization_keeps_its_statistics() -> None:
    model = network()
    freezer = Freezer(model, FitOptions(freeze=True, unfreeze_every=1))
    freezer.begin(1)
    before = {name: b.clone() for name, b in model.named_buffers()}
    model(torch.randn(4, 1, 8, 8))
    changed = [name for name, b in model.named_buffers() if not torch.equal(b, before[name])]
    assert len(list(frozen_norms(model))) == 1
    assert sorted({name.split(".")[0] for name in changed}) == ["5"]
    freezer.begin(2)
    assert all(module.training for module in model.modules())
    assert not list(frozen_norms(model))


def test_what_the_user_has_frozen_stays_frozen() -> None:
    model = network()
    first = next(model.parameters()).requires_grad_(False)
    options = FitOptions(freeze=True, unfreeze_every=1)
    groups = parameter_groups(model, options)
    assert all(first is not p for group in groups for p in group["params"])
    Freezer(model, options).begin(10)
    assert not first.requires_grad
    assert all(p.requires_grad for p in model.parameters() if p is not first)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_frozen_weights_do_not_move_and_thawed_ones_do(name: str) -> None:
    model = network()
    options = FitOptions(
        optimizer=name, freeze=True, unfreeze_every=1, weight_decay=0.1, layer_decay=0.5
    )
    optimizer, freezer = make_optimizer(model, options), Freezer(model, options)
    for epoch in range(3):
        freezer.begin(epoch)
        before = [[p.detach().clone() for p in part] for part in stages(model)]
        for _ in range(2):
            model(torch.randn(4, 1, 8, 8)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        moved = [
            not all(torch.equal(a, b) for a, b in zip(old, new, strict=True))
            for old, new in zip(before, stages(model), strict=True)
        ]
        assert moved == trained(model)
