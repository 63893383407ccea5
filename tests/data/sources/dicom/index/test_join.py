"""Labels join by name or id, as text; whatever does not fit is listed or refused, never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medimg.data.options import IndexOptions
from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.index.cases import make_units
from medimg.data.sources.dicom.index.join import STRIPPED, Joined, join
from medimg.errors import LabelError, UsageError
from medimg.tables import parse_table

ROOT = Path("/scans")


def scans(*rows: dict[str, str]) -> dict[str, list[str]]:
    """One instance a row; what is not said is blank, or a number of its own."""
    names = ("source", *COLUMNS)
    filled = [
        {"source": f"{n}.dcm", "SOPInstanceUID": f"1.{n}", "StudyInstanceUID": f"9.{n}", **row}
        for n, row in enumerate(rows)
    ]
    return {name: [row.get(name, "") for row in filled] for name in names}


def joined(
    text: str,
    columns: dict[str, list[str]],
    path: Path = ROOT / "l.csv",
    left_out: tuple[int, ...] = (),
    **options: Any,
) -> Joined:
    chosen = IndexOptions(**options)
    rows = [row for row in range(len(columns["source"])) if row not in left_out]
    units = make_units(columns, rows, chosen.unit or "image").units
    return join(parse_table(text, str(path)), columns, units, chosen, root=ROOT, path=path)


def reasons(found: Joined) -> dict[int, str]:
    return {one.row: one.reason for one in found.unmatched}


@pytest.mark.parametrize(
    "what",
    ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "AccessionNumber", "PatientID"),
)
@pytest.mark.parametrize("key", (None, "{what}", "id", "id={what}"))
def test_labels_join_by_each_id(what: str, key: str | None) -> None:
    columns = scans({what: "x1"}, {what: "x2"}, {what: "x3"})
    column = "id" if key and key.startswith("id") else what
    found = joined(
        f"{column},label\nx3,c\nx1,a\nx9,b\n", columns, key=key and key.format(what=what)
    )
    assert found.rows == [1, -1, 0]
    assert (found.key.column, found.key.what) == (column, what)
    assert reasons(found) == {2: "no such scan"}
    assert found.labels.space.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("sub/a.dcm", 0),
        ("sub/a", 0),
        ("sub\\a.dcm", 0),
        ("./sub/a.dcm", 0),
        ("/scans/sub/a.dcm", 0),
        ("../scans/sub/a.dcm", 0),
        ("b.dcm", 1),
        ("b", 1),
        ("IM0001", 2),
        ("z.zip#x/m.dcm", 5),
        ("m.dcm", 5),
        ("SUB/a.dcm", -1),
        ("twin.dcm", -2),
        ("/else/sub/a.dcm", -1),
        ("dcm", -1),
        ("", -1),
    ],
)
def test_files_join_by_path_or_by_a_name_that_is_unique(cell: str, wanted: int) -> None:
    sources = ("sub/a.dcm", "sub/b.dcm", "IM0001", "p/twin.dcm", "q/twin.dcm", "z.zip#x/m.dcm")
    columns = scans(*({"source": source} for source in sources))
    found = joined(f"path,label\n{cell},a\nq/twin.dcm,b\n", columns)
    assert found.rows == [{wanted: 0, 4: 1}.get(n, -1) for n in range(6)]
    if wanted == -2:
        assert reasons(found) == {0: "several files have this name"}


def test_paths_may_be_relative_to_the_table() -> None:
    columns = scans({"source": "1/a.dcm"}, {"source": "2/a.dcm"})
    found = joined("file,label\nscans/2/a.dcm,x\nscans/1/a.dcm,y\n", columns, path=Path("/l.csv"))
    assert found.rows == [1, 0]


@pytest.mark.parametrize("cell", ("7", "0007", " 007", "007 "))
def test_ids_that_match_only_when_stripped_are_listed_never_joined(cell: str) -> None:
    columns = scans({"PatientID": "007"}, {"PatientID": "8"})
    found = joined(f'PatientID,label\n"{cell}",a\n8,b\n', columns)
    assert found.rows == [-1, 1]
    assert reasons(found) == {0: STRIPPED}
    assert found.unmatched[0].instance == 0


def test_where_all_ids_match_only_when_stripped_that_is_said() -> None:
    columns = scans({"PatientID": "007"}, {"PatientID": "008"})
    with pytest.raises(LabelError, match="none of 2 rows matches") as caught:
        joined("PatientID,label\n7,a\n8,b\n", columns)
    assert "2 match without blanks, zeros" in caught.value.remedy


def test_a_blank_id_is_no_id() -> None:
    columns = scans({"AccessionNumber": ""}, {"AccessionNumber": "5"})
    found = joined("AccessionNumber,label\n,a\n5,b\n", columns)
    assert found.rows == [-1, 1]
    assert reasons(found) == {0: "the key is blank"}


def test_the_narrowest_plain_column_that_matches_is_the_key() -> None:
    columns = scans({"PatientID": "p"}, {"PatientID": "q"})
    text = "PatientID,image,SOPInstanceUID,label\np,x.png,1.0,a\nq,y.png,1.1,b\n"
    assert joined(text, columns).key.what == "SOPInstanceUID"
    assert joined(text, columns, key="PatientID").key.what == "PatientID"


def test_a_key_that_is_not_plain_is_asked_for() -> None:
    columns = scans({"PatientID": "1", "AccessionNumber": "1"}, {"PatientID": "2"})
    with pytest.raises(UsageError, match="no column could name the scans: who, label"):
        joined("who,label\n1,a\n2,b\n", columns)
    with pytest.raises(UsageError, match="who=AccessionNumber, who=PatientID"):
        joined("who,label\n1,a\n2,b\n", columns, key="who")
    assert joined("who,label\n1,a\n2,b\n", columns, key="who=PatientID").rows == [0, 1]
    with pytest.raises(UsageError, match="path=file, file=file"):
        joined("path,file,label\n0.dcm,1.dcm,a\n1.dcm,0.dcm,b\n", columns)
    with pytest.raises(UsageError, match="did you mean PatientID"):
        joined("who,label\n1,a\n2,b\n", columns, key="who=PatientId")
    with pytest.raises(UsageError, match="did you mean who"):
        joined("who,label\n1,a\n2,b\n", columns, key="whoo")


def test_a_key_of_other_values_says_what_they_are() -> None:
    columns = scans({"PatientID": "p1"}, {"PatientID": "p2"})
    with pytest.raises(LabelError) as caught:
        joined("StudyInstanceUID,label\np1,a\np2,b\n", columns)
    assert "--key StudyInstanceUID=PatientID" in caught.value.remedy


def test_rows_that_agree_are_folded_and_what_differs_is_blank() -> None:
    columns = scans({}, {})
    text = "SOPInstanceUID,label,reader,site\n1.0,a,A,X\n1.1,b,A,X\n1.0,a,B,X\n"
    found = joined(text, columns)
    assert found.rows == [0, 1]
    assert found.sheet["reader"].tolist() == ["", "A", "B"]
    assert found.sheet["site"].tolist() == ["X"] * 3
    assert not found.unmatched


def test_rows_that_disagree_are_refused_by_their_numbers_alone() -> None:
    columns = scans({"PatientID": "SECRET"}, {"PatientID": "q"})
    with pytest.raises(LabelError, match=r"rows 2 and 4 mean one scan and differ in labels \(1 su"):
        joined("PatientID,label\nSECRET,a\nq,b\nSECRET,b\n", columns)
    with pytest.raises(LabelError, match="differ in column who") as caught:
        joined("PatientID,label,who\nSECRET,a,1\nq,b,1\nSECRET,a,2\n", columns, patient_id="who")
    assert "SECRET" not in str(caught.value)


def test_two_names_of_one_file_are_one_scan() -> None:
    columns = scans({"source": "x/a.dcm"}, {"source": "x/b.dcm"})
    assert joined("path,label\nx/a.dcm,1\na,1\nb,0\n", columns).rows == [0, 2]
    with pytest.raises(LabelError, match="rows 2 and 3"):
        joined("path,label\nx/a.dcm,1\na,0\nb,0\n", columns)


def test_several_files_of_one_uid_share_its_label() -> None:
    columns = scans({"SOPInstanceUID": "5"}, {"SOPInstanceUID": "5"}, {"SOPInstanceUID": "6"})
    assert joined("SOPInstanceUID,label\n5,a\n6,b\n", columns).rows == [0, 0, 1]


def test_rows_of_the_files_of_a_volume_must_agree() -> None:
    common = {
        "SeriesInstanceUID": "s",
        "StudyInstanceUID": "t",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "PixelSpacing": "1\\1",
    }
    columns = scans(*({**common, "ImagePositionPatient": f"0\\0\\{n}"} for n in range(3)))
    assert joined("path,label\n1.dcm,a\n2.dcm,a\nx,b\n", columns, unit="series").rows == [0]
    with pytest.raises(LabelError, match="rows 2 and 3"):
        joined("path,label\n1.dcm,a\n2.dcm,b\n", columns, unit="series")


def test_rows_may_be_of_frames() -> None:
    columns = scans({"NumberOfFrames": "3"}, {"NumberOfFrames": "2"})
    text = "path,frame,label\n0.dcm,0,a\n0.dcm,2,b\n1.dcm,,c\n"
    assert joined(text, columns, unit="frame").rows == [0, -1, 1, 2, 2]


@pytest.mark.parametrize("column", ("frame", "Frame", "FRAME"))
def test_frames_are_compared_as_whole_numbers_in_a_column_of_any_case(column: str) -> None:
    columns = scans({"NumberOfFrames": "3"})
    text = f"path,{column},label\n0.dcm,00,a\n0.dcm,1.0,b\n0.dcm, 2 ,c\n"
    found = joined(text, columns, unit="frame")
    assert found.rows == [0, 1, 2]
    assert found.frame == column
    assert not found.unmatched


def test_rows_of_frames_that_no_file_has_are_listed() -> None:
    columns = scans({"NumberOfFrames": "3"}, {"NumberOfFrames": "2"}, {"NumberOfFrames": "2"})
    rows = ("0.dcm,0,a", "0.dcm,3,b", "0.dcm,x,b", "0.dcm,-1,b", "1.dcm,7,b", "2.dcm,,a")
    text = "\n".join(["path,frame,label", *rows, ""])
    found = joined(text, columns, unit="frame")
    assert found.rows == [0, -1, -1, -1, -1, 5, 5]
    assert reasons(found) == dict.fromkeys((1, 2, 3, 4), "no such frame")
    assert [one.instance for one in found.unmatched] == [0, 0, 0, 1]


def test_frames_numbered_from_one_are_refused() -> None:
    columns = scans({"NumberOfFrames": "3"}, {"NumberOfFrames": "2"})
    text = "path,frame,label\n0.dcm,1,a\n0.dcm,2,b\n0.dcm,3,b\n1.dcm,0,a\n"
    with pytest.raises(LabelError, match=r"1 files .* frames are numbered from 0"):
        joined(text, columns, unit="frame")
    assert joined(text.replace("0.dcm,3", "0.dcm,0"), columns, unit="frame").rows[:3] == [2, 0, 1]


def test_a_column_of_frames_means_nothing_where_files_are_whole() -> None:
    found = joined("path,frame,label\n0.dcm,7,a\n1.dcm,9,b\n", scans({}, {}))
    assert found.rows == [0, 1]
    assert found.frame is None
    assert not found.unmatched


NO_CASE = "its scan is no case: refused, left out or no image"


def test_rows_of_scans_that_are_no_case_are_listed() -> None:
    columns = scans({}, {"NumberOfFrames": "9"})
    found = joined("SOPInstanceUID,label\n1.0,a\n1.1,b\n", columns)
    assert found.rows == [0]
    assert reasons(found) == {1: NO_CASE}


def test_blank_ids_of_cases_match_no_row() -> None:
    columns = scans({"AccessionNumber": ""}, {"AccessionNumber": "5"})
    assert reasons(joined("AccessionNumber,label\n5,a\n7,b\n", columns)) == {1: "no such scan"}


# ------------------------------------------------------------------------- patients and studies

VISITS = (
    {"PatientID": "p", "StudyInstanceUID": "1", "StudyDate": "20200101"},
    {"PatientID": "p", "StudyInstanceUID": "1", "StudyDate": "20200101"},
    {"PatientID": "p", "StudyInstanceUID": "2", "StudyDate": "20200131"},
    {"PatientID": "q", "StudyInstanceUID": "3", "StudyDate": "20200601"},
)


def test_a_patient_of_several_studies_is_refused_until_it_is_said_which() -> None:
    columns = scans(*VISITS)
    text = "PatientID,label\np,a\nq,b\n"
    with pytest.raises(LabelError, match=r"1 patients have several studies \(up to 2\)") as caught:
        joined(text, columns)
    assert "--key-date" in caught.value.remedy
    assert "--all-studies" in caught.value.remedy
    assert joined(text, columns, all_studies=True).rows == [0, 0, 0, 1]


def test_the_nearest_study_within_reach_is_meant() -> None:
    text = "PatientID,day,label\np,2020-01-05,a\np,20200129,b\nq,2020-06-20 10:00,a\n"
    found = joined(text, scans(*VISITS), key_date="day", within="10d")
    assert found.rows == [0, 0, 1, -1]
    assert reasons(found) == {2: "no study of the patient within 10 days"}
    assert joined(text, scans(*VISITS), key_date="day", within="30d").rows == [0, 0, 1, 2]


@pytest.mark.parametrize("why", ("left out", "refused"))
def test_the_label_of_a_nearest_study_without_a_case_is_of_no_other_study(why: str) -> None:
    frames = {"NumberOfFrames": "9"} if why == "refused" else {}
    columns = scans(*VISITS[:2], {**VISITS[2], **frames}, VISITS[3])
    left_out = (2,) if why == "left out" else ()
    text = "PatientID,day,label\np,20200129,b\nq,20200601,a\n"
    found = joined(text, columns, left_out=left_out, key_date="day", within="90d")
    assert found.rows[:2] == [-1, -1]
    assert reasons(found) == {0: NO_CASE}
    assert found.unmatched[0].instance == 2


def test_studies_and_namesakes_without_a_case_count_too() -> None:
    with pytest.raises(LabelError, match="1 patients have several studies"):
        joined("PatientID,label\np,a\nq,b\n", scans(*VISITS), left_out=(2,))
    issuers = ({"PatientID": "7", "IssuerOfPatientID": issuer} for issuer in "AB")
    columns = scans(*({**one, "StudyInstanceUID": "1"} for one in issuers), {"PatientID": "8"})
    with pytest.raises(LabelError, match="several IssuerOfPatientID") as caught:
        joined("PatientID,label\n7,a\n8,b\n", columns, left_out=(1,))
    assert "--where" not in caught.value.remedy


def test_a_tie_between_studies_is_listed() -> None:
    text = "PatientID,day,label\np,20200116,a\nq,20200601,b\np,,a\n"
    found = joined(text, scans(*VISITS), key_date="day", within="90d")
    assert found.rows == [-1, -1, -1, 1]
    assert reasons(found) == {0: "two studies of the patient lie equally near", 2: "no date"}


def test_two_labels_of_one_study_must_agree() -> None:
    text = "PatientID,day,label\np,20200101,a\np,20200102,b\nq,20200601,b\n"
    with pytest.raises(LabelError, match="rows 2 and 3"):
        joined(text, scans(*VISITS), key_date="day", within="30d")


def test_a_study_of_two_dates_has_none() -> None:
    columns = scans(*VISITS[:1], {**VISITS[1], "StudyDate": "20200102"}, *VISITS[2:])
    text = "PatientID,day,label\np,20200101,a\nq,20200601,b\n"
    found = joined(text, columns, key_date="day", within="9d")
    assert reasons(found) == {0: "no study of the patient within 9 days"}


def test_options_of_dates_fit_together_or_are_refused() -> None:
    columns = scans(*VISITS)
    text = "PatientID,day,label\np,20200101,a\nq,1.6.2020,b\n"
    with pytest.raises(UsageError, match="go together"):
        joined(text, columns, key_date="day")
    with pytest.raises(UsageError, match="all_studies"):
        joined(text, columns, key_date="day", within="3d", all_studies=True)
    with pytest.raises(LabelError, match="row 3 holds no date"):
        joined(text, columns, key_date="day", within="3d")
    with pytest.raises(UsageError, match="did you mean day"):
        joined(text, columns, key_date="dai", within="3d")
    with pytest.raises(UsageError, match="no meaning for a key of StudyInstanceUID"):
        joined("StudyInstanceUID,label\n1,a\n3,b\n", columns, all_studies=True)


@pytest.mark.parametrize("what", ("PatientID", "AccessionNumber"))
@pytest.mark.parametrize("other", ("B", ""))
def test_an_id_of_several_issuers_is_refused(what: str, other: str) -> None:
    columns = scans(
        {what: "7", "IssuerOfPatientID": "A", "StudyInstanceUID": "1"},
        {what: "7", "IssuerOfPatientID": other, "StudyInstanceUID": "1"},
        {what: "8", "IssuerOfPatientID": "A"},
    )
    with pytest.raises(LabelError, match=r"1 values of .* under several IssuerOfPatientID"):
        joined(f"{what},label\n7,a\n8,b\n", columns)
    assert joined(f"{what},label\n8,b\n9,a\n", columns).rows == [-1, -1, 0]


def test_an_accession_of_two_patients_is_refused() -> None:
    columns = scans(
        {"AccessionNumber": "7", "PatientID": "p"}, {"AccessionNumber": "7", "PatientID": "q"}
    )
    with pytest.raises(LabelError, match="under several PatientID"):
        joined("AccessionNumber,label\n7,a\nx,b\n", columns)
