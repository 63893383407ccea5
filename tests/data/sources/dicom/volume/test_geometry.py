"""Order, spacing, refusals and affine of slices; the affine against SimpleITK's reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medimg.data.sources.dicom.volume.geometry import check_steps, distinct, even, stack
from medimg.errors import PixelError
from medimg.testing import make_series

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
LPS = np.diag([-1.0, -1, 1, 1])
Floats = NDArray[np.float64]


def slices(
    heights: Any, *, orientation: Any = AXIAL, spacing: Any = (0.8, 0.6), tilt: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Return positions, orientations and spacings of slices at `heights` along the normal."""
    turned = np.array(orientation, float)
    normal = np.cross(turned[:3], turned[3:])
    heights = np.array(heights, float)[:, None]
    positions = np.array([-10.0, -20, -30]) + heights * normal
    positions = positions + heights * np.tan(np.radians(tilt)) * turned[3:]
    count = len(heights)
    return positions, np.tile(turned, (count, 1)), np.tile(np.array(spacing, float), (count, 1))


def code_of(*arguments: Any, **options: Any) -> str:
    with pytest.raises(PixelError) as caught:
        stack(*arguments, **options)
    return caught.value.code


def oblique(seed: int) -> Floats:
    first, second = np.random.default_rng(seed).normal(size=(2, 3))
    first /= np.linalg.norm(first)
    second -= (second @ first) * first
    return np.concatenate([first, second / np.linalg.norm(second)])


def test_slices_ascend_along_the_normal_whatever_order_they_come_in() -> None:
    positions, orientations, spacings = slices([6, 0, 4, 2])
    got = stack(positions, orientations, spacings)
    assert got.order.tolist() == [1, 3, 2, 0]
    assert got.spacing_mm == (2.0, 0.8, 0.6)
    assert not got.drift_mm.any()


def test_affine_is_that_of_the_standards_equation_in_ras() -> None:
    # PS3.3 equation C.7.6.2.1-1: columns go along the row direction by the column spacing.
    got = stack(*slices([0, 2.5]))
    assert got.affine.tolist() == [
        [-0.6, 0, 0, 10],
        [0, -0.8, 0, 20],
        [0, 0, 2.5, -30],
        [0, 0, 0, 1],
    ]


def test_slices_of_a_sagittal_series_ascend_along_row_cross_column() -> None:
    got = stack(*slices([0, 3], orientation=(0, 1, 0, 0, 0, -1)))
    assert got.affine[:3, 2].tolist() == [3, 0, 0]  # (0,1,0) x (0,0,-1) = (-1,0,0) in LPS


@pytest.mark.parametrize("orientation", [AXIAL, (0, 1, 0, 0, 0, -1), oblique(1), oblique(2)])
@pytest.mark.parametrize("step", [1.25, 3.0])
def test_affine_and_spacing_equal_simpleitk(tmp_path: Path, orientation: Any, step: float) -> None:
    text = np.round(np.array(orientation, float), 9)
    paths = make_series(tmp_path, 5, orientation=text.tolist(), step=step, shuffled=True)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    image = reader.Execute()
    theirs = np.eye(4)
    theirs[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    theirs[:3, 3] = image.GetOrigin()
    heights = step * np.arange(5)
    got = stack(*slices(heights, orientation=text))
    np.testing.assert_allclose(LPS @ got.affine, theirs, atol=1e-5)
    np.testing.assert_allclose(got.spacing_mm, image.GetSpacing()[::-1], atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30), st.floats(0.1, 20), st.randoms())
def test_any_orientation_and_any_order_gives_the_same_affine(
    seed: int, count: int, step: float, random: Any
) -> None:
    positions, orientations, spacings = slices(step * np.arange(count), orientation=oblique(seed))
    order = list(range(count))
    random.shuffle(order)
    got = stack(positions[order], orientations[order], spacings[order])
    np.testing.assert_allclose(positions[order][got.order], positions)
    corner = got.affine @ [0, 0, count - 1, 1]
    np.testing.assert_allclose((LPS @ corner)[:3], positions[-1], atol=1e-9)
    assert got.spacing_mm[0] == pytest.approx(step)


