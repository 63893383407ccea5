"""Augmentation: what each change does, and that the same draw does the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from medimg.data.augment import Augment, Draw
from medimg.data.augment.geometry import POINTS, bend, grid
from medimg.data.augment.options import AugmentOptions
from medimg.errors import UsageError

MEAN, STD = torch.tensor([0.25]), torch.tensor([0.5])
GROUND, TOP = -0.5, 1.5
EVERYTHING: dict[str, Any] = {
    "flip_horizontal": True,
    "flip_vertical": True,
    "rotate": 20.0,
    "scale": 0.2,
    "shift": 0.1,
    "shear": 10.0,
    "elastic": 0.05,
    "crop": 0.2,
    "blur": 1.0,
    "gamma": 0.5,
    "contrast": 0.2,
    "brightness": 0.1,
    "noise": 0.05,
    "cutout": 0.3,
    "mixup": 0.5,
    "cutmix": 1.0,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(*shape: int, seed: int = 1) -> torch.Tensor:
    """Return normalized pictures, within the stored range."""
    return torch.rand(*shape, generator=generator(seed)) / STD - MEAN / STD


def augment(batch: torch.Tensor, **options: Any) -> Augment:
    mean, std = (m.expand(batch.shape[1]) for m in (MEAN, STD))
    return Augment(AugmentOptions(**options), mean=mean, std=std, shape=batch.shape[1:])


def changed(batch: torch.Tensor, seed: int = 0, **options: Any) -> torch.Tensor:
    chosen = augment(batch, **options)
    draw = chosen.draw(len(batch), generator(seed))
    return chosen.apply(batch, torch.zeros(len(batch), 1), draw)[0]


def mapped(batch: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return the batch seen through one given affine map."""
    values = {"changed": torch.ones(1, dtype=torch.bool), "affine": maps}
    draw = Draw(values, torch.arange(1), 1)
    return augment(batch, rotate=1.0).apply(batch, torch.zeros(1, 1), draw)[0]


@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (6, 1, 4, 8, 8)])
@pytest.mark.parametrize("shift", [0.0, 1e-9])
def test_a_flip_mirrors_the_last_axis_of_some_cases(shape: tuple[int, ...], shift: float) -> None:
    """By turning the pixels round, and the same as part of an interpolation."""
    batch = pictures(*shape)
    kinds = set()
    for before, after in zip(batch, changed(batch, flip_horizontal=True, shift=shift), strict=True):
        if torch.allclose(before, after, atol=1e-5):
            kinds.add("same")
        elif torch.allclose(before.flip(-1), after, atol=1e-5):
            kinds.add("mirrored")
        else:
            kinds.add("neither")
    assert kinds == {"same", "mirrored"}


@pytest.mark.parametrize("name, axis", [("flip_vertical", -2), ("flip_depth", -3)])
def test_a_flip_mirrors_the_axis_that_it_names(name: str, axis: int) -> None:
    batch = pictures(12, 1, 4, 6, 8)
    for shift in (0.0, 1e-9):
        out = changed(batch, **{name: True}, shift=shift)
        flipped = [
            torch.allclose(b.flip(axis), a, atol=1e-4) for b, a in zip(batch, out, strict=True)
        ]
        kept = [torch.allclose(b, a, atol=1e-4) for b, a in zip(batch, out, strict=True)]
        assert any(flipped) and any(kept)
        assert all(a != b for a, b in zip(flipped, kept, strict=True))


@pytest.mark.parametrize(
    "option",
    [
        {"rotate": 45},
        {"scale": 0.5},
        {"shift": 0.4},
        {"shear": 30},
        {"elastic": 0.1},
        {"cutout": 0.5},
    ],
)
@pytest.mark.parametrize("size", [(9, 9), (5, 9, 9)])
def test_what_comes_in_from_outside_is_the_lowest_value(
    option: dict[str, float], size: tuple[int, ...]
) -> None:
    out = changed(torch.full((16, 1, *size), TOP), **option)
    edge = option.keys() & {"elastic"}
    assert out.min() == pytest.approx(GROUND, abs=1.0 if edge else 1e-5)
    assert out.min() < TOP - 0.1
    assert out.max() == pytest.approx(TOP, abs=1e-5)


def test_a_crop_shows_a_part_of_the_picture_and_no_outside() -> None:
    out = changed(torch.full((64, 1, 32, 32), TOP), crop=0.5)[..., 1:-1, 1:-1]
    assert out.min() == pytest.approx(TOP, abs=1e-5)
    ramp = torch.linspace(GROUND, TOP, 32).expand(64, 1, 32, 32)
    seen = changed(ramp.contiguous(), crop=0.5)[:, 0, 16]
    spans = (seen[:, -2] - seen[:, 1]) / (TOP - GROUND)
    assert 0.4 < spans.min() < 0.6 and 0.8 < spans.max() < 1
    assert (seen[:, 16] < 0.3).any() and (seen[:, 16] > 0.7).any()


