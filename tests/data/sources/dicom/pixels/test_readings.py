"""Headers and codestreams that can be read in two ways: which one is taken, or the refusal."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pixels.functional import frame_geometry, functional_groups
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.padding import padding_span
from medimg.data.sources.dicom.pixels.read import Stages, read_image, read_stages
from medimg.data.sources.dicom.pixels.stored import stored_values
from medimg.errors import PixelError
from medimg.testing.dicom import make_dicom, make_enhanced

Make = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    def make(array: Any, kind: str = "u2", **options: Any) -> Path:
        return make_dicom(tmp_path / "x.dcm", np.array(array, kind), **options)

    return make


def read(path: Path, frame: str = "", **options: Any) -> Pixels:
    return read_image(path.read_bytes(), frame, DicomPixels(**options))


def stages(path: Path, frame: int | None = None, **options: Any) -> Stages:
    return read_stages(path.read_bytes(), frame, DicomPixels(**options))


def refused(path: Path, frame: str = "", **options: Any) -> str:
    with pytest.raises(PixelError) as caught:
        read(path, frame, **options)
    return caught.value.code


def image(**changes: Any) -> ImagePixel:
    """Return a 16-bit unsigned grey image, or what is asked for."""
    return ImagePixel("PixelData", 1, 4, 1, 1, "MONOCHROME2", 0, 16, 16, 15, False)._replace(
        **changes
    )


def header(**elements: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        many = isinstance(value, list) and value and isinstance(value[0], Dataset)
        setattr(dataset, keyword, Sequence(value) if many else value)
    return dataset


def implicit(tag: int, value: bytes) -> bytes:
    """Return one element in implicit little endian (PS3.5 7.1.3)."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    """Return one short element in explicit little endian (PS3.5 7.1.2)."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def item(*elements: bytes) -> bytes:
    return implicit(0xFFFEE000, b"".join(elements))


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


# --- modality LUT of X-ray angiography: PS3.3 C.8.7.1.1.2, PS3.4 N.2 --------------------------

LUT = {
    "ModalityLUTSequence": [
        {"LUTDescriptor": [4, 0, 16], "LUTData": [0, 9, 90, 900], "ModalityLUTType": "US"}
    ]
}


@pytest.mark.parametrize("number", ["12.1", "12.2", "12.3"])
def test_the_modality_lut_of_angiography_is_no_step_of_display(made: Make, number: str) -> None:
    ids = {"SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{number}"}
    path = made([[0, 1, 2, 3]], bits_stored=12, modality="XA", extra=LUT | ids)
    found = stages(path)
    np.testing.assert_array_equal(found.modality, [[0, 1, 2, 3]])
    assert (found.low, found.high, found.units) == (0, 4095, "stored")
    assert any(step.startswith("modality LUT left out: it leads back") for step in found.steps)
    np.testing.assert_array_equal(stages(path, modality="require").modality, [[0, 9, 90, 900]])


@pytest.mark.parametrize(("relation", "expected"), [("LOG", 3), ("LIN", 900)])
def test_of_other_x_rays_only_that_of_a_logarithm_is_left_out(
    made: Make, relation: str, expected: int
) -> None:
    path = made([[3]], modality="RF", extra=LUT | {"PixelIntensityRelationship": relation})
    assert stages(path).modality[0, 0] == expected


def test_a_table_that_is_left_out_may_be_malformed(made: Make) -> None:
    lut = {"ModalityLUTSequence": [{"LUTDescriptor": [4, 0, 16], "LUTData": [0]}]}
    assert read(made([[3]], modality="XA", extra=lut)).units == "stored"
    assert refused(made([[3]], modality="CR", extra=lut)) == "header"


def test_a_plain_rescale_of_angiography_stays(made: Make) -> None:
    path = made([[3]], modality="XA", slope=2, intercept=1, extra=LUT)
    assert stages(path).modality[0, 0] == 7


# --- sequences whose VR is UN: PS3.5 6.2.2 ---------------------------------------------------

TABLE = (
    implicit(0x00283002, words(4, 0, 16)),
    implicit(0x00283006, words(5, 6, 7, 8)),
)
EXPLICIT_TABLE = (
    explicit(0x00283002, b"US", words(4, 0, 16)),
    explicit(0x00283006, b"US", words(5, 6, 7, 8)),
)