@pytest.mark.parametrize(
    ("heights", "code"),
    [
        ([0], "single_image"),
        ([], "single_image"),
        ([0, 1, 2, 2, 3], "duplicate_positions"),
        ([0, 0], "duplicate_positions"),
        ([0, 1, 2, 2.004, 3], "duplicate_positions"),
        ([0, 0, 0, 1, 1, 1], "duplicate_positions"),
        ([0, 1, 2, 4, 5], "gap"),
        ([0, 1, 2.5, 3.5, 4.5], "gap"),  # elsewhere averaged into a spacing
        ([0, 1, 2, 3.011], "gap"),
        ([0, 5, 10, 15.06], "gap"),
        ([0, 1, 3], "gap"),
        ([0, 0.1, 0.2, 0.311], "gap"),
    ],
)
def test_stacks_that_are_not_even_are_refused(heights: list[float], code: str) -> None:
    assert code_of(*slices(np.array(heights, float))) == code


@pytest.mark.parametrize(
    "heights", [[0, 1, 2, 3.01], [0, 5, 10, 15.05], [0, 0.1, 0.2, 0.309], [0, 200], [0, 1, 1.99]]
)
def test_steps_within_one_percent_or_a_hundredth_of_a_millimetre_are_even(
    heights: list[float],
) -> None:
    got = stack(*slices(heights))
    assert got.spacing_mm[0] == pytest.approx(heights[-1] / (len(heights) - 1))
    assert even(np.array(heights)[::-1]) and distinct(np.array(heights))


def test_gap_is_told_with_its_place_and_lengths() -> None:
    with pytest.raises(PixelError, match=r"3 and 4 of 5 are 1\.5 mm apart where 1 mm") as caught:
        check_steps(np.array([1, 1, 1.5, 1.0]))
    assert caught.value.code == "gap"


def test_tilted_gantry_is_refused_with_its_angle_or_measured() -> None:
    tilted = slices(3.0 * np.arange(5), tilt=-12)
    with pytest.raises(PixelError, match="12 degrees") as caught:
        stack(*tilted)
    assert caught.value.code == "tilt"
    got = stack(*tilted, shear=True)
    assert got.spacing_mm[0] == pytest.approx(3)
    expected = -3 * np.tan(np.radians(12)) * np.arange(5)
    np.testing.assert_allclose(got.drift_mm, np.column_stack([expected, np.zeros(5)]), atol=1e-12)


def test_half_a_degree_is_a_tilt_and_rounded_cosines_are_not() -> None:
    assert code_of(*slices(2.0 * np.arange(40), tilt=0.5)) == "tilt"
    positions, orientations, spacings = slices(2.0 * np.arange(40), orientation=oblique(3))
    got = stack(positions, np.round(orientations, 4), spacings)
    assert not got.drift_mm.any()


def test_one_slice_out_of_line_is_refused() -> None:
    positions, orientations, spacings = slices(np.arange(6))
    positions[3, 0] += 5
    assert code_of(positions, orientations, spacings) == "tilt"


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_slices_without_numbers_have_no_position(which: int, bad: float) -> None:
    arguments = slices(np.arange(4))
    arguments[which][2, 1] = bad
    assert code_of(*arguments) == "no_position"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_numbers_beyond_any_patient_are_damage(which: int) -> None:
    arguments = slices(np.arange(4))
    arguments[which][:] = 1e300
    assert code_of(*arguments) == "header"


@pytest.mark.parametrize(
    "orientation",
    [(0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0), (2, 0, 0, 0, 1, 0), (1, 0, 0, 0.01, 1, 0)],
)
def test_directions_that_are_not_square_and_of_length_one_are_refused(orientation: Any) -> None:
    positions, orientations, spacings = slices(np.arange(4))
    orientations[:] = orientation
    assert code_of(positions, orientations, spacings) == "header"


@pytest.mark.parametrize("spacing", [0.0, -1.0])
def test_pixels_without_a_size_are_refused(spacing: float) -> None:
    assert code_of(*slices(np.arange(4), spacing=(1.0, spacing))) == "header"


def test_directions_and_spacings_that_differ_are_refused() -> None:
    positions, orientations, spacings = slices(np.arange(4))
    orientations[2] = (0, 1, 0, 0, 0, -1)
    assert code_of(positions, orientations, spacings) == "mixed_geometry"
    positions, orientations, spacings = slices(np.arange(4))
    spacings[1, 0] = 0.81
    assert code_of(positions, orientations, spacings) == "mixed_geometry"
    orientations[1] *= -1  # the same plane seen from behind
    spacings[1, 0] = 0.8
    assert code_of(positions, orientations, spacings) == "mixed_geometry"
