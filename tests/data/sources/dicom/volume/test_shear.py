"""Volumes of a tilted gantry, straightened: against SimpleITK and against what was there."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from medimg.data import pixels as pixels_module
from medimg.data.sources.dicom.volume.geometry import Stack, stack
from medimg.data.sources.dicom.volume.shear import straighten
from medimg.errors import PixelError

LPS = np.diag([-1.0, -1, 1, 1])
SPACING = (0.8, 0.6)


def tilted(drift: NDArray[np.float64], step: float = 2.0) -> Stack:
    """Return a stack of axial slices that lie off the first one's axis by `drift` (N, 2), mm."""
    count = len(drift)
    positions = np.column_stack([drift[:, 1] - 10, drift[:, 0] - 20, step * np.arange(count)])
    orientations = np.tile([1.0, 0, 0, 0, 1, 0], (count, 1))
    return stack(positions, orientations, np.tile(SPACING, (count, 1)), shear=True)


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def test_drift_of_whole_pixels_moves_pixels_and_changes_none() -> None:
    values = noise((4, 7, 5))
    drift = np.column_stack([-0.8 * 2 * np.arange(4), 0.6 * np.arange(4)])
    got = straighten(values, None, tilted(drift))
    assert got.values.shape == got.valid.shape == (4, 7 + 6, 5 + 3)
    for k in range(4):
        part = (slice(6 - 2 * k, 13 - 2 * k), slice(k, k + 5))
        np.testing.assert_allclose(got.values[k][part], values[k], rtol=1e-6)
        assert got.valid[k][part].all() and got.valid[k].sum() == 35


@pytest.mark.parametrize("degrees", [7.5, -20.0])
def test_each_slice_equals_simpleitk_on_the_straight_grid(degrees: float) -> None:
    values = noise((5, 20, 16))
    lean = 2 * np.tan(np.radians(degrees)) * np.arange(5)
    placed = tilted(np.column_stack([lean, np.zeros(5)]))
    got = straighten(values, None, placed)
    origin = (LPS @ got.affine)[:3, 3]
    for k in range(5):
        image = sitk.GetImageFromArray(values[k])
        image.SetSpacing(SPACING[::-1])
        image.SetOrigin((-10, -20 + lean[k]))
        grid = sitk.GetImageFromArray(got.values[k])
        grid.SetSpacing(SPACING[::-1])
        grid.SetOrigin(origin[:2].tolist())
        theirs = sitk.GetArrayFromImage(sitk.Resample(image, grid))
        np.testing.assert_allclose(got.values[k][got.valid[k]], theirs[got.valid[k]], rtol=1e-5)
        assert got.valid[k].sum() >= 19 * 16


def test_straight_affine_places_each_pixel_where_it_was() -> None:
    lean = np.array([0, 1.6, 3.2])
    values = np.zeros((3, 9, 6), np.float32)
    values[:, 4, 2] = 1
    placed = tilted(np.column_stack([lean, -lean]))
    got = straighten(values, None, placed)
    for k in range(3):
        rows, columns = np.nonzero(got.values[k])
        weights = got.values[k][rows, columns]
        index = [weights @ columns, weights @ rows, k, 1]
        place = (LPS @ got.affine @ index)[:3]
        expected = (-10 - lean[k] + 2 * 0.6, -20 + lean[k] + 4 * 0.8, 2 * k)
        np.testing.assert_allclose(place, expected, atol=1e-5)


def test_padding_never_mixes_into_the_picture() -> None:
    values = np.full((3, 12, 10), 50, np.float32)
    valid = np.ones(values.shape, bool)
    valid[:, :3] = False
    values[~valid] = np.nan
    got = straighten(values, valid, tilted(np.column_stack([[0, 0.5, 1.0], np.zeros(3)])))
    assert np.unique(got.values[got.valid]) == pytest.approx([50])
    assert got.valid[0].sum() == 90 and got.valid[1].sum() == 80


def test_straightened_volume_is_under_the_cap_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_module, "PIXEL_CAP", 200)
    values = noise((2, 8, 8))
    with pytest.raises(PixelError) as caught:
        straighten(values, None, tilted(np.array([[0, 0], [40.0, 0]])))
    assert caught.value.code == "too_large"
