"""A network under `torch.nn.parallel.DistributedDataParallel`, whatever of it is trained."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_OPTIONS = inspect.signature(DistributedDataParallel).parameters
#: Whether buffers go around at each step; newer torch warns of the former name.
_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _OPTIONS else "broadcast_buffers"


class Replica(nn.Module):
    """This rank's copy of a network; its gradients are the mean over the ranks.

    DistributedDataParallel takes note of the trained parameters once, when it is made. It is
    made again where they have changed, as gradual unfreezing changes them: a parameter that it
    does not know of would drift apart between the ranks and nobody would say so.

    Running statistics of batch normalization are not sent around at each step: training does
    not read them.

    Parameters
    ----------
    model : nn.Module
        On the device that it is trained on.
    """

    _parallel: Any
    _trained: list[bool]

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.device = next(model.parameters()).device
        if self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        self.model = model
        self._make()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, K) of this rank's part of a batch."""
        if self._trained != self._flags():
            self._make()
        logits: Tensor = self._parallel(x)
        return logits

    def unsynced(self) -> AbstractContextManager[None]:
        """Return a context in which gradients add up on this rank alone."""
        context: AbstractContextManager[None] = self._parallel.no_sync()
        return context

    def _flags(self) -> list[bool]:
        return [parameter.requires_grad for parameter in self.model.parameters()]

    def _make(self) -> None:
        """Put the network under data parallelism; all ranks do so at the same step."""
        self._trained = self._flags()
        # Out of nn.Module's sight: the network would be its child twice.
        self.__dict__["_parallel"] = None
        self.__dict__["_parallel"] = _parallel(self.model, self.device)


def _parallel(model: nn.Module, device: torch.device) -> Any:
    on = None if device.index is None else [device.index]
    options: dict[str, Any] = {_BUFFERS: False}
    return DistributedDataParallel(model, device_ids=on, gradient_as_bucket_view=True, **options)
