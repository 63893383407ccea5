"""Boxes of whole pixels: where cutout blanks and CutMix fills.

n cases, d axes of the picture (2 or 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def bounds(centre: Tensor, side: Tensor, size: Sequence[int]) -> Tensor:
    """Return the first pixel of each box and the one after its last, clipped to the picture.

    A pixel is inside where its middle is.

    Parameters
    ----------
    centre : float32 (n, d)
        In [0, 1] of each axis of `size` ([D,] H, W).
    side : float32 (n,) or (1,)
        Share of each axis.

    Returns
    -------
    int64 (n, d, 2)
    """
    length = torch.tensor(size, dtype=centre.dtype)
    half = side[:, None] / 2
    ends = torch.stack([centre - half, centre + half], dim=2) * length[:, None] - 0.5
    return torch.minimum(ends.ceil().clamp(min=0), length[:, None]).long()


def share_of(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Return what share of the picture each box (n, d, 2) takes: float32 (n,)."""
    lengths = (boxes[..., 1] - boxes[..., 0]).float() / torch.tensor(size, dtype=torch.float32)
    return lengths.prod(dim=1)


def inside(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Return whether each pixel lies in its case's box: bool (n, 1, [D,] H, W)."""
    n, dims = boxes.shape[:2]
    mask = torch.ones(n, *[1] * (dims + 1), dtype=torch.bool, device=boxes.device)
    for axis, length in enumerate(size):
        at = torch.arange(length, device=boxes.device)
        near = (at >= boxes[:, axis, :1]) & (at < boxes[:, axis, 1:])
        mask = mask & near.view(n, 1, *[length if a == axis else 1 for a in range(dims)])
    return mask
