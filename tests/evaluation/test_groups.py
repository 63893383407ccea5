"""Columns of metadata cut into groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medimg.errors import UsageError
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.sample.groups import BLANK, cells_of, groups_of, numbers_of


def alone(n):
    return Units(np.arange(n), n, "case")


def sizes(groups):
    return {name: int(mask.sum()) for name, mask in groups.masks.items()}


def test_words_are_groups_in_order_and_blanks_are_one_at_the_end():
    cells = ["M"] * 12 + ["F"] * 20 + [""] * 10
    assert sizes(groups_of("sex", cells, alone(42))) == {"F": 20, "M": 12, BLANK: 10}


def test_small_groups_are_counted_together_and_never_named():
    cells = ["A"] * 30 + ["B"] * 15 + ["rare"] * 9 + ["rarer"] * 4 + [""] * 2
    groups = groups_of("site", cells, alone(60))
    assert list(groups.masks) == ["A", "B"]
    assert (groups.suppressed, groups.suppressed_cases) == (3, 15)
    assert "rare" not in groups.note


def test_the_size_of_a_group_is_that_of_its_patients():
    units = Units(np.repeat(np.arange(14), 5), 14, "patient")
    groups = groups_of("site", ["A"] * 50 + ["B"] * 20, units)
    assert list(groups.masks) == ["A"]
    assert (groups.suppressed, groups.suppressed_cases) == (1, 20)
    assert groups.note == "fewer than two groups of ten patients: nothing to compare"


def test_many_numbers_are_cut_at_the_quartiles_by_hand():
    groups = groups_of("age", [str(v) for v in range(1, 81)], alone(80))
    assert sizes(groups) == {
        "up to 20": 20,
        "over 20 to 40": 20,
        "over 40 to 60": 20,
        "over 60": 20,
    }
    assert groups.note == "cut into 4 at quantiles of the cases"


def test_few_numbers_are_codes_in_the_order_of_numbers():
    assert list(groups_of("site", ["10", "9", "2"] * 12, alone(36)).masks) == ["2", "9", "10"]


@pytest.mark.parametrize(("n", "parts"), [(19, 1), (20, 2), (35, 3), (400, 4)])
def test_a_quantity_is_cut_into_parts_of_ten_patients_or_more(n, parts):
    groups = groups_of("dose", [f"{v / 7}" for v in range(n)], alone(n))
    assert len(groups.masks) == parts
    assert sum(sizes(groups).values()) == n
    assert groups.suppressed == 0


def test_quartiles_are_those_of_patients_however_many_cases_one_has():
    ages = [str(v) for v in range(1, 41)] + ["80"] * 500
    units = Units(np.append(np.arange(40), np.full(500, 40)), 41, "patient")
    groups = groups_of("age", ages, units)
    assert list(groups.masks) == ["up to 11", "over 11 to 21", "over 21 to 31", "over 31"]


def test_dicom_ages_are_years():
    assert numbers_of(["045Y", "006M", "", "014D"]) == pytest.approx(
        [45, 0.5, np.nan, 14 / 365.25], nan_ok=True
    )
    cells = [f"{v:03d}Y" for v in range(20, 60)] + [""] * 12
    groups = groups_of("PatientAge", cells, alone(52))
    assert next(iter(groups.masks)) == "up to 29"
    assert sizes(groups)[BLANK] == 12


def test_no_single_patients_age_is_told_by_a_name():
    groups = groups_of("age", [str(v) for v in (*range(30, 69), 107)], alone(40))
    assert not any("107" in name or "30" in name for name in groups.masks)


def test_cuts_that_differ_late_have_names_that_differ():
    values = [f"1.00000{v:02d}" for v in range(80)]
    assert len(groups_of("x", values, alone(80)).masks) == 4


@pytest.mark.parametrize("cells", [["1", "x"], ["", ""], ["1", "nan"], ["1", "inf"]])
def test_what_is_no_number_makes_words(cells):
    assert numbers_of(cells) is None


def test_the_largest_of_many_groups_are_taken():
    cells = [f"site {i:02d}" for i in range(25) for _ in range(10 + i)]
    groups = groups_of("site", cells, alone(len(cells)))
    assert list(groups.masks) == [f"site {i:02d}" for i in range(5, 25)]
    assert groups.note == "the 20 largest of 25 groups"
    assert groups.suppressed == 0


def test_a_part_that_ties_leave_small_is_not_shown():
    cells = ["0"] * 70 + [str(v) for v in range(1, 31)]
    groups = groups_of("dose", cells, alone(100))
    assert sizes(groups) == {"up to 0": 70, "over 5": 25}
    assert (groups.suppressed, groups.suppressed_cases) == (1, 5)


def test_a_missing_column_is_refused_with_what_is_there():
    frame = pd.DataFrame({"PatientSex": ["F"], "PatientAge": ["045Y"]})
    with pytest.raises(UsageError, match="did you mean PatientSex") as caught:
        cells_of(frame, "PatientSx")
    assert "columns here: PatientSex, PatientAge" in str(caught.value)
    assert "045Y" not in str(caught.value)
    with pytest.raises(UsageError, match="the predictions have none"):
        cells_of(pd.DataFrame(index=range(3)), "sex")


def test_cells_are_text_without_blanks_around():
    frame = pd.DataFrame({"x": [" a ", None, "b"], "y": [1.5, np.nan, 2]})
    assert cells_of(frame, "x") == ["a", "", "b"]
    assert cells_of(frame, "y") == ["1.5", "", "2.0"]
