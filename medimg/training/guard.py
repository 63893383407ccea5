"""Steps that are not taken: one NaN in a gradient would make every weight NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medimg.errors import TrainingError

#: So many steps in a row that cannot be taken end the training.
MOST = 3
#: Cases that an error names; the log names all.
_NAMED = 10


class Guard:
    """Whether a step may be taken, and the buffers of a network as they were before it.

    The forward pass moves the running statistics of batch normalization before the loss is
    known, so that a step which is not taken has to put them back.

    Attributes
    ----------
    skipped : int
        Steps in a row that were not taken.
    """

    def __init__(self, model: nn.Module) -> None:
        self.skipped = 0
        groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for buffer in model.buffers():
            groups.setdefault((buffer.device, buffer.dtype), []).append(buffer)
        # One kernel copies a whole list of one kind; of a mixed one, CUDA starts one a buffer.
        self._pairs = [([b.clone() for b in group], group) for group in groups.values()]

    def keep(self) -> None:
        """Note the buffers as they are."""
        for kept, buffers in self._pairs:
            torch._foreach_copy_(kept, buffers)

    def put_back(self) -> None:
        """Set the buffers to what `keep` noted."""
        for kept, buffers in self._pairs:
            torch._foreach_copy_(buffers, kept)

    def refuse(self, loss: float, cases: Sequence[str]) -> None:
        """Count a step that is not taken.

        Raises
        ------
        TrainingError
            It is the third in a row.
        """
        self.put_back()
        self.skipped += 1
        if self.skipped >= MOST:
            named = ", ".join(cases[:_NAMED]) + (", ..." if len(cases) > _NAMED else "")
            what = "gradient is not finite" if math.isfinite(loss) else f"training loss is {loss}"
            raise TrainingError(
                f"three steps in a row could not be taken: the {what}; the last batch: {named}",
                remedy="lower fit.lr, add fit.warmup or fit.clip, or look at these cases "
                "(log.jsonl names all of them)",
            )
