"""Batch normalization made to fit the pictures that will be seen, not the augmented ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Training cases that the statistics are taken from.
CASES = 2048


def has_norms(model: nn.Module) -> bool:
    """Whether the network keeps running statistics of its batches."""
    return any(_keeps_statistics(module) for module in model.modules())


@torch.no_grad()
def settle_norms(model: nn.Module, batches: Iterable[Tensor], still: Collection[str] = ()) -> None:
    """Set the running statistics of batch normalization to those of `batches`.

    Augmentation blurs, turns and cuts, so that the statistics gathered in training are not
    those of plain pictures, and the network answers plain pictures with a bias that no
    temperature mends: on BreastMNIST a mean probability of .14 for a share of .27. Taking them
    anew from plain training pictures removes it (the train-test discrepancy of Touvron et al.,
    NeurIPS 2019; the statistics as in Izmailov et al., UAI 2018, section 3.2).

    Parameters
    ----------
    batches : iterable of float32 (B, C, [D,] H, W)
        Normalized training cases, not augmented; each batch counts alike.
    still : collection of str
        Names of modules that keep theirs: frozen, with the weights above them fitted to these.
    """
    norms: list[Any] = [
        module
        for name, module in model.named_modules()
        if _keeps_statistics(module) and name not in still
    ]
    momenta = [norm.momentum for norm in norms]
    training = model.training
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for batch in batches:
        model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(training)


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
