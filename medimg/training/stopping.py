"""When to stop, and which epoch's weights to keep."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from medimg.errors import UsageError
from medimg.training.options import LOWER_IS_BETTER, FitOptions

#: Epochs over which `converge` looks back.
WINDOW = 10


@dataclass
class Best:
    """The best epoch so far by the monitored metric, and a copy of its weights."""

    options: FitOptions
    epoch: int = 0
    value: float = -math.inf
    weights: dict[str, Tensor] | None = None
    said: str = field(default="")

    def look(self, row: dict[str, Any], model: nn.Module) -> None:
        """Keep the weights where the row is the best so far."""
        self.said = f"loss {row['train_loss']:.4f}"
        monitor = self.options.monitor
        if monitor is None:
            return
        if row.get(monitor) is None:
            raise UsageError(
                f"fit.monitor: {monitor}, but val has no case or one class only",
                remedy="give the split val more cases, or set monitor to null",
            )
        value = -row[monitor] if monitor in LOWER_IS_BETTER else row[monitor]
        self.said += f" {monitor} {row[monitor]:.4f}"
        if value > self.value:
            self.value, self.epoch = value, row["epoch"]
            self.weights = copy.deepcopy(model.state_dict())

    def state(self) -> dict[str, Any]:
        """Return epoch, value and weights for a checkpoint."""
        return {"epoch": self.epoch, "value": self.value, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned."""
        self.epoch, self.value, self.weights = state["epoch"], state["value"], state["weights"]

    def out_of_patience(self, epoch: int) -> bool:
        """Whether the best epoch lies `patience` epochs back."""
        return self.options.patience is not None and epoch - self.epoch >= self.options.patience


def converged(history: Sequence[dict[str, Any]], limit: float | None) -> bool:
    """Whether ten epochs lowered the lowest training loss by less than the share `limit`."""
    if limit is None or len(history) <= WINDOW:
        return False
    losses = [row["train_loss"] for row in history]
    before, now = min(losses[:-WINDOW]), min(losses)
    return bool(before - now < limit * abs(before))
