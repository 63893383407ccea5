"""The proportional-odds head: probabilities, order, and numbers at the ends of float32."""

from __future__ import annotations

import pytest
import torch

from medimg.models.build import build_model
from medimg.models.layers import Cumulative


def latents() -> torch.Tensor:
    return torch.linspace(-12, 12, 25).unsqueeze(1)


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
def test_log_probabilities_add_up_to_one(classes: int) -> None:
    logits = Cumulative(classes)(latents())
    assert logits.shape == (25, classes)
    assert torch.allclose(logits.logsumexp(1), torch.zeros(25), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_they_are_the_differences_of_sigmoids(classes: int) -> None:
    head = Cumulative(classes).double()
    torch.nn.init.normal_(head.gaps, generator=torch.Generator().manual_seed(1))
    z = latents().double()
    gaps = torch.nn.functional.softplus(head.gaps)
    cuts = torch.cat([head.lowest, head.lowest + gaps.cumsum(0)])
    below = torch.cat([torch.zeros(25, 1), torch.special.expit(cuts - z), torch.ones(25, 1)], 1)
    assert torch.allclose(head(z).exp(), below.diff(dim=1), atol=1e-12)


def test_all_classes_are_alike_at_first_in_the_middle() -> None:
    probabilities = Cumulative(5)(torch.zeros(1, 1)).exp()
    assert torch.allclose(probabilities, torch.full((1, 5), 0.2), atol=1e-6)


@pytest.mark.parametrize("z", [-1e4, -200.0, 200.0, 1e4])
def test_a_far_latent_keeps_finite_numbers_and_gradients(z: float) -> None:
    head = Cumulative(4)
    latent = torch.full((1, 1), z, requires_grad=True)
    logits = head(latent)
    assert logits.isfinite().all()
    logits.sum().backward()
    assert latent.grad is not None and latent.grad.isfinite().all()
    assert head.gaps.grad is not None and head.gaps.grad.isfinite().all()
    expected = 0 if z < 0 else 3
    assert logits.argmax() == expected


def test_cut_points_very_near_each_other_stay_in_order() -> None:
    head = Cumulative(4)
    with torch.no_grad():
        head.gaps.fill_(-60.0)
    logits = head(latents())
    assert logits.isfinite().all()
    assert (logits[:, 1] < logits[:, 0].maximum(logits[:, 3])).all()


def test_the_head_works_in_float32_under_autocast() -> None:
    model = build_model("mlp", shape=(1, 3, 3), classes=4, outputs="cumulative")
    x = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits.logsumexp(1), torch.zeros(8), atol=1e-5)


def test_a_larger_latent_means_a_higher_class() -> None:
    logits = Cumulative(6)(latents())
    expected = (logits.exp() * torch.arange(6)).sum(1)
    assert (expected.diff() > 0).all()
