"""Resampling against SimpleITK, on phantoms of which no side equals another."""

from __future__ import annotations

import itertools
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from medimg.data import pixels as pixels_module
from medimg.data.pixels import Pixels
from medimg.data.resample import axes_of, resample
from medimg.errors import PixelError

LPS = np.diag([-1.0, -1, 1, 1])
LOW = -1024.0
ORIENTATIONS = [
    "".join(letters[axis] for letters, axis in zip(signs, axes, strict=True))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product(("RAS", "LPI"), repeat=3)
]


def phantom(shape: tuple[int, int, int] = (7, 9, 11), seed: int = 0) -> NDArray[np.float32]:
    """Noise on a ramp: every voxel is unlike every other."""
    noise = np.random.default_rng(seed).normal(0, 50, shape)
    return (noise + np.arange(np.prod(shape)).reshape(shape)).astype(np.float32)


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    turns = []
    for axis, degrees in enumerate((x, y, z)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.eye(3)
        first, second = [a for a in range(3) if a != axis]
        turn[[first, first, second, second], [first, second, first, second]] = [c, -s, s, c]
        turns.append(turn)
    result: NDArray[np.float64] = turns[2] @ turns[1] @ turns[0]
    return result


def volume(
    array: NDArray[np.float32] | None = None,
    spacing: tuple[float, float, float] = (3.0, 1.5, 0.75),
    direction: NDArray[np.float64] | None = None,
    **more: Any,
) -> Pixels:
    array = phantom() if array is None else array
    affine = np.eye(4)
    direction = np.diag([-1.0, -1, 1]) if direction is None else direction
    affine[:3, :3] = direction * np.array(spacing[::-1])
    affine[:3, 3] = (12.5, -30.25, 7)
    return Pixels(array[None], LOW, 3071, "HU", spacing, affine, **more)


def to_itk(pixels: Pixels, array: NDArray[Any] | None = None) -> sitk.Image:
    assert pixels.affine is not None and pixels.spacing_mm is not None
    image = sitk.GetImageFromArray(pixels.array[0] if array is None else array)
    affine = LPS @ pixels.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, pixels.spacing_mm[::-1])
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


def on_grid_of(source: sitk.Image, pixels: Pixels) -> NDArray[Any]:
    grid = to_itk(pixels)
    moved = sitk.Resample(source, grid, sitk.Transform(), sitk.sitkLinear, LOW, sitk.sitkFloat32)
    result: NDArray[Any] = sitk.GetArrayFromImage(moved)
    return result


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_equals_dicom_orient_bit_for_bit(orientation: str) -> None:
    tilted = volume(direction=np.diag([-1.0, -1, 1]) @ rotation(0, 0, 0))
    theirs = sitk.DICOMOrient(to_itk(tilted), orientation)
    ours = resample(tilted, None, orientation)
    np.testing.assert_array_equal(ours.array[0], sitk.GetArrayFromImage(theirs))
    back = to_itk(ours)
    np.testing.assert_allclose(back.GetOrigin(), theirs.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(back.GetDirection(), theirs.GetDirection(), atol=1e-9)
    np.testing.assert_allclose(back.GetSpacing(), theirs.GetSpacing())
    assert "".join(nibabel.aff2axcodes(ours.affine)) == orientation


@pytest.mark.parametrize("start", ORIENTATIONS[::5])
def test_turning_there_and_back_gives_the_same_bytes(start: str) -> None:
    first = resample(volume(), None, start)
    there = resample(first, None, "IRP")
    back = resample(there, None, start)
    np.testing.assert_array_equal(back.array, first.array)
    np.testing.assert_allclose(back.affine, first.affine, atol=1e-12)
    assert back.spacing_mm == first.spacing_mm


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 0.75), (0.7, 0.5, 0.4), (3, 1.5, 0.3), (2.9999, 1.4, 0.75)]
)
def test_finer_spacing_equals_itk_linear(spacing: tuple[float, float, float]) -> None:
    coarse = volume()
    fine = resample(coarse, spacing)
    assert fine.spacing_mm == spacing
    assert fine.array.shape[1:] == tuple(
        round(n * h / w) for n, h, w in zip((7, 9, 11), (3.0, 1.5, 0.75), spacing, strict=True)
    )
    np.testing.assert_allclose(fine.array[0], on_grid_of(to_itk(coarse), fine), atol=2e-3)
    assert fine.valid is None
    assert fine.steps[-1].startswith("resampled to")


