"""The learning rate of each step."""

from __future__ import annotations

import math

from medimg.training.optim import Optimizer
from medimg.training.options import FitOptions


def learning_rate(options: FitOptions, step: int, steps_an_epoch: int) -> float:
    """Return the learning rate of a step, the first being 0.

    Cosine falls to 0 at the end of the last epoch (Loshchilov and Hutter, ICLR 2017); `step`
    lowers the rate after each of the epochs named.
    """
    epoch = step / steps_an_epoch
    rate = options.lr
    if options.schedule == "cosine":
        share = (epoch - options.warmup) / max(options.epochs - options.warmup, 1e-9)
        rate *= 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))
    elif options.schedule == "step":
        rate *= options.step_factor ** sum(epoch >= after for after in options.steps)
    if epoch < options.warmup:
        rate = options.lr * min(1.0, (step + 1) / (options.warmup * steps_an_epoch))
    return rate


def set_rates(optimizer: Optimizer, lr: float) -> None:
    """Give each group of parameters the learning rate `lr` times the group's own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
