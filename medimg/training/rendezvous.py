"""How a process finds the others that torchrun started, and hears that one of them is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from medimg.errors import TrainingError, UsageError

#: One rank may decode or calibrate for hours while the others wait; a rank that dies is noticed
#: by its closed connection, not by this.
_PATIENCE = timedelta(days=7)
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def world_size(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes torchrun started; 1 without torchrun.

    Raises
    ------
    UsageError
        There are to be several, and who this one is or where the others are is not said; or
        WORLD_SIZE is no number.
    """
    said = environment.get("WORLD_SIZE", "1")
    if not said.isdecimal() or int(said) < 1:
        raise UsageError(
            f"WORLD_SIZE is {said!r}, no number of processes", remedy="unset WORLD_SIZE"
        )
    size = int(said)
    missing = [name for name in _VARIABLES if name not in environment]
    if size > 1 and missing:
        raise UsageError(
            f"WORLD_SIZE is {size}, and {missing[0]} is not set",
            remedy="start with torchrun --nproc-per-node N -m medimg, or unset WORLD_SIZE",
        )
    return size


def neighbours(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many of the processes share this machine and its memory, this one among them.

    Where it is not said, all of them may.
    """
    size = world_size(environment)
    return 1 if size == 1 else int(environment.get("LOCAL_WORLD_SIZE", size))


def join() -> Any:
    """Join the others, and return the process group over which long waits go.

    Tensors on the CPU travel by gloo and those on CUDA devices by NCCL. A program that has
    joined already stays as it is.
    """
    if not dist.is_initialized():
        cuda = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    return dist.new_group(backend="gloo", timeout=_PATIENCE)


@contextmanager
def together() -> Iterator[None]:
    """Say in words that another rank is gone; what gloo and NCCL say of it names sockets."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise TrainingError(
            "another process of this training has ended",
            remedy="its own message says why; a training goes on with --resume",
        ) from error