def test_new_grid_has_the_old_centre() -> None:
    coarse = volume()
    fine = resample(coarse, (0.8, 0.7, 0.6), "RAS")
    for pixels in (coarse, fine):
        middle = (np.array(pixels.array.shape[:0:-1]) - 1) / 2
        assert pixels.affine is not None
        place = pixels.affine @ [*middle, 1]
        np.testing.assert_allclose(place, coarse.affine @ [5, 4, 3, 1])


@pytest.mark.parametrize("angles", [(20, 0, 0), (5, -12, 30), (0, 0, 90), (100, 15, -65)])
@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_oblique_volume_onto_a_square_grid_equals_itk(
    angles: tuple[float, float, float], orientation: str
) -> None:
    oblique = volume(spacing=(1.0, 1.0, 1.0), direction=rotation(*angles))
    square = resample(oblique, (0.9, 0.8, 0.7), orientation)
    assert square.affine is not None
    assert "".join(nibabel.aff2axcodes(square.affine)) == orientation
    directions = square.affine[:3, :3] / np.array((0.7, 0.8, 0.9))
    np.testing.assert_allclose(np.abs(directions).max(axis=0), 1)
    np.testing.assert_allclose(np.abs(directions).sum(axis=0), 1)
    theirs = on_grid_of(to_itk(oblique), square)
    np.testing.assert_allclose(square.array[0], theirs, atol=2e-3)
    if angles != (0, 0, 90):
        assert square.valid is not None
        np.testing.assert_array_equal(square.valid, theirs != LOW)


def test_oblique_volume_keeps_its_spacing_and_all_of_its_inside() -> None:
    oblique = volume(np.full((20, 24, 28), 100, np.float32), direction=rotation(10, 20, -15))
    square = resample(oblique, None, "LPS")
    assert square.spacing_mm == pytest.approx((3.0, 1.5, 0.75))
    assert square.valid is not None
    assert set(np.unique(square.array)) == {np.float32(LOW), np.float32(100)}
    share = square.valid.sum() / oblique.array.size
    assert share == pytest.approx(1, abs=0.02)


def test_nearly_square_axes_are_turned_and_never_interpolated() -> None:
    almost = volume(direction=rotation(0.003, 0, -0.002))
    turned = resample(almost, None, "LPI")
    assert set(turned.array.ravel().tolist()) == set(almost.array.ravel().tolist())
    assert turned.steps == ("turned to LPI",)


def test_coarser_spacing_averages_and_does_not_skip() -> None:
    stripes = np.tile(np.float32([0, 100]), 33)[None, None, :65].repeat(4, 0).repeat(4, 1)
    coarse = resample(volume(stripes, (1.0, 1, 1)), (1, 1, 5))
    np.testing.assert_allclose(coarse.array[..., 1:-1], 50, atol=0.1)
    plain = on_grid_of(to_itk(volume(stripes, (1.0, 1, 1))), coarse)
    assert np.ptp(plain) > 50


@pytest.mark.parametrize("spacing", [(6.0, 1.5, 0.75), (3.0, 4.0, 2.0)])
def test_coarser_spacing_equals_itk_after_the_same_gaussian(
    spacing: tuple[float, float, float],
) -> None:
    fine = volume(phantom((16, 30, 40)))
    coarse = resample(fine, spacing)
    image = to_itk(fine)
    assert fine.spacing_mm is not None
    for axis, (have, want) in enumerate(zip(fine.spacing_mm, spacing, strict=True)):
        if want > have:
            variance = (want**2 - have**2) / (8 * np.log(2))
            widths = [0.0, 0.0, 0.0]
            widths[2 - axis] = variance
            image = sitk.DiscreteGaussian(image, widths, 64, 1e-4)
    theirs = on_grid_of(image, coarse)
    inner = tuple(slice(2, -2) for _ in range(3))
    spread = float(fine.array.std())
    np.testing.assert_allclose(coarse.array[0][inner], theirs[inner], atol=0.01 * spread)


