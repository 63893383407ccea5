"""Groups: who belongs together, whatever the order of the rows and the spelling of ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimg.data.groups import group_of
from medimg.data.ids import plain_id
from medimg.data.manifest import Manifest
from medimg.errors import ManifestError, UsageError
from medimg.labels import LabelSpace

TWO = LabelSpace(("a", "b"))
IDS = st.sampled_from(["", " ", "1", "01", "2", "p", "P ", "q", "007", "7"])


def manifest(**columns: Sequence[object]) -> Manifest:
    n = len(next(iter(columns.values())))
    frame = {"case_id": [f"c{i:03}" for i in range(n)], "source": [f"{i:03}.png" for i in range(n)]}
    table = pd.DataFrame({**frame, **columns}, dtype=object)
    return Manifest(table, np.full((n, 2), np.nan, np.float32), TWO, Path())


def together(groups: Sequence[int]) -> list[list[int]]:
    """Return the rows of each group, in the order of their first."""
    found: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        found.setdefault(int(group), []).append(row)
    return list(found.values())


def reference(columns: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return the groups the obvious way: merge until nothing changes."""
    groups = [{row} for row in range(len(columns[0]))]
    changed = True
    while changed:
        changed = False
        for one in groups:
            for other in groups:
                if one is not other and any(
                    plain_id(c[i]) == plain_id(c[j]) != ""
                    for c in columns
                    for i in one
                    for j in other
                ):
                    one |= other
                    groups.remove(other)
                    changed = True
                    break
            if changed:
                break
    return sorted(sorted(group) for group in groups)


def test_ids_that_differ_in_blanks_capitals_or_zeros_are_one_patient() -> None:
    cases = manifest(patient_id=["007", " 7", "P1", "p1 ", "8"])
    assert together(group_of(cases)) == [[0, 1], [2, 3], [4]]


def test_blank_ids_are_never_pooled_into_one_patient() -> None:
    cases = manifest(patient_id=["", " ", "", "x", "x"])
    assert together(group_of(cases)) == [[0], [1], [2], [3, 4]]


def test_a_case_without_an_id_is_refused_by_name_where_that_is_asked() -> None:
    cases = manifest(patient_id=["x", "", " ", "y"])
    with pytest.raises(ManifestError, match=r"2 of 4 cases have no patient_id: c001, c002\n"):
        group_of(cases, missing="refuse")
    assert together(group_of(manifest(patient_id=["x", "y"]), missing="refuse")) == [[0], [1]]


def test_chained_columns_keep_together_what_either_of_them_does() -> None:
    cases = manifest(patient_id=["1", "1", "2", "3", ""], lesion=["a", "b", "b", "c", "c"])
    assert together(group_of(cases, ("patient", "lesion"))) == [[0, 1, 2], [3, 4]]
    assert together(group_of(cases, ("lesion", "patient_id"))) == [[0, 1, 2], [3, 4]]
    assert together(group_of(cases, "lesion")) == [[0], [1, 2], [3, 4]]


def test_the_same_words_in_two_columns_link_nothing() -> None:
    cases = manifest(patient_id=["1", "2", "3"], lesion=["2", "3", "1"])
    assert together(group_of(cases, ("patient", "lesion"))) == [[0], [1], [2]]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(IDS, IDS, IDS), min_size=1, max_size=12), st.integers(1, 3))
def test_groups_are_those_of_the_obvious_way(rows: list[tuple[str, ...]], used: int) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    names = ("patient_id", "lesion", "eye")[:used]
    cases = manifest(**dict(zip(names, columns, strict=False)))
    assert together(group_of(cases, names)) == reference(columns[:used])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(IDS, IDS), min_size=2, max_size=15), st.integers(0, 99))
