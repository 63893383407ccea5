"""The precision of training: float32, or bfloat16 products where the machine has them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import torch

from medimg.training.options import Precision

#: What processors call their matrix instructions for bfloat16: AVX-512, AMX and ARM.
_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "sve_bf16"})


def pick_precision(
    wanted: Precision, device: torch.device, weights: torch.dtype = torch.float32
) -> torch.dtype:
    """Return the type that products are taken in while training.

    Parameters
    ----------
    wanted : {"auto", "float32", "bfloat16"}
        auto: bfloat16 where the device multiplies it faster than float32, else float32.
    weights : torch.dtype
        Of the network. One in float64 is there for its exactness: its products stay as they are.

    Returns
    -------
    torch.float32 or torch.bfloat16
        float32: nothing is cast.
    """
    if weights is torch.float64:
        return torch.float32
    if wanted == "auto":
        wanted = "bfloat16" if has_bfloat16(device) else "float32"
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16, not only a slow way to do it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and not _INSTRUCTIONS.isdisjoint(processor_features())


def processor_features() -> frozenset[str]:
    """Return the names of the processor's instruction sets; none where it cannot be asked.

    `torch.cpu.get_capabilities` is not in every torch that is supported; the kernel's list
    uses the same names for bfloat16.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        return frozenset(name for name, there in ask().items() if there is True)
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    of_each = (line for line in text.splitlines() if line.startswith(("flags", "Features")))
    return frozenset(next(of_each, "").partition(":")[2].split())


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return the context in which a network's forward pass runs.

    The cache of cast weights is off: each is used once a step.
    """
    lower = dtype is not torch.float32
    return torch.autocast(device.type, dtype if lower else None, enabled=lower, cache_enabled=False)
