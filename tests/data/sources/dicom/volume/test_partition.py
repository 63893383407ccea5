"""One series cut into groups: what parts images, what does not, and that order is nothing."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from medimg.data.sources.dicom.volume.partition import partition

AXIAL = r"1\0\0\0\1\0"
Columns = dict[str, list[str]]


def rows(count: int, start: int = 0, step: float = 2.0, base: float = 0.0, **more: Any) -> Columns:
    """Return columns of `count` slices; `more` gives one text for all, or a list."""
    columns = {
        "source": [f"{start + n:05d}.dcm" for n in range(count)],
        "SOPInstanceUID": [f"1.2.{start + n}" for n in range(count)],
        "ImageType": [r"ORIGINAL\PRIMARY\AXIAL"] * count,
        "ImagePositionPatient": [rf"-10\-20.5\{base + step * n:.4f}" for n in range(count)],
        "ImageOrientationPatient": [AXIAL] * count,
        "Rows": ["16"] * count,
        "Columns": ["12"] * count,
        "AcquisitionNumber": ["1"] * count,
    }
    for name, value in more.items():
        columns[name] = value if isinstance(value, list) else [value] * count
    return columns


def joined(*parts: Columns) -> Columns:
    names = {name for part in parts for name in part}
    return {
        name: [v for part in parts for v in part.get(name, [""] * len(part["source"]))]
        for name in names
    }


def sources(columns: Columns) -> list[list[str]]:
    return sorted([columns["source"][row] for row in group.rows] for group in partition(columns))


def test_one_volume_is_one_group_without_a_suffix() -> None:
    (group,) = partition(rows(5))
    assert group == ([0, 1, 2, 3, 4], "", False)
    assert partition({}) == [] and partition({"source": []}) == []


@pytest.mark.parametrize(
    ("element", "one", "other"),
    [
        ("ImageType", r"ORIGINAL\PRIMARY\AXIAL", r"DERIVED\PRIMARY\MPR"),
        ("ImageOrientationPatient", AXIAL, r"0\1\0\0\0\-1"),
        ("Rows", "16", "17"),
        ("Columns", "12", "13"),
        ("SamplesPerPixel", "1", "3"),
        ("EchoTime", "2.46", "4.92"),
        ("TemporalPositionIdentifier", "1", "2"),
        ("DiffusionBValue", "0", "1000"),
        ("DiffusionBValue", "", "1000"),
        ("ReferencedSegmentNumber", "1", "2"),
        ("DimensionIndexValues", r"1\2", r"1\3"),
        ("AcquisitionNumber", "1", "2"),
    ],
)
def test_images_that_differ_are_groups_of_their_own(element: str, one: str, other: str) -> None:
    columns = joined(rows(4, **{element: one}), rows(4, 4, **{element: other}))
    groups = partition(columns)
    assert sorted(sorted(group.rows) for group in groups) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len({group.suffix for group in groups}) == 2
    assert all(len(group.suffix) == 12 for group in groups)


@pytest.mark.parametrize(
    ("element", "texts"),
    [
        ("EchoTime", ["2.46", "2.460", "2.46 ", "+2.46e0"]),
        (
            "ImageType",
            [r"ORIGINAL\PRIMARY\AXIAL", r"original\primary\axial ", r"ORIGINAL\ PRIMARY\AXIAL"],
        ),
        ("ImageOrientationPatient", [AXIAL, r"1.0\0.0\0\0\1.00\-0.0", r"1\0.0005\0\0.0004\1\0"]),
        ("ImageOrientationPatient", [rf"1\{0.0005 + d}\0\0\1\0" for d in (-1e-6, 0, 1e-6)]),
        ("InstanceNumber", ["9", "9", "1"]),
        ("SliceThickness", ["1", "2", "3"]),
        ("AcquisitionNumber", ["7", "07", "7 "]),
    ],
)
def test_what_only_looks_different_is_one_group(element: str, texts: list[str]) -> None:
    (group,) = partition(rows(6, **{element: [texts[n % len(texts)] for n in range(6)]}))
    assert group.rows == [0, 1, 2, 3, 4, 5]


def test_localizer_is_a_group_of_its_own_and_flagged() -> None:
    scout = rows(
        1, 6, ImageType=r"ORIGINAL\PRIMARY\LOCALIZER", ImageOrientationPatient=r"0\1\0\0\0\-1"
    )
    groups = partition(joined(rows(6), scout))
    assert [(len(group.rows), group.localizer) for group in groups if group.localizer] == [
        (1, True)
    ]
    assert [len(group.rows) for group in groups if not group.localizer] == [6]


def test_order_of_rows_changes_nothing() -> None:
    columns = joined(
        rows(5), rows(5, 5, EchoTime="9"), rows(5, 10, AcquisitionNumber="2"), rows(1, 15, Rows="9")
    )
    before = partition(columns)
    expected = [[columns["source"][row] for row in group.rows] for group in before]
    for seed in range(5):
        order = list(range(16))
        random.Random(seed).shuffle(order)
        shuffled = {name: [column[row] for row in order] for name, column in columns.items()}
        after = partition(shuffled)
        assert [group.suffix for group in after] == [group.suffix for group in before]
        got = [[shuffled["source"][row] for row in group.rows] for group in after]
        assert got == expected


def test_suffix_stays_when_the_series_grows() -> None:
    columns = joined(rows(5), rows(5, 5, EchoTime="9"))
    before = {group.suffix for group in partition(columns)}
    grown = joined(columns, rows(3, 10, step=2.0, base=10.0), rows(4, 20, EchoTime="12"))
    assert before < {group.suffix for group in partition(grown)}


def test_rows_ascend_along_the_normal_and_not_by_name() -> None:
    columns = rows(4)
    columns["source"] = ["d", "c", "b", "a"]
    assert sources(columns) == [["d", "c", "b", "a"]]
    columns["ImagePositionPatient"].reverse()
    assert sources(columns) == [["a", "b", "c", "d"]]
    columns["ImagePositionPatient"][0] = ""
    columns["source"] = ["b", "d", "a", "c"]
    assert sources(columns) == [["a", "b", "c", "d"]]


def test_acquisitions_counted_from_slice_to_slice_are_one_volume() -> None:
    assert sources(rows(6, AcquisitionNumber=list("123456"))) == sources(rows(6))


def test_acquisitions_counted_from_table_step_to_table_step_are_one_volume() -> None:
    assert sources(rows(6, AcquisitionNumber=list("112233"))) == sources(rows(6))


@pytest.mark.parametrize(
    ("numbers", "sizes"),
    [
        ("121212", [3, 3]),  # two phases, the second half a step higher
        ("123" * 4, [4, 4, 4]),
        ("12" * 50, [50, 50]),
        ("1212123333", [3, 3, 4]),  # phases, and a scan above them
        ("1212123", [1, 3, 3]),
    ],
)
def test_acquisitions_that_interleave_are_volumes_of_their_own(
    numbers: str, sizes: list[int]
) -> None:
    columns = rows(len(numbers), AcquisitionNumber=list(numbers))
    groups = partition(columns)
    assert sorted(len(group.rows) for group in groups) == sizes
    assert len({group.suffix for group in groups} - {""}) == len(sizes)
    for group in groups:
        assert len({numbers[row] for row in group.rows}) == 1


@pytest.mark.parametrize(
    "numbers",
    [
        "1212",  # two slices make no stack
        "112122",  # neither is even by itself
        "11122233344",  # table steps
        "122333",
        "1122331122",
    ],
)
def test_acquisitions_that_only_together_are_an_even_stack_are_one_volume(numbers: str) -> None:
    count = len(numbers)
    assert sources(rows(count, AcquisitionNumber=list(numbers))) == sources(rows(count))


def test_acquisitions_that_overlap_by_less_than_half_are_one_volume() -> None:
    columns = rows(12, AcquisitionNumber=list("133132142442"))
    assert [len(group) for group in sources(columns)] == [12]


def test_acquisitions_of_one_place_are_volumes_of_their_own() -> None:
    phases = joined(rows(4, AcquisitionNumber="1"), rows(4, 4, AcquisitionNumber="2"))
    assert [len(group) for group in sources(phases)] == [4, 4]
    shifted = joined(rows(4), rows(4, 4, base=0.3, AcquisitionNumber="2"))
    assert [len(group) for group in sources(shifted)] == [4, 4]
    overlapping = joined(rows(4), rows(4, 4, base=6.0, AcquisitionNumber="2"))
    assert [len(group) for group in sources(overlapping)] == [4, 4]


def test_missing_slice_between_acquisitions_does_not_part_a_volume() -> None:
    torn = joined(rows(4), rows(4, 4, base=10.0, AcquisitionNumber="2"))
    assert [len(group) for group in sources(torn)] == [8]


def test_one_place_shown_again_and_again_is_one_group() -> None:
    assert [len(g) for g in sources(rows(5, step=0, AcquisitionNumber=list("12345")))] == [5]


def test_acquisitions_without_positions_are_parted() -> None:
    columns = rows(4, AcquisitionNumber=list("1122"), ImagePositionPatient="")
    assert [len(group) for group in sources(columns)] == [2, 2]


def test_multi_frame_files_are_groups_of_their_own() -> None:
    columns = joined(rows(2), rows(2, 2, NumberOfFrames="40"), rows(1, 4, NumberOfFrames="1A"))
    groups = partition(columns)
    assert sorted(sorted(group.rows) for group in groups) == [[0, 1], [2], [3], [4]]
    assert len({group.suffix for group in groups}) == 4
    assert len(partition(rows(3, NumberOfFrames=["1", "", "1 "]))) == 1


@pytest.mark.parametrize(
    "text", ["", "x", r"1\2", "nan\\0\\0", "1e999\\0\\0", "1e200\\-1e200\\1", "\0"]
)
def test_malformed_positions_and_directions_harm_nothing(text: str) -> None:
    columns = rows(4, AcquisitionNumber=list("1122"))
    columns["ImagePositionPatient"][1] = text
    columns["ImageOrientationPatient"][2] = text + "\\0\\0\\0"
    groups = partition(columns)
    assert sorted(row for group in groups for row in group.rows) == [0, 1, 2, 3]


def test_hundred_thousand_rows_take_seconds_at_most() -> None:
    count = 100_000
    columns = rows(count, AcquisitionNumber=[str(n // 8) for n in range(count)])
    start = time.perf_counter()
    (group,) = partition(columns)
    assert group.rows == list(range(count))
    many = rows(count, EchoTime=[str(n) for n in range(count)])
    many["ImageOrientationPatient"] = [rf"{n / count}\0\0\0\1\0" for n in range(count)]
    assert len(partition(many)) == count
    assert time.perf_counter() - start < 30


def test_real_series_are_parted_as_a_person_would() -> None:
    import pydicom
    from pydicom.data import get_testdata_file

    folder = Path(os.fspath(get_testdata_file("DICOMDIR", download=False))).parent

    def columns(place: str) -> Columns:
        table: Columns = {}
        for path in sorted((folder / place).iterdir()):
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            table.setdefault("source", []).append(path.name)
            for name in rows(0):
                if name != "source":
                    value = dataset.get(name, "")
                    text = (
                        "\\".join(map(str, value))
                        if not isinstance(value, str | int)
                        else str(value)
                    )
                    table.setdefault(name, []).append(text)
        return table

    # Table steps of three slices: acquisitions 1 1 1 2 2 of one volume.
    (stepped,) = partition(columns("98892001/CT5N"))
    assert len(stepped.rows) == 5
    scouts = partition(columns("98892001/CT2N"))
    assert [(len(group.rows), group.localizer) for group in scouts] == [(1, True), (1, True)]
    # Projections from seven directions.
    assert len(partition(columns("98892003/MR700"))) == 7
