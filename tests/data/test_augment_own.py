"""A user's own transform: a sample at a time, made again from the draw, global states kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from medimg.data.augment import Augment
from medimg.data.augment.options import AugmentOptions
from medimg.errors import UsageError

MEAN, STD = torch.tensor([0.25]), torch.tensor([0.5])


def torchvision_transform() -> Any:
    return v2.Compose([v2.RandomHorizontalFlip(), v2.RandomRotation(20), v2.GaussianNoise()])


def monai_transform() -> Any:
    from monai import transforms

    return transforms.Compose(
        [
            transforms.RandFlip(prob=0.5, spatial_axis=1),
            transforms.RandGaussianNoise(prob=1.0, std=0.1),
        ]
    )


def monai_within_torchvision() -> Any:
    from monai.transforms import RandGaussianNoise

    return v2.Compose([RandGaussianNoise(prob=1.0, std=0.1), v2.RandomHorizontalFlip()])


def monai_within_a_function() -> Any:
    from monai.transforms import RandGaussianNoise

    noise = RandGaussianNoise(prob=1.0, std=0.1)
    return lambda sample: noise(sample)


def plain(sample: torch.Tensor) -> Any:
    """Draw from every global source, and return an array."""
    noise = random.random() + np.random.rand() + float(torch.rand(()))  # noqa: NPY002
    return (sample * noise).numpy()


def batch(n: int = 8) -> torch.Tensor:
    shares = torch.rand(n, 1, 10, 10, generator=torch.Generator().manual_seed(3))
    return (shares - MEAN) / STD


def own(transform: Callable[..., Any], **options: Any) -> Augment:
    chosen = AugmentOptions(**options)
    return Augment(chosen, mean=MEAN, std=STD, shape=(1, 10, 10), transform=transform)


@pytest.mark.parametrize(
    "make",
    [
        torchvision_transform,
        monai_transform,
        monai_within_torchvision,
        monai_within_a_function,
        lambda: plain,
    ],
)
def test_a_batch_can_be_made_again_and_in_parts(make: Callable[[], Any]) -> None:
    augment, x = own(make()), batch()
    targets = torch.zeros(len(x), 2)
    draw = augment.draw(len(x), torch.Generator().manual_seed(0))
    first, _ = augment.apply(x, targets, draw)
    assert type(first) is torch.Tensor and first.dtype == torch.float32
    assert not torch.allclose(first, x, atol=1e-3)
    second, _ = own(make()).apply(x, targets, draw)
    assert torch.equal(first, second)
    part = draw.take(slice(3, 7))
    assert torch.equal(augment.apply(x[part.rows], targets[part.rows], part)[0], first[3:7])


def test_the_global_random_states_are_put_back() -> None:
    augment, x = own(plain), batch()
    draw = augment.draw(len(x), torch.Generator().manual_seed(0))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index] # noqa: NPY002
    augment.apply(x, torch.zeros(len(x), 2), draw)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index] # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_transform_sees_shares_of_the_stored_range() -> None:
    seen = []
    augment, x = own(lambda sample: seen.append(sample) or sample), batch()
    draw = augment.draw(len(x), torch.Generator().manual_seed(0))
    out, _ = augment.apply(x, torch.zeros(len(x), 2), draw)
    assert torch.allclose(out, x, atol=1e-6)
    shares = torch.stack(seen)
    assert shares.shape == x.shape
    assert shares.min() > -1e-6 and shares.max() < 1 + 1e-6


def test_share_and_mixing_go_with_it_other_changes_do_not() -> None:
    augment, x = own(lambda sample: sample * 0, share=0.5, mixup=1.0), batch(64)
    assert augment.on
    augment.apply(x, torch.zeros(64, 2), augment.draw(64, torch.Generator().manual_seed(0)))
    with pytest.raises(UsageError, match=r"fit\.augment\.rotate"):
        own(plain, rotate=10)


def test_a_transform_that_changes_the_shape_is_refused() -> None:
    augment, x = own(lambda sample: sample[:, 1:]), batch()
    with pytest.raises(UsageError, match=r"\(1, 9, 10\) of \(1, 10, 10\)"):
        augment.apply(x, torch.zeros(len(x), 2), augment.draw(8, torch.Generator().manual_seed(0)))