def test_a_shear_slants_columns_and_keeps_rows_level() -> None:
    batch = torch.full((32, 1, 33, 33), GROUND)
    batch[..., 16] = TOP
    out = changed(batch, shear=45)
    share = (out - GROUND) / (TOP - GROUND)
    centre = (share * torch.arange(33)).sum(-1) / share.sum(-1).clamp(min=0.5)
    steps = centre[:, 0, 9:25].diff(dim=-1)
    assert (steps.amax(-1) - steps.amin(-1)).max() < 0.1
    assert 0.8 < steps.abs().max() <= 1.01


def test_bending_moves_no_pixel_further_than_said_and_never_folds() -> None:
    batch = pictures(64, 1, 40, 40)
    chosen = augment(batch, elastic=0.1)
    field = bend(chosen.draw(64, generator()).values["bumps"], (40, 40)) / 2  # shares of the side
    assert 0.05 < field.abs().max() <= 0.1
    place = (torch.arange(40) + 0.5) / 40
    assert ((place + field[:, 0]).diff(dim=2) > 0).all()
    assert ((place[:, None] + field[:, 1]).diff(dim=1) > 0).all()
    same = bend(torch.full((1, 3, POINTS, POINTS, POINTS), 0.3), (4, 5, 6))
    assert torch.allclose(same, torch.full((1, 3, 4, 5, 6), 0.3))


def test_bending_changes_each_case_in_its_own_way() -> None:
    batch = pictures(1, 1, 20, 20).repeat(3, 1, 1, 1)
    out = changed(batch, elastic=0.1)
    assert not torch.allclose(out[0], out[1], atol=0.1)
    assert not torch.allclose(out[0], batch[0], atol=0.1)


@pytest.mark.parametrize("size", [(8, 12), (4, 6, 10)])
def test_the_grid_is_that_of_torch(size: tuple[int, ...]) -> None:
    maps = torch.randn(5, len(size), len(size) + 1, generator=generator())
    expected = functional.affine_grid(maps, [5, 1, *size], align_corners=False)
    assert torch.allclose(grid(maps, size), expected, atol=1e-6)


def test_a_turn_keeps_distances_also_where_the_picture_is_no_square() -> None:
    """A vertical bar of a 32 x 64 picture, turned by a right angle, is as thick and lies level."""
    batch = torch.full((1, 1, 32, 64), GROUND)
    batch[..., 4:28, 30:34] = TOP
    bright = mapped(batch, torch.tensor([[[0.0, -0.5, 0.0], [2.0, 0.0, 0.0]]]))[0, 0] > 0.5
    assert bright.any(dim=1).sum() == 4
    assert bright.any(dim=0).sum() == 24


def test_a_drawn_turn_moves_points_on_circles() -> None:
    chosen = augment(pictures(50, 1, 32, 64), rotate=180)
    linear = chosen.draw(50, generator()).values["affine"][:, :, :2]
    to_pixels = torch.diag(torch.tensor([32.0, 16.0]))
    in_pixels = to_pixels @ linear @ torch.linalg.inv(to_pixels)
    assert torch.allclose(in_pixels @ in_pixels.mT, torch.eye(2).expand(50, 2, 2), atol=1e-5)


def test_a_volume_turns_within_its_slices() -> None:
    batch = pictures(4, 1, 5, 9, 9)
    out = changed(batch, rotate=90)
    assert torch.allclose(out[..., 4, 4], batch[..., 4, 4], atol=1e-5)
    linear = augment(batch, rotate=90).draw(4, generator()).values["affine"]
    assert torch.equal(linear[:, 2, :3], torch.tensor([0.0, 0.0, 1.0]).expand(4, 3))


@pytest.mark.parametrize("size", [(17, 23), (5, 9, 7)])
def test_blur_is_the_gaussian_of_scipy(size: tuple[int, ...]) -> None:
    from medimg.data.augment.intensity import blur

    batch = pictures(2, 1, *size).double()
    sigma = torch.tensor([0.6, 0.9], dtype=torch.float64)
    out = blur(batch, sigma, 3)
    for case, before, width in zip(out, batch, sigma.tolist(), strict=True):
        expected = gaussian_filter(before[0].numpy(), width, mode="nearest", radius=3)
        assert np.allclose(case[0].numpy(), expected)


