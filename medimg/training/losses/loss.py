"""`Loss`: what a batch costs, by name and label space.

B batch, K classes, N training cases.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medimg.errors import UsageError
from medimg.labels import LabelSpace
from medimg.training.losses.balance import class_weights, log_prior
from medimg.training.losses.exclusive import cross_entropy, focal, mean_squared_error
from medimg.training.losses.labels import asymmetric, binary_cross_entropy
from medimg.training.options import FitOptions

#: Kind of labels -> the losses that they have a use for; the first is `auto`.
LOSSES = {
    "multiclass": ("cross_entropy", "mse", "bce", "focal"),
    "multilabel": ("bce", "focal", "asymmetric"),
    "ordinal": ("cross_entropy", "focal"),
}

#: ``(logits_BK, targets_BK, weights (K,) or None) -> scalar``, all of one floating type.
Summed = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Loss:
    """A loss as a sum and what to divide it by.

    Parts of a batch, and the processes that share one, add up to the mathematics of the whole:
    the sum of their `total` over the `count` of the whole batch.

    Parameters
    ----------
    summed : function
        The bare loss.
    exclusive : bool
        Whether a case has exactly one class, and counts as one; else its known labels count.
    weights : Tensor (K,), optional
        Of the classes, or of present labels.
    offset : Tensor (K,), optional
        Added to the logits before all.
    smoothing : float
        Share of the target that is spread over all classes.
    """

    def __init__(
        self,
        summed: Summed,
        *,
        exclusive: bool,
        weights: Tensor | None = None,
        offset: Tensor | None = None,
        smoothing: float = 0.0,
    ) -> None:
        self._summed, self._exclusive = summed, exclusive
        self._weights, self._offset, self._smoothing = weights, offset, smoothing

    def total(self, logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """Return the scalar sum over the batch, reckoned in float32 (float64 in float64).

        Parameters
        ----------
        logits_BK : floating (B, K)
        targets_BK : floating (B, K)
            In [0, 1], soft ones too; NaN, for labels alone, has no part in it.
        """
        if logits_BK.dtype not in (torch.float32, torch.float64):
            logits_BK = logits_BK.float()
        if self._offset is not None:
            logits_BK = logits_BK + self._offset
        targets_BK = targets_BK.to(logits_BK.dtype)
        if self._smoothing:
            spread = self._smoothing / targets_BK.shape[1]
            targets_BK = targets_BK * (1 - self._smoothing) + spread
        return self._summed(logits_BK, targets_BK, self._weights)

    def count(self, targets_BK: Tensor) -> Tensor:
        """Return the scalar that the total is divided by: cases, or known labels (perhaps none)."""
        if self._exclusive:
            return targets_BK.new_full((), len(targets_BK))
        return (~targets_BK.isnan()).sum().to(targets_BK.dtype)


def make_loss(
    options: FitOptions,
    space: LabelSpace,
    targets: NDArray[np.float32],
    device: torch.device,
) -> Loss:
    """Return the loss that `options` ask for.

    The weights of exclusive classes are divided by their mean over the training cases. By a
    constant: divided by the batch's own sum, as torch's losses are, the weights of a small batch
    partly cancel, and no longer shift the logits by their logarithm.

    Parameters
    ----------
    targets : float32 (N, K)
        Of the training cases; weights and priors come from them alone.

    Raises
    ------
    UsageError
        A loss that the label space has no use for.
    TrainingError
        A class without cases where weights or a prior need some.
    """
    name = _checked_name(options, space)
    weights = class_weights(options, targets, space)
    if weights is not None and space.exclusive:
        weights = weights / float(np.mean(targets @ weights))
    offset = None
    if options.logit_adjustment:
        prior = options.logit_adjustment * log_prior(targets, space)
        offset = torch.tensor(prior, dtype=torch.float32, device=device)
    tensor = None
    if weights is not None:
        tensor = torch.tensor(weights, dtype=torch.float32, device=device)
    summed = _exclusive(name, options) if space.exclusive else _of_labels(name, options)
    return Loss(
        summed,
        exclusive=space.exclusive,
        weights=tensor,
        offset=offset,
        smoothing=options.label_smoothing,
    )


def _checked_name(options: FitOptions, space: LabelSpace) -> str:
    known = LOSSES[space.kind]
    name = known[0] if options.loss == "auto" else options.loss
    if name not in known:
        raise UsageError(
            f"fit.loss: {name}, with {space.kind} labels", remedy=f"one of {', '.join(known)}"
        )
    if name == "bce" and space.exclusive and space.k != 2:
        raise UsageError(
            f"fit.loss: bce, with {space.k} classes that exclude each other",
            remedy="use loss: cross_entropy",
        )
    if options.label_smoothing and not space.exclusive:
        raise UsageError(
            f"fit.label_smoothing: {options.label_smoothing}, with {space.kind} labels",
            remedy="set it to 0; it is for classes that exclude each other",
        )
    return name


def _exclusive(name: str, options: FitOptions) -> Summed:
    losses: dict[str, Summed] = {
        "cross_entropy": cross_entropy,
        "bce": cross_entropy,  # of two classes: of z1 - z0
        "mse": mean_squared_error,
        "focal": partial(focal, gamma=options.focal_gamma),
    }
    return losses[name]


def _of_labels(name: str, options: FitOptions) -> Summed:
    gamma = options.focal_gamma
    losses: dict[str, Summed] = {
        "bce": binary_cross_entropy,
        "focal": partial(asymmetric, gammas=(gamma, gamma), clip=0.0),
        "asymmetric": partial(
            asymmetric, gammas=options.asymmetric_gammas, clip=options.asymmetric_clip
        ),
    }
    return losses[name]
