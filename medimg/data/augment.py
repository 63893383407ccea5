"""Random changes of a whole batch on its device: drawn first, then applied by a plain function.

Any augmented batch can be made again from its `Draw`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from medimg.data.options import AugmentOptions


@dataclass(frozen=True)
class Draw:
    """The parameters of one batch's changes; d is 2 for images and 3 for volumes.

    Parameters
    ----------
    affine : float32 (B, d, d + 1)
        Output to input coordinates in [-1, 1], as `torch.nn.functional.affine_grid` takes them.
    gain, offset : float32 (B,)
        Intensities become ``gain * x + offset``.
    holes : float32 (B, d)
        Centres of the cutouts in [0, 1].
    """

    affine: Tensor
    gain: Tensor
    offset: Tensor
    holes: Tensor


def draw(options: AugmentOptions, n: int, size: Sequence[int], generator: torch.Generator) -> Draw:
    """Draw the changes of `n` cases of `size` ([D,] H, W) from a CPU generator.

    Rotation turns within the plane of the last two axes, in pixels: a square stays a square. The number of values drawn does not
    depend on the options' values.
    """

    def uniform(*shape: int) -> Tensor:
        return 2 * torch.rand(*shape, generator=generator) - 1

    dims = len(size)
    angle = uniform(n) * torch.deg2rad(torch.tensor(options.rotate))
    factor = 1 / (1 + options.scale * uniform(n))
    flips = torch.ones(n, dims)
    for axis, on in enumerate((options.flip_horizontal, options.flip_vertical)):
        flipped = uniform(n) < 0
        flips[:, axis] = torch.where(flipped & on, -1.0, 1.0)
    linear = torch.eye(dims).repeat(n, 1, 1)
    linear[:, 0, 0] = linear[:, 1, 1] = torch.cos(angle)
    aspect = size[-2] / size[-1]  # coordinates go from -1 to 1 along either axis
    linear[:, 0, 1], linear[:, 1, 0] = -torch.sin(angle) * aspect, torch.sin(angle) / aspect
    linear = linear * (flips * factor[:, None])[:, None, :]
    shift = 2 * options.shift * uniform(n, dims)
    return Draw(
        affine=torch.cat([linear, shift[..., None]], dim=2),
        gain=1 + options.contrast * uniform(n),
        offset=options.brightness * uniform(n),
        holes=(uniform(n, dims) + 1) / 2,
    )


def apply(
    batch: Tensor, options: AugmentOptions, changes: Draw, mean: Tensor, std: Tensor
) -> Tensor:
    """Return the changed batch.

    The lowest stored value stands where the picture ends, and contrast turns around it, so
    that empty ground stays empty. A brightness of 1 is the whole stored range.

    Parameters
    ----------
    batch : float32 (B, C, [D,] H, W)
        Normalized with `mean` and `std`.
    mean, std : float32 (C,)
        As shares of the stored range.
    """
    shape = (1, -1, *[1] * (batch.ndim - 2))
    ground = (-mean / std).view(shape)
    raised = batch - ground
    if _moves(options):
        raised = _warp(raised, changes.affine.to(batch.device))
    if options.contrast:
        raised = raised * _column(changes.gain, raised)
    if options.brightness:
        raised = raised + _column(changes.offset, raised) / std.view(shape)
    if options.cutout:
        raised = raised * _mask(raised, changes.holes.to(batch.device), options.cutout)
    return raised + ground


def _moves(options: AugmentOptions) -> bool:
    flips = options.flip_horizontal or options.flip_vertical
    return flips or options.rotate > 0 or options.scale > 0 or options.shift > 0


def _warp(batch: Tensor, affine: Tensor) -> Tensor:
    grid = functional.affine_grid(affine, list(batch.shape), align_corners=False)
    return functional.grid_sample(
        batch, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def _column(values: Tensor, batch: Tensor) -> Tensor:
    return values.to(batch.device).view(-1, *[1] * (batch.ndim - 1))


def _mask(batch: Tensor, holes: Tensor, side: float) -> Tensor:
    """Return 0 within a box of `side` (a share of each axis) around each hole, else 1."""
    inside = torch.ones(batch.shape[0], 1, *batch.shape[2:], dtype=torch.bool, device=batch.device)
    for axis, length in enumerate(batch.shape[2:]):
        centre = (torch.arange(length, device=batch.device) + 0.5) / length
        near = (centre[None] - holes[:, axis : axis + 1]).abs() <= side / 2
        inside &= near.view(
            len(near), 1, *[length if a == axis else 1 for a in range(batch.ndim - 2)]
        )
    return (~inside).to(batch.dtype)
