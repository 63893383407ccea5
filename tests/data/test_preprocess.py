"""Pixels to integers: the nominal range, never the picture's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimg.data import pixels as pixels_module
from medimg.data.pixels import Pixels
from medimg.data.preprocess import Preprocess
from medimg.errors import PixelError


def pixels(array: object, low: float = 0, high: float = 255, **more: object) -> Pixels:
    return Pixels(np.asarray(array, np.float32), low, high, **more)  # type: ignore[arg-type]


def test_stored_bytes_come_through_unchanged() -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    prep = Preprocess(size=(16, 16), channels=1)
    assert np.array_equal(prep.apply(pixels(stored)), stored)


@given(st.floats(-2000, 2000), st.floats(1, 5000), st.sampled_from([8, 16]))
def test_low_becomes_zero_and_high_the_largest_integer(low: float, width: float, bits: int) -> None:
    prep = Preprocess(size=(1, 2), channels=1, bits=bits)
    low, high = np.float32(low), np.float32(low + width)
    out = prep.apply(pixels([[[low, high]]], float(low), float(high)))
    assert out.tolist() == [[[0, 2**bits - 1]]]


def test_a_brighter_picture_comes_out_brighter() -> None:
    prep = Preprocess(size=(4, 4), channels=1)
    dark = prep.apply(pixels(np.full((1, 4, 4), 100)))
    light = prep.apply(pixels(np.full((1, 4, 4), 150)))
    assert (light > dark).all()


def test_what_lies_outside_the_range_is_clipped() -> None:
    out = Preprocess(size=(1, 2), channels=1).apply(pixels([[[-5000, 5000]]], -1024, 3071))
    assert out.tolist() == [[[0, 255]]]


def test_invalid_pixels_become_the_lowest_value() -> None:
    valid = np.array([[True, False]])
    array = np.array([[[200.0, np.nan]]], np.float32)
    out = Preprocess(size=(1, 2), channels=1).apply(Pixels(array, 0, 255, valid=valid))
    assert out.tolist() == [[[200, 0]]]


def test_grey_is_repeated_and_colour_becomes_luma() -> None:
    grey = Preprocess(size=(1, 1), channels=3).apply(pixels([[[10]]]))
    assert grey.ravel().tolist() == [10, 10, 10]
    luma = Preprocess(size=(1, 1), channels=1).apply(pixels([[[255]], [[0]], [[0]]]))
    assert luma.ravel().tolist() == [76]


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 20, 10), (3, 9, 30), (1, 6, 20, 10)])
def test_every_resize_reaches_the_size(resize: str, shape: tuple[int, ...]) -> None:
    size = (8, 12, 12)[-(len(shape) - 1) :]
    prep = Preprocess(size=size, channels=shape[0], resize=resize)
    out = prep.apply(pixels(np.full(shape, 255)))
    assert out.shape == prep.shape
    assert out.max() == 255
    if resize != "pad":
        assert out.min() == 255


def test_padding_is_the_lowest_value_on_both_sides() -> None:
    prep = Preprocess(size=(4, 8), channels=1, resize="pad")
    out = prep.apply(pixels(np.full((1, 4, 4), 255)))[0]
    assert out[:, :2].max() == out[:, 6:].max() == 0
    assert out[:, 2:6].min() == 255


def test_shrinking_averages_and_does_not_skip() -> None:
    stripes = np.tile([0, 255], 32)[None, None].repeat(64, axis=1)
    out = Preprocess(size=(8, 8), channels=1).apply(pixels(stripes))
    assert out.min() > 100
    assert out.max() < 155


def test_resampling_reaches_the_spacing_and_wants_one() -> None:
    prep = Preprocess(size=(4, 4, 4), channels=1, spacing=(2, 1, 1), resize="pad")
    volume = pixels(np.full((1, 2, 4, 4), 255), spacing_mm=(4.0, 1.0, 1.0))
    assert (prep.apply(volume) == 255).all()
    with pytest.raises(PixelError, match="spacing"):
        prep.apply(pixels(np.zeros((1, 2, 4, 4))))


def test_shapes_that_do_not_fit_are_refused_with_a_code() -> None:
    with pytest.raises(PixelError) as caught:
        Preprocess(size=(4, 4), channels=1).apply(pixels(np.zeros((1, 2, 4, 4))))
    assert caught.value.code == "dimensions"
    with pytest.raises(PixelError) as caught:
        Preprocess(size=(4, 4), channels=1).apply(pixels(np.zeros((2, 4, 4))))
    assert caught.value.code == "channels"


def test_nan_and_empty_ranges_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PixelError, match="NaN"):
        pixels([[[np.nan]]])
    with pytest.raises(PixelError, match="range"):
        pixels([[[1]]], low=5, high=5)
    monkeypatch.setattr(pixels_module, "PIXEL_CAP", 3)
    with pytest.raises(PixelError, match="cap"):
        pixels(np.zeros((1, 2, 2)))


def test_size_and_channels_are_filled_in_from_the_first_case() -> None:
    prep = Preprocess().resolved(pixels(np.zeros((3, 5, 6))))
    assert prep.shape == (3, 5, 6)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("spacing", [None, (1.5, 0.5)])
def test_padding_and_air_around_a_picture_give_the_same_integers(
    resize: str, spacing: tuple[float, float] | None
) -> None:
    air = np.random.default_rng(0).uniform(0, 1000, (1, 8, 8)).astype(np.float32)
    valid = np.ones((8, 8), bool)
    valid[:, 5:] = False
    air[:, ~valid] = 0
    padded = np.where(valid, air, -2000).astype(np.float32)
    prep = Preprocess.model_validate({"size": (5, 4), "resize": resize, "spacing": spacing})
    plain = Pixels(air, 0, 1000, spacing_mm=(1, 1))
    prep = prep.resolved(plain)
    masked = Pixels(padded, 0, 1000, spacing_mm=(1, 1), valid=valid)
    assert np.array_equal(prep.apply(plain), prep.apply(masked))


def test_cases_in_other_units_are_refused_by_name() -> None:
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4)
    window, table = Pixels(ramp, 0, 1, "window"), Pixels(255 * ramp, 0, 255, "VOI LUT")
    stored = Pixels(4095 * ramp, 0, 4095, "stored")
    prep = Preprocess().resolved(window)
    assert prep.units == "display"
    assert np.array_equal(prep.apply(window), prep.apply(table))
    with pytest.raises(PixelError, match="'stored' where 'display'") as caught:
        prep.apply(stored)
    assert caught.value.code == "mixed_units"
    hounsfield = Preprocess(units="HU").resolved(Pixels(ramp, -1024, 3071, "HU"))
    with pytest.raises(PixelError, match="'stored' where 'HU'"):
        hounsfield.apply(stored)


@pytest.mark.parametrize(
    ("units", "high", "bits"),
    [("stored", 255, 8), ("RGB", 255, 8), ("stored", 4095, 16), ("window", 1, 16), ("GML", 16, 16)],
)
def test_eight_bits_are_taken_for_256_stored_levels_alone(
    units: str, high: float, bits: int
) -> None:
    assert Preprocess().resolved(Pixels(np.zeros((1, 2, 2)), 0, high, units)).bits == bits


def test_an_open_size_is_that_after_resampling() -> None:
    pixels = Pixels(np.zeros((1, 8, 6)), 0, 1, spacing_mm=(1.0, 2.0))
    prep = Preprocess(spacing=(2.0, 1.0)).resolved(pixels)
    assert prep.shape == (1, 4, 12)
    assert prep.apply(pixels).shape == (1, 4, 12)