@pytest.mark.parametrize(
    "value",
    [
        item(*TABLE),
        item(*TABLE, implicit(0x00283003, b" " * 70000)),  # LUTExplanation: > 64 KiB
        item(*EXPLICIT_TABLE),
    ],
)
def test_a_sequence_written_as_un_is_read(made: Make, value: bytes) -> None:
    path = made([[0, 1, 2, 3]], modality="CR", extra={"ModalityLUTSequence": ("UN", value)})
    np.testing.assert_array_equal(stages(path).modality, [[5, 6, 7, 8]])


def test_sequences_within_one_written_as_un_are_read(made: Make) -> None:
    rescale = item(implicit(0x00281052, b"-5"), implicit(0x00281053, b"2 "))
    value = item(implicit(0x00289145, rescale))
    extra = {"SharedFunctionalGroupsSequence": ("UN", value)}
    for syntax in ("explicit", "big endian"):
        path = made([[3]], modality="CR", extra=extra, transfer_syntax=syntax)
        assert stages(path).modality[0, 0] == 1
    unbounded = b"\x00\x52\x29\x92UN\0\0"
    data = made([[3]], modality="CR", extra=extra).read_bytes()
    end = data.index(unbounded) + 12 + len(value)
    delimiter = implicit(0xFFFEE0DD, b"")
    data = data[: end - len(value) - 4] + b"\xff" * 4 + value + delimiter + data[end:]
    assert read_stages(data, None, DicomPixels()).modality[0, 0] == 1