def test_constant_stays_constant() -> None:
    flat = volume(np.full((6, 7, 8), 321.5, np.float32))
    for spacing in ((9.0, 5.0, 2.0), (1.0, 1.0, 1.0)):
        assert np.unique(resample(flat, spacing, "ARS").array) == pytest.approx([321.5])


@pytest.mark.parametrize("spacing", [(1.5, 1.0, 0.5), (6.0, 3.0, 1.5), (3.0, 1.5, 0.75)])
def test_masked_voxels_never_mix_into_others(spacing: tuple[float, float, float]) -> None:
    array = np.full((8, 9, 10), 40, np.float32)
    valid = np.ones(array.shape, bool)
    valid[:, :, :4] = False
    array[~valid] = np.nan
    out = resample(volume(array, valid=valid), spacing, "RAS")
    assert out.valid is not None
    assert np.unique(out.array[0][out.valid]) == pytest.approx([40])
    assert (out.array[0][~out.valid] == LOW).all() or spacing == (3.0, 1.5, 0.75)
    assert out.valid.mean() == pytest.approx(0.6, abs=0.05)
    assert out.valid[:, :, 0].all() and not out.valid[:, :, -1].any()


def test_every_channel_is_moved_alike() -> None:
    one = volume()
    colour = Pixels(
        np.concatenate([one.array, one.array * 2, one.array + 7]),
        LOW,
        3071,
        spacing_mm=one.spacing_mm,
        affine=one.affine,
    )
    out = resample(colour, (1.0, 1.0, 1.0), "SAR").array
    np.testing.assert_allclose(out[1], out[0] * 2, rtol=1e-5)
    np.testing.assert_allclose(out[2], out[0] + 7, rtol=1e-4, atol=1e-2)


def test_spacing_alone_needs_no_affine() -> None:
    bare = Pixels(phantom()[None], LOW, 3071, spacing_mm=(3.0, 1.5, 0.75))
    full = resample(volume(), (1.0, 1.0, 1.0))
    out = resample(bare, (1.0, 1.0, 1.0))
    np.testing.assert_allclose(out.array, full.array, atol=1e-3)
    assert out.affine is None and out.spacing_mm == (1.0, 1.0, 1.0)


def test_picture_takes_a_spacing_alone() -> None:
    picture = Pixels(phantom()[:1], 0, 1, spacing_mm=(1.5, 0.75), valid=np.ones((9, 11), bool))
    out = resample(picture, (0.5, 0.25))
    assert out.array.shape == (1, 27, 33)
    assert out.valid is not None and out.valid.shape == (27, 33) and out.valid.all()
    assert out.spacing_mm == (0.5, 0.25)
    solid = resample(Pixels(phantom()[None, :1], 0, 1, spacing_mm=(9, 1.5, 0.75)), (9, 0.5, 0.25))
    np.testing.assert_array_equal(out.array, solid.array[0])
    with pytest.raises(PixelError) as caught:
        resample(picture, None, "RAS")
    assert caught.value.code == "dimensions"


def test_nothing_to_do_gives_the_same_object() -> None:
    here = volume()
    assert resample(here) is here
    assert resample(here, (3.0, 1.5, 0.75), "LPS") is here


def test_what_cannot_be_resampled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Pixels(phantom()[None], 0, 1)
    for arguments, code in (
        (((1.0, 1.0, 1.0), None), "no_spacing"),
        (((1.0, 1.0), None), "no_spacing"),
        ((None, "RAS"), "no_position"),
    ):
        with pytest.raises(PixelError) as caught:
            resample(bare, *arguments)
        assert caught.value.code == code
    monkeypatch.setattr(pixels_module, "PIXEL_CAP", 1000)
    with pytest.raises(PixelError) as caught:
        resample(volume(), (0.01, 0.01, 0.01))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("orientation", ["", "RA", "RAX", "RLS", "ras", "RASS"])
def test_orientation_is_three_letters_of_three_axes(orientation: str) -> None:
    with pytest.raises(ValueError, match="RAS"):
        axes_of(orientation)
