"""What is freed and asked for again at each step costs no page faults."""

from __future__ import annotations

import platform

import pytest
import torch

from medimg.training.heap import kept_heap


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_freed_memory_stays_with_the_process() -> None:
    import resource

    with kept_heap():
        for _ in range(20):  # until the heap has a place for it
            torch.ones(2**24)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            torch.ones(2**24)  # 64 MiB: sixteen thousand pages
        after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert after - before < 2000