@pytest.mark.parametrize("size", [16, 70000])
@pytest.mark.parametrize("vr", ["UN", "SQ", "OB"])
@pytest.mark.parametrize(
    "keyword",
    [
        "ModalityLUTSequence",
        "VOILUTSequence",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    ],
)
def test_a_sequence_that_cannot_be_read_is_not_taken_as_absent(
    made: Make, keyword: str, vr: str, size: int
) -> None:
    path = made([[0, 1]], "u1", modality="CR", extra={keyword: ("OB", b"rubbish " * (size // 8))})
    data = path.read_bytes()
    tag = pydicom.datadict.tag_for_keyword(keyword)
    assert tag is not None
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    data = data.replace(head + b"OB", head + vr.encode())
    with pytest.raises(PixelError) as caught:
        read_image(data, "", DicomPixels())
    assert caught.value.code == "header"


# --- colours are unsigned: PS3.3 C.7.6.3.1.2 -------------------------------------------------


def test_colours_are_unsigned_whatever_the_header_says(made: Make) -> None:
    rgb = [[[255, 128, 0], [127, 1, 200]]]
    pixels = read(made(rgb, "u1", modality="US", photometric="RGB", signed=True))
    np.testing.assert_array_equal(np.moveaxis(pixels.array, 0, -1), rgb)
    assert "colours read as unsigned, which PixelRepresentation denies" in pixels.steps


def test_white_in_ybr_is_white_whatever_the_header_says(made: Make) -> None:
    ybr = [[[255, 128, 128], [0, 128, 128]]]
    pixels = read(made(ybr, "u1", modality="US", photometric="YBR_FULL", signed=True))
    np.testing.assert_array_equal(pixels.array[:, 0], [[255, 0]] * 3)


@pytest.mark.parametrize("coding", ["JPEG 2000", "RLE", "JPEG-LS"])
def test_coded_colours_are_unsigned_too(made: Make, coding: str) -> None:
    rgb = [[[255, 128, 0], [127, 1, 200]] * 32] * 64
    data = made(rgb, "u1", modality="US", photometric="RGB", transfer_syntax=coding).read_bytes()
    head = struct.pack("<HH2sH", 0x0028, 0x0103, b"US", 2)  # PixelRepresentation
    assert data.count(head + words(0)) == 1
    data = data.replace(head + words(0), head + words(1))
    found = read_image(data, "", DicomPixels()).array
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1), rgb)


def palette_of(first: int, entries: list[int]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for channel in ("Red", "Green", "Blue"):
        name = f"{channel}PaletteColorLookupTable"
        extra[f"{name}Descriptor"] = ("US", [len(entries), first, 16])
        extra[f"{name}Data"] = entries
    return extra


def test_indices_of_a_palette_are_unsigned_unless_it_starts_below_zero(made: Make) -> None:
    options: dict[str, Any] = {"modality": "US", "photometric": "PALETTE COLOR", "signed": True}
    ramp = [257 * k for k in range(256)]
    path = made([[255, 128, 1]], "u1", extra=palette_of(0, ramp), **options)
    np.testing.assert_array_equal(read(path).array[0], [[65535, 128 * 257, 257]])
    below = made([[254, 255, 0, 1]], "u1", extra=palette_of(65534, [1, 2, 3, 4]), **options)
    np.testing.assert_array_equal(read(below).array[0], [[1, 2, 3, 4]])


# --- percentiles that coincide ---------------------------------------------------------------


def test_percentiles_that_coincide_give_way_to_the_lowest_and_highest_pixel(made: Make) -> None:
    array = np.full((40, 40), 100)
    array[0, 0], array[0, 1] = 40, 700  # two of 1600 pixels: both percentiles are 100
    pixels = read(made(array, modality="MR", bits_stored=12))
    assert (pixels.low, pixels.high) == (40, 700)
    assert pixels.steps[-1] == (
        "range from the lowest and highest pixel, since the percentiles 0.5 and 99.5 coincide: "
        "[40, 700] stored"
    )
    hot = np.zeros((40, 40))
    hot[3, 3] = 900
    assert read(made(hot, modality="NM", bits_stored=12)).high == 900


def test_a_pixel_of_padding_does_not_widen_them(made: Make) -> None:
    array = np.full((40, 40), 100)
    array[0, 0], array[0, 1] = 4000, 700
    pixels = read(made(array, modality="MR", bits_stored=12, padding=4000))
    assert (pixels.low, pixels.high) == (100, 700)


# --- functional groups: PS3.3 C.7.6.16.1.1 ---------------------------------------------------

RESCALE: dict[str | int, Any] = {
    "PixelValueTransformationSequence": [{"RescaleSlope": 1, "RescaleIntercept": -1000}]
}
WINDOW: dict[str | int, Any] = {"FrameVOILUTSequence": [{"WindowCenter": 5, "WindowWidth": 7}]}


def enhanced(folder: Path, groups: list[dict[str | int, Any]], **options: Any) -> Path:
    return make_enhanced(
        folder / "x", np.full((2, 1, 2), 7, np.uint16), frame_groups=groups, **options
    )


@pytest.mark.parametrize("frame", ["0", "1"])
def test_a_rescale_that_some_frames_have_is_needed_by_all(tmp_path: Path, frame: str) -> None:
    path = enhanced(tmp_path, [RESCALE, {}])
    if frame == "0":
        assert read(path, frame).units == "HU"
    else:
        assert refused(path, frame) == "header"
        assert refused(path, frame, range=(0, 1)) == "header"


def test_a_frame_without_its_own_rescale_has_the_shared_one(tmp_path: Path) -> None:
    path = enhanced(tmp_path, [RESCALE, {}], shared_groups=RESCALE)
    assert stages(path, 1).modality[0, 0] == -993


def test_a_window_that_some_frames_have_is_needed_by_all(tmp_path: Path) -> None:
    path = enhanced(tmp_path, [WINDOW, {}], modality="MR")
    assert read(path, "0", voi="require").units == "window"
    assert refused(path, "1", voi="require") == "header"
    assert refused(path, "1", voi="if-present") == "header"
    assert read(path, "1").units == "stored"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("frame", ["0", "1"])
def test_there_are_as_many_groups_as_frames(tmp_path: Path, count: int, frame: str) -> None:
    extra = {"PerFrameFunctionalGroupsSequence": [RESCALE] * count}
    assert refused(enhanced(tmp_path, [{}, {}], extra=extra), frame) == "header"


def test_a_frame_without_its_own_place_has_none() -> None:
    place = header(PlanePositionSequence=[header(ImagePositionPatient=[0, 0, 1])])
    dataset = header(
        PerFrameFunctionalGroupsSequence=[place, header(StackID="1")],
        ImagePositionPatient=[9, 9, 9],
    )
    groups = functional_groups(dataset, 2)
    assert frame_geometry(dataset, groups, 0).position == (0, 0, 1)
    assert frame_geometry(dataset, groups, 1).position is None


# --- codestreams of more or fewer bits than are stored: PS3.5 8.2 ----------------------------


def test_lossy_words_that_fit_the_stored_bits_have_their_sign_there() -> None:
    twelve = image(bits=12, high_bit=11, signed=True)
    array = np.array([0x0FFF, 0x0800, 0x07FF], np.uint16)  # two's complement of twelve bits
    found = stored_values(array, twelve, 16, lossy=True)
    np.testing.assert_array_equal(found, [-1, -2048, 2047])


def test_lossy_words_of_a_signed_stream_have_it_at_its_own_top() -> None:
    """2048 is an overshoot there: -2048 would be 0xF800."""
    twelve = image(bits=12, high_bit=11, signed=True)
    array = np.array([0x0800, 0x07FF, 0], np.uint16)
    found = stored_values(array, twelve, 16, lossy=True, stream_signed=True)
    np.testing.assert_array_equal(found, [2047, 2047, 0])


def test_an_unsigned_stream_of_fewer_bits_has_no_sign() -> None:
    """Twelve bits extended to sixteen: 2048 is 0x0800, whose bit 15 is 0."""
    sixteen = image(signed=True)
    array = np.array([2048, 4095, 0], np.uint16)
    np.testing.assert_array_equal(stored_values(array, sixteen, 12), [2048, 4095, 0])
    signed = stored_values(array, sixteen, 12, stream_signed=True)
    np.testing.assert_array_equal(signed, [-2048, -1, 0])


@pytest.mark.parametrize("signed", [0, 1])
def test_the_range_is_that_of_the_bits_that_were_coded(made: Make, signed: int) -> None:
    array = np.arange(256).reshape(16, 16)
    path = made(array, "u1", modality="CR", transfer_syntax="JPEG-LS")
    data = bytearray(path.read_bytes())
    for keyword, value in (
        ("BitsAllocated", 16),
        ("BitsStored", 12),
        ("HighBit", 11),
        ("PixelRepresentation", signed),
    ):
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert tag is not None
        place = data.find(struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"US", 2))
        data[place + 8 : place + 10] = words(value)
    pixels = read_image(bytes(data), "", DicomPixels())
    np.testing.assert_array_equal(pixels.array[0], array)
    assert (pixels.low, pixels.high) == (0, 255)
    assert "the codestream has 8 bits where BitsStored is 12" in pixels.steps


# --- floats that are no numbers --------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ({}, {"range": (0, 1)}),
        ({"WindowCenter": 1, "WindowWidth": 2}, {"voi": "require"}),
        (
            {"VOILUTSequence": [{"LUTDescriptor": [2, 0, 8], "LUTData": [0, 255]}]},
            {"voi": "require"},
        ),
    ],
)
def test_nothing_turns_nan_and_infinity_into_greys(
    made: Make, bad: float, extra: dict[str, Any], options: dict[str, Any]
) -> None:
    path = made([[0.5, bad]], "f4", modality="OT", extra=extra)
    assert refused(path, **options) == "not_finite"


