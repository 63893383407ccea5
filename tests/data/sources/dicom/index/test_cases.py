"""Instances to cases by unit: what is one case, what is refused, and in which order slices are."""

from __future__ import annotations

import random

import pytest

from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.index.cases import Unit, make_units

Columns = dict[str, list[str]]


def table(*rows: dict[str, str]) -> Columns:
    """One instance a row; what is not said is blank."""
    names = ("source", *COLUMNS)
    plain = {"kind": "image", "size": "1000", "StudyInstanceUID": "1", "SeriesInstanceUID": "1"}
    filled = [{"source": f"{n:03d}.dcm", **plain, **row} for n, row in enumerate(rows)]
    return {name: [row.get(name, "") for row in filled] for name in names}


def slices(heights: list[float], **common: str) -> list[dict[str, str]]:
    return [
        {
            "ImagePositionPatient": f"0\\0\\{height}",
            "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
            "PixelSpacing": "1\\1",
            "Rows": "8",
            "Columns": "8",
            **common,
        }
        for height in heights
    ]


def made(columns: Columns, unit: str) -> tuple[list[Unit], dict[int, str], list[int]]:
    found = make_units(columns, range(len(columns["source"])), unit)
    return found.units, {row: e.code for row, e in found.refused}, found.localizers


def test_each_image_is_a_case_and_several_frames_are_refused() -> None:
    frames = ("", "1", "0", "2", "1A", "-1", "1e9", "999999999", "9" * 5000, "²")
    units, refused, _ = made(table(*({"NumberOfFrames": f} for f in frames)), "image")
    assert [unit.members for unit in units] == [(0,), (1,), (2,)]
    assert refused == {3: "frames", **dict.fromkeys(range(4, 10), "header")}


def test_each_frame_is_a_case() -> None:
    units, refused, _ = made(table({"NumberOfFrames": "3"}, {}, {"NumberOfFrames": "1A"}), "frame")
    assert [(unit.members, unit.frame) for unit in units] == [
        *(((0,), "0"), ((0,), "1"), ((0,), "2"), ((1,), "0"))
    ]
    assert refused == {2: "header"}


def test_a_file_cannot_have_more_frames_than_bytes() -> None:
    units, refused, _ = made(table({"NumberOfFrames": "1001", "size": "1000"}), "frame")
    assert (units, refused) == ([], {0: "header"})


def test_a_series_is_one_volume_in_the_order_of_positions() -> None:
    heights = [float(h) for h in range(20)]
    random.Random(0).shuffle(heights)
    columns = table(*({**s, "InstanceNumber": "1"} for s in slices(heights)))
    units, refused, _ = made(columns, "series")
    assert len(units) == 1
    assert units[0].volume
    assert [heights[m] for m in units[0].members] == sorted(heights)
    assert not refused


def test_groups_of_a_series_are_cases_of_their_own_and_localizers_are_none() -> None:
    columns = table(
        *slices([0, 1, 2], EchoTime="10"),
        *slices([0, 1, 2], EchoTime="80"),
        *slices([0, 5], ImageType="ORIGINAL\\PRIMARY\\LOCALIZER"),
    )
    units, refused, localizers = made(columns, "series")
    assert {unit.members for unit in units} == {(0, 1, 2), (3, 4, 5)}
    assert len({unit.suffix for unit in units} - {""}) == 2
    assert localizers == [6, 7]
    assert not refused


def test_acquisitions_that_interleave_are_cases_of_their_own() -> None:
    columns = table(
        *slices([0, 2, 4], AcquisitionNumber="1"), *slices([1, 3, 5], AcquisitionNumber="2")
    )
    units, refused, _ = made(columns, "series")
    assert {unit.members for unit in units} == {(0, 1, 2), (3, 4, 5)}
    assert len({unit.suffix for unit in units} - {""}) == 2
    assert not refused
    assert set(made(columns, "study")[1].values()) == {"several_series"}


def test_a_localizer_gives_the_volume_beside_it_no_suffix() -> None:
    alone = table(*slices([0, 1, 2]))
    beside = table(*slices([0, 1, 2]), *slices([0], ImageType="X\\Y\\LOCALIZER"))
    assert made(alone, "series")[0] == made(beside, "series")[0]


@pytest.mark.parametrize(
    ("heights", "code"),
    [
        ([0.0], "single_image"),
        ([0.0, 1.0, 1.0, 2.0], "duplicate_positions"),
        ([0.0, 1.0, 3.0, 4.0], "gap"),
    ],
)
def test_slices_that_make_no_volume_are_refused_each(heights: list[float], code: str) -> None:
    units, refused, _ = made(table(*slices(heights)), "series")
    assert (units, refused) == ([], dict.fromkeys(range(len(heights)), code))


def test_slices_without_positions_are_refused() -> None:
    bare = [{**s, "ImagePositionPatient": ""} for s in slices([0.0, 1.0])]
    assert set(made(table(*bare), "series")[1].values()) == {"no_position"}


def test_tilt_is_left_to_the_reader() -> None:
    tilted = [
        {**s, "ImagePositionPatient": f"0\\{height * 0.2}\\{height}"}
        for s, height in zip(slices([0, 1, 2]), (0, 1, 2), strict=True)
    ]
    assert len(made(table(*tilted), "series")[0]) == 1


def test_a_multi_frame_file_is_a_volume_by_itself() -> None:
    units, refused, _ = made(table({"NumberOfFrames": "30"}), "series")
    assert units == [Unit((0,), volume=True)]
    assert not refused


def test_one_series_uid_of_two_patients_is_two_series() -> None:
    columns = table(*slices([0, 1], PatientID="A"), *slices([0, 1], PatientID="B"))
    assert {unit.members for unit in made(columns, "series")[0]} == {(0, 1), (2, 3)}
    blank = table(*slices([0, 1], SeriesInstanceUID=""))
    assert set(made(blank, "series")[1].values()) == {"single_image"}


def test_a_study_is_its_one_volume_or_its_one_image() -> None:
    columns = table(
        *slices([0, 1], StudyInstanceUID="a"),
        *slices([0], StudyInstanceUID="a", SeriesInstanceUID="2", ImageType="LOCALIZER"),
        {"StudyInstanceUID": "b"},
        *slices([0, 1], StudyInstanceUID="c"),
        *slices([0, 1], StudyInstanceUID="c", SeriesInstanceUID="2"),
    )
    units, refused, localizers = made(columns, "study")
    assert units == [Unit((0, 1), volume=True), Unit((3,))]
    assert refused == dict.fromkeys((4, 5, 6, 7), "several_series")
    assert localizers == [2]
