"""`lr_find`: which learning rate to begin with, from a hundred steps at rising rates."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import nn

from medimg.data.store import ImageStore
from medimg.inference.forward import pick_device
from medimg.models.build import require_space
from medimg.progress import Progress
from medimg.training.alone import alone
from medimg.training.options import FitOptions
from medimg.training.precision import pick_precision
from medimg.training.setup import Setup
from medimg.training.step import Taken
from medimg.training.threads import pick_threads, threads

#: The rates gone through, and how many steps they are gone through in (20 a decade).
LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 141
#: Standard deviation of the smoothing, in decades of the rate.
WIDTH = 0.15
#: The sweep ends where the running mean of the loss is so many times its lowest.
DIVERGED = 4.0
#: Weight of the past in that running mean.
MEMORY = 0.9
#: Steps that a suggestion needs; their mean is where the loss starts from.
FEWEST = 20
#: The smoothed loss of a network that learns nothing falls by less than so many times its noise.
NOISES = 1.5
#: Share of its fall that the loss has done where the rate is about to be too high.
MOST = 0.95


@dataclass(frozen=True)
class LRFind:
    """What a sweep over learning rates found.

    Parameters
    ----------
    rates : tuple of float
        Of each step; the sweep ends early where the loss diverges.
    losses : tuple of float
        Of the batch of each step, before it.
    smoothed : tuple of float
        The losses, averaged over neighbouring rates.
    suggestion : float or None
        For ``fit.lr``; None where the loss does not fall.
    reason : str
        Why, in one sentence.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    reason: str


def lr_find(
    model: nn.Module,
    store: ImageStore,
    options: FitOptions | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
) -> LRFind:
    """Train a copy of `model` at exponentially rising rates and look where its loss goes.

    The learning-rate range test of Smith (WACV 2017), with the steps of `fit`: its batches,
    augmentation, loss, optimizer and clipping. `lr`, `schedule` and `warmup` of the options have
    no part in it. Only the split train is looked at. The model is left as it is.

    Returns
    -------
    LRFind
        The suggestion is a third of the rate at which the smoothed loss has done nearly all of
        its fall. The lowest loss itself is a worse guide: where a network has learnt all before
        the rates are too high it lies anywhere in a long flat valley.

    Raises
    ------
    UsageError
        The network's outputs, the options or the device do not fit the labels or the machine.
    TrainingError
        Nothing to train on.
    """
    require_space(model, store.manifest.space)
    options = options or FitOptions()
    where = pick_device(device)
    dtype = pick_precision(options.precision, where, next(model.parameters()).dtype)
    with alone(seed, where), threads(pick_threads(options.threads)):
        setup = Setup(copy.deepcopy(model), store, options, seed=seed, device=where, dtype=dtype)
        with Progress("learning rates", STEPS, "steps") as progress:
            return judge(*_sweep(setup, progress))


def _sweep(setup: Setup, progress: Progress) -> tuple[list[float], list[float]]:
    """Return the rates that were tried and the loss of the batch at each, until it diverges."""
    rates = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
    setup.rate_at = rates.__getitem__
    losses: list[float] = []
    running, lowest = 0.0, math.inf
    for taken in _steps(setup):
        if not taken.applied:
            break
        losses.append(float(taken.total / taken.divisor))
        running += (1 - MEMORY) * (losses[-1] - running)
        mean = running / (1 - MEMORY ** len(losses))
        lowest = min(lowest, mean)
        if mean > DIVERGED * lowest:
            break
        progress.advance(1, f"rate {setup.rate:.1e} loss {losses[-1]:.4f}")
    return rates[: len(losses)], losses


def _steps(setup: Setup) -> Iterator[Taken]:
    """Take `STEPS` steps, of as many epochs as they need."""
    number = 0
    while True:
        epoch = setup.begin(0)
        with closing(setup.cases.feed.batches(map(epoch.wanted, epoch.batches))) as pixels:
            for batch, (positions, integers) in zip(epoch.batches, pixels, strict=True):
                yield setup.take(epoch, batch, positions, integers, number)
                number += 1
                if number == STEPS:
                    return


def judge(rates: Sequence[float], losses: Sequence[float]) -> LRFind:
    """Return what the losses at rising rates say; see `lr_find`."""
    if len(losses) < FEWEST:
        why = f"the loss diverged within {FEWEST} steps, at the lowest rates already"
        return LRFind(tuple(rates), tuple(losses), tuple(losses), None, why)
    smoothed = _smoothed(np.asarray(rates), np.asarray(losses))
    make = partial(LRFind, tuple(rates), tuple(losses), tuple(smoothed.tolist()))
    lowest = int(smoothed.argmin())
    fall = float(np.mean(losses[:FEWEST]) - smoothed[lowest])
    noise = float(np.median(np.abs(np.diff(losses))))  # about the standard deviation of one loss
    if fall <= NOISES * noise:
        return make(
            None,
            f"the loss falls by {max(fall, 0):.2g} and varies by {noise:.2g} from batch to batch; "
            "look at labels and pictures, or take larger batches",
        )
    at = rates[int(np.argmax(smoothed <= smoothed[lowest] + (1 - MOST) * fall))]
    suggestion = float(f"{at / 3:.1e}")
    return make(suggestion, f"a third of {at:.1e}, where the loss has done {MOST:.0%} of its fall")


def _smoothed(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over neighbouring rates, which does not lag as a running mean does."""
    decades = np.log10(rates)
    weights = np.exp(-0.5 * ((decades[:, None] - decades) / WIDTH) ** 2)
    return np.asarray(weights @ losses / weights.sum(axis=1))
