"""Slices to a volume: order, numbers, refusals; against SimpleITK and against the traps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.datadict import tag_for_keyword

from medimg.data import pixels as pixels_module
from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pixels.read import read_image
from medimg.data.sources.dicom.volume.assemble import read_volume
from medimg.errors import PixelError
from medimg.testing import make_dicom, make_enhanced, make_series

HU: dict[str, Any] = {"slope": 1, "intercept": -1024}
LPS = np.diag([-1.0, -1, 1, 1])


def read(paths: Sequence[Path] | Path, **options: Any) -> Pixels:
    paths = [paths] if isinstance(paths, Path) else paths
    return read_volume([partial(Path.read_bytes, path) for path in paths], DicomPixels(**options))


def error_of(paths: Sequence[Path] | Path, **options: Any) -> PixelError:
    with pytest.raises(PixelError) as caught:
        read(paths, **options)
    return caught.value


def code_of(paths: Sequence[Path] | Path, **options: Any) -> str:
    return error_of(paths, **options).code


def noise(shape: tuple[int, ...] = (6, 9, 7), seed: int = 0, top: int = 3000) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.int16)


def test_slices_of_any_order_make_the_volume(tmp_path: Path) -> None:
    stored = noise()
    paths = make_series(tmp_path, volume=stored, shuffled=True, **HU)
    got = read(sorted(paths))
    np.testing.assert_array_equal(got.array[0], stored - 1024.0)
    assert (got.low, got.high, got.units) == (-1024, 3071, "HU")
    assert got.spacing_mm == (2.0, 0.8, 0.6)
    assert got.valid is None
    for other in (paths[::-1], [*paths[3:], *paths[:3]]):
        again = read(other)
        np.testing.assert_array_equal(again.array, got.array)
        np.testing.assert_array_equal(again.affine, got.affine)
        assert again.steps == got.steps


@pytest.mark.parametrize(
    "turned", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (0.8, 0.6, 0, 0, 0, 1)]
)
def test_array_and_affine_equal_simpleitk(tmp_path: Path, turned: Any) -> None:
    paths = make_series(tmp_path, volume=noise(), orientation=turned, shuffled=True, **HU)
    got = read(sorted(paths))
    # SimpleITK is given the order: it stacks files as they come.
    image = sitk.ReadImage([str(path) for path in paths])
    np.testing.assert_array_equal(got.array[0], sitk.GetArrayFromImage(image))
    theirs = np.eye(4)
    theirs[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    theirs[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(LPS @ got.affine, theirs, atol=1e-6)


def test_repeated_instance_numbers_do_not_scramble(tmp_path: Path) -> None:
    stored = noise()
    paths = make_series(tmp_path, volume=stored, numbers=[2, 1, 2, 1, 2, 1], **HU)
    np.testing.assert_array_equal(read(paths[::-1]).array[0], stored - 1024.0)


def test_thickness_and_spacing_between_slices_are_not_asked(tmp_path: Path) -> None:
    wrong = {"SliceThickness": 7, "SpacingBetweenSlices": -3}
    paths = make_series(tmp_path, 4, extra=wrong, **HU)
    assert read(paths).spacing_mm == (2.0, 0.8, 0.6)


def test_two_series_in_one_folder_are_never_mixed(tmp_path: Path) -> None:
    one = make_series(tmp_path / "a", 4, **HU)
    two = make_series(tmp_path / "b", 4, series="2", origin=(-10, -20, -29), **HU)
    assert code_of([*one, *two]) == "several_series"


def test_localizer_in_the_series_is_not_stacked(tmp_path: Path) -> None:
    assert code_of(make_series(tmp_path / "a", 4, localizer=True, **HU)) == "mixed_geometry"
    alike = make_series(tmp_path / "b", 4, shape=(20, 24), localizer=True, **HU)
    assert code_of(alike) == "several_series"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"missing": [2]}, "gap"),
        ({"heights": [0, 1, 2, 3.5, 4.5]}, "gap"),
        ({"duplicates": [1]}, "duplicate_positions"),
        ({"tilt": 15}, "tilt"),
        ({"extra": {"ImagePositionPatient": None}}, "no_position"),
        ({"extra": {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}}, "header"),
        ({"extra": {"PixelSpacing": None, "ImagerPixelSpacing": [1, 1]}}, "no_position"),
        ({"missing": [1, 2, 3, 4]}, "single_image"),
    ],
)
def test_what_is_no_even_stack_is_refused(tmp_path: Path, options: Any, code: str) -> None:
    assert code_of(make_series(tmp_path, 5, **{**HU, **options})) == code


def _two(folder: Path, first: Any, second: Any) -> list[Path]:
    """Write two halves of a stack that differ in options."""
    lower = make_series(folder / "a", 3, **{**HU, **first})
    upper = make_series(folder / "b", 3, origin=(-10, -20, -24), **{**HU, **second})
    return [*lower, *upper]


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ({}, {"extra": {"RescaleType": "OD"}}, "mixed_units"),
        ({"modality": "PT", "extra": {"Units": "BQML"}},
         {"modality": "PT", "extra": {"Units": "CNTS"}}, "mixed_units"),
        ({}, {"shape": (16, 13)}, "mixed_geometry"),
        ({}, {"spacing": (0.8, 0.7)}, "mixed_geometry"),
        ({}, {"extra": {"FrameOfReferenceUID": "1.2.3"}}, "mixed_geometry"),
        ({}, {"orientation": (0, 1, 0, 0, 0, -1)}, "several_series"),
        ({"extra": {"EchoTime": 2.4}}, {"extra": {"EchoTime": 5}}, "several_series"),
        ({}, {"extra": {"ImageType": ["DERIVED", "SECONDARY"]}}, "several_series"),
        ({}, {"extra": {"DiffusionBValue": 1000.0}}, "several_series"),
    ],
)  # fmt: skip
def test_slices_that_do_not_belong_together_are_refused(
    tmp_path: Path, first: Any, second: Any, code: str
) -> None:
    assert code_of(_two(tmp_path, first, second)) == code


def test_acquisitions_of_one_volume_are_one(tmp_path: Path) -> None:
    paths = _two(tmp_path, {}, {"extra": {"AcquisitionNumber": 2}})
    assert read(paths).array.shape == (1, 6, 16, 12)


def test_phases_that_interleave_are_never_one_volume(tmp_path: Path) -> None:
    native = make_series(tmp_path / "a", 3, **HU)
    contrast = make_series(
        tmp_path / "b", 3, origin=(-10, -20, -29), extra={"AcquisitionNumber": 2}, **HU
    )
    assert code_of([*native, *contrast]) == "several_series"
    assert read(contrast).array.shape == (1, 3, 16, 12)


def test_rescale_of_each_slice_is_its_own(tmp_path: Path) -> None:
    stored = noise((1, 5, 4))
    paths = [
        make_series(tmp_path / str(k), volume=stored, origin=(0, 0, 3 * k), modality="PT",
                    slope=k + 0.5, intercept=0, extra={"Units": "BQML"})[0]
        for k in range(4)
    ]  # fmt: skip
    got = read(paths, range=(0, 20_000))
    for k in range(4):
        np.testing.assert_allclose(got.array[0, k], stored[0] * (k + 0.5), rtol=1e-6)
    assert got.units == "BQML"
    assert any("slice by slice" in step for step in got.steps)


def test_percentiles_are_those_of_all_valid_voxels_of_the_volume(tmp_path: Path) -> None:
    stored = np.arange(6 * 9 * 7, dtype=np.int16).reshape(6, 9, 7) + 100
    stored[:, 0] = -5
    paths = make_series(tmp_path, volume=stored, modality="MR", padding=-5)
    got = read(paths, percentiles=(10, 90))
    inside = stored[:, 1:].astype(float)
    low, high = np.percentile(inside, [10, 90])
    assert (got.low, got.high) == (pytest.approx(low), pytest.approx(high))
    np.testing.assert_allclose(got.array[0, :, 1:], inside.clip(low, high))
    assert got.valid is not None
    assert got.valid[:, 1:].all() and not got.valid[:, 0].any()
    assert (got.array[0, :, 0] == np.float32(got.low)).all()


def test_padding_of_one_slice_masks_that_slice_alone(tmp_path: Path) -> None:
    stored = noise(top=1000)
    stored[2, :3] = -2000
    paths = make_series(tmp_path, volume=stored, slope=1, intercept=0, padding=63536, shuffled=True)
    got = read(sorted(paths))
    assert got.valid is not None
    np.testing.assert_array_equal(got.valid, stored != -2000)
    assert (got.array[0][~got.valid] == -1024).all()
    np.testing.assert_array_equal(got.array[0][got.valid], stored[got.valid])


def test_range_of_what_is_stored_spans_all_slices(tmp_path: Path) -> None:
    values = noise((3, 5, 4), top=200).astype(np.uint8)
    lower = make_series(tmp_path / "a", volume=values, modality="OT", slope=1, intercept=0)
    upper = make_series(tmp_path / "b", volume=values, modality="OT", slope=2, intercept=-10,
                        origin=(-10, -20, -24))  # fmt: skip
    got = read([*upper, *lower])
    assert (got.low, got.high) == (-10, 500)
    np.testing.assert_array_equal(got.array[0, :3], values)
    np.testing.assert_array_equal(got.array[0, 3:], 2.0 * values - 10)


@pytest.mark.parametrize(
    "options",
    [
        {"modality": "OT"},
        {"modality": "OT", "slope": 0.37, "intercept": -2},
        {"modality": "OT", "slope": 0.37, "intercept": 0, "extra": {"RescaleType": "OD"}},
        {"modality": "PT", "slope": 0.37, "intercept": 0, "extra": {"Units": "BQML"}},
        {"modality": "MR"},
        {"modality": "CT"},
        {"modality": "CT", **HU},
        {"modality": "RTDOSE", "extra": {"DoseGridScaling": 0.01, "DoseUnits": "GY"}},
    ],
)
@pytest.mark.parametrize("blank", [False, True])
def test_a_volume_has_the_range_of_its_like_slices(
    tmp_path: Path, options: dict[str, Any], blank: bool
) -> None:
    def outcome(reads: Callable[[], Pixels]) -> object:
        try:
            found = reads()
        except PixelError as error:
            return error.code, error.message, error.remedy
        return found.low, found.high, found.units

    ends = (500, 500) if blank else (500, 2500)  # many pixels at both: percentiles of any count
    stored = noise((1, 9, 7)).clip(*ends).repeat(3, axis=0)
    paths = make_series(tmp_path, volume=stored, **options)
    image = outcome(lambda: read_image(paths[0].read_bytes(), "", DicomPixels()))
    assert outcome(lambda: read(paths)) == image


def test_windows_are_applied_where_they_are_asked_for(tmp_path: Path) -> None:
    paths = make_series(tmp_path / "a", 4, window=(1200, 400), **HU)
    assert read(paths).units == "HU"
    got = read(paths, voi="require")
    assert (got.low, got.high, got.units) == (0, 1, "window")
    x = np.clip((read(paths).array - 1199.5) / 399 + 0.5, 0, 1)
    np.testing.assert_allclose(got.array, x, atol=1e-6)
    some = _two(tmp_path / "b", {"window": (1200, 400)}, {})
    assert code_of(some, voi="if-present") == "mixed_units"
    assert code_of(some, voi="require") == "no_voi"


@pytest.mark.parametrize("modality", ["CT", "OT"])
def test_windows_that_differ_between_slices_are_refused(tmp_path: Path, modality: str) -> None:
    same = {"modality": modality}
    paths = _two(tmp_path, {**same, "window": (1200, 400)}, {**same, "window": (1200, 300)})
    error = error_of(paths, voi="if-present")
    assert error.code == "mixed_units"
    assert "range" in error.remedy and "voi" in error.remedy
    assert read(paths, range=(0, 2000)).units == read(paths, voi="never").units
    again = _two(tmp_path / "b", {**same, "window": [(1200, 400), (0, 9)]},
                 {**same, "window": [(1200, 400), (50, 7)]})  # fmt: skip
    assert read(again, voi="require").units == "window"
    function = {"extra": {"VOILUTFunction": "SIGMOID"}}
    other = _two(tmp_path / "c", {**same, "window": (1200, 400)},
                 {**same, "window": (1200, 400), **function})  # fmt: skip
    assert code_of(other, voi="if-present") == "mixed_units"


def test_voi_tables_that_differ_between_slices_are_refused(tmp_path: Path) -> None:
    def table(last: int, bits: int = 8) -> dict[str, Any]:
        lut = {"LUTDescriptor": [4, 0, bits], "LUTData": np.array([0, 1, 2, last], np.uint16)}
        return {"modality": "OT", "extra": {"VOILUTSequence": [lut]}}

    got = read(_two(tmp_path / "a", table(200), table(200)))
    assert (got.low, got.high, got.units) == (0, 255, "VOI LUT")
    assert code_of(_two(tmp_path / "b", table(200), table(201))) == "mixed_units"
    assert code_of(_two(tmp_path / "c", table(200), table(200, 10))) == "mixed_units"
    one = {"modality": "OT", "window": (1200, 400)}
    assert code_of(_two(tmp_path / "d", table(200), one)) == "mixed_units"


def test_windows_of_frames_that_differ_are_refused(tmp_path: Path) -> None:
    stored = noise((4, 9, 7))
    differ = make_enhanced(tmp_path / "a.dcm", stored, windows=[(40, 400 + k) for k in range(4)])
    assert code_of(differ, voi="require") == "mixed_units"
    equal = make_enhanced(tmp_path / "b.dcm", stored, windows=[(40, 400)] * 4)
    assert read(equal, voi="require").units == "window"


def test_slices_of_both_polarities_are_refused(tmp_path: Path) -> None:
    paths = _two(tmp_path, {}, {"photometric": "MONOCHROME1"})
    error = error_of(paths)
    assert error.code == "mixed_units"
    assert "polarity" in error.remedy
    low = read(paths, polarity="never").array
    np.testing.assert_array_equal(low[0, 0], low[0, 3])


def test_inverted_volume_is_turned_round_once(tmp_path: Path) -> None:
    plain = make_series(tmp_path / "a", volume=noise(top=2000), **HU)
    shown = make_series(tmp_path / "b", volume=noise(top=2000), photometric="MONOCHROME1", **HU)
    np.testing.assert_array_equal(read(shown).array, -1024 + 3071 - read(plain).array)


def test_tilted_gantry_is_straightened_when_asked(tmp_path: Path) -> None:
    rows = 0.8 * (np.arange(40) - 20)
    angle = 10.0
    lean = np.tan(np.radians(angle))
    # A bar that stands along z: at each height the gantry sees it in other rows.
    heights = 2.0 * np.arange(5)
    bar = 1000 * np.exp(-(((rows[None] + heights[:, None] * lean) / 3) ** 2))
    stored = np.repeat(bar[:, :, None], 12, axis=2).round().astype(np.int16)
    paths = make_series(tmp_path, volume=stored, tilt=angle, slope=1, intercept=0, origin=(0, 0, 0))
    assert code_of(paths) == "tilt"
    got = read(paths, shear=True)
    assert got.spacing_mm == pytest.approx((2, 0.8, 0.6))
    assert got.valid is not None and got.affine is not None
    both = got.valid.all(axis=0)
    assert both.sum() > 30 * 12
    spread = np.ptp(got.array[0][:, both], axis=0)
    assert spread.max() < 20  # interpolation and rounding; 250 where nothing is moved
    assert np.ptp(stored, axis=0).max() > 250
    assert (got.array[0][~got.valid] == -1024).all()


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 0, 4, 1, 2]])
def test_frames_of_one_object_are_placed_by_their_functional_groups(
    tmp_path: Path, order: list[int]
) -> None:
    stored = noise((5, 9, 7))
    path = make_enhanced(
        tmp_path / "a.dcm",
        stored[order],
        positions=[(-3, 4, 1.5 * k) for k in order],
        spacing=(0.7, 0.9),
        slopes=[1.0] * 5,
        intercepts=[-1000.0 - k for k in order],
    )
    got = read(path)
    expected = np.clip(stored - 1000.0 - np.arange(5)[:, None, None], -1024, 3071)
    np.testing.assert_array_equal(got.array[0], expected)
    assert got.spacing_mm == (1.5, 0.7, 0.9)
    assert got.affine is not None
    assert got.affine[:, 3].tolist() == [3, -4, 0, 1]


@pytest.mark.parametrize(
    "groups",
    [
        [{"FrameContentSequence": [{"StackID": str(k // 2)}]} for k in range(4)],
        [{"FrameContentSequence": [{"TemporalPositionIndex": k // 2 + 1}]} for k in range(4)],
        [{"MRDiffusionSequence": [{"DiffusionBValue": 500.0 * (k // 2)}]} for k in range(4)],
        [{"MREchoSequence": [{"EffectiveEchoTime": 10.0 + k // 2}]} for k in range(4)],
        [{"FrameContentSequence": [{"FrameAcquisitionNumber": k // 2}]} for k in range(4)],
        [{"SegmentIdentificationSequence": [{"ReferencedSegmentNumber": k // 2 + 1}]}
         for k in range(4)],
    ],
)  # fmt: skip
def test_object_of_several_volumes_is_refused(tmp_path: Path, groups: Any) -> None:
    path = make_enhanced(
        tmp_path / "a.dcm",
        noise((4, 9, 7)),
        modality="MR",
        positions=[(0, 0, k % 2) for k in range(4)],
        frame_groups=groups,
    )
    assert code_of(path) == "several_series"


def test_segments_that_lie_above_each_other_are_no_volume(tmp_path: Path) -> None:
    segment = "SegmentIdentificationSequence"
    for name, numbers, code in (("a", (1, 1, 2, 2), "several_series"), ("b", (2, 2, 2, 2), "")):
        path = make_enhanced(
            tmp_path / f"{name}.dcm",
            noise((4, 9, 7), top=2).astype(np.uint8),
            modality="SEG",
            frame_groups=[{segment: [{"ReferencedSegmentNumber": n}]} for n in numbers],
        )
        assert code_of(path) == code if code else read(path).array.shape == (1, 4, 9, 7)


@pytest.mark.parametrize(
    ("keyword", "code"),
    [
        ("FlipAngle", "several_series"),
        ("NominalCardiacTriggerDelayTime", "several_series"),
        ("EnergyWindowNumber", "several_series"),
        (0x20051413, "several_series"),  # private: a direction of diffusion, say
        ("InStackPositionNumber", ""),
        ("ImagePositionPatient", ""),
        ("FrameReferenceDateTime", ""),
        ("EffectiveEchoTime", ""),  # its own values are looked at, and agree
    ],
)
def test_frames_along_a_dimension_that_is_no_place_are_no_volume(
    tmp_path: Path, keyword: Any, code: str
) -> None:
    pointers = ["StackID", keyword]
    tags = [p if isinstance(p, int) else int(tag_for_keyword(p) or 0) for p in pointers]
    path = make_enhanced(
        tmp_path / "a.dcm",
        noise((4, 9, 7)),
        modality="MR",
        extra={"DimensionIndexSequence": [{"DimensionIndexPointer": tag} for tag in tags]},
    )
    assert code_of(path) == code if code else read(path).array.shape == (1, 4, 9, 7)


@pytest.mark.parametrize("pointers", [[b""], [b"\x20"], [], [b"\x20\0\x32\0"] * 3])
def test_malformed_dimensions_harm_nothing(tmp_path: Path, pointers: list[bytes]) -> None:
    path = make_enhanced(
        tmp_path / "a.dcm",
        noise((4, 9, 7)),
        modality="MR",
        extra={"DimensionIndexSequence": [{"DimensionIndexPointer": one} for one in pointers]},
    )
    assert read(path).array.shape == (1, 4, 9, 7)


def test_frames_of_one_place_are_refused(tmp_path: Path) -> None:
    path = make_enhanced(
        tmp_path / "a.dcm", noise((4, 9, 7)), modality="MR", positions=[(0, 0, 0)] * 4
    )
    assert code_of(path) == "duplicate_positions"


def test_multi_frame_object_among_slices_is_refused(tmp_path: Path) -> None:
    enhanced = make_enhanced(tmp_path / "e.dcm", noise((4, 9, 7)), **HU)
    slices = make_series(tmp_path, volume=noise((3, 9, 7)), **HU)
    assert code_of([*slices, enhanced]) == "frames"
    assert code_of([enhanced, *slices]) == "frames"


def test_colours_are_no_volume(tmp_path: Path) -> None:
    paths = [
        make_dicom(tmp_path / f"{k}.dcm", np.full((4, 4, 3), k, np.uint8), photometric="RGB",
                   modality="US", instance=k, position=(0, 0, k), orientation=(1, 0, 0, 0, 1, 0),
                   spacing=(1, 1))
        for k in range(3)
    ]  # fmt: skip
    assert code_of(paths) == "channels"


def test_volume_is_under_the_cap_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_series(tmp_path, volume=noise((6, 9, 7)), **HU)
    monkeypatch.setattr(pixels_module, "PIXEL_CAP", 6 * 9 * 7 - 1)
    assert code_of(paths) == "too_large"


def test_one_file_at_a_time_is_loaded(tmp_path: Path) -> None:
    paths = make_series(tmp_path, 6, **HU)
    loaded = []

    def load(path: Path) -> bytes:
        loaded.append(path)
        return path.read_bytes()

    read_volume([partial(load, path) for path in paths], DicomPixels())
    assert loaded == paths


def test_steps_say_how_the_volume_was_made(tmp_path: Path) -> None:
    steps = read(make_series(tmp_path, 4, **HU)).steps
    assert "volume of 4 slices, sorted by position" in steps
    assert sum("range" in step for step in steps) == 1


def test_real_slices_of_acquisitions_of_three_are_one_volume() -> None:
    folder = Path(str(get_testdata_file("DICOMDIR", download=False))).parent
    paths = sorted((folder / "98892001" / "CT5N").iterdir())
    got = read(paths)
    assert got.array.shape == (1, 5, 16, 16)
    assert got.spacing_mm == pytest.approx((2.5, 0.488281, 0.488281))
    assert got.affine is not None and got.affine[2, 3] == pytest.approx(-1.2375)
    bottom = sitk.ReadImage(str(folder / "98892001" / "CT5N" / "3353"))
    np.testing.assert_array_equal(got.array[0, 0], sitk.GetArrayFromImage(bottom)[0].clip(-1024))
    assert code_of(sorted((folder / "77654033" / "CT2").iterdir())) == "gap"
    assert code_of(sorted((folder / "98892003" / "MR700").iterdir())) == "several_series"


@pytest.mark.data
def test_real_multi_frame_objects(data_root: Path) -> None:
    odd = data_root / "dicom" / "odd"
    assert code_of(odd / "emri_small.dcm") == "no_position"  # its functional groups were cut out
    assert code_of(odd / "eCT_Supplemental.dcm") == "no_range"  # RescaleType US, which is not HU
    blood = read(odd / "eCT_Supplemental.dcm", range=(0, 4095))
    assert blood.array.shape == (1, 2, 512, 512)
    assert blood.spacing_mm == (10, 0.388672, 0.388672)
    # Rows go to the right here, so that row x column points to the feet.
    expected = [[0.388672, 0, 0, -99.5], [0, -0.388672, 0, 301.5], [0, 0, -10, -149], [0, 0, 0, 1]]
    assert blood.affine is not None and blood.affine.tolist() == expected
    for name in ("liver_rle.dcm", "liver_j2k.dcm", "liver_deflate.dcm"):
        liver = read(odd / name)
        assert liver.array.shape == (1, 3, 512, 512)
        assert liver.spacing_mm == (1, 0.810547, 0.810547)
        assert set(np.unique(liver.array)) == {0, 1}
