"""Which precision is picked, and what it does to a forward pass."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from medimg.training import precision
from medimg.training.precision import autocast, pick_precision

CPU = torch.device("cpu")


def features(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(precision, "processor_features", lambda: frozenset(names))


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16"])
def test_auto_is_bfloat16_where_the_processor_multiplies_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features(monkeypatch, "avx2", name)
    assert pick_precision("auto", CPU) is torch.bfloat16


def test_auto_is_float32_where_bfloat16_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    features(monkeypatch, "avx2", "avx512_f")
    assert pick_precision("auto", CPU) is torch.float32


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    features(monkeypatch)
    assert pick_precision("bfloat16", CPU) is torch.bfloat16
    features(monkeypatch, "amx_bf16")
    assert pick_precision("float32", CPU) is torch.float32


def test_features_are_those_of_the_kernel_where_torch_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = precision.processor_features()
    monkeypatch.setattr(torch, "cpu", SimpleNamespace())
    listed = precision.processor_features()
    names = {"avx512_bf16", "amx_bf16"}
    if listed:
        assert names & listed == names & asked


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_can_be_entered_again_and_leaves_nothing_behind(dtype: torch.dtype) -> None:
    linear, x = torch.nn.Linear(8, 8), torch.randn(2, 8)
    context = autocast(CPU, dtype)
    for _ in range(2):
        with context:
            assert linear(x).dtype is dtype
        assert linear(x).dtype is torch.float32
