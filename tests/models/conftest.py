"""What the tests of networks share: a training step, and a journey in a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medimg.data.preprocess import Preprocess
from medimg.inference.bundle import ModelBundle
from medimg.labels import LabelSpace
from medimg.models.build import spec_of
from medimg.models.stages import stages


def cases(shape: tuple[int, ...], n: int = 4) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def proves_itself(tmp_path: Path) -> Callable[[nn.Module, tuple[int, ...], int], None]:
    """Forward, backward, a gradient a parameter, whole stages, and the same bits in a bundle."""

    def proves(model: nn.Module, shape: tuple[int, ...], classes: int) -> None:
        x = cases(shape)
        logits = model.train()(x)
        assert logits.shape == (4, classes)
        targets = torch.arange(4) % classes
        # A parameter whose gradient a dropped unit or a dead relu took away gets it in another draw.
        for _ in range(3):
            nn.functional.cross_entropy(model(x), targets).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
            assert parameter.grad.isfinite().all(), name
        found = [id(p) for part in stages(model) for p in part]
        assert sorted(found) == sorted(id(p) for p in model.parameters())
        space = LabelSpace(tuple("abcdef"[:classes]), "multiclass")
        bundle = ModelBundle(
            model=model.eval(),
            spec=spec_of(model, shape, classes),
            preprocess=Preprocess(size=shape[1:], channels=1, bits=8, units="stored"),
            mean=(0.5,) * shape[0],
            std=(0.5,) * shape[0],
            space=space,
            logit_shift=(0.0,) * classes,
        )
        again = ModelBundle.load(bundle.save(tmp_path / "bundle"))
        assert again.bundle_id == bundle.bundle_id
        with torch.inference_mode():
            assert torch.equal(again.model(x), model(x))

    return proves
