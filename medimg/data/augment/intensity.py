"""Changes of intensities, in shares of the stored range: 0 is the lowest value, the ground.

B cases, C channels. The functions write into the batch that they are given.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medimg.data.augment.boxes import inside


def column(values: Tensor, batch: Tensor) -> Tensor:
    """Return values (B,) so that each meets its case (B, C, [D,] H, W)."""
    return values.view(-1, *[1] * (batch.ndim - 1))


def blur(shares: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Return the batch blurred by a Gaussian of `sigma` (B,) pixels along every axis.

    Cut off at `radius` pixels; the border goes on outside the picture, so that it keeps its
    brightness. Each case has its own kernel: sums of shifted pictures take the time of a
    grouped convolution at 28 x 28 and half of it at 224 x 224.
    """
    at = torch.arange(-radius, radius + 1, device=shares.device, dtype=shares.dtype)
    kernels = torch.exp(-0.5 * (at[:, None] / sigma.clamp(min=1e-3)) ** 2)
    kernels /= kernels.sum(dim=0)
    for axis in range(2, shares.ndim):
        length = shares.shape[axis]
        inner = torch.arange(-radius, length + radius, device=shares.device).clamp(0, length - 1)
        wide = shares.index_select(axis, inner)
        shares = torch.zeros_like(shares)
        for shift, weight in enumerate(kernels):
            shares.addcmul_(wide.narrow(axis, shift, length), column(weight, shares))
    return shares


def gamma(shares: Tensor, exponent: Tensor) -> Tensor:
    """Return shares in [0, 1], to the power of `exponent` (B,)."""
    return shares.clamp_(0, 1).pow_(column(exponent, shares))


def noise(shares: Tensor, sigma: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return the batch with Gaussian noise of `sigma` (B,), each case's from its own seed.

    So that a case gets the same noise wherever a batch is parted.
    """
    generator = torch.Generator(shares.device)
    drawn = torch.empty_like(shares)
    for case, seed in zip(drawn, seeds, strict=True):
        case.normal_(generator=generator.manual_seed(seed))
    return shares.addcmul_(drawn, column(sigma, shares))


def cutout(shares: Tensor, holes: Tensor) -> Tensor:
    """Return the batch blank within `holes` (B, d, 2) (DeVries and Taylor, 2017)."""
    return shares.masked_fill_(inside(holes, shares.shape[2:]), 0)