def test_neither_the_order_of_rows_nor_case_ids_change_a_number(
    rows: list[tuple[str, str]], seed: int
) -> None:
    patients, lesions = map(list, zip(*rows, strict=True))
    cases = manifest(patient_id=patients, lesion=lesions)
    order = np.random.default_rng(seed).permutation(len(rows))
    renamed = cases.frame.iloc[order].assign(case_id=[f"k{i:03}" for i in range(len(rows))])
    again = Manifest(renamed, cases.targets, TWO, Path())
    by = ("patient", "lesion")
    assert group_of(again, by).tolist() == group_of(cases, by)[order].tolist()


def test_cases_of_one_study_stay_together_also_with_those_whose_patient_is_known() -> None:
    cases = manifest(patient_id=["", "1", "", "1", "2"], study_id=["A70041", "a70041 ", "", "", ""])
    assert together(group_of(cases)) == [[0, 1, 3], [2], [4]]


def test_numbers_within_a_patient_join_nobody_elses_studies() -> None:
    study = ["study1", "study1", "study1", "2", "2"]
    cases = manifest(patient_id=["", "", "1", "", "3"], study_id=study)
    assert together(group_of(cases)) == [[0], [1], [2], [3], [4]]
    visits = manifest(patient_id=["1", "1", "2", ""], study_id=["1", "01", "1", "1"])
    assert together(group_of(visits, ("study",))) == [[0, 1], [2], [3]]
    with pytest.raises(ManifestError, match="1 of 4 cases have no study_id: c003"):
        group_of(visits, ("study",), "refuse")


def test_words_for_no_id_are_no_patient_that_cases_share() -> None:
    cases = manifest(patient_id=["NA", "na", "unknown", "Unknown ", "x", "X"])
    assert together(group_of(cases)) == [[0], [1], [2], [3], [4, 5]]
    with pytest.raises(ManifestError, match="4 of 6 cases have no patient_id"):
        group_of(cases, missing="refuse")


def test_a_case_of_split_none_links_and_needs_no_id() -> None:
    cases = manifest(
        patient_id=["p", "p", "", ""], lesion=["", "L", "L", ""], split=["", "none", "", "none"]
    )
    assert together(group_of(cases, ("patient", "lesion"), "refuse")) == [[0, 1, 2], [3]]


def test_a_picture_that_is_named_twice_is_one_group() -> None:
    frame = pd.DataFrame({"case_id": ["a", "b", "c"], "source": ["x", "x", "x"]})
    frame["frame"] = ["1", "1", "2"]
    cases = Manifest(frame, np.full((3, 2), np.nan, np.float32), TWO, Path())
    assert together(group_of(cases)) == [[0, 1], [2]]


def test_a_whole_file_is_one_image_with_its_frames_and_so_are_volumes_that_share_a_file() -> None:
    cases = manifest(
        source=["a", "./a", "a", "b", "b", "v1", "v3", "v5"],
        frame=["0", "", "1", "0", "1", "", "", ""],
        patient_id=["1", "2", "3", "", "", "4", "5", ""],
    )
    files = {"c005": ("v1", "v2"), "c006": ("v3", "v2"), "c007": ("v5", "v6")}
    assert together(group_of(replace(cases, files=files))) == [[0, 1, 2], [3], [4], [5, 6], [7]]


def test_cells_that_are_no_text_are_taken_as_they_print() -> None:
    cases = manifest(lesion=[1, "1", None, float("nan"), "x"])
    assert together(group_of(cases, ("lesion",))) == [[0, 1], [2], [3], [4]]


def test_numbers_run_from_zero_without_gaps() -> None:
    cases = manifest(patient_id=["b", "", "a", "b"], lesion=["", "", "z", ""])
    assert group_of(cases, ("patient", "lesion")).tolist() == [1, 2, 0, 1]


def test_a_column_that_is_not_there_is_told_with_its_neighbours() -> None:
    cases = manifest(lesion_id=["1", "2"])
    with pytest.raises(UsageError, match=r"no column 'lesionid'; did you mean lesion_id\?"):
        group_of(cases, ("patient", "lesionid"))
    with pytest.raises(UsageError, match="no column to group by"):
        group_of(cases, ())
    with pytest.raises(UsageError, match="own, refuse"):
        group_of(cases, missing="drop")  # type: ignore[arg-type]
