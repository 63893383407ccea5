"""The stages in order, on made files whose numbers are known and on real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pixels.read import read_frames, read_image, read_stages
from medimg.errors import PixelError
from medimg.testing.dicom import make_dicom, make_enhanced

STORED = np.array([[0, 1000, 1024], [2000, 3000, 4095]], np.uint16)
LOSSLESS = ("RLE", "JPLL", "JLSL", "J2KR")


def read(path: Path, frame: str = "", **options: Any) -> Pixels:
    return read_image(path.read_bytes(), frame, DicomPixels(**options))


def refused(path: Path, frame: str = "", **options: Any) -> str:
    with pytest.raises(PixelError) as caught:
        read(path, frame, **options)
    return caught.value.code


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    def make(array: NDArray[Any] = STORED, **options: Any) -> Path:
        return make_dicom(tmp_path / "x.dcm", array, **options)

    return make


# --- ranges ---------------------------------------------------------------------------------


def test_ct_has_a_fixed_range_in_hu_whatever_its_window(made: Callable[..., Path]) -> None:
    path = made(slope=1, intercept=-1024, window=(40, 80), spacing=(0.5, 0.25))
    pixels = read(path)
    np.testing.assert_array_equal(pixels.array, [[[-1024, -24, 0], [976, 1976, 3071]]])
    assert pixels.array.dtype == np.float32
    assert (pixels.low, pixels.high, pixels.units) == (-1024, 3071, "HU")
    assert pixels.spacing_mm == (0.5, 0.25)
    assert pixels.valid is None
    assert pixels.steps == (
        "read as it stands (Explicit VR Little Endian)",
        "rescale slope 1, intercept -1024 (HU)",
        "range of CT by default: [-1024, 3071] HU",
    )


def test_a_picture_raised_by_100_hu_comes_out_different(made: Callable[..., Path]) -> None:
    low = read(made(slope=1, intercept=-1024)).array
    high = read(made(slope=1, intercept=-924)).array
    np.testing.assert_array_equal(high[0, 0], low[0, 0] + 100)


def test_a_declared_range_clips_in_units_of_the_modality(made: Callable[..., Path]) -> None:
    pixels = read(made(slope=1, intercept=-1024), range=(-160, 240))
    np.testing.assert_array_equal(pixels.array, [[[-160, -24, 0], [240, 240, 240]]])
    assert pixels.steps[-1] == "range declared: [-160, 240] HU"


def test_ct_without_its_rescale_is_refused_until_that_is_said_to_be_right(
    made: Callable[..., Path],
) -> None:
    path = made()
    assert refused(path) == "no_modality"
    never = read(path, modality="never")
    assert (never.low, never.high, never.units) == (0, 65535, "stored")
    assert read(path, range=(0, 4095)).high == 4095


def test_mr_spans_percentiles_of_its_valid_pixels(made: Callable[..., Path]) -> None:
    array = np.arange(1001, dtype=np.uint16).reshape(7, 143)
    pixels = read(made(array, modality="MR", window=(1, 2)), percentiles=(10, 90))
    assert (pixels.low, pixels.high) == (100, 900)
    assert (pixels.array.min(), pixels.array.max()) == (100, 900)
    half = read(made(array, modality="MR", padding=0, padding_limit=500), percentiles=(0, 100))
    assert (half.low, half.high) == (501, 1000)


def test_a_constant_mr_gets_the_range_of_its_bits(made: Callable[..., Path]) -> None:
    pixels = read(made(np.full((4, 4), 7, np.uint16), modality="MR", bits_stored=12))
    assert (pixels.low, pixels.high) == (0, 4095)


def test_others_span_what_their_bits_can_mean(made: Callable[..., Path]) -> None:
    pixels = read(made(modality="CR", bits_stored=12, slope=0.5, intercept=10))
    assert (pixels.low, pixels.high) == (10, 2057.5)
    assert read(made(modality="CR", bits_stored=12), voi="if-present").high == 4095


def test_wide_integers_and_floats_need_a_range(made: Callable[..., Path]) -> None:
    for array in (STORED.astype(np.uint32), STORED.astype(np.float32)):
        path = made(array, modality="OT")
        assert refused(path) == "no_range"
        np.testing.assert_array_equal(read(path, range=(0, 4095)).array[0], STORED)


def test_nan_is_refused(made: Callable[..., Path]) -> None:
    array = np.array([[0, np.nan]], np.float32)
    assert refused(made(array, modality="OT"), range=(0, 1)) == "not_finite"


# --- VOI and polarity -----------------------------------------------------------------------


def test_projection_radiographs_take_their_window(made: Callable[..., Path]) -> None:
    pixels = read(made(modality="DX", bits_stored=12, window=[(2048, 4096), (1, 2)]))
    np.testing.assert_allclose(pixels.array[0, 0], [0, 1000 / 4095, 1024 / 4095], atol=1e-7)
    assert (pixels.low, pixels.high, pixels.units) == (0, 1, "window")
    assert "window 2048/4096 LINEAR, first of 2" in pixels.steps
    assert read(made(modality="DX", window=(2048, 4096)), voi="never").units == "stored"


def test_ct_takes_its_window_where_that_is_asked_for(made: Callable[..., Path]) -> None:
    path = made(slope=1, intercept=-1024, window=(0, 2001))
    pixels = read(path, voi="require")
    np.testing.assert_allclose(pixels.array[0, 0, 1:], [(-24 + 0.5) / 2000 + 0.5, 0.50025])
    assert refused(made(slope=1, intercept=0), voi="require") == "no_voi"


def test_monochrome1_is_the_same_picture_as_its_twin(made: Callable[..., Path]) -> None:
    bright = read(made(modality="DX", bits_stored=12, window=(2048, 4096)))
    dark = read(
        made(
            np.uint16(4095) - STORED,
            modality="DX",
            bits_stored=12,
            photometric="MONOCHROME1",
            window=(2048, 4096),
            extra={"PresentationLUTShape": "INVERSE"},
        )
    )
    np.testing.assert_allclose(dark.array, bright.array, atol=1e-6)
    assert dark.steps[-1] == "inverted (MONOCHROME1, INVERSE)"


def test_padding_is_masked_and_lowest_after_the_inversion(made: Callable[..., Path]) -> None:
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        pixels = read(made(modality="DX", bits_stored=12, photometric=photometric, padding=4095))
        assert pixels.valid is not None
        np.testing.assert_array_equal(pixels.valid, STORED != 4095)
        assert pixels.array[0, 1, 2] == pixels.low == 0


def test_padding_is_found_on_stored_values_before_the_rescale(made: Callable[..., Path]) -> None:
    array = np.array([[-2000, -1000, 0]], np.int16)
    pixels = read(made(array, slope=1, intercept=0, extra={"PixelPaddingValue": ("US", 63536)}))
    assert pixels.valid is not None
    np.testing.assert_array_equal(pixels.valid, [[False, True, True]])
    np.testing.assert_array_equal(pixels.array, [[[-1024, -1000, 0]]])
    assert "padding -2000 masked" in pixels.steps


# --- colours --------------------------------------------------------------------------------


def test_colours_keep_their_range_and_need_no_transform(made: Callable[..., Path]) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    path = made(array, modality="US", photometric="RGB", window=(1, 2))
    pixels = read(path)
    np.testing.assert_array_equal(pixels.array, np.moveaxis(array, -1, 0))
    assert (pixels.low, pixels.high, pixels.units) == (0, 255, "RGB")
    for use, code in (("modality", "no_modality"), ("voi", "no_voi"), ("polarity", "no_polarity")):
        assert refused(path, **{use: "require"}) == code


def test_a_supplemental_palette_leaves_the_greys(made: Callable[..., Path]) -> None:
    extra: dict[str, Any] = {"PixelPresentation": "COLOR"}
    for channel in ("Red", "Green", "Blue"):
        extra[f"{channel}PaletteColorLookupTableDescriptor"] = ("US", [4, 0, 16])
        extra[f"{channel}PaletteColorLookupTableData"] = ("OW", bytes(8))
    pixels = read(made(slope=1, intercept=-1024, extra=extra))
    assert pixels.array.shape == (1, 2, 3)
    assert any("supplemental palette" in step for step in pixels.steps)


# --- frames ---------------------------------------------------------------------------------


def test_one_of_several_frames_has_to_be_named(tmp_path: Path) -> None:
    array = np.stack([STORED, STORED + 1, STORED + 2])
    path = make_enhanced(
        tmp_path / "x",
        array,
        slopes=[1, 2, 3],
        intercepts=[0, 0, -5],
        spacing=(2, 3),
    )
    assert refused(path) == "frames"
    assert refused(path, "3") == "not_found"
    assert refused(path, "-1") == "frames"
    for frame, (slope, intercept) in enumerate([(1, 0), (2, 0), (3, -5)]):
        pixels = read(path, str(frame), range=(0, 20000))
        np.testing.assert_array_equal(pixels.array[0], array[frame] * float(slope) + intercept)
        assert pixels.spacing_mm == (2, 3)


def test_all_frames_come_with_their_units_and_places(tmp_path: Path) -> None:
    array = np.stack([STORED, STORED + 1])
    path = make_enhanced(
        tmp_path / "x", array, positions=[(0, 0, 5), (0, 0, 8)], slopes=[1, 2], intercepts=[0, 0]
    )
    frames = read_frames(path.read_bytes(), DicomPixels())
    np.testing.assert_array_equal(frames.stored, array)
    np.testing.assert_array_equal(frames.values[1], 2.0 * array[1])
    assert [g.position for g in frames.geometry] == [(0, 0, 5), (0, 0, 8)]
    assert [t.units for t in frames.transforms] == ["HU", "HU"]
    assert frames.valid is None


def test_stages_show_every_array_on_the_way(made: Callable[..., Path]) -> None:
    path = made(slope=2, intercept=-1024, padding=0)
    stages = read_stages(path.read_bytes(), None, DicomPixels())
    np.testing.assert_array_equal(stages.stored, STORED)
    assert stages.valid is not None
    np.testing.assert_array_equal(stages.valid, STORED != 0)
    np.testing.assert_array_equal(stages.modality, 2.0 * STORED - 1024)
    np.testing.assert_array_equal(stages.output, np.clip(2.0 * STORED - 1024, -1024, 3071))
    assert stages.units == stages.output_units == "HU"


# --- refusals by name -----------------------------------------------------------------------


def test_raw_detector_values_and_whole_slides_are_taken_on_request_alone(
    made: Callable[..., Path],
) -> None:
    raw = made(modality="DX", extra={"PresentationIntentType": "FOR PROCESSING"})
    assert refused(raw) == "for_processing"
    assert read(raw, for_processing=True).units == "stored"
    by_class = made(modality="DX", extra={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1"})
    assert refused(by_class) == "for_processing"
    slide = made(np.zeros((2, 2, 3), np.uint8), modality="SM", photometric="RGB")
    assert refused(slide) == "whole_slide"
    assert read(slide, whole_slide=True).units == "RGB"


def test_the_detectors_spacing_is_not_the_patients(made: Callable[..., Path]) -> None:
    pixels = read(made(modality="DX", extra={"ImagerPixelSpacing": [0.1, 0.1]}))
    assert pixels.spacing_mm is None
    assert "ImagerPixelSpacing is the detector's: no spacing" in pixels.steps


@pytest.mark.parametrize(
    ("keyword", "value", "codes"),
    [
        ("NumberOfFrames", "1e9", {"header"}),
        ("NumberOfFrames", "1A", {"header"}),
        ("NumberOfFrames", "-1", {"header"}),
        ("NumberOfFrames", "0", {"header"}),
        ("NumberOfFrames", "1000000000", {"frames"}),
        ("Rows", 0, {"header"}),
        ("Rows", 65535, {"corrupt"}),
        ("Columns", None, {"header"}),
        ("BitsStored", 17, {"header"}),
        ("BitsStored", 0, {"header"}),
        ("HighBit", 16, {"header"}),
        ("HighBit", 3, {"header"}),
        ("BitsAllocated", 7, {"header"}),
        ("BitsAllocated", 12, {"unsupported"}),
        ("PixelRepresentation", 2, {"header"}),
        ("SamplesPerPixel", 3, {"header"}),
        ("PhotometricInterpretation", "Doe^John", {"header"}),
        ("PhotometricInterpretation", "HSV", {"unsupported"}),
        ("RescaleSlope", "0", {"header"}),
        ("RescaleSlope", "", {"header"}),
        ("RescaleSlope", "NaN", {"header"}),
        ("RescaleSlope", "1O24", {"header"}),
        ("RescaleSlope", "1e400", {"header"}),
        ("PixelPaddingValue", ("LO", "Doe^John"), {"header"}),
        ("PixelData", None, {"corrupt"}),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(
    made: Callable[..., Path], keyword: str, value: Any, codes: set[str]
) -> None:
    path = made(slope=1, intercept=-1024, extra={keyword: value})
    with pytest.raises(PixelError) as caught:
        read(path)
    assert caught.value.code in codes
    for secret in ("Doe", "x.dcm", "P0001", "1O24"):
        assert secret not in str(caught.value)


def test_what_has_no_pixels_is_said_to_be_no_image(tmp_path: Path) -> None:
    from medimg.testing.dicom import write_dicom

    path = write_dicom(tmp_path / "x", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"})
    assert refused(path) == "no_image"


def test_more_pixels_than_the_cap_are_refused_before_they_are_looked_for(
    made: Callable[..., Path],
) -> None:
    path = made(extra={"Rows": 65535, "Columns": 65535})
    assert refused(path, range=(0, 1)) == "too_large"


@pytest.mark.parametrize("syntax", ["explicit", "RLE", "JPEG-LS", "JPEG 2000", "deflated"])
def test_a_truncated_file_gives_the_same_pixels_or_a_code(
    made: Callable[..., Path], syntax: str
) -> None:
    array = np.random.default_rng(0).integers(0, 4096, (40, 40), dtype=np.uint16)
    data = made(array, slope=1, intercept=-1024, transfer_syntax=syntax).read_bytes()
    outcomes = set()
    for percent in range(100):
        try:
            found = read_image(data[: len(data) * percent // 100], "", DicomPixels())
        except PixelError as error:
            outcomes.add(error.code)
        else:
            np.testing.assert_array_equal(found.array[0], np.clip(array - 1024.0, -1024, 3071))
    assert outcomes <= {"corrupt", "unknown_format", "no_image"}


# --- real files -----------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["CT1", "MR1", "MR3", "NM1", "RG2", "US1", "VL6", "XA1"])
def test_lossless_nema_files_equal_their_reference_bit_for_bit(data_root: Path, name: str) -> None:
    folder = data_root / "dicom" / "wg04"
    options = DicomPixels(modality="never")
    reference = read_frames((folder / f"{name}_UNC").read_bytes(), options)
    compared = 0
    for coding in (*LOSSLESS, "JLSN"):
        path = folder / f"{name}_{coding}"
        if not path.exists():
            continue
        found = read_frames(path.read_bytes(), options).stored
        apart = np.abs(found.astype(np.int64) - reference.stored.astype(np.int64)).max()
        assert apart <= (4 if coding == "JLSN" else 0), coding
        compared += 1
    assert compared >= 2


@pytest.mark.data
def test_all_of_ct_contrast_lies_in_the_range_and_its_padding_is_masked(data_root: Path) -> None:
    paths = sorted((data_root / "ct_contrast" / "dicom_dir").iterdir())
    padded = 0
    for path in paths:
        pixels = read(path)
        assert (pixels.low, pixels.high, pixels.units) == (-1024, 3071, "HU")
        assert pixels.array.shape == (1, 512, 512)
        assert pixels.array.min() >= -1024
        assert pixels.array.max() <= 3071
        if any("padding -2000 masked" in step for step in pixels.steps):
            padded += 1
            assert pixels.valid is not None
            assert not pixels.valid.all()
            assert (pixels.array[0][~pixels.valid] == -1024).all()
    assert len(paths) == 100
    assert padded > 0


@pytest.mark.data
def test_values_are_signed_where_header_or_codestream_says_so(data_root: Path) -> None:
    """One slice, written twice: the sign stands in the header alone, or in JPEG 2000 alone."""
    stored = [
        read_frames((data_root / "dicom" / "odd" / name).read_bytes(), DicomPixels()).stored
        for name in ("TOSHIBA_J2K_SIZ0_PixRep1.dcm", "TOSHIBA_J2K_SIZ1_PixRep0.dcm")
    ]
    np.testing.assert_array_equal(stored[0], stored[1])
    assert (int(stored[0].min()), int(stored[0].max())) == (-2048, 1717)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_one_picture_in_every_coding_of_pydicoms_files(name: str) -> None:
    def stored(file: str) -> NDArray[Any]:
        path = get_testdata_file(file)
        assert isinstance(path, str)
        return read_frames(Path(path).read_bytes(), DicomPixels()).stored

    np.testing.assert_array_equal(stored(name), stored("MR_small_expb.dcm"))
