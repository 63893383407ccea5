"""Resident or read ahead, a feed gives the same batches, and leaves no thread behind."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch

from medimg.training import feed as module
from medimg.training.feed import Feed, free_memory

CPU = torch.device("cpu")
ROWS = np.arange(3, 40, dtype=np.intp)


class Store:
    """What a feed asks of a store."""

    def __init__(self, dtype: Any) -> None:
        generator = np.random.default_rng(0)
        top = np.iinfo(dtype).max
        self.pixels = generator.integers(0, top, (50, 1, 4, 4), dtype, endpoint=True)
        self.shape = self.pixels.shape[1:]
        self.reads = 0

    def read(self, rows: Any) -> Any:
        self.reads += 1
        return self.pixels[rows]


def made(dtype: Any, free: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Feed]:
    monkeypatch.setattr(module, "free_memory", lambda device: free)
    store = Store(dtype)
    return store, Feed(store, ROWS, CPU)  # type: ignore[arg-type]


def order() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return list(torch.split(torch.randperm(len(ROWS), generator=generator), 5))


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("medimg-feed")]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("free", [1e12, 0.0])
def test_batches_are_the_pixels_of_their_cases(
    dtype: Any, free: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, feed = made(dtype, free, monkeypatch)
    assert (feed.resident is None) == (free == 0)
    seen = list(feed.batches(order()))
    assert len(seen) == len(order())
    for (positions, pixels), expected in zip(seen, order(), strict=True):
        assert torch.equal(positions, expected)
        assert np.array_equal(pixels.numpy().view(dtype), store.pixels[ROWS[expected]])
        assert torch.equal(feed.take(positions), pixels)
    assert not readers()


def test_reading_runs_ahead_on_one_thread_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    store, feed = made(np.uint8, 0.0, monkeypatch)
    with closing(feed.batches(order())) as batches:
        next(batches)
        assert len(readers()) == 1
    assert store.reads <= module.AHEAD + 1


def test_an_error_of_the_caller_ends_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    _, feed = made(np.uint8, 0.0, monkeypatch)
    with pytest.raises(KeyboardInterrupt), closing(feed.batches(order())) as batches:
        for _ in batches:
            raise KeyboardInterrupt
    assert not readers()


def test_an_error_of_the_reader_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    store, feed = made(np.uint8, 0.0, monkeypatch)

    def fail(rows: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr(store, "read", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        list(feed.batches(order()))
    assert not readers()


def test_an_empty_part_of_a_batch_is_an_empty_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    for free in (1e12, 0.0):
        _, feed = made(np.uint8, free, monkeypatch)
        ((_, pixels),) = feed.batches([torch.empty(0, dtype=torch.int64)])
        assert pixels.shape == (0, 1, 4, 4)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", "meta"])
def test_no_batches_are_left_of_an_epoch_that_is_done(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, feed = made(np.uint8, 1e12, monkeypatch)
    feed.device = torch.device(device)
    assert list(feed.batches([])) == []


def test_the_processes_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(ROWS) * 16
    monkeypatch.setattr(module, "neighbours", lambda: 4)
    assert made(np.uint8, 8 * size, monkeypatch)[1].resident is not None
    assert made(np.uint8, 8 * size - 1, monkeypatch)[1].resident is None


def test_free_memory_of_the_cpu_is_that_of_the_kernel_within_the_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert free_memory(CPU) > 0
    monkeypatch.setattr(module, "available", lambda: 4e9)
    monkeypatch.setattr(module, "group_memory", lambda: 1e9)
    assert free_memory(CPU) == 1e9


def test_half_of_what_is_free_is_taken_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(ROWS) * 16
    assert made(np.uint8, 2 * size, monkeypatch)[1].resident is not None
    assert made(np.uint8, 2 * size - 1, monkeypatch)[1].resident is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("free", [1e12, 0.0])
def test_cuda_gets_the_same_batches(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_memory", lambda device: free)
    store = Store(np.uint16)
    feed = Feed(store, ROWS, torch.device("cuda"))  # type: ignore[arg-type]
    for positions, pixels in feed.batches(order()):
        assert positions.is_cuda and pixels.is_cuda
        found = pixels.cpu().numpy().view(np.uint16)
        assert np.array_equal(found, store.pixels[ROWS[positions.cpu().numpy()]])
