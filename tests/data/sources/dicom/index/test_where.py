"""`--where`: conditions on headers mean what they say, and wrong ones are refused."""

from __future__ import annotations

import pytest

from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.index.where import keep, parse, to_blame
from medimg.errors import UsageError


def kept(condition: str, *cells: str) -> list[bool]:
    keyword = parse(condition, COLUMNS).keyword
    columns = {"source": ["x"] * len(cells), keyword: list(cells)}
    return keep(columns, [parse(condition, COLUMNS)])


@pytest.mark.parametrize(
    ("condition", "cells", "wanted"),
    [
        ("Modality=CT", ("CT", "MR", "", "ct"), (1, 0, 0, 0)),
        (" Modality = CT ", ("CT", "MR"), (1, 0)),
        ("Modality!=CT", ("CT", "MR", ""), (0, 1, 1)),
        ("ViewPosition=", ("", "PA"), (1, 0)),
        ("ViewPosition!=", ("", "PA"), (0, 1)),
        ("ImageType=AXIAL", ("ORIGINAL\\PRIMARY\\AXIAL", "AXIALS", ""), (1, 0, 0)),
        ("ImageType!~LOCALIZER", ("ORIGINAL\\PRIMARY\\LOCALIZER", "ORIGINAL\\AXIAL"), (0, 1)),
        ("SeriesDescription~^(T1|T2)", ("T1 ax", "t1", "x T2"), (1, 0, 0)),
        ("SeriesDescription~=", ("a=b", "ab"), (1, 0)),
        ("KVP=120", ("120.0", "1.2E2", "80", "", "x"), (1, 1, 0, 0, 0)),
        ("PatientID=7", ("7", "007", "7.0"), (1, 0, 0)),
        ("SliceThickness<=1.5", ("1.5", "1.51", "-1", "", "NaN"), (1, 0, 1, 0, 0)),
        ("StudyDate>=2020-02-01", ("20200201", "20200131", "2020", ""), (1, 0, 0, 0)),
        ("StudyDate<=2020-02-01", ("20200201", "20200202", "2020", "20201345"), (1, 0, 0, 0)),
        ("StudyDate=2020-01-01", ("20200101", "20200102", ""), (1, 0, 0)),
        ("StudyDate=20200101", ("20200101", "2020-01-01"), (1, 1)),
        ("AcquisitionDate!=2020-01-01", ("20200101", "20200102", ""), (0, 1, 1)),
        ("StudyDate=", ("20200101", ""), (0, 1)),
        ("StudyDate~^2020", ("20200101", "2019"), (1, 0)),
        ("Modality==CT", ("CT", "MR"), (1, 0)),
        ("PatientAge>2Y", (), ()),
        ("PatientAge>002Y", ("025M", "003Y", "002Y", "090D", "aged"), (1, 1, 0, 0, 0)),
        ("WindowCenter>30", ("40\\-500", "-500\\40"), (1, 0)),
        ("size>1000", ("999", "1001"), (0, 1)),
    ],
)
def test_condition_keeps_what_it_says(
    condition: str, cells: tuple[str, ...], wanted: tuple[int, ...]
) -> None:
    if condition == "PatientAge>2Y":
        with pytest.raises(UsageError, match="no order"):
            parse(condition, COLUMNS)
        return
    assert kept(condition, *cells) == [bool(w) for w in wanted]


def test_several_conditions_hold_together() -> None:
    columns = {"source": ["a", "b", "c"], "Modality": ["CT", "CT", "MR"], "KVP": ["80", "120", ""]}
    both = [parse(text, COLUMNS) for text in ("Modality=CT", "KVP>100")]
    assert keep(columns, both) == [False, True, False]
    assert keep(columns, []) == [True] * 3


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("Modality", "no condition"),
        ("=CT", "no condition"),
        ("", "no condition"),
        ("Modalty=CT", "did you mean Modality"),
        ("PatientName~Smith", "keeps no PatientName"),
        ("SeriesDescription~(", "unterminated|missing"),
        ("KVP>high", "no order"),
        ("KVP<nan", "no order"),
        ("Modality!==CT", "no condition"),
        ("StudyDate=2020-13-45", "no date"),
        ("StudyDate!=20201345", "no date"),
        ("StudyDate>=2020-02-30", "no date"),
        ("StudyDate>2020", "no date"),
        ("KVP>2020-13-45", "no order"),
    ],
)
def test_wrong_condition_is_refused_by_name(condition: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(condition, COLUMNS)


def test_what_leaves_out_everything_is_named() -> None:
    columns = {"source": ["a", "b"], "Modality": ["CT", "MR"], "KVP": ["80", "120"]}

    def blame(*conditions: str) -> str:
        return to_blame(columns, [parse(text, COLUMNS) for text in conditions], [0, 1])

    assert blame() == blame("Modality=CT") == blame("Modality=CT", "KVP<100") == ""
    assert blame("Modality=CT", "KVP=7") == "--where 'KVP=7' leaves out every image"
    assert blame("Modality=CT", "KVP>100") == (
        "--where 'Modality=CT' and --where 'KVP>100' together leave out every image"
    )
    assert "'KVP=7' and --where 'KVP=8' leave out" in blame("KVP=7", "KVP=8")
