"""When a training's state is written, and what a signal does."""

from __future__ import annotations

import time
from typing import Any

from medimg.training.checkpoint import Checkpoint
from medimg.training.options import FitOptions
from medimg.training.signals import Signals
from medimg.training.state import State

#: Epochs that take less than so many times as long as a checkpoint takes to write are not each
#: followed by one: the training would be spent on writing.
_SPARSE = 20


class Keeper:
    """Writes the state of a training when it is due, and ends the training where a signal came.

    Parameters
    ----------
    checkpoint : Checkpoint, optional
        None keeps nothing.
    state : State
    about : dict
        What is kept beside the state and does not change.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        state: State,
        about: dict[str, Any],
        options: FitOptions,
        signals: Signals,
    ) -> None:
        self._checkpoint, self._state, self._about = checkpoint, state, about
        self._seconds, self._steps = options.checkpoint_seconds, options.checkpoint_steps
        self._signals, self._world = signals, state.setup.world
        self._epochs = options.epochs
        self._saved, self._took = time.monotonic(), 0.0
        self._began = self._saved  # this epoch

    def after_step(self) -> None:
        """Write the state at the chosen interval; end the training if a signal came.

        All processes write and end at the same step, at the word of any.
        """
        if self._steps is not None:
            due = self._state.number % self._steps == 0
        else:
            due = time.monotonic() - self._saved >= self._seconds
        self._go_on(due)

    def after_epoch(self) -> None:
        """Write the state: after the last epoch always, after another unless epochs are short.

        Short ones, of less than `_SPARSE` times what writing takes, are kept when so much time
        has gone by.
        """
        now = time.monotonic()
        last = self._state.stopped or self._state.epoch >= self._epochs
        rest = now - min(self._saved, self._began)
        self._began = now
        self._go_on(last or rest >= _SPARSE * self._took)

    def save(self) -> None:
        """Write the state now; every process has to call it."""
        if self._checkpoint is None:
            return
        start = time.monotonic()
        state = self._about | self._state.dump()
        if self._world.first:
            self._checkpoint.save(state)
        self._saved = time.monotonic()
        self._took = self._saved - start

    def _go_on(self, due: bool) -> None:
        due = due and self._world.first and self._checkpoint is not None
        stop = self._signals.came is not None
        if self._world.size > 1:
            due, stop = self._world.agree([due, stop])
        if due or stop:
            self.save()
        if stop:
            self._signals.stop()