def test_infinity_as_padding_is_masked(made: Make) -> None:
    limits = {"FloatPixelPaddingValue": 1e9, "FloatPixelPaddingRangeLimit": 3e38}
    path = made([[0.5, 2e9, 3e38]], "f4", modality="OT", extra=limits)
    pixels = read(path, range=(0, 1))
    assert pixels.valid is not None
    np.testing.assert_array_equal(pixels.valid, [[True, False, False]])


# --- first mapped values above 32767: PS3.3 C.11.2.1.1 ---------------------------------------


def voi_lut(first: int) -> dict[str, Any]:
    table = {"LUTDescriptor": ("US", [3, first, 8]), "LUTData": [0, 51, 255]}
    return {"VOILUTSequence": [table]}


def test_a_table_that_starts_high_is_unsigned_where_its_input_reaches_there(made: Make) -> None:
    """40000 is -25536 as SS; inputs are -1024 to 64511, which has 40001 alone."""
    path = made(
        [[40999, 41024, 41025, 41026]],
        modality="CR",
        slope=1,
        intercept=-1024,
        extra=voi_lut(40000),
    )
    np.testing.assert_array_equal(read(path).array[0], [[0, 0, 51, 255]])


def test_a_table_that_starts_below_zero_is_signed_where_its_input_is(made: Make) -> None:
    """64512 is -1024 as SS; inputs are -1024 to 3071."""
    path = made(
        [[0, 1, 2]], modality="CR", bits_stored=12, slope=1, intercept=-1024, extra=voi_lut(64512)
    )
    np.testing.assert_array_equal(read(path).array[0], [[0, 51, 255]])


