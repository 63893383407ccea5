"""Losses by label space, the class weights, and the shift of the logits that they cause.

B batch, K classes. Unknown targets (NaN) are masked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medimg.errors import TrainingError, UsageError
from medimg.labels import LabelSpace
from medimg.training.options import FitOptions

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(
    options: FitOptions,
    space: LabelSpace,
    weights: Tensor | None = None,
    mean_weight: float = 1.0,
) -> Loss:
    """Return the loss `(logits_BK, targets_BK) -> scalar`, a mean over known targets.

    Parameters
    ----------
    weights : float32 (K,), optional
        Weight of a case of each class (`multilabel`: of a known positive).
    mean_weight : float
        The mean weight of all training cases, which the losses of exclusive classes are divided
        by. A constant: divided by the batch's own sum, as torch's losses are, the weights of a
        small batch partly cancel, and no longer shift the logits by their logarithm.

    Raises
    ------
    UsageError
        A loss that the label space has no use for.
    """
    name = options.loss
    if name == "auto":
        name = "cross_entropy" if space.exclusive else "bce"
    if not space.exclusive:
        if name != "bce":
            raise UsageError(
                f"fit.loss: {name}, with {space.kind} labels", remedy="use loss: bce or auto"
            )
        return lambda z, t: _multilabel_bce(z, t, weights)
    if name == "bce" and space.k != 2:
        raise UsageError(
            f"fit.loss: bce, with {space.k} classes that exclude each other",
            remedy="use loss: cross_entropy",
        )
    each: Loss = {
        "cross_entropy": lambda z, t: functional.cross_entropy(
            z, t, reduction="none", label_smoothing=options.label_smoothing
        ),
        "mse": lambda z, t: torch.sum((z.softmax(dim=1) - t) ** 2, dim=1),
        "bce": lambda z, t: functional.binary_cross_entropy_with_logits(
            z[:, 1] - z[:, 0], t[:, 1], reduction="none"
        ),
    }[name]
    if weights is None:
        return lambda z, t: each(z, t).mean()
    shares = weights / mean_weight
    return lambda z, t: (each(z, t) * (t @ shares)).mean()


def _multilabel_bce(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    known = ~targets.isnan()
    losses = functional.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num(), reduction="none", pos_weight=weights
    )
    return torch.where(known, losses, 0).sum() / known.sum().clamp(min=1)


def class_weights(
    options: FitOptions, targets: NDArray[np.float32], space: LabelSpace
) -> NDArray[np.float64] | None:
    """Return the weight (K,) of each class, from the training targets (N, K) alone.

    ``balanced`` gives N / (K n_k) to exclusive classes and (negatives / positives) to the
    positives of a label.
    """
    wanted = options.class_weights
    if wanted is None:
        return None
    if wanted != "balanced":
        if len(wanted) != space.k:
            raise UsageError(
                f"fit.class_weights has {len(wanted)} numbers for {space.k} classes",
                remedy=f"give one for each of {list(space.classes)}, or balanced",
            )
        return np.asarray(wanted, np.float64)
    positives = np.nansum(targets, axis=0, dtype=np.float64)
    known = (~np.isnan(targets)).sum(axis=0)
    if (positives == 0).any():
        absent = space.classes[int(np.argmin(positives))]
        raise TrainingError(
            f"class {absent!r} has no training case to balance",
            remedy="add cases, merge classes or leave class_weights out",
        )
    if space.exclusive:
        return np.asarray(known / (space.k * positives))
    return np.asarray((known - positives) / positives)


def logit_shift(
    options: FitOptions,
    weights: NDArray[np.float64] | None,
    targets: NDArray[np.float32],
    space: LabelSpace,
) -> NDArray[np.float64]:
    """Return what weights and sampler add to the logits (K,) of a network that fits them.

    A weight w_k, or a sampling rate r_k relative to the data, makes the minimizer of every
    loss here proportional to w_k r_k p_k: the logits are larger by log(w_k r_k) (Saerens et
    al., Neural Computation 2002). Subtracted, the probabilities are those of the data.
    """
    shift = np.zeros(space.k) if weights is None else np.log(weights)
    if options.sampler == "weighted":
        counts = np.nan_to_num(targets).sum(axis=0, dtype=np.float64)
        present = counts > 0
        shift[present] -= np.log(counts[present] / counts.sum() * present.sum())
    return shift - shift.mean() if space.exclusive else shift
