"""A user's own transform (MONAI, torchvision, any function), a sample at a time.

C channels, D H W space.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medimg.errors import UsageError

#: (C, [D,] H, W) float in [0, 1] of the stored range to the same.
Transform = Callable[[Tensor], Any]


def transformed(transform: Transform, shares: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return the batch (B, C, [D,] H, W), each case changed by `transform`.

    Whatever the transform draws from torch, numpy, Python's `random` or a state of its own
    (MONAI's `set_random_state`) starts at the case's seed, so that a batch can be made again;
    the global states are put back.

    Raises
    ------
    UsageError
        The transform returns another shape.
    """
    out = torch.empty_like(shares)
    with _states_kept(shares.device):
        for case, sample, seed in zip(out, shares, seeds, strict=True):
            _seed(transform, seed, shares.device)
            changed = torch.as_tensor(transform(sample)).as_subclass(Tensor)
            if changed.shape != sample.shape:
                raise UsageError(
                    f"transform makes {tuple(changed.shape)} of {tuple(sample.shape)}",
                    remedy="give one that keeps channels and size, (C, [D,] H, W)",
                )
            case.copy_(changed)
    return out


@contextmanager
def _states_kept(device: torch.device) -> Iterator[None]:
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    shared = _shared_by_monai()
    of_monai = None if shared is None else shared.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        if shared is not None and of_monai is not None:
            shared.set_state(of_monai)


def _seed(transform: Transform, seed: int, device: torch.device) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    shared = _shared_by_monai()
    if shared is not None:
        shared.seed(seed)
    _seed_own_state(transform, seed)


def _shared_by_monai() -> np.random.RandomState | None:
    """Return the generator of MONAI's transforms that nobody seeded, where MONAI is loaded."""
    if "monai.transforms" not in sys.modules:
        return None
    from monai.transforms.transform import Randomizable

    return Randomizable.R


def _seed_own_state(transform: Any, seed: int) -> None:
    """Seed a MONAI transform, also within a `Compose` of torchvision."""
    if hasattr(transform, "set_random_state"):
        transform.set_random_state(seed=seed)
        return
    for inner in getattr(transform, "transforms", ()):
        _seed_own_state(inner, seed)