def test_of_two_lawful_readings_that_of_the_standard_counts(made: Make) -> None:
    """64500 and -1036 both lie in -2000 to 63535... and beyond: signed, as the input may be."""
    path = made([[964, 965, 966]], modality="CR", slope=1, intercept=-2000, extra=voi_lut(63000))
    # -2536 as SS lies below the input, 63000 within: unsigned
    np.testing.assert_array_equal(read(path).array[0], [[0, 0, 0]])
    both = made([[964, 965, 966]], modality="CR", slope=1, intercept=-2000, extra=voi_lut(64500))
    # 64500 lies above 63535, -1036 within: signed
    np.testing.assert_array_equal(read(both).array[0], [[0, 51, 255]])


# --- padding that is not extended: PS3.3 C.7.5.1.1.2 ------------------------------------------


@pytest.mark.parametrize(
    ("value", "bits", "expected"),
    [
        (0x0800, 12, -2048),
        (0xF800, 12, -2048),
        (0x07FF, 12, 2047),
        (0x0FFF, 12, -1),
        (0x80, 8, -128),
        (0xFF80, 8, -128),
    ],
)
def test_padding_has_its_sign_where_the_stored_value_has_it(
    value: int, bits: int, expected: int
) -> None:
    pixel = image(bits=bits, high_bit=bits - 1, signed=True)
    assert padding_span(header(PixelPaddingValue=value), pixel) == (expected, expected)


def test_padding_that_no_pixel_can_have_is_said_to_be(made: Make) -> None:
    for array, kind, value in (([[0, 2096]], "u2", 63536), ([[0, -1]], "i2", 0x1800)):
        path = made(
            array, kind, modality="CR", bits_stored=12, extra={"PixelPaddingValue": ("US", value)}
        )
        pixels = read(path)
        assert pixels.valid is None
        assert any(
            step.startswith("padding ") and "no stored value" in step for step in pixels.steps
        )


# --- ranges in units -------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["OD", "GML", "HU", "HU_MOD"])
def test_values_in_units_need_a_range_that_all_files_share(made: Make, unit: str) -> None:
    path = made(
        [[0, 1]], modality="OT", bits_stored=12, slope=2, intercept=0, extra={"RescaleType": unit}
    )
    assert refused(path) == "no_range"
    assert read(path, range=(0, 9)).units == unit
    assert read(path, modality="never").high == 4095


@pytest.mark.parametrize("unit", ["US", None])
def test_values_in_no_units_have_that_of_their_bits(made: Make, unit: str | None) -> None:
    path = made(
        [[0, 1]], modality="OT", bits_stored=12, slope=2, intercept=0, extra={"RescaleType": unit}
    )
    assert read(path).high == 8190


def test_a_table_of_optical_densities_and_a_dose_need_one_too(made: Make) -> None:
    lut = {"LUTDescriptor": [2, 0, 16], "LUTData": [0, 9], "ModalityLUTType": "OD"}
    assert (
        refused(made([[0, 1]], modality="CR", extra={"ModalityLUTSequence": [lut]})) == "no_range"
    )
    dose = {"DoseGridScaling": 0.5, "DoseUnits": "GY"}
    assert refused(made([[0, 1]], modality="RTDOSE", extra=dose)) == "no_range"


def test_values_in_units_go_through_their_window_all_the_same(made: Make) -> None:
    path = made(
        [[0, 1]], modality="OT", slope=2, intercept=0, window=(1, 3), extra={"RescaleType": "OD"}
    )
    assert read(path).units == "window"