def test_contrast_gamma_and_blur_leave_the_empty_ground_empty() -> None:
    batch = torch.full((4, 1, 8, 8), GROUND)
    out = changed(batch, contrast=0.5, gamma=1.0, blur=2.0)
    assert torch.allclose(out, batch)


def test_gamma_keeps_both_ends_of_the_range_and_goes_both_ways() -> None:
    ends = torch.tensor([GROUND, 0.5, TOP]).expand(64, 1, 4, 3)
    out = changed(ends.contiguous(), gamma=1.0)
    assert torch.allclose(out[..., ::2], ends[..., ::2], atol=1e-6)
    share = out[:, 0, 0, 1] * STD + MEAN
    assert 0.25 <= share.min() < 0.3 and 0.65 < share.max() <= 0.7072


def test_brightness_is_a_share_of_the_range() -> None:
    out = changed(torch.zeros(200, 1, 4, 4), brightness=0.1)
    assert 0.08 / 0.5 < float(out.abs().max()) <= 0.1 / 0.5 + 1e-6


def test_noise_has_up_to_the_deviation_that_is_asked_for() -> None:
    out = changed(torch.zeros(100, 1, 32, 32), noise=0.1) * STD
    deviations = out.flatten(1).std(dim=1)
    assert 0.09 < deviations.max() < 0.11 and deviations.min() < 0.02
    assert out.mean().abs() < 1e-3


@pytest.mark.parametrize("size", [(20, 30), (10, 20, 30)])
def test_a_cutout_has_the_side_that_is_asked_for(size: tuple[int, ...]) -> None:
    blank = changed(torch.full((100, 1, *size), TOP), cutout=0.5) < TOP
    for axis, length in enumerate(size):
        others = [a for a in range(1, blank.ndim) if a != axis + 2]
        sides = blank.sum(dim=others).gt(0).sum(dim=1)
        assert sides.max() == length // 2
        assert sides.min() >= length // 4


@pytest.mark.parametrize("size", [(16, 16), (6, 8, 8)])
def test_a_part_of_a_batch_changes_as_within_the_whole(size: tuple[int, ...]) -> None:
    batch = pictures(11, 2, *size)
    targets = torch.eye(4)[torch.arange(11) % 4]
    chosen = augment(batch, **EVERYTHING, share=0.8)
    draw = chosen.draw(11, generator())
    x, y = chosen.apply(batch, targets, draw)
    for part in (slice(0, 4), slice(4, 4), slice(4, 11)):
        mine = draw.take(part)
        some, soft = chosen.apply(batch[mine.rows], targets[mine.rows], mine)
        assert torch.allclose(some, x[part], atol=1e-5)
        assert torch.allclose(soft, y[part])
    nested = draw.take(slice(4, 11)).take(slice(2, 5))
    some, _ = chosen.apply(batch[nested.rows], targets[nested.rows], nested)
    assert torch.allclose(some, x[6:9], atol=1e-5)


def test_the_same_draw_gives_the_same_bytes_and_leaves_the_batch_alone() -> None:
    batch = pictures(16, 3, 12, 12)
    before = batch.clone()
    assert torch.equal(changed(batch, **EVERYTHING), changed(batch, **EVERYTHING))
    assert torch.equal(batch, before)
    assert not torch.equal(changed(batch, seed=1, **EVERYTHING), changed(batch, **EVERYTHING))


def test_large_pictures_go_in_chunks_to_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = pictures(9, 1, 16, 16)
    options = {"rotate": 20.0, "contrast": 0.2, "noise": 0.1, "cutout": 0.3}
    whole = changed(batch, **options)
    monkeypatch.setattr("medimg.data.augment.batch.CHUNK", 2 * 256)
    assert torch.equal(changed(batch, **options), whole)


def test_doubles_stay_doubles() -> None:
    batch = pictures(6, 1, 8, 8).double()
    options = EVERYTHING | {"noise": 0.0}
    out = changed(batch, **options)
    assert out.dtype == torch.float64
    assert torch.allclose(out, changed(batch.float(), **options).double(), atol=1e-4)


def test_the_amount_of_a_change_moves_no_other_random_number() -> None:
    batch = pictures(8, 1, 8, 8)
    small, large = generator(), generator()
    one = augment(batch, **EVERYTHING).draw(8, small)
    other = {"rotate": 90.0, "scale": 0.5, "noise": 0.5, "mixup": 0.1, "share": 0.5}
    two = augment(batch, **EVERYTHING | other).draw(8, large)
    assert torch.equal(small.get_state(), large.get_state())
    for name in ("mirror", "bumps", "contrast", "holes", "seeds", "partner"):
        assert torch.equal(one.values[name], two.values[name]), name
    alone = augment(batch, contrast=0.2).draw(8, generator())
    assert torch.equal(alone.values["contrast"], one.values["contrast"])


