"""Optimizers and schedules by name."""

from __future__ import annotations

import math

import torch
from torch import nn

from medimg.training.options import FitOptions


def make_optimizer(model: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    """Return the optimizer; fused, which gives the same steps in one pass over the memory."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            fused=True,
        )
    kind: type[torch.optim.Adam] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[
        options.optimizer
    ]
    return kind(parameters, lr=options.lr, weight_decay=options.weight_decay, fused=True)


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
        rate = options.lr * (step + 1) / (options.warmup * steps_an_epoch)
    return rate
