"""Two cases made into one, their targets with them: mixup and CutMix.

n cases, C channels, d axes of the picture (2 or 3), K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medimg.data.augment.boxes import bounds, inside, share_of
from medimg.data.augment.intensity import column
from medimg.data.augment.options import AugmentOptions


def mixes(options: AugmentOptions) -> bool:
    """Whether cases are mixed."""
    return options.mixup > 0 or options.cutmix > 0


def mixture(
    options: AugmentOptions, drawn: Mapping[str, Tensor], changed: Tensor, size: Sequence[int]
) -> dict[str, Tensor]:
    """Return how much each case keeps of itself, and the box that comes from its partner.

    Mixup keeps a share of Beta(alpha, alpha) (Zhang et al., ICLR 2018), CutMix a box's
    complement of that share, clipped to the picture (Yun et al., ICCV 2019); with both, each
    case goes one of the two ways.

    Returns
    -------
    dict
        `keep` float32 (n,) of the target, 1 where a case is not mixed; `blend` float32 (n,) of
        the pixels outside the box; `patch` int64 (n, d, 2), empty in mixup.
    """
    cut = (drawn["mix_way"] < 0.5) if options.mixup and options.cutmix else None
    cut = torch.full_like(changed, options.cutmix > 0) if cut is None else cut
    cut = cut & changed
    blend = torch.where(changed & ~cut, _beta(options.mixup, drawn["mix"]), 1.0)
    side = (1 - _beta(options.cutmix, drawn["mix"])) ** (1 / len(size))
    centre = torch.stack([drawn[f"patch_{a}"] for a in "zyx"[-len(size) :]], dim=1)
    patch = bounds(centre, torch.where(cut, side, 0.0), size)
    patch[~cut] = 0
    return {"keep": blend * (1 - share_of(patch, size)), "blend": blend, "patch": patch}


def mix(
    x: Tensor, targets: Tensor, partner: Tensor, how: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the first n cases mixed with their partners, and their targets.

    Parameters
    ----------
    x : (R, C, [D,] H, W)
        R of at least n.
    targets : (R, K)
        NaN is unknown, and stays so in whatever it is mixed into.
    partner : int64 (n,)
        Positions in `x`.
    how : mapping
        As `mixture` gives it, n cases, on the device of `x`.
    """
    n = len(partner)
    own, other = x[:n], x[partner]
    blend, keep = column(how["blend"].to(x.dtype), x), how["keep"].to(targets.dtype)[:, None]
    weight = torch.where(inside(how["patch"], x.shape[2:]), 0, blend)
    soft = torch.where(keep == 1, targets[:n], torch.lerp(targets[partner], targets[:n], keep))
    return torch.lerp(other, own, weight), soft


def _beta(alpha: float, uniform: Tensor) -> Tensor:
    """Return values of Beta(alpha, alpha), one of each uniform number; alpha 0 gives ones."""
    if alpha == 0:
        return torch.ones_like(uniform)
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, uniform.double().numpy())).float()
