"""The mean of a network's weights over its training."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from medimg.training.options import FitOptions

#: Updates within the time constant of a moving average, at most: more would cost, and move the
#: mean by less than a hundredth of what it holds.
UPDATES = 100


class Averaging:
    """Keeps the average that `options.average` names, or none.

    ``ema``: a moving average of time constant `average_epochs`, ``exp(-steps / constant)`` being
    the weight of the past; at first it is as short as what there is to average, ``(1 + n) /
    (10 + n)`` at most after n updates, lest it remember the random start (TensorFlow's
    ExponentialMovingAverage). ``swa``: the plain mean of the weights at the ends of the last
    `average_epochs` epochs (Izmailov et al., UAI 2018).

    Parameters
    ----------
    model : nn.Module
        On its device and not wrapped; a copy is made of it.
    """

    def __init__(self, model: nn.Module, options: FitOptions) -> None:
        self.live, self.options = model, options
        self.updates = 0
        self._decay = 0.0
        self._averaged: AveragedModel | None = None
        if options.average == "ema":
            self._averaged = AveragedModel(model, multi_avg_fn=self._moving)
        elif options.average == "swa":
            self._averaged = AveragedModel(model)

    def update(self, step: int, steps_an_epoch: int) -> None:
        """Take in the weights after a step, the first being 0, where they are due.

        Buffers are those of the network as it is; the statistics of batch normalization belong
        to other weights then, and want to be settled (`medimg.training.norms`).
        """
        if self._averaged is not None and self._is_due(step + 1, steps_an_epoch):
            self._averaged.update_parameters(self.live)
            self.updates += 1

    @property
    def model(self) -> nn.Module:
        """The averaged network; the live one where nothing was averaged."""
        if self._averaged is None or not self.updates:
            return self.live
        module: nn.Module = self._averaged.module
        return module

    def state(self) -> dict[str, Any] | None:
        """Return the average for a checkpoint, not a copy; None where there is none."""
        if self._averaged is None:
            return None
        return {"updates": self.updates, "weights": self._averaged.state_dict()}

    def restore(self, state: dict[str, Any] | None) -> None:
        """Set what `state` returned."""
        if self._averaged is not None and state is not None:
            self.updates = state["updates"]
            self._averaged.load_state_dict(state["weights"])

    def _is_due(self, done: int, steps_an_epoch: int) -> bool:
        """Whether the weights after `done` steps are to be taken in."""
        length = self.options.average_epochs * steps_an_epoch
        if self.options.average == "swa":
            left = self.options.epochs * steps_an_epoch - done
            return done % steps_an_epoch == 0 and left < length
        every = math.ceil(length / UPDATES)
        if done % every:
            return False
        self._decay = min(math.exp(-every / length), (1 + self.updates) / (10 + self.updates))
        return True

    def _moving(self, averaged: Any, current: Any, count: Any) -> None:
        step = get_ema_multi_avg_fn(self._decay)  # type: ignore[no-untyped-call]
        step(averaged, current, count)
