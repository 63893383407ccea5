"""Class weights, class priors, and the shift of the logits that they cause.

N training cases, K classes. All from the training cases alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg.errors import TrainingError, UsageError
from medimg.labels import LabelSpace
from medimg.training.options import FitOptions

Float64s = NDArray[np.float64]


def class_weights(
    options: FitOptions, targets: NDArray[np.float32], space: LabelSpace
) -> Float64s | None:
    """Return the weight float64 (K,) of each class, or None where all weigh alike.

    ``balanced`` gives N / (K n_k) to exclusive classes, and to a present label its negatives
    over its positives. ``effective`` puts the effective number (1 - b^n) / (1 - b) of n cases,
    b = (N - 1) / N, in the place of n, as cases come to overlap the more of them there are (Cui
    et al., CVPR 2019); exclusive weights then sum to K. At this b it lies between .63 n and n,
    so that the weights are close to the balanced ones, a little milder.

    Raises
    ------
    UsageError
        Another number of weights than classes.
    TrainingError
        A class without a training case, or a label without a positive or a negative one.
    """
    wanted = options.class_weights
    if wanted is None:
        return None
    if not isinstance(wanted, str):
        if len(wanted) != space.k:
            raise UsageError(
                f"fit.class_weights has {len(wanted)} numbers for {space.k} classes",
                remedy=f"give one for each of {list(space.classes)}, or balanced",
            )
        return np.asarray(wanted, np.float64)
    present, absent = _counts(targets, space, f"class_weights: {wanted}")
    if wanted == "effective":
        present, absent = (_effective(n, present + absent) for n in (present, absent))
    if not space.exclusive:
        return np.asarray(absent / present)
    if wanted == "effective":
        return np.asarray(space.k / present / (1 / present).sum())
    return np.asarray((present + absent) / (space.k * present))


def log_prior(targets: NDArray[np.float32], space: LabelSpace) -> Float64s:
    """Return log of the share of each class, or the log odds of each label, float64 (K,)."""
    present, absent = _counts(targets, space, "logit_adjustment")
    return np.log(present / (present + absent)) if space.exclusive else np.log(present / absent)


def logit_shift(options: FitOptions, targets: NDArray[np.float32], space: LabelSpace) -> Float64s:
    """Return what weights, sampler and logit adjustment add to the logits, float64 (K,).

    A weight w_k, or a sampling rate r_k relative to the data, makes the minimizer of
    cross-entropy, binary cross-entropy and mean squared error proportional to w_k r_k p_k: the
    logits are larger by log(w_k r_k) (Saerens et al., Neural Computation 2002). Logit adjustment
    adds tau log(prior_k) in the loss, so that the network's own logits are smaller by it (Menon
    et al., ICLR 2021). Subtracted, the probabilities are those of the data.

    The focal and the asymmetric loss are no proper scoring rules: what their minimizer has to do
    with the probabilities is no shift. Of theirs, log(w_k r_k) alone is taken back, which is
    exact at equal probabilities; the rest is for calibration.
    """
    weights = class_weights(options, targets, space)
    shift = np.zeros(space.k) if weights is None else np.log(weights)
    if options.sampler == "weighted":
        counts = np.asarray(np.nansum(targets, axis=0, dtype=np.float64))
        present = counts > 0
        shift[present] -= np.log(counts[present] / counts.sum() * present.sum())
    if options.logit_adjustment:
        shift -= options.logit_adjustment * log_prior(targets, space)
    return shift - shift.mean() if space.exclusive else shift


def _counts(
    targets: NDArray[np.float32], space: LabelSpace, option: str
) -> tuple[Float64s, Float64s]:
    """Return how many known cases have each class, and have it not, float64 (K,), all above 0."""
    present = np.asarray(np.nansum(targets, axis=0, dtype=np.float64))
    absent = (~np.isnan(targets)).sum(axis=0) - present
    for counts, what in ((present, ""), (absent, "out")):
        if (counts == 0).any():
            raise TrainingError(
                f"fit.{option}: there is no training case with{what} "
                f"{space.classes[int(np.argmin(counts))]!r}",
                remedy=f"add cases, merge classes or leave {option.partition(':')[0]} out",
            )
    return present, absent


def _effective(counts: Float64s, cases: Float64s) -> Float64s:
    """Return the effective number of `counts` among `cases`, (1 - b^n) / (1 - b)."""
    return np.asarray(-np.expm1(counts * np.log1p(-1 / cases)) * cases)
