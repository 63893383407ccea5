"""NIfTI: axes, scale, range and spacing against nibabel's own reading."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from medimg.data.sources.formats import read_case
from medimg.errors import PixelError
from medimg.testing import make_nifti

VOXELS = np.arange(5 * 4 * 3, dtype=np.int16).reshape(5, 4, 3)


@pytest.mark.parametrize("ending", (".nii", ".nii.gz"))
def test_volume_is_that_of_nibabel_with_axes_turned_round(tmp_path: Path, ending: str) -> None:
    make_nifti(tmp_path / f"a{ending}", VOXELS, spacing=(0.5, 0.75, 2), slope=2, inter=-1000)
    got = read_case(tmp_path, f"a{ending}")
    theirs = nibabel.load(tmp_path / f"a{ending}")
    assert got.array.shape == (1, 3, 4, 5)
    np.testing.assert_array_equal(got.array[0], theirs.get_fdata().T)
    assert (got.low, got.high) == (-32768 * 2 - 1000, 32767 * 2 - 1000)
    assert got.spacing_mm == (2, 0.75, 0.5)
    assert got.affine is not None
    np.testing.assert_allclose(got.affine, theirs.affine)
    assert got.units == "scaled"


@pytest.mark.parametrize("version", (nibabel.Nifti1Image, nibabel.Nifti2Image))
@pytest.mark.parametrize("dtype", (np.uint8, np.int16, np.uint16, ">i2"))
def test_what_nibabel_writes_is_read(tmp_path: Path, version: type, dtype: str) -> None:
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    nibabel.save(version(VOXELS.astype(dtype), affine), tmp_path / "a.nii.gz")
    got = read_case(tmp_path, "a.nii.gz")
    np.testing.assert_array_equal(got.array[0], VOXELS.T)
    assert got.affine is not None
    np.testing.assert_allclose(got.affine, affine)
    assert got.spacing_mm == (3, 2, 1.5)
    info = np.iinfo(np.dtype(dtype))
    assert (got.low, got.high, got.units) == (info.min, info.max, "stored")


def test_negative_slope_turns_the_range_round(tmp_path: Path) -> None:
    make_nifti(tmp_path / "a.nii", VOXELS.astype(np.uint8), slope=-1, inter=255)
    got = read_case(tmp_path, "a.nii")
    assert (got.low, got.high) == (0, 255)
    np.testing.assert_array_equal(got.array[0], 255 - VOXELS.T)


@pytest.mark.parametrize("dtype", (np.float32, np.float64, np.int32))
def test_floats_need_a_window(tmp_path: Path, dtype: type) -> None:
    make_nifti(tmp_path / "a.nii", VOXELS.astype(dtype))
    with pytest.raises(PixelError, match="cal_min") as caught:
        read_case(tmp_path, "a.nii")
    assert caught.value.code == "unsupported"
    make_nifti(tmp_path / "b.nii", VOXELS.astype(dtype), window=(-100, 400))
    got = read_case(tmp_path, "b.nii")
    assert (got.low, got.high) == (-100, 400)


def test_nan_voxels_are_refused(tmp_path: Path) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 0] = np.nan
    make_nifti(tmp_path / "a.nii", voxels, window=(0, 60))
    with pytest.raises(PixelError) as caught:
        read_case(tmp_path, "a.nii")
    assert caught.value.code == "not_finite"


@pytest.mark.parametrize("shape", ((5, 4), (5, 4, 1)))
def test_single_slice_is_an_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    make_nifti(tmp_path / "a.nii", VOXELS[..., 0].reshape(shape), spacing=(0.5, 0.75, 2))
    got = read_case(tmp_path, "a.nii")
    np.testing.assert_array_equal(got.array[0], VOXELS[..., 0].T)
    assert got.spacing_mm == (0.75, 0.5)


def test_several_volumes_are_refused_until_one_is_named(tmp_path: Path) -> None:
    make_nifti(tmp_path / "a.nii.gz", np.stack([VOXELS, VOXELS + 100], axis=-1))
    with pytest.raises(PixelError) as caught:
        read_case(tmp_path, "a.nii.gz")
    assert caught.value.code == "frames"
    np.testing.assert_array_equal(read_case(tmp_path, "a.nii.gz", "1").array[0], VOXELS.T + 100)
    make_nifti(tmp_path / "b.nii.gz", VOXELS[..., None])
    np.testing.assert_array_equal(read_case(tmp_path, "b.nii.gz").array[0], VOXELS.T)


@pytest.mark.parametrize("dtype", (np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]))
def test_voxels_that_are_no_plain_numbers_are_unsupported(tmp_path: Path, dtype: object) -> None:
    make_nifti(tmp_path / "a.nii", np.zeros((3, 3, 3), dtype))
    with pytest.raises(PixelError) as caught:
        read_case(tmp_path, "a.nii")
    assert caught.value.code == "unsupported"


def test_file_without_orientation_has_no_affine(tmp_path: Path) -> None:
    path = make_nifti(tmp_path / "a.nii", VOXELS)
    data = bytearray(path.read_bytes())
    data[252:256] = bytes(4)  # qform_code and sform_code
    path.write_bytes(bytes(data))
    assert read_case(tmp_path, "a.nii").affine is None


def test_pair_of_header_and_image_is_unsupported(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "a.hdr")
    with pytest.raises(PixelError, match=r"\.nii") as caught:
        read_case(tmp_path, "a.hdr")
    assert caught.value.code == "unsupported"
