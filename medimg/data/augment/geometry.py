"""Where each pixel of a changed picture comes from: one map, one interpolation.

B cases, C channels, d axes of the picture (2 or 3). Coordinates are those of
`torch.nn.functional.grid_sample`: -1 to 1 along each axis, last axis (x) first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from medimg.data.augment.options import AugmentOptions

#: Intervals a side of the grid that bends a picture; its cubic splines have three points more.
INTERVALS = 4
POINTS = INTERVALS + 3

_FLIPS = ("flip_horizontal", "flip_vertical", "flip_depth")
_WARPS = ("rotate", "scale", "shift", "shear", "elastic", "crop")


def flips(options: AugmentOptions) -> bool:
    """Whether any axis may be mirrored."""
    return any(getattr(options, name) for name in _FLIPS)


def warps(options: AugmentOptions) -> bool:
    """Whether pictures are interpolated."""
    return any(getattr(options, name) > 0 for name in _WARPS)


def mirrored(options: AugmentOptions, drawn: Mapping[str, Tensor], dims: int) -> Tensor:
    """Return which axes of each case are mirrored, x first: bool (B, d).

    `drawn` holds float32 (B,) in [0, 1) for each change by its name.
    """
    return torch.stack(
        [(drawn[name] < 0.5) & getattr(options, name) for name in _FLIPS[:dims]], dim=1
    )


def affine(
    options: AugmentOptions, drawn: Mapping[str, Tensor], mirror: Tensor, size: Sequence[int]
) -> Tensor:
    """Return the map from changed to former coordinates: float32 (B, d, d + 1).

    Turn and slant are rigid in pixels, also where the picture is no square, and stay within
    the plane of the last two axes: the distance of slices is often another.
    """
    dims = len(size)
    signed = dict(zip(drawn, 2 * torch.stack(list(drawn.values())) - 1, strict=True))
    angle = torch.deg2rad(options.rotate * signed["rotate"])
    slant = torch.tan(torch.deg2rad(options.shear * signed["shear"]))
    cos, sin = torch.cos(angle), torch.sin(angle)
    pixels = torch.eye(dims).repeat(len(angle), 1, 1)
    pixels[:, 0, 0], pixels[:, 0, 1] = cos, cos * slant - sin
    pixels[:, 1, 0], pixels[:, 1, 1] = sin, sin * slant + cos
    side = torch.tensor(size[::-1], dtype=torch.float32)
    factor = torch.where(mirror, -1.0, 1.0) / (1 + options.scale * signed["scale"])[:, None]
    linear = pixels * (side / side[:, None]) * factor[:, None, :]
    left = options.crop * drawn["crop"]
    corner = left[:, None] * torch.stack([signed[f"crop_{a}"] for a in "xyz"[:dims]], dim=1)
    shift = 2 * options.shift * torch.stack([signed[f"shift_{a}"] for a in "xyz"[:dims]], dim=1)
    offset = (linear @ corner[..., None]) + shift[..., None]
    return torch.cat([linear * (1 - left)[:, None, None], offset], dim=2)


def flip(shares: Tensor, mirror: Tensor) -> Tensor:
    """Turn the axes round that `mirror` (B, d), on the CPU, names; writes into the batch."""
    for axis, chosen in enumerate(mirror.T):
        at = torch.nonzero(chosen).flatten().to(shares.device)
        shares[at] = shares[at].flip(-1 - axis)
    return shares


def warp(shares: Tensor, maps: Tensor, bumps: Tensor | None) -> Tensor:
    """Return the batch (B, C, [D,] H, W) seen through its maps; outside is 0.

    Parameters
    ----------
    maps : (B, d, d + 1)
        As `affine` gives them.
    bumps : (B, d, POINTS, ...) or None
        Added to the map: control points of cubic B-splines, so that no pixel moves further
        than the largest of them (free-form deformation, Rueckert et al., IEEE TMI 1999).
    """
    where = grid(maps, shares.shape[2:])
    if bumps is not None:
        for k, field in enumerate(bend(bumps, shares.shape[2:]).unbind(1)):
            where[..., k] += field
    return functional.grid_sample(
        shares, where, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def grid(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return the former place of each pixel (B, [D,] H, W, d).

    What `affine_grid` gives, by sums in place of its matrix product: several times faster, and
    the bits of a case do not depend on how many there are beside it.
    """
    dims = len(size)
    out = maps.new_empty(len(maps), *size, dims)
    for k in range(dims):
        total = maps[:, k, dims].view(-1, *[1] * dims)
        for axis, length in enumerate(size):
            at = (torch.arange(length, device=maps.device, dtype=maps.dtype) * 2 + 1) / length - 1
            slope = maps[:, k, dims - 1 - axis].view(-1, *[1] * dims)
            term = slope * at.view([length if a == axis else 1 for a in range(dims)])
            total = torch.add(total, term, out=out[..., k] if axis == dims - 1 else None)
    return out


def bend(bumps: Tensor, size: Sequence[int]) -> Tensor:
    """Return the field (B, d, [D,] H, W) that the control points (B, d, POINTS, ...) span."""
    for length in size:
        bumps = torch.tensordot(bumps, _basis(length).to(bumps), dims=([2], [1]))
    return bumps


@lru_cache(maxsize=32)
def _basis(length: int) -> Tensor:
    """Return the cubic B-splines at the middles of `length` pixels: float64 (length, POINTS)."""
    at = (torch.arange(length, dtype=torch.float64) + 0.5) / length * INTERVALS
    far = (at[:, None] - torch.arange(-1, POINTS - 1)).abs()
    near = 2 / 3 - far**2 + far**3 / 2
    return torch.where(far < 1, near, (2 - far).clamp(min=0) ** 3 / 6)
