"""Stages: every parameter once, from the input to the head."""

from __future__ import annotations

import torch
from torch import nn

from medimg.models.build import build_model
from medimg.models.stages import named_stages, stages


def names(model: nn.Module) -> list[list[str]]:
    of = {id(p): name for name, p in model.named_parameters()}
    return [[of[id(p)] for p in part] for part in stages(model)]


def test_a_layer_and_its_normalization_are_one_stage() -> None:
    cnn = build_model("cnn", shape=(1, 8, 8), classes=2, widths=(4, 8))
    assert names(cnn) == [
        ["0.weight", "1.weight", "1.bias"],
        ["4.weight", "5.weight", "5.bias"],
        ["9.weight", "9.bias"],
    ]
    mlp = build_model("mlp", shape=(1, 4, 4), classes=2, hidden=(5, 6))
    assert [len(part) for part in names(mlp)] == [2, 2, 2]


def test_a_resnet_has_its_stem_four_layers_and_the_head() -> None:
    parts = names(build_model("resnet18", shape=(1, 8, 8), classes=2))
    assert [part[0].partition(".")[0] for part in parts] == [
        "conv1",
        *(f"layer{i}" for i in (1, 2, 3, 4)),
        "fc",
    ]


def test_cut_points_belong_to_the_head() -> None:
    for name in ("mlp", "cnn", "resnet18"):
        model = build_model(name, shape=(1, 8, 8), classes=4, outputs="cumulative", dropout=0.1)
        last = names(model)[-1]
        assert [n.rpartition(".")[2] for n in last] == ["weight", "lowest", "gaps"], name


def test_a_module_of_ones_own_goes_by_its_children() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 3))
            self.features = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
            self.norm = nn.LayerNorm(3)
            self.tied = nn.Linear(3, 3)
            self.tied.weight = self.features[0].weight  # type: ignore[assignment]
            self.head = nn.Linear(3, 2)

    model = Own()
    assert [stage.names for stage in named_stages(model)] == [
        ["features", "norm", "tied"],
        ["head"],
    ]
    assert sum(map(len, stages(model))) == len(list(model.parameters()))


def test_a_module_without_children_is_one_stage_and_one_without_weights_none() -> None:
    assert [len(part) for part in stages(nn.Linear(3, 2))] == [2]
    assert stages(nn.Flatten()) == []
