"""Ids: one spelling, no words for none, and what names a study."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimg.data.ids import PLACEHOLDERS, plain_id, plain_ids, plain_text, study_ids


@pytest.mark.parametrize(
    "spellings",
    [
        ("P-007", " p-7", "P\u20117", "p\u22127", "P\u20147", "p\uff0d007"),
        ("M\u00fcller", "Mu\u0308ller", "MU\u0308LLER"),
        ("p7", "p\u200b7", "\ufeffp7", "p7\x00", "p\u00ad7"),
        ("12", "\uff11\uff12", "\u0661\u0662", "12.0", "012.00", "12.0 "),
        ("Doe Jane 7", "doe  jane\t7", "DOE\u00a0JANE 07", "Doe\nJane 7"),
        ("\u0390", "\u03aa\u0301", "\u1fd3"),
    ],
)
def test_every_way_to_write_an_id_is_one(spellings: tuple[str, ...]) -> None:
    assert len({plain_id(spelling) for spelling in spellings}) == 1


def test_what_differs_in_more_than_writing_stays_apart() -> None:
    ids = ["7", "70", "0.7", "7.1", "p7.0", "7-0", "7 0", "1.2.0", "1.2", "p-7", "p7"]
    assert len({plain_id(identifier) for identifier in ids}) == len(ids)


@pytest.mark.parametrize("word", [*PLACEHOLDERS, "N/A", " NaN ", "Unknown", "\u2013", "<NA>"])
def test_a_word_for_none_is_no_id_and_is_a_text(word: str) -> None:
    assert plain_id(word) == ""
    assert plain_text(word) != ""
    assert plain_id(word + "7") != ""


def test_cells_that_are_no_text_are_taken_as_they_print() -> None:
    cells = [7, 7.0, "007", None, float("nan"), "x"]
    assert plain_ids(cells).tolist() == ["7", "7", "7", "", "", "x"]


@given(st.text(max_size=12))
def test_the_plain_spelling_of_a_plain_id_is_itself(text: str) -> None:
    assert plain_id(plain_id(text)) == plain_id(text)


def test_studies_numbered_within_a_patient_are_named_with_it_alone() -> None:
    study = ["Study1", "study01", "study1", "1.2.3.4", "1.2.3.4", "", "A70041"]
    patient = ["p", "P ", "", "q", "", "p", "NA"]
    assert study_ids(study, patient).tolist() == [
        *("p\nstudy1", "p\nstudy1", "", "1.2.3.4", "1.2.3.4", "", "a70041")
    ]


def test_patient_and_study_do_not_run_into_each_other() -> None:
    assert len(set(study_ids(["a1", "1"], ["p", "pa"]))) == 2


def test_a_million_plain_ids_take_about_a_second() -> None:
    ids = [f"P-{i:06}" for i in range(200_000)]
    start = time.process_time()
    for identifier in ids:
        plain_id(identifier)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("date", ["20200131", "2020-01-31", "31", "2020", "1999/1/3", "visit-12"])
def test_a_date_or_a_small_number_names_a_study_within_its_patient_alone(date: str) -> None:
    plain = plain_text(date)
    assert study_ids([date] * 3, ["p", "q", ""]).tolist() == [f"p\n{plain}", f"q\n{plain}", ""]


def test_ids_that_many_patients_share_are_numbers_within_a_patient() -> None:
    study = [f"visit{1000 + i % 5}" for i in range(40)]
    patient = [f"p{i // 5}" for i in range(40)]
    assert len(set(study_ids(study, patient))) == 40


def test_a_few_studies_of_two_patients_stay_one_study_each() -> None:
    study = [f"A{70000 + i}" for i in range(40)]
    patient = [f"p{i}" for i in range(40)]
    assert len(set(study_ids([*study, study[0]], [*patient, "another"]))) == 40
