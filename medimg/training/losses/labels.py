"""Losses of labels that stand each for itself, summed over the known ones of a batch.

B batch, K labels. Targets in [0, 1], NaN where unknown; weights (K,) are those of a present label.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits_BK: Tensor, targets_BK: Tensor, weights: Tensor | None) -> Tensor:
    """Return the binary cross-entropy of each label, summed."""
    losses = functional.binary_cross_entropy_with_logits(
        logits_BK, targets_BK.nan_to_num(), reduction="none", pos_weight=weights
    )
    return torch.where(targets_BK.isnan(), 0, losses).sum()


def asymmetric(
    logits_BK: Tensor,
    targets_BK: Tensor,
    weights: Tensor | None,
    *,
    gammas: tuple[float, float],
    clip: float,
) -> Tensor:
    """Return the asymmetric loss, summed (Ridnik et al., ICCV 2021).

    A present label costs -(1 - p)^g log p with the first of `gammas`, an absent one
    -q^g log(1 - q) with the second, where q = max(p - clip, 0): one that is nearly known to be
    absent costs nothing. Equal gammas without a clip are the focal loss (Lin et al., ICCV 2017).
    """
    targets = targets_BK.nan_to_num()
    present = -functional.logsigmoid(logits_BK) * _power_of_p(-logits_BK, gammas[0])
    if weights is not None:
        present = present * weights
    losses = targets * present + (1 - targets) * _absent(logits_BK, gammas[1], clip)
    return torch.where(targets_BK.isnan(), 0, losses).sum()


def _absent(logits: Tensor, gamma: float, clip: float) -> Tensor:
    if not clip:  # exact where p rounds to 1
        return -functional.logsigmoid(-logits) * _power_of_p(logits, gamma)
    above = torch.sigmoid(logits) - clip
    counts = above > 0
    above = torch.where(counts, above, 0.5)  # any number with finite derivatives
    return torch.where(counts, -torch.log1p(-above) * above**gamma, 0)


def _power_of_p(logits: Tensor, gamma: float) -> Tensor:
    """Return sigmoid(z)^gamma, with a finite derivative also where it vanishes."""
    return torch.exp(gamma * functional.logsigmoid(logits))
