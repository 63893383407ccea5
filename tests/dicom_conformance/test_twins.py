"""One picture in many lawful ways comes out the same; the same picture 100 HU higher does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg.data.options import DicomPixels
from medimg.data.preprocess import Preprocess
from medimg.data.sources.dicom.pixels.read import Stages, read_stages
from medimg.data.sources.formats import read
from medimg.testing import make_twins
from medimg.testing.dicom_pixels import SYNTAXES

SAME_STORED = [name.lower().replace(" ", "_").replace("-", "_") for name in SYNTAXES]
PADDED = ("padded", "padded_as_unsigned", "padded_range", "padded_monochrome1")
TWINS = (
    *("monochrome2", "monochrome1", "unsigned_16", "signed_16", "high_bits"),
    *PADDED,
    *SAME_STORED,
)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_twins(tmp_path_factory.mktemp("twins"), seed=1)


def stages(path: Path, options: DicomPixels | None = None) -> Stages:
    return read_stages(path.read_bytes(), None, options or DicomPixels())


def in_hu(got: Stages, name: str) -> NDArray[np.float64]:
    """Return the values as MONOCHROME2 would have them, padding as air outside of the picture."""
    values = np.asarray(got.modality, np.float64)
    values = 2047 - values if name.endswith("monochrome1") else values
    return values if got.valid is None else np.where(got.valid, values, -1024)


def test_every_twin_is_looked_at(twins: dict[str, Path]) -> None:
    assert set(twins) == {*TWINS, "raised"}


@pytest.mark.parametrize("name", TWINS)
def test_twins_are_equal_after_each_stage(name: str, twins: dict[str, Path]) -> None:
    reference, got = stages(twins["monochrome2"]), stages(twins[name])
    if name in (*SAME_STORED, "high_bits"):
        np.testing.assert_array_equal(got.stored, reference.stored)
    np.testing.assert_array_equal(in_hu(got, name), np.asarray(reference.modality, float))
    np.testing.assert_allclose(got.output, reference.output, atol=1e-4)
    assert (got.low, got.high, got.units) == (reference.low, reference.high, reference.units)


@pytest.mark.parametrize("name", PADDED)
def test_the_padding_of_a_twin_is_its_surround(name: str, twins: dict[str, Path]) -> None:
    reference = stages(twins["monochrome2"])
    got = stages(twins[name])
    assert got.valid is not None
    np.testing.assert_array_equal(got.valid, reference.modality != -1024)
    assert (got.output[~got.valid] == got.low).all()


@pytest.mark.parametrize("bits", (8, 16))
@pytest.mark.parametrize("name", TWINS)
def test_twins_are_at_most_one_level_apart_in_the_store(
    name: str, bits: int, twins: dict[str, Path]
) -> None:
    prepare = Preprocess(size=(48, 48), channels=1, bits=bits)
    reference = prepare.apply(read(twins["monochrome2"])).astype(int)
    got = prepare.apply(read(twins[name])).astype(int)
    assert np.abs(got - reference).max() <= 1


def test_a_picture_raised_by_100_hu_comes_out_different(twins: dict[str, Path]) -> None:
    reference, raised = stages(twins["monochrome2"]), stages(twins["raised"])
    np.testing.assert_array_equal(raised.modality - 100, reference.modality)
    np.testing.assert_allclose(raised.output - 100, reference.output, atol=1e-3)
    prepare = Preprocess(size=(48, 48), channels=1, bits=8)
    gap = prepare.apply(read(twins["raised"])).astype(int) - prepare.apply(
        read(twins["monochrome2"])
    )
    assert np.abs(gap - 100 * 255 / 4095).max() <= 1


def test_a_projection_of_both_polarities_is_one_picture(tmp_path: Path) -> None:
    twins = make_twins(tmp_path, seed=2, modality="CR")
    options = DicomPixels(range=(-1024, 3071))
    one, two = stages(twins["monochrome1"], options), stages(twins["monochrome2"], options)
    np.testing.assert_allclose(one.output, two.output, atol=1e-4)