def test_the_share_of_the_cases_that_is_asked_for_is_changed() -> None:
    batch = pictures(400, 1, 8, 8)
    out = changed(batch, rotate=90, noise=0.1, share=0.25)
    same = (out == batch).flatten(1).all(dim=1)
    assert (~same).float().mean() == pytest.approx(0.25, abs=0.07)


def test_rare_classes_are_changed_more_and_the_commonest_never() -> None:
    counts = [800, 400, 100]
    classes = torch.arange(3).repeat_interleave(300)
    chosen = Augment(
        AugmentOptions(rotate=30, share="rare"),
        mean=MEAN,
        std=STD,
        shape=(1, 8, 8),
        counts=counts,
    )
    hit = chosen.draw(900, generator(), classes).values["changed"].view(3, 300).float().mean(dim=1)
    assert hit[0] == 0
    assert torch.allclose(hit[1:], torch.tensor([0.5, 0.875]), atol=0.08)


def test_nothing_is_on_by_default() -> None:
    assert not AugmentOptions().on
    assert not AugmentOptions(share="rare").on
    for name, value in EVERYTHING.items():
        assert AugmentOptions(**{name: value}).on


@pytest.mark.parametrize("name", [*EVERYTHING, "flip_depth"])
def test_every_option_changes_something(name: str) -> None:
    batch = pictures(16, 1, 6, 8, 8)
    value = EVERYTHING.get(name, True)
    assert not torch.allclose(changed(batch, **{name: value}), batch, atol=1e-3)


def test_depth_and_rarity_are_refused_where_there_is_none() -> None:
    with pytest.raises(UsageError, match=r"flip_depth.*no depth"):
        augment(pictures(1, 1, 8, 8), flip_depth=True)
    with pytest.raises(UsageError, match="several labels a case"):
        augment(pictures(1, 1, 8, 8), rotate=5, share="rare")


def test_a_draw_refuses_the_wrong_number_of_cases() -> None:
    batch = pictures(8, 1, 8, 8)
    chosen = augment(batch, mixup=1.0)
    draw = chosen.draw(8, generator()).take(slice(0, 2))
    with pytest.raises(ValueError, match=r"draw\.rows"):
        chosen.apply(batch[:2], torch.zeros(2, 1), draw)


def test_the_options_load_without_torch() -> None:
    code = "import sys, medimg.data.augment.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@settings(deadline=None, max_examples=60)
@given(
    names=st.sets(st.sampled_from(sorted(EVERYTHING))),
    size=st.sampled_from([(7, 5), (16, 16), (1, 9), (3, 6, 5)]),
    n=st.integers(1, 9),
    share=st.sampled_from([1.0, 0.5, 0.01]),
)
def test_any_changes_go_together(
    names: set[str], size: tuple[int, ...], n: int, share: float
) -> None:
    batch, targets = pictures(n, 2, *size), torch.eye(3)[torch.arange(n) % 3]
    chosen = augment(batch, share=share, **{name: EVERYTHING[name] for name in names})
    draw = chosen.draw(n, generator(n))
    x, soft = chosen.apply(batch, targets, draw)
    assert x.shape == batch.shape and x.isfinite().all()
    assert torch.allclose(soft.sum(dim=1), torch.ones(n))
    again, same = chosen.apply(batch, targets, draw)
    assert torch.equal(x, again) and torch.equal(soft, same)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("size", [(28, 28), (8, 12, 12)])
def test_a_device_changes_pictures_as_the_cpu_does(size: tuple[int, ...]) -> None:
    batch = pictures(16, 2, *size)
    targets = torch.eye(4)[torch.arange(16) % 4]
    options = AugmentOptions(**EVERYTHING | {"noise": 0.0}, share=0.7)
    results = []
    for device in ("cpu", "cuda"):
        mean, std = (m.expand(2).to(device) for m in (MEAN, STD))
        chosen = Augment(options, mean=mean, std=std, shape=(2, *size))
        draw = chosen.draw(16, generator())
        results.append(chosen.apply(batch.to(device), targets.to(device), draw))
    for there, here in zip(results[1], results[0], strict=True):
        assert torch.allclose(there.cpu(), here, atol=1e-4)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_rare_cases_alone_are_not_mixed(name: str) -> None:
    with pytest.raises(ValueError, match="share: rare does not go with mixup or cutmix"):
        AugmentOptions(share="rare", **{name: 1.0})
