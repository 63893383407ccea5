"""Samplers, normalization and augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medimg.data.augment import apply, draw
from medimg.data.batches import Batches, batch_sizes, stratified_counts, to_float
from medimg.data.options import AugmentOptions
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
    first, second = torch.cat(list(batches.epoch())), torch.cat(list(batches.epoch()))
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
    for batch in Batches(classes, 20, "stratified", generator()).epoch():
        assert np.bincount(classes[batch.numpy()], minlength=3).tolist() == [14, 5, 1]


def test_weighted_batches_show_the_classes_alike() -> None:
    classes = np.repeat([0, 1], [950, 50])
    drawn = torch.cat(list(Batches(classes, 100, "weighted", generator()).epoch()))
    assert len(drawn) == 1000
    assert classes[drawn.numpy()].mean() == pytest.approx(0.5, abs=0.05)


def test_the_generator_is_the_place_in_the_sequence() -> None:
    state = generator(3)
    batches = Batches(np.zeros(50, np.int64), 8, "natural", state)
    list(batches.epoch())
    there = state.get_state()
    second = torch.cat(list(batches.epoch()))
    state.set_state(there)
    assert torch.equal(torch.cat(list(batches.epoch())), second)


@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535)])
def test_normalization_is_that_of_shares_of_the_range(dtype: type, top: int) -> None:
    stored = to_device(np.array([[[[0, top]], [[top, 0]]]], dtype), torch.device("cpu"))
    out = to_float(stored, torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.25]))
    assert torch.allclose(out, torch.tensor([[[[-1.0, 1.0]], [[3.0, -1.0]]]]), atol=1e-6)


MEAN, STD = torch.tensor([0.25]), torch.tensor([0.5])


def changed(batch: torch.Tensor, **options: object) -> torch.Tensor:
    chosen = AugmentOptions(**options)  # type: ignore[arg-type]
    changes = draw(chosen, len(batch), batch.shape[2:], generator())
    return apply(batch, chosen, changes, MEAN, STD)


@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (6, 1, 4, 8, 8)])
def test_a_flip_mirrors_the_last_axis_of_some_cases(shape: tuple[int, ...]) -> None:
    batch = torch.randn(shape, generator=generator(1))
    out = changed(batch, flip_horizontal=True)
    kinds = set()
    for before, after in zip(batch, out, strict=True):
        if torch.allclose(before, after, atol=1e-5):
            kinds.add("same")
        elif torch.allclose(before.flip(-1), after, atol=1e-5):
            kinds.add("mirrored")
    assert kinds == {"same", "mirrored"}


def test_a_vertical_flip_mirrors_the_rows() -> None:
    batch = torch.randn((8, 1, 8, 8), generator=generator(1))
    out = changed(batch, flip_vertical=True)
    assert any(torch.allclose(b.flip(-2), a, atol=1e-5) for b, a in zip(batch, out, strict=True))


@pytest.mark.parametrize(
    "option", [{"rotate": 45}, {"scale": 0.5}, {"shift": 0.4}, {"cutout": 0.5}]
)
def test_what_comes_in_from_outside_is_the_lowest_value(option: dict[str, float]) -> None:
    ground = float(-MEAN / STD)
    out = changed(torch.full((16, 1, 9, 9), 2.0), **option)
    assert out.min() == pytest.approx(ground, abs=1e-5)
    assert out.max() == pytest.approx(2.0, abs=1e-5)


def test_contrast_leaves_the_empty_ground_empty() -> None:
    ground = float(-MEAN / STD)
    batch = torch.full((4, 1, 8, 8), ground)
    assert torch.allclose(changed(batch, contrast=0.5), batch)


def test_brightness_is_a_share_of_the_range() -> None:
    out = changed(torch.zeros(200, 1, 4, 4), brightness=0.1)
    assert float(out.abs().max()) <= 0.1 / 0.5 + 1e-6
    assert float(out.abs().max()) > 0.08 / 0.5


def test_the_same_draw_gives_the_same_batch() -> None:
    batch = torch.randn((4, 3, 8, 8), generator=generator())
    options = {"rotate": 20.0, "contrast": 0.2, "cutout": 0.3}
    assert torch.equal(changed(batch[:, :1], **options), changed(batch[:, :1], **options))


def test_nothing_is_on_by_default() -> None:
    assert not AugmentOptions().on
    assert AugmentOptions(rotate=1).on


def test_a_turn_keeps_distances_also_where_the_picture_is_no_square() -> None:
    """A vertical bar of a 32 x 64 picture, turned by a right angle, is as thick and lies level."""
    batch = torch.full((1, 1, 32, 64), float(-MEAN / STD))
    batch[..., 4:28, 30:34] = 2.0
    options = AugmentOptions(rotate=90)
    changes = draw(options, 1, (32, 64), generator())
    quarter = torch.tensor([[[0.0, -0.5, 0.0], [2.0, 0.0, 0.0]]])
    turned = apply(batch, options, type(changes)(quarter, *[changes.gain] * 3), MEAN, STD)[0, 0]
    bright = turned > 1
    assert bright.any(dim=1).sum() == 4
    assert bright.any(dim=0).sum() == 24


def test_a_drawn_turn_moves_points_on_circles() -> None:
    options = AugmentOptions(rotate=180)
    linear = draw(options, 50, (32, 64), generator()).affine[:, :, :2]
    to_pixels = torch.diag(torch.tensor([32.0, 16.0]))
    in_pixels = to_pixels @ linear @ torch.linalg.inv(to_pixels)
    assert torch.allclose(in_pixels @ in_pixels.mT, torch.eye(2).expand(50, 2, 2), atol=1e-5)
