"""Mixup and CutMix: pixels and targets are mixed alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats

from medimg.data.augment import Augment
from medimg.data.augment.options import AugmentOptions

MEAN, STD = torch.tensor([0.25]), torch.tensor([0.5])


def mixed(
    x: torch.Tensor, targets: torch.Tensor, **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    augment = Augment(AugmentOptions(**options), mean=MEAN, std=STD, shape=x.shape[1:])
    return augment.apply(x, targets, augment.draw(len(x), torch.Generator().manual_seed(0)))


def flat(n: int, *size: int) -> torch.Tensor:
    """Return pictures of one value each: 0, 1, 2, ..."""
    return torch.arange(n).float().view(-1, 1, *[1] * len(size)).expand(n, 1, *size).contiguous()


@pytest.mark.parametrize("size", [(16, 12), (6, 10, 8)])
@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1, "cutmix": 1}])
def test_targets_are_mixed_as_the_pixels_are(
    size: tuple[int, ...], options: dict[str, float]
) -> None:
    """A picture of one value is its own target."""
    x = flat(200, *size)
    out, soft = mixed(x, x.flatten(1)[:, :1], **options)
    assert torch.allclose(out.flatten(1).mean(dim=1), soft[:, 0], atol=1e-2)
    assert not torch.allclose(soft[:, 0], torch.arange(200.0))


def test_mixup_keeps_a_share_of_beta() -> None:
    augment = Augment(AugmentOptions(mixup=0.4), mean=MEAN, std=STD, shape=(1, 4, 4))
    keep = augment.draw(4000, torch.Generator().manual_seed(0)).values["keep"]
    assert stats.kstest(keep.numpy(), stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_cutmix_shows_a_box_of_another_case_and_nothing_between() -> None:
    out, _ = mixed(flat(50, 16, 16), torch.zeros(50, 1), cutmix=1.0)
    assert torch.equal(out, out.round())
    assert max(len(case.unique()) for case in out) == 2


def test_both_go_by_turns() -> None:
    augment = Augment(AugmentOptions(mixup=1, cutmix=1), mean=MEAN, std=STD, shape=(1, 9, 9))
    values = augment.draw(500, torch.Generator().manual_seed(0)).values
    blended, cut = values["blend"] < 1, values["patch"].any(dim=(1, 2))
    assert not (blended & cut).any()
    assert 0.4 < blended.float().mean() < 0.6


def test_targets_stay_distributions_and_unchanged_cases_keep_theirs() -> None:
    targets = torch.eye(3)[torch.arange(300) % 3]
    x = flat(300, 8, 8)
    out, soft = mixed(x, targets, mixup=0.4, share=0.5)
    assert torch.allclose(soft.sum(dim=1), torch.ones(300))
    same = (out == x).flatten(1).all(dim=1)
    assert 0.35 < same.float().mean() < 0.65
    assert torch.equal(soft[same], targets[same])


def test_an_unknown_target_makes_unknown_what_it_is_mixed_into_and_no_more() -> None:
    targets = torch.zeros(60, 2)
    targets[:20, 0] = torch.nan
    _, soft = mixed(flat(60, 4, 4), targets, mixup=1.0, share=0.5)
    unknown = soft[:, 0].isnan()
    assert 20 <= unknown.sum() < 40
    assert unknown[:20].all()
    assert not soft[:, 1].isnan().any()


def test_partners_are_augmented_before_they_are_mixed() -> None:
    """A case's own change goes with it into the mixture."""
    x = flat(40, 8, 8)
    augment = Augment(AugmentOptions(mixup=1, brightness=0.5), mean=MEAN, std=STD, shape=(1, 8, 8))
    draw = augment.draw(40, torch.Generator().manual_seed(0))
    out, _ = augment.apply(x, torch.zeros(40, 1), draw)
    bright = x[:, 0, 0, 0] + draw.values["brightness"] / STD
    expected = torch.lerp(bright[draw.values["partner"]], bright, draw.values["keep"])
    assert torch.allclose(out[:, 0, 3, 3], expected, atol=1e-5)