@pytest.mark.parametrize("unit", ["US", "HU_MOD", "MGML"])
def test_ct_in_other_units_than_hu_has_no_range(made: Make, unit: str) -> None:
    path = made([[0, 1]], slope=1, intercept=0, window=(1, 3), extra={"RescaleType": unit})
    assert refused(path) == "no_range"
    assert read(path, range=(0, 9)).high == 9


@pytest.mark.parametrize("number", ["2", "2.1", "2.2"])
def test_ct_is_known_by_its_class_where_modality_is_blank(made: Make, number: str) -> None:
    ids = {"SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{number}", "Modality": ""}
    path = made([[0, 1024]], slope=1, intercept=-1024, window=(40, 80), extra=ids)
    pixels = read(path)
    assert (pixels.low, pixels.high, pixels.units) == (-1024, 3071, "HU")
    bare = {"RescaleType": None}
    unnamed = made([[0, 1024]], slope=1, intercept=-1024, window=(40, 80), extra=ids | bare)
    assert (read(unnamed).low, read(unnamed).units) == (-1024, "HU")
    assert refused(made([[0, 1]], window=(40, 80), extra=ids)) == "no_modality"


def test_mr_is_known_by_its_class_where_modality_is_blank(made: Make) -> None:
    array = np.arange(1001).reshape(7, 143)
    pixels = read(made(array, modality="MR", window=(1, 2), extra={"Modality": ""}))
    assert pixels.high == pytest.approx(995)


# --- what has no meaning is said -------------------------------------------------------------


def test_a_range_declared_for_colours_is_said_to_mean_nothing(made: Make) -> None:
    path = made([[[255, 128, 0]]], "u1", modality="US", photometric="RGB")
    pixels = read(path, range=(0, 9))
    assert (pixels.low, pixels.high) == (0, 255)
    assert "the declared range has no meaning for colours" in pixels.steps


def test_pixels_that_are_not_square_are_said_to_be(made: Make) -> None:
    step = "PixelAspectRatio is 2:1: pixels that are not square, left as they are"
    assert step in read(made([[0, 1]], modality="US", extra={"PixelAspectRatio": [2, 1]})).steps
    for extra, spacing in (
        ({"PixelAspectRatio": [3, 3]}, None),
        ({"PixelAspectRatio": [2, 1]}, (2, 1)),
    ):
        pixels = read(made([[0, 1]], modality="US", spacing=spacing, extra=extra))
        assert not any("PixelAspectRatio" in one for one in pixels.steps)


# --- planes of a dose: PS3.3 C.8.8.3.2 -------------------------------------------------------


@pytest.mark.parametrize("turn", [1, -1])
def test_offsets_that_begin_at_the_position_are_positions(turn: int) -> None:
    """Form (b): the first is the third value of ImagePositionPatient, all are z."""
    dataset = header(
        ImagePositionPatient=[1, 2, 30],
        ImageOrientationPatient=[turn, 0, 0, 0, turn, 0],
        GridFrameOffsetVector=[30, 32.5],
    )
    groups = functional_groups(dataset, 2)
    assert frame_geometry(dataset, groups, 0).position == (1, 2, 30)
    assert frame_geometry(dataset, groups, 1).position == (1, 2, 32.5)


@pytest.mark.parametrize(
    ("offsets", "orientation"),
    [([31, 33.5], [1, 0, 0, 0, 1, 0]), ([30, 32.5], [1, 0, 0, 0, 0, 1])],
)
def test_offsets_of_neither_form_place_nothing(offsets: Any, orientation: Any) -> None:
    dataset = header(
        ImagePositionPatient=[1, 2, 30],
        ImageOrientationPatient=orientation,
        GridFrameOffsetVector=offsets,
    )
    assert frame_geometry(dataset, functional_groups(dataset, 2), 1).position is None


def test_arrays_are_never_read_with_the_sign_of_another_frame() -> None:
    """Unused bits of native words stay unused whatever they hold (PS3.5 8.1.1)."""
    found: NDArray[Any] = stored_values(
        np.array([0xF7FF, 0x1800], np.uint16), image(bits=12, high_bit=11, signed=True), 16
    )
    np.testing.assert_array_equal(found, [2047, -2048])
