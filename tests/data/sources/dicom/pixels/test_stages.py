"""Each stage by itself, with values worked out by hand from its clause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimg.data.sources.dicom.pixels.colour import through_palette, to_rgb
from medimg.data.sources.dicom.pixels.functional import frame_geometry, functional_groups
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.lut import Lut, look_up, read_lut
from medimg.data.sources.dicom.pixels.modality import modality_transform
from medimg.data.sources.dicom.pixels.padding import padding_span, valid_pixels
from medimg.data.sources.dicom.pixels.polarity import inversion, inverted
from medimg.data.sources.dicom.pixels.stored import stored_range, stored_values
from medimg.data.sources.dicom.pixels.transform import (
    Linear,
    Transform,
    apply_modality,
    nominal_range,
    with_meaning,
)
from medimg.data.sources.dicom.pixels.voi import Window, apply_voi, voi_transform, windowed
from medimg.errors import PixelError


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


def words(*values: int, kind: str = "u2") -> np.ndarray[Any, Any]:
    return np.array(values, kind)


def transform_of(
    dataset: Dataset, pixel: ImagePixel | None = None, use: Any = "if-present"
) -> Transform:
    pixel = pixel or image()
    groups = functional_groups(dataset, pixel.frames)
    return modality_transform(dataset, groups, 0, pixel, little=True, use=use)


def refusal(call: Any) -> PixelError:
    with pytest.raises(PixelError) as caught:
        call()
    return caught.value


# --- stored values: PS3.5 8.1.1 -------------------------------------------------------------


def test_bits_beside_the_stored_value_never_leak() -> None:
    twelve = image(bits=12, high_bit=11)
    np.testing.assert_array_equal(stored_values(words(0xF123, 0x0FFF), twelve, 16), [0x123, 0xFFF])
    shifted = image(bits=12, high_bit=15)  # the value stands in the upper twelve bits
    np.testing.assert_array_equal(stored_values(words(0x1237, 0xFFF0), shifted, 16), [0x123, 0xFFF])


def test_the_highest_stored_bit_is_the_sign() -> None:
    twelve = image(bits=12, high_bit=11, signed=True)
    found = stored_values(words(0x0FFF, 0x0800, 0x07FF, 0x5830), twelve, 16)
    np.testing.assert_array_equal(found, [-1, -2048, 2047, -2000])
    assert found.dtype == np.int16
    shifted = image(bits=12, high_bit=13, signed=True)
    np.testing.assert_array_equal(stored_values(words(0xC000 | 0x0830 << 2), shifted, 16), [-2000])
    five = image(allocated=8, bits=5, high_bit=4, signed=True)
    np.testing.assert_array_equal(stored_values(words(0b00011001, kind="u1"), five, 8), [-7])


def test_whole_words_are_taken_as_they_are_without_a_copy() -> None:
    array = words(0, 65535, 63536)
    assert stored_values(array, image(), 16) is array
    np.testing.assert_array_equal(stored_values(array, image(signed=True), 16), [0, -1, -2000])


def test_a_codestream_of_the_stored_bits_alone_is_not_shifted() -> None:
    """HighBit speaks of the cell; a codestream of 12 bits has no cell (PS3.5 8.2)."""
    high = image(bits=12, high_bit=15, signed=True)
    np.testing.assert_array_equal(stored_values(words(0x0830, 0x07FF), high, 12), [-2000, 2047])


@pytest.mark.parametrize("precision", [13, 16])
def test_a_stream_unsigned_under_a_signed_header_holds_twos_complement(precision: int) -> None:
    thirteen = image(bits=13, high_bit=12, signed=True)
    np.testing.assert_array_equal(
        stored_values(words(0x1830, 2000), thirteen, precision), [-2000, 2000]
    )


def test_lossy_overshoot_is_held_at_the_end_of_the_range() -> None:
    twelve = image(bits=12, high_bit=11)
    np.testing.assert_array_equal(
        stored_values(words(4100, 4095), twelve, 16, lossy=True), [4095, 4095]
    )
    signed = image(bits=12, high_bit=11, signed=True)
    found = stored_values(words(2050, 65536 - 2050), signed, 16, lossy=True)
    np.testing.assert_array_equal(found, [2047, -2048])


def test_what_bits_can_hold() -> None:
    assert stored_range(image(bits=12)) == (0, 4095)
    assert stored_range(image(bits=12, signed=True)) == (-2048, 2047)
    assert stored_range(image(bits=1)) == (0, 1)
    assert stored_range(image(keyword="FloatPixelData")) is None


# --- padding: PS3.3 C.7.5.1.1.2 -------------------------------------------------------------


@pytest.mark.parametrize("value", [63536, -2000])
def test_padding_is_read_in_the_signedness_of_the_pixels(value: int) -> None:
    assert padding_span(header(PixelPaddingValue=value), image(signed=True)) == (-2000, -2000)
    assert padding_span(header(PixelPaddingValue=value), image()) == (63536, 63536)


@pytest.mark.parametrize(("value", "limit"), [(10, 20), (20, 10)])
def test_padding_spans_to_its_limit_in_either_order(value: int, limit: int) -> None:
    span = padding_span(header(PixelPaddingValue=value, PixelPaddingRangeLimit=limit), image())
    assert span == (10, 20)
    valid = valid_pixels(words(9, 10, 15, 20, 21), span)
    assert valid is not None
    np.testing.assert_array_equal(valid, [True, False, False, False, True])


def test_float_padding_is_compared_as_a_float_of_the_pixels_width() -> None:
    pixel = image(keyword="FloatPixelData", allocated=32)
    span = padding_span(header(FloatPixelPaddingValue=0.1, PixelPaddingValue=7), pixel)
    array = np.array([0.1, 7, 0.2], np.float32)
    valid = valid_pixels(array, span)
    assert valid is not None
    np.testing.assert_array_equal(valid, [False, True, True])


def test_colours_and_pictures_without_padded_pixels_have_no_mask() -> None:
    assert padding_span(header(PixelPaddingValue=0), image(photometric="RGB", samples=3)) is None
    assert valid_pixels(words(1, 2), (0, 0)) is None
    assert valid_pixels(words(1, 2), (-2000, -2000)) is None
    assert valid_pixels(words(1, 2), None) is None


# --- lookup tables: PS3.3 C.11.1.1 ----------------------------------------------------------


def lut_item(first: int, entries: list[int], bits: int, **more: Any) -> Dataset:
    count = len(entries) if len(entries) < 65536 else 0
    return header(LUTDescriptor=[count, first, bits], LUTData=entries, **more)


def test_inputs_beyond_a_table_get_its_ends() -> None:
    lut = read_lut(
        lut_item(10, [100, 200, 300], 12), "LUTDescriptor", "LUTData", signed=False, little=True
    )
    np.testing.assert_array_equal(
        look_up(lut, words(0, 9, 10, 11, 12, 13)), [100, 100, 100, 200, 300, 300]
    )
    np.testing.assert_array_equal(look_up(lut, np.array([10.4, 10.6, 1e9])), [100, 200, 300])


def test_the_first_mapped_value_is_signed_as_its_input_is() -> None:
    item = lut_item(64512, [1, 2], 8)  # -1024 as US
    read = {
        signed: read_lut(item, "LUTDescriptor", "LUTData", signed=signed, little=True).first
        for signed in (True, False)
    }
    assert read == {True: -1024, False: 64512}


def test_8_bit_entries_may_be_packed_two_a_word_low_byte_first() -> None:
    for little, data in ((True, b"\x01\x02\x03\x00"), (False, b"\x02\x01\x00\x03")):
        item = header(LUTDescriptor=[3, 0, 8])
        item.add_new("LUTData", "OW", data)
        lut = read_lut(item, "LUTDescriptor", "LUTData", signed=False, little=little)
        np.testing.assert_array_equal(lut.table, [1, 2, 3])


def test_65536_entries_are_written_as_0() -> None:
    item = header(LUTDescriptor=[0, 0, 16])
    item.add_new("LUTData", "OW", np.arange(65536, dtype="<u2").tobytes())
    lut = read_lut(item, "LUTDescriptor", "LUTData", signed=False, little=True)
    assert len(lut.table) == 65536
    np.testing.assert_array_equal(look_up(lut, words(0, 65535)), [0, 65535])


@pytest.mark.parametrize(
    ("descriptor", "data"),
    [([4, 0, 16], [1, 2]), ([2, 0, 8], [1, 300]), ([2, 0, 40], [1, 2]), ([2, 0], [1, 2])],
)
def test_a_malformed_table_is_refused(descriptor: list[int], data: list[int]) -> None:
    item = header(LUTDescriptor=descriptor, LUTData=data)
    assert (
        refusal(lambda: read_lut(item, "LUTDescriptor", "LUTData", signed=False, little=True)).code
        == "header"
    )


# --- modality transform: PS3.3 C.11.1 -------------------------------------------------------


def test_rescale_is_slope_times_value_plus_intercept() -> None:
    found = transform_of(header(RescaleSlope="2", RescaleIntercept="-1024", Modality="CT"))
    np.testing.assert_array_equal(apply_modality(found, words(0, 1, 4095)), [-1024, -1022, 7166])
    assert (found.units, found.step) == ("HU", "rescale slope 2, intercept -1024 (HU)")
    assert nominal_range(found, image(bits=12)) == (-1024, 7166)
    turned = transform_of(header(RescaleSlope="-1", RescaleIntercept="4095"))
    assert nominal_range(turned, image(bits=12)) == (0, 4095)
    assert turned.units == "rescaled"


def test_whole_results_are_exact_and_fractions_double() -> None:
    stored = words(65535, 1)
    exact = apply_modality(Transform(Linear(1.0, -1024.0), "HU", ""), stored)
    assert exact.dtype == np.float32
    np.testing.assert_array_equal(exact, [64511, -1023])
    wide = apply_modality(Transform(Linear(1e6, 0.5), "", ""), words(2**31 + 1, kind="u4"))
    np.testing.assert_array_equal(wide, [2147483649000000.5])
    fine = apply_modality(Transform(Linear(1.000244, -1024.0), "HU", ""), words(3000))
    assert fine[0] == pytest.approx(1976.732, abs=1e-9)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": "0", "RescaleIntercept": "1"},
        {"RescaleSlope": None, "RescaleIntercept": "-1024"},
        {"RescaleSlope": "1"},
        {"RescaleIntercept": "1"},
        {"DoseGridScaling": "0"},
    ],
)
def test_half_a_rescale_or_one_that_erases_is_refused(elements: dict[str, Any]) -> None:
    assert refusal(lambda: transform_of(header(**elements))).code == "header"


def test_an_empty_rescale_is_none() -> None:
    found = transform_of(header(RescaleSlope=None, RescaleIntercept=None))
    assert (found.rule, found.units) == (None, "stored")
    assert refusal(lambda: transform_of(header(), use="require")).code == "no_modality"
    assert transform_of(header(RescaleSlope="0"), use="never").rule is None


def test_the_modality_lut_comes_before_the_rescale_in_the_signedness_of_the_pixels() -> None:
    dataset = header(
        ModalityLUTSequence=[lut_item(65534, [5, 6, 7, 8], 16, ModalityLUTType="OD")],
        RescaleSlope="3",
        RescaleIntercept="3",
    )
    found = transform_of(dataset, image(signed=True))
    stored = np.array([-3, -2, -1, 0, 1, 2], np.int16)
    np.testing.assert_array_equal(apply_modality(found, stored), [5, 5, 6, 7, 8, 8])
    assert found.units == "OD"
    assert nominal_range(found, image()) == (0, 65535)


def test_an_empty_item_of_tables_is_no_table() -> None:
    dataset = header(ModalityLUTSequence=[header(LUTExplanation="")])
    assert transform_of(dataset).rule is None


def test_doses_are_scaled_to_gray() -> None:
    found = transform_of(header(DoseGridScaling="0.5", DoseUnits="GY", Modality="RTDOSE"))
    np.testing.assert_array_equal(apply_modality(found, words(3, kind="u4")), [1.5])
    assert found.units == "Gy"
    assert nominal_range(found, image(bits=32)) is None


def test_each_frame_has_its_own_rescale() -> None:
    frames = [
        header(
            PixelValueTransformationSequence=[
                header(RescaleSlope=str(slope), RescaleIntercept="0", RescaleType="HU")
            ]
        )
        for slope in (2, 3)
    ]
    dataset = header(
        PerFrameFunctionalGroupsSequence=frames, RescaleSlope="9", RescaleIntercept="9"
    )
    pixel = image(frames=2)
    groups = functional_groups(dataset, 2)
    rules = [
        modality_transform(dataset, groups, n, pixel, little=True, use="require").rule
        for n in (0, 1)
    ]
    assert rules == [Linear(2, 0), Linear(3, 0)]
    three = functional_groups(dataset, 3)
    assert (
        refusal(
            lambda: modality_transform(dataset, three, 0, pixel, little=True, use="require")
        ).code
        == "header"
    )


def real_world(**elements: Any) -> Dataset:
    unit = header(CodeValue="um2/s")
    item = header(MeasurementUnitsCodeSequence=[unit])
    for keyword, value in elements.items():
        vr = "US" if "ValueMapped" in keyword and "Float" not in keyword else "FD"
        item.add_new(keyword, vr, value)
    shared = header(RealWorldValueMappingSequence=[item])
    return header(SOPClassUID="1.2.840.10008.5.1.4.1.1.30", SharedFunctionalGroupsSequence=[shared])


def test_parametric_maps_have_real_world_values_within_their_span() -> None:
    dataset = real_world(
        RealWorldValueFirstValueMapped=2,
        RealWorldValueLastValueMapped=4,
        RealWorldValueSlope=0.25,
        RealWorldValueIntercept=-1.0,
    )
    found = transform_of(dataset)
    stored = words(1, 2, 4, 5)
    np.testing.assert_array_equal(apply_modality(found, stored), [-0.75, -0.5, 0.0, 0.25])
    inside = with_meaning(found, stored)
    assert inside is not None
    np.testing.assert_array_equal(inside, [False, True, True, False])
    assert found.units == "um2/s"
    assert nominal_range(found, image()) == (-0.5, 0.0)


def test_parametric_maps_may_have_a_table_of_reals() -> None:
    dataset = real_world(
        RealWorldValueFirstValueMapped=2,
        RealWorldValueLastValueMapped=4,
        RealWorldValueLUTData=[0.5, 1.5, 9.5],
    )
    found = transform_of(dataset)
    np.testing.assert_array_equal(apply_modality(found, words(2, 3, 4)), [0.5, 1.5, 9.5])


# --- VOI: PS3.3 C.11.2 ----------------------------------------------------------------------


def test_the_linear_window_is_that_of_the_standard() -> None:
    """C.11.2.1.2.1, its example: c=2048 w=4096 is (x / 4095) over 0 to 4095."""
    found = windowed(Window(2048, 4096, "LINEAR"), np.array([-1.0, 0, 819, 4095, 5000]))
    np.testing.assert_allclose(found, [0, 0, 0.2, 1, 1], atol=1e-7)


def test_a_linear_window_of_width_1_is_a_threshold() -> None:
    found = windowed(Window(2048, 1, "LINEAR"), np.array([2047.0, 2047.5, 2048]))
    np.testing.assert_array_equal(found, [0, 0, 1])


def test_linear_exact_is_half_a_step_and_one_level_wider() -> None:
    """C.11.2.1.3.2: c=2048 w=4096 is x / 4096."""
    found = windowed(Window(2048, 4096, "LINEAR_EXACT"), np.array([0.0, 1024, 4096]))
    np.testing.assert_array_equal(found, [0, 0.25, 1])
    narrow = windowed(Window(0, 0.5, "LINEAR_EXACT"), np.array([-0.25, 0.125, 0.25]))
    np.testing.assert_array_equal(narrow, [0, 0.75, 1])


def test_the_sigmoid_has_its_slope_at_the_centre() -> None:
    """C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w))."""
    found = windowed(Window(100, 40, "SIGMOID"), np.array([100.0, 110, -1e9]))
    np.testing.assert_allclose(found, [0.5, 0.7310586, 0], atol=1e-7)


def voi(dataset: Dataset, transform: Transform | None = None, use: Any = "if-present") -> Any:
    rule = transform or Transform(None, "stored", "")
    groups = functional_groups(dataset, 1)
    return voi_transform(dataset, groups, 0, image(), rule, little=True, use=use)


def test_the_first_of_several_windows_counts_and_the_step_says_so() -> None:
    found = voi(header(WindowCenter=[40, 450], WindowWidth=[400, 1500]))
    assert found.step == "window 40/400 LINEAR, first of 2"
    assert found.rule == Window(40, 400, "LINEAR")


def test_a_voi_table_comes_before_the_window_and_spans_its_bits() -> None:
    dataset = header(VOILUTSequence=[lut_item(0, [0, 10, 255], 8)], WindowCenter=1, WindowWidth=2)
    found = voi(dataset)
    array, low, high, units = apply_voi(found, words(0, 1, 2, 9))
    np.testing.assert_array_equal(array, [0, 10, 255, 255])
    assert (low, high, units) == (0, 255, "VOI LUT")


def test_a_voi_table_is_signed_where_the_rescale_can_be_negative() -> None:
    dataset = header(VOILUTSequence=[lut_item(64512, [1, 2], 8)])
    hounsfield = Transform(Linear(1, -1024), "HU", "")
    assert voi(dataset, hounsfield).rule.first == -1024
    assert voi(dataset).rule.first == 64512


def test_the_window_of_a_frame_comes_before_that_of_the_file() -> None:
    frame = header(FrameVOILUTSequence=[header(WindowCenter=5, WindowWidth=7)])
    dataset = header(PerFrameFunctionalGroupsSequence=[frame], WindowCenter=1, WindowWidth=2)
    assert voi(dataset).rule == Window(5, 7, "LINEAR")


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 1, "WindowWidth": 0},
        {"WindowCenter": 1, "WindowWidth": 0.5},
        {"WindowCenter": 1, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 1},
        {"WindowCenter": [1, 2], "WindowWidth": 3},
        {"WindowCenter": 1, "WindowWidth": 3, "VOILUTFunction": "CUBIC"},
    ],
)
def test_a_malformed_window_is_refused_where_it_is_used(elements: dict[str, Any]) -> None:
    assert refusal(lambda: voi(header(**elements))).code == "header"
    assert voi(header(**elements), use="never") is None


def test_a_voi_can_be_required() -> None:
    assert refusal(lambda: voi(header(), use="require")).code == "no_voi"
    assert voi(header()) is None


# --- polarity: PS3.3 C.7.6.3.1.2 ------------------------------------------------------------


@pytest.mark.parametrize(
    ("photometric", "shape", "turned"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", None, False),
    ],
)
def test_greys_are_turned_once(photometric: str, shape: str | None, turned: bool) -> None:
    dataset = header(**({"PresentationLUTShape": shape} if shape else {}))
    pixel = image(photometric=photometric)
    assert bool(inversion(dataset, pixel, "if-present")) == turned
    assert bool(inversion(dataset, pixel, "require")) == turned
    assert inversion(dataset, pixel, "never") == ""


def test_colours_have_no_polarity() -> None:
    pixel = image(photometric="RGB", samples=3)
    assert inversion(header(), pixel, "if-present") == ""
    assert refusal(lambda: inversion(header(), pixel, "require")).code == "no_polarity"


def test_turning_keeps_the_range() -> None:
    array = np.array([-1024, 0, 3071], np.float32)
    np.testing.assert_array_equal(inverted(array, -1024, 3071), [3071, 2047, -1024])


# --- colours: PS3.3 C.7.6.3.1.2, C.7.9 ------------------------------------------------------


def test_ybr_full_is_turned_back_to_rgb() -> None:
    """C.7.6.3.1.2: red is Y 76.245, CB 84.97, CR 255.5; grey has CB = CR = 128."""
    ybr = np.array([[76, 85, 255], [150, 44, 21], [29, 255, 107], [77, 128, 128]], np.uint8)
    np.testing.assert_allclose(
        to_rgb(ybr, "YBR_FULL", 8).astype(int),
        [[254, 0, 0], [0, 255, 1], [0, 0, 254], [77, 77, 77]],
        atol=1,
    )


def test_ybr_partial_spans_16_to_235() -> None:
    ybr = np.array([[16, 128, 128], [235, 128, 128]], np.uint8)
    np.testing.assert_array_equal(to_rgb(ybr, "YBR_PARTIAL_422", 8), [[0, 0, 0], [255, 255, 255]])


def test_rgb_is_left_alone_and_codestream_colours_do_not_stand_alone() -> None:
    rgb = np.array([[1, 2, 3]], np.uint8)
    assert to_rgb(rgb, "RGB", 8) is rgb
    assert refusal(lambda: to_rgb(rgb, "YBR_RCT", 8)).code == "header"


def palette(bits: int, first: int, **tables: bytes) -> Dataset:
    dataset = Dataset()
    for channel in ("Red", "Green", "Blue"):
        dataset.add_new(f"{channel}PaletteColorLookupTableDescriptor", "US", [4, first, bits])
    for keyword, data in tables.items():
        dataset.add_new(keyword, "OW", data)
    return dataset


def test_a_palette_gives_its_entries_from_its_first_value_on() -> None:
    dataset = palette(
        8,
        10,
        RedPaletteColorLookupTableData=bytes([1, 2, 3, 4]),
        GreenPaletteColorLookupTableData=bytes([5, 6, 7, 8]),
        BluePaletteColorLookupTableData=bytes([9, 10, 11, 255]),
    )
    rgb, bits = through_palette(
        words(0, 11, 99), dataset, image(photometric="PALETTE COLOR"), little=True
    )
    np.testing.assert_array_equal(rgb, [[1, 5, 9], [2, 6, 10], [4, 8, 255]])
    assert bits == 8


def test_segments_of_a_palette_are_expanded() -> None:
    """C.7.9.2: discrete 0 (2: 10, 20), linear 1 (2 to 40), then the first again by indirection."""

    def segmented(*values: int) -> bytes:
        return np.array(values, "<u2").tobytes()

    linear = segmented(0, 2, 10, 20, 1, 2, 40)
    again = segmented(0, 2, 10, 20, 2, 1, 0, 0)
    dataset = palette(
        16,
        0,
        SegmentedRedPaletteColorLookupTableData=linear,
        SegmentedGreenPaletteColorLookupTableData=again,
        SegmentedBluePaletteColorLookupTableData=linear,
    )
    rgb, bits = through_palette(
        words(0, 1, 2, 3), dataset, image(photometric="PALETTE COLOR"), little=True
    )
    np.testing.assert_array_equal(rgb[:, 0], [10, 20, 30, 40])
    np.testing.assert_array_equal(rgb[:, 1], [10, 20, 10, 20])
    assert bits == 16


@pytest.mark.parametrize("values", [(1, 4, 9), (0, 9, 1), (0, 1, 5), (7, 1, 1), (2, 1, 0, 0)])
def test_malformed_segments_are_refused(values: tuple[int, ...]) -> None:
    data = np.array(values, "<u2").tobytes()
    dataset = palette(
        16,
        0,
        **{f"Segmented{c}PaletteColorLookupTableData": data for c in ("Red", "Green", "Blue")},
    )
    pixel = image(photometric="PALETTE COLOR")
    assert refusal(lambda: through_palette(words(0), dataset, pixel, little=True)).code == "header"


def test_tables_of_another_size_are_no_palette() -> None:
    lut = Lut(0, np.array([1, 2], np.uint16), 8)
    np.testing.assert_array_equal(look_up(lut, np.array([-5, 0, 5], np.int16)), [1, 1, 2])


# --- geometry of frames: PS3.3 C.7.6.16, C.8.8.3.2 ------------------------------------------


def test_a_frame_lies_where_its_groups_say() -> None:
    shared = header(
        PlaneOrientationSequence=[header(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[header(PixelSpacing=[0.5, 0.25])],
    )
    frames = [
        header(PlanePositionSequence=[header(ImagePositionPatient=[0, 0, z])]) for z in (1, 3)
    ]
    dataset = header(
        SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=frames
    )
    found = frame_geometry(dataset, functional_groups(dataset, 2), 1)
    assert found.position == (0, 0, 3)
    assert found.orientation == (1, 0, 0, 0, 1, 0)
    assert found.spacing == (0.5, 0.25)


def test_dose_planes_lie_at_their_offsets_along_the_normal() -> None:
    dataset = header(
        ImagePositionPatient=[1, 2, 3],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        GridFrameOffsetVector=[0, 2.5],
    )
    groups = functional_groups(dataset, 2)
    assert frame_geometry(dataset, groups, 0).position == (1, 2, 3)
    assert frame_geometry(dataset, groups, 1).position == (1, 2, 5.5)


@pytest.mark.parametrize("spacing", [[0, 1], [-1, 1], [1]])
def test_a_spacing_that_is_none_is_left_out(spacing: list[float]) -> None:
    dataset = header(PixelSpacing=spacing, ImagerPixelSpacing=[0.1, 0.1])
    assert frame_geometry(dataset, functional_groups(dataset, 1), 0).spacing is None


def test_pydicom_keeps_what_the_raw_bytes_say() -> None:
    """Elements may be raw or converted, in whatever order they were looked at."""
    dataset = header(RescaleSlope="2", RescaleIntercept="1")
    assert isinstance(dataset.RescaleSlope, pydicom.valuerep.DSfloat)
    assert transform_of(dataset).rule == Linear(2, 1)
