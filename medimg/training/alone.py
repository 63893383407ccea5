"""torch's global state for the length of a training, the same whatever ran before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from medimg.inference.forward import exact_kernels


@contextmanager
def alone(seed: int, device: torch.device) -> Iterator[None]:
    """Have torch's global state begin alike, whatever ran before, and put it back."""
    devices = range(torch.cuda.device_count()) if device.type == "cuda" else []
    dtype, products = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    with (
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.random.fork_rng(devices=devices),
        exact_kernels(device),
    ):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(products)
