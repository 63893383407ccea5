"""Samplers and normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medimg.data.batches import Batches, Normalize, batch_sizes, stratified_counts, to_float
from medimg.inference.forward import to_device


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(1, 500), st.integers(1, 64))
def test_batches_hold_every_case_and_never_one_alone(n: int, size: int) -> None:
    sizes = batch_sizes(n, size)
    assert sum(sizes) == n
    if n > 1 and size > 1:
        assert min(sizes) > 1


@pytest.mark.parametrize("sampler", ["natural", "stratified"])
def test_every_case_is_taken_once_an_epoch(sampler: str) -> None:
    classes = np.random.default_rng(0).integers(0, 3, 101)
    batches = Batches(classes, 16, sampler, generator())  # type: ignore[arg-type]
    first, second = torch.cat(batches.order()), torch.cat(batches.order())
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(101))
    assert first.tolist() != second.tolist()


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 300), min_size=2, max_size=12).filter(lambda c: sum(c) > 1),
    size=st.integers(2, 128),
)
def test_a_stratified_batch_has_the_shares_within_one_case(counts: list[int], size: int) -> None:
    sizes = batch_sizes(sum(counts), size)
    table = stratified_counts(np.array(counts), sizes)
    assert table.sum(axis=0).tolist() == counts
    assert table.sum(axis=1).tolist() == sizes
    exact = np.outer(sizes, counts) / sum(counts)
    assert np.abs(table - exact).max() < 1


def test_stratified_batches_are_as_the_table_says() -> None:
    classes = np.repeat([0, 1, 2], [70, 25, 5])
    for batch in Batches(classes, 20, "stratified", generator()).order():
        assert np.bincount(classes[batch.numpy()], minlength=3).tolist() == [14, 5, 1]


def test_weighted_batches_show_the_classes_alike_and_their_cases_too() -> None:
    classes = np.repeat([0, 2], [950, 50])
    batches = Batches(classes, 100, "weighted", generator())
    epochs = [torch.cat(batches.order()) for _ in range(200)]
    assert {len(drawn) for drawn in epochs} == {1000}
    drawn = np.bincount(torch.cat(epochs).numpy(), minlength=1000)
    assert drawn[classes == 2].sum() / drawn.sum() == pytest.approx(0.5, abs=0.01)
    for members, each in ((drawn[:950], 1e5 / 950), (drawn[950:], 1e5 / 50)):
        chi_square = float(((members - each) ** 2).sum() / each)
        assert abs(chi_square - len(members)) < 5 * np.sqrt(2 * len(members))


def test_a_stratified_epoch_mixes_cases_and_batches() -> None:
    """Neither stands a class always at one place of a batch, nor do rare cases keep theirs."""
    classes = np.repeat([0, 1], [37, 3])
    batches = Batches(classes, 10, "stratified", generator())
    orders = torch.stack([torch.cat(batches.order()) for _ in range(300)])
    rare = torch.from_numpy(classes)[orders].double().mean(dim=0)
    assert torch.allclose(rare, torch.full_like(rare, 3 / 40), atol=0.06)
    assert len({tuple(order.tolist()) for order in orders}) == 300


@pytest.mark.parametrize("sampler", ["natural", "weighted", "stratified"])
def test_an_epoch_can_be_drawn_again_from_where_the_generator_stood(sampler: str) -> None:
    state = generator(3)
    batches = Batches(np.arange(53) % 3, 8, sampler, state)  # type: ignore[arg-type]
    batches.order()
    there = state.get_state()
    second, third = torch.cat(batches.order()), torch.cat(batches.order())
    state.set_state(there)
    iterator = iter(batches.order())
    next(iterator)  # nothing is drawn on the way
    assert torch.equal(torch.cat(list(iterator)), second[8:])
    assert torch.equal(torch.cat(batches.order()), third)


@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535)])
def test_normalization_is_that_of_shares_of_the_range(dtype: type, top: int) -> None:
    stored = to_device(np.array([[[[0, top]], [[top, 0]]]], dtype), torch.device("cpu"))
    out = to_float(stored, torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.25]))
    assert torch.allclose(out, torch.tensor([[[[-1.0, 1.0]], [[3.0, -1.0]]]]), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("space", [(7, 5), (3, 7, 5)])
def test_one_normalization_serves_all_batches_to_the_same_bits(
    dtype: Any, space: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    mean, std = torch.tensor([0.3, 0.7]), torch.tensor([0.21, 0.13])
    normalize = Normalize(mean, std)
    for _ in range(2):
        drawn = rng.integers(0, np.iinfo(dtype).max, (4, 2, *space), dtype, endpoint=True)
        stored = to_device(drawn, torch.device("cpu"))
        before = stored.clone()
        shape = (1, 2, *[1] * len(space))
        scale = 1 / (std * float(np.iinfo(dtype).max))
        expected = torch.from_numpy(drawn.astype(np.float32)) * scale.view(shape)
        expected += (-mean / std).view(shape)
        assert torch.equal(normalize(stored), expected)
        assert torch.equal(to_float(stored, mean, std), expected)
        assert torch.equal(stored, before)
