"""A folder of DICOM: every file is a case, is listed as what it is, or is refused with a code."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg.data.index import index, index_unlabelled, list_cases
from medimg.data.manifest import Manifest
from medimg.data.sources.dicom.index.ledger import patient_ids
from medimg.data.sources.dicom.index.listing import Indexed, holds_dicom
from medimg.errors import DataError, LabelError, NothingReadable, UsageError
from medimg.labels import LabelSpace, class_index
from medimg.privacy import load_key, pseudonym
from medimg.testing import make_dicom, write_dicom

SPACE = LabelSpace(("a", "b"))
PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def scan(folder: Path, name: str, array: np.ndarray = PIXELS, **options: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = name.replace("/", "-")
    chosen = {"patient": f"P-{stem}", "study": stem, "series": stem, **options}
    return make_dicom(path, array, **chosen)


def volume(folder: Path, name: str, count: int = 4) -> None:
    common: dict[str, Any] = {"patient": name, "study": name, "series": name}
    common |= {"orientation": (1, 0, 0, 0, 1, 0), "spacing": (1, 1)}
    for n in range(count):
        scan(folder, f"{name}/{n}.dcm", instance=n + 1, position=(0, 0, -n), **common)


def report(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    elements = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "SOPInstanceUID": "1.2.3"}
    return write_dicom(path, {**elements, "Modality": "SR", "PatientID": "P"})


def roles(found: Indexed) -> dict[str, str]:
    return dict(zip(found.instances["source"], found.instances["role"], strict=True))


def labels_of(manifest: Manifest) -> dict[str, str]:
    names = [*manifest.space.classes, ""]
    codes = class_index(manifest.targets)
    return {s: names[k] for s, k in zip(manifest.frame["source"], codes, strict=True)}


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with one file of each kind, and a table of labels beside it."""
    folder = tmp_path / "scans"
    scan(folder, "a/1.dcm", modality="CT")
    scan(folder, "a/2.dcm", modality="CT")
    scan(folder, "b/IM0003", modality="MR")
    scan(folder, ".hidden/4.dcm", modality="CT")
    scan(folder, "many.dcm", array=np.zeros((3, 8, 8), np.uint16))
    report(folder, "report.dcm")
    (folder / "notes.txt").write_text("hello")
    (folder / "broken.dcm").write_bytes(bytes(128) + b"DICM")
    (folder / "page.dcm").write_text("<html>")
    with zipfile.ZipFile(folder / "cd.zip", "w") as archive:
        archive.write(scan(tmp_path, "5.dcm"), "x/5.dcm")
        archive.writestr("x/readme.txt", "hello")
    rows = ["a/1.dcm,a", "a/2.dcm,b", "IM0003,a", "cd.zip#x/5.dcm,b", "gone,a"]
    table(tmp_path, "file,label\n" + "\n".join(rows) + "\n")
    return folder


def test_every_file_is_in_exactly_one_of_the_tables(mixed: Path) -> None:
    found = list_cases(mixed, mixed.parent / "labels.csv")
    files = {p.relative_to(mixed).as_posix() for p in mixed.rglob("*") if p.is_file()}
    files = files - {"cd.zip"} | {"cd.zip#x/5.dcm", "cd.zip#x/readme.txt"}
    taken, refused = found.instances["source"], found.identities["source"]
    assert sorted([*taken, *refused]) == sorted(files)
    assert roles(found) == {
        "a/1.dcm": "case",
        "a/2.dcm": "case",
        "b/IM0003": "case",
        "cd.zip#x/5.dcm": "case",
        ".hidden/4.dcm": "no label",
        "report.dcm": "no image",
        "notes.txt": "not DICOM",
        "cd.zip#x/readme.txt": "not DICOM",
    }
    by_id = dict(zip(found.identities["case_id"], refused, strict=True))
    assert {by_id[r.case_id]: r.code for r in found.refusals} == {
        "many.dcm": "frames",
        "broken.dcm": "corrupt",
        "page.dcm": "unknown_format",
    }
    assert all(r.stage == "index" for r in found.refusals)
    assert found.unmatched == {"row": ["6"], "reason": ["no such scan"], "case_id": [""]}


def test_cases_go_by_pseudonyms_and_patients_by_their_headers(mixed: Path) -> None:
    found = list_cases(mixed, mixed.parent / "labels.csv")
    manifest = found.require()
    key = load_key()
    uids = dict(zip(found.instances["source"], found.instances["SOPInstanceUID"], strict=True))
    for row in manifest.frame.to_dict("records"):
        parts = ("case", row["source"], uids[row["source"]], "", "")
        assert row["case_id"] == pseudonym(key, *parts)
        assert row["patient_id"].startswith("P-")
        assert row["study_id"].startswith("2.25.")
    assert labels_of(manifest) == {
        "a/1.dcm": "a",
        "a/2.dcm": "b",
        "b/IM0003": "a",
        "cd.zip#x/5.dcm": "b",
    }
    assert set(manifest.metadata["Modality"]) == {"CT", "MR"}


def test_equal_names_in_two_folders_are_two_cases(tmp_path: Path) -> None:
    ids = []
    for number in (1, 2):
        make_dicom(tmp_path / f"{number}" / "IM0001", PIXELS, patient=f"P-{number}")
        found = list_cases(tmp_path / f"{number}", label_from_name="(IM)", classes=("IM", "x"))
        ids.append(found.require().case_id[0])
    assert ids[0] != ids[1]


def test_no_message_names_a_file_or_a_patient(mixed: Path) -> None:
    found = list_cases(mixed, mixed.parent / "labels.csv")
    said = " ".join(
        [*found.notes, *(f"{r.message} {r.remedy} {r.case_id}" for r in found.refusals)]
    )
    for name in ("many", "broken", "page", "P-", str(mixed)):
        assert name not in said
    assert "4 of 5 rows" in said


def test_where_leaves_out_and_lists(mixed: Path) -> None:
    found = list_cases(mixed, mixed.parent / "labels.csv", where=["Modality=CT", "source!~zip"])
    assert Counter(roles(found).values())["left out"] == 2
    assert set(labels_of(found.require())) == {"a/1.dcm", "a/2.dcm"}
    assert found.unmatched is not None
    assert found.unmatched["reason"][0].startswith("its scan is no case")
    assert found.unmatched["case_id"][0] != ""
    with pytest.raises(UsageError, match="did you mean Modality"):
        list_cases(mixed, mixed.parent / "labels.csv", where="Modalty=CT")
    with pytest.raises(DataError, match=r"no file is a case: .*'Modality=XX' leaves .*6 left out"):
        index(mixed, mixed.parent / "labels.csv", where=["Modality=XX", "KVP!=1"])


def test_a_series_is_one_row_with_its_files_in_order(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        volume(tmp_path / "s", name)
    path = table(tmp_path, "PatientID,label\np1,a\np2,b\n")
    found = list_cases(tmp_path / "s", path, unit="series")
    manifest = found.require()
    assert len(manifest) == 2
    wanted = {f"{p}/3.dcm": tuple(f"{p}/{n}.dcm" for n in (3, 2, 1, 0)) for p in ("p1", "p2")}
    assert {case.source: case.files for case in manifest.cases()} == wanted
    places = dict(zip(found.instances["source"], found.instances["position"], strict=True))
    assert [places[f"p1/{n}.dcm"] for n in range(4)] == ["3", "2", "1", "0"]
    manifest.save(tmp_path / "manifest.csv")
    again = Manifest.load(tmp_path / "manifest.csv")
    assert again.cases() == manifest.cases()


def test_a_gap_in_a_series_refuses_each_of_its_files(tmp_path: Path) -> None:
    volume(tmp_path / "s", "p1")
    volume(tmp_path / "s", "p2")
    (tmp_path / "s" / "p2" / "1.dcm").unlink()
    found = list_cases(
        tmp_path / "s", table(tmp_path, "PatientID,label\np1,a\np2,b\n"), unit="series"
    )
    assert Counter(r.code for r in found.refusals) == {"gap": 3}
    assert Counter(roles(found).values()) == {"case": 4}


def test_frames_are_cases(tmp_path: Path) -> None:
    scan(tmp_path / "s", "m.dcm", array=np.zeros((3, 8, 8), np.uint16))
    path = table(tmp_path, "file,frame,label\nm,0,a\nm,1,b\nm,2,b\n")
    manifest = index(tmp_path / "s", path, unit="frame")
    assert sorted(manifest.frame["frame"]) == ["0", "1", "2"]
    by_frame = dict(zip(manifest.frame["frame"], class_index(manifest.targets), strict=True))
    assert by_frame == {"0": 0, "1": 1, "2": 1}


def test_a_column_of_frames_that_is_used_is_neither_left_out_nor_metadata(tmp_path: Path) -> None:
    scan(tmp_path / "s", "m.dcm", array=np.zeros((3, 8, 8), np.uint16))
    for column in ("frame", "Frame"):
        path = table(tmp_path, f"file,{column},label\nm,0,a\nm,1,b\nm,5,b\n")
        found = list_cases(tmp_path / "s", path, unit="frame")
        assert not any("left out" in note for note in found.notes)
        assert "2 of 3 rows" in found.notes[0]
        assert column not in found.require().metadata
        assert found.unmatched is not None
        assert (found.unmatched["row"], found.unmatched["reason"]) == (["4"], ["no such frame"])


def test_a_label_of_a_visit_that_is_left_out_is_of_no_other_visit(tmp_path: Path) -> None:
    for name, day, modality in (("1", "20200101", "CT"), ("2", "20200131", "MR")):
        extra = {"StudyDate": day}
        scan(tmp_path / "s", f"{name}.dcm", patient="p", modality=modality, extra=extra)
    scan(tmp_path / "s", "3.dcm", patient="q", extra={"StudyDate": "20200601"})
    path = table(tmp_path, "PatientID,day,label\np,2020-01-30,a\nq,2020-06-01,b\n")
    chosen = {"key_date": "day", "within": "90d", "classes": ("a", "b")}
    found = list_cases(tmp_path / "s", path, where="Modality=CT", **chosen)
    assert labels_of(found.require()) == {"3.dcm": "b"}
    assert roles(found) == {"1.dcm": "no label", "2.dcm": "left out", "3.dcm": "case"}
    assert found.unmatched is not None
    assert found.unmatched["reason"] == ["its scan is no case: refused, left out or no image"]


# --------------------------------------------------------------------- where the labels come from


def test_folders_of_classes_and_splits_label_scans(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("a", "b"):
            for n in range(2):
                scan(tmp_path, f"{split}/{label}/{n}.dcm")
    manifest = index(tmp_path, positive="b")
    assert all(s.split("/")[1] == label for s, label in labels_of(manifest).items())
    assert Counter(manifest.split) == {"train": 4, "test": 4}
    assert manifest.space == LabelSpace(("a", "b"), positive="b")


def test_folders_of_patients_are_no_classes(tmp_path: Path) -> None:
    for patient in ("p1", "p2", "p3"):
        for n in range(2):
            scan(tmp_path, f"{patient}/{n}.dcm", patient=patient)
    with pytest.raises(DataError, match="each of 3 folders holds one patient") as caught:
        index(tmp_path)
    assert "--labels" in caught.value.remedy
    assert "p1" not in str(caught.value)


@pytest.mark.parametrize(
    "names", (("1.dcm", "2.dcm"), ("a/1.dcm", "2.dcm"), ("a/1.dcm", "a/2.dcm"))
)
def test_scans_without_labels_say_the_ways_to_give_them(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        scan(tmp_path, name)
    with pytest.raises(DataError, match="no labels for 2 cases") as caught:
        index(tmp_path)
    assert "--label-from-name" in caught.value.remedy
    assert "medimg predict BUNDLE FOLDER" in caught.value.remedy
    found = list_cases(tmp_path)
    assert found.manifest is None
    assert roles(found) == dict.fromkeys(names, "no label")
    assert len(index(tmp_path, space=SPACE)) == 2


def test_names_of_files_label_scans(tmp_path: Path) -> None:
    for name in ("x_b_1.dcm", "y/x_a_2.dcm", "x_none.dcm"):
        scan(tmp_path, name)
    found = list_cases(tmp_path, label_from_name="_([ab])_")
    assert labels_of(found.require()) == {"x_b_1.dcm": "b", "y/x_a_2.dcm": "a"}
    assert roles(found)["x_none.dcm"] == "no label"
    assert found.notes == ("labels from the names of files: 1 cases have none",)
    for pattern, message in (
        ("_[ab]_", "0 groups"),
        ("(", "label-from-name"),
        ("_(q)_", "no name"),
    ):
        with pytest.raises((UsageError, LabelError), match=message):
            index(tmp_path, label_from_name=pattern)
    with pytest.raises(UsageError, match="together with labels"):
        index(tmp_path, table(tmp_path, "file,label\n"), label_from_name="_([ab])_")


def test_options_of_tables_and_of_dicom_are_refused_where_they_mean_nothing(
    tmp_path: Path,
) -> None:
    scan(tmp_path / "d", "a/1.dcm")
    scan(tmp_path / "d", "b/2.dcm")
    with pytest.raises(UsageError, match="key has no meaning without a table"):
        index(tmp_path / "d", key="file")
    for name in "ab":
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{name}.png")
    path = table(tmp_path, "path,label\na.png,x\nb.png,y\n")
    with pytest.raises(UsageError, match=r"unit has no meaning .* no DICOM"):
        index(path, unit="series")


def test_a_table_of_paths_of_dicom_is_indexed_by_headers(tmp_path: Path) -> None:
    for n in range(3):
        scan(tmp_path / "s", f"{n}.dcm")
    path = table(tmp_path, "path,label,age\ns/0.dcm,a,5\ns/2.dcm,b,6\n")
    manifest = index(path)
    assert labels_of(manifest) == {"s/0.dcm": "a", "s/2.dcm": "b"}
    assert sorted(manifest.metadata["age"]) == ["5", "6"]
    assert set(manifest.frame["patient_id"]) == {"P-0.dcm", "P-2.dcm"}
    alone = index([tmp_path / "s" / "0.dcm", tmp_path / "s" / "2.dcm"], path)
    assert sorted(labels_of(alone).values()) == ["a", "b"]


def test_a_file_an_archive_and_a_directory_are_sources_too(tmp_path: Path) -> None:
    for name in ("x_a_1.dcm", "x_b_2.dcm"):
        scan(tmp_path / "s", name)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted((tmp_path / "s").iterdir()):
            archive.write(path, path.name)
    manifest = index(tmp_path / "all.zip", label_from_name="_([ab])_")
    assert set(labels_of(manifest)) == {"all.zip#x_a_1.dcm", "all.zip#x_b_2.dcm"}
    one = index(tmp_path / "s" / "x_a_1.dcm", label_from_name="_([ab])_", classes=("a", "b"))
    assert labels_of(one) == {"x_a_1.dcm": "a"}
    write_dicom(tmp_path / "s" / "DICOMDIR", {"MediaStorageSOPClassUID": "1.2.840.10008.1.3.10"})
    whole = index(tmp_path / "s" / "DICOMDIR", label_from_name="_([ab])_")
    assert set(labels_of(whole)) == {"x_a_1.dcm", "x_b_2.dcm"}


def test_columns_of_the_table_become_metadata_unless_their_names_are_taken(tmp_path: Path) -> None:
    for n in range(2):
        scan(tmp_path / "s", f"{n}.dcm")
    path = table(
        tmp_path,
        "file,label,split,smoker,Modality,patient_id\n0,a,train,yes,XX,1\n1,b,test,no,XX,1\n",
    )
    found = list_cases(tmp_path / "s", path)
    manifest = found.require()
    assert sorted(manifest.metadata["smoker"]) == ["no", "yes"]
    assert set(manifest.metadata["Modality"]) == {"CT"}
    assert "columns left out, for their names mean something else: Modality" in found.notes
    assert sorted(manifest.split) == ["test", "train"]
    assert set(manifest.frame["patient_id"]) == {"P-0.dcm", "P-1.dcm"}
    told = index(tmp_path / "s", path, patient_id="patient_id")
    assert set(told.frame["patient_id"]) == {"1"}


# ------------------------------------------------------------------------------ what is identified


def test_an_id_under_two_issuers_is_two_patients() -> None:
    columns = {
        "PatientID": ["7", "7", "7", "8", "8", ""],
        "IssuerOfPatientID": ["A", "B", "", "A", "", "A"],
    }
    assert patient_ids(columns, range(6)) == ["7^^^A", "7^^^B", "7", "8", "8", ""]
    assert patient_ids(columns, [0, 2]) == ["7", "7"]


def test_odd_values_stay_out_of_the_manifest(tmp_path: Path) -> None:
    odd = {
        "Modality": "CT",
        "BodyPartExamined": "John*Smith",
        "PatientAge": "old",
        "KVP": "Smith",
        "StudyDate": "yesterday",
        "Laterality": "left",
    }
    plain = {"BodyPartExamined": "CHEST", "PatientAge": "050Y", "KVP": "120", "Laterality": "L"}
    scan(tmp_path, "x_a_1.dcm", extra=odd)
    scan(tmp_path, "x_b_2.dcm", extra=plain)
    found = list_cases(tmp_path, label_from_name="_([ab])_")
    metadata = found.require().metadata
    for keyword in ("BodyPartExamined", "PatientAge", "KVP", "Laterality"):
        assert sorted(metadata[keyword]) == sorted(["", plain[keyword]])
    assert "John*Smith" in found.instances["BodyPartExamined"]


# --------------------------------------------------------------------------------- for prediction


def test_scans_to_predict_are_taken_beside_pictures(mixed: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(mixed / "picture.png")
    os.mkfifo(mixed / "PIPE")
    Path(os.fsdecode(os.fsencode(mixed) + b"/odd\xff.dcm")).write_bytes(b"x")
    found = index_unlabelled([mixed], SPACE)
    assert found.manifest is not None
    sources = set(found.manifest.frame["source"])
    dicom = {".hidden/4.dcm", "a/1.dcm", "a/2.dcm", "b/IM0003", "cd.zip#x/5.dcm"}
    assert sources == {*dicom, "picture.png"}
    assert np.isnan(found.manifest.targets).all()
    assert {"picture.png"} == {c for c in found.manifest.case_id if len(c) != 26}
    who = dict(zip(found.identities["case_id"], found.identities["source"], strict=True))
    codes = {(who.get(r.case_id, r.case_id), r.code) for r in found.refusals}
    assert codes == {
        ("many.dcm", "frames"),
        ("broken.dcm", "corrupt"),
        ("page.dcm", "unknown_format"),
        ("PIPE", "not_regular"),
        ("odd\\udcff.dcm", "unsupported"),
    }
    assert sorted(found.passed) == [
        ("cd.zip#x/readme.txt", "not DICOM"),
        ("notes.txt", "not DICOM"),
        ("report.dcm", "no image"),
    ]


def test_scans_to_predict_may_be_volumes(tmp_path: Path) -> None:
    volume(tmp_path, "p1")
    found = index_unlabelled([tmp_path], SPACE, unit="series")
    assert found.manifest is not None
    assert [len(case.files) for case in found.manifest.cases()] == [4]
    with pytest.raises(UsageError, match="together with space"):
        index_unlabelled([tmp_path], SPACE, key="x")
    with pytest.raises(NothingReadable):
        index(tmp_path / "p1" / "0.dcm", space=SPACE, unit="series")


def test_a_folder_of_other_things_holds_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "IDX-images").write_bytes(b"\0\0\x08\x03")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", b"\x89PNG")
    (tmp_path / "y.zip").write_bytes(b"PK\x03\x04 and no more")
    assert not holds_dicom(tmp_path)
    scan(tmp_path, "deep/er/UID.1.2.3")
    assert holds_dicom(tmp_path)


def test_unchanged_files_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medimg.data.sources.dicom.index import listing as module

    for name in ("x_a_1.dcm", "x_b_2.dcm"):
        scan(tmp_path, name)
    scan(tmp_path, "many_a_.dcm", array=np.zeros((3, 8, 8), np.uint16))
    first = list_cases(tmp_path, label_from_name="_([ab])_")
    known = {name: first.instances[name] + own for name, own in first.identities.items()}
    scan(tmp_path, "x_b_3.dcm")
    read: list[str] = []
    pool = module.shared_pool()

    class Watched:
        def submit(self, task: dict[str, Any], **limits: Any) -> Any:
            read.extend(path for path, *_ in task["files"])
            return pool.submit(task, **limits)

    monkeypatch.setattr(module, "shared_pool", Watched)
    second = list_cases(tmp_path, known=known, label_from_name="_([ab])_")
    assert read == ["x_b_3.dcm"]
    assert len(second.require()) == 3
    monkeypatch.undo()
    fresh = list_cases(tmp_path, label_from_name="_([ab])_")
    assert second.instances == fresh.instances
    assert second.identities == fresh.identities


# -------------------------------------------------------------------------------------- real data


@pytest.mark.data
def test_real_labels_join_from_the_table_and_from_the_names(data_root: Path) -> None:
    folder = data_root / "ct_contrast"
    by_table = index(folder / "dicom_dir", folder / "overview.csv", label="Contrast")
    by_name = index(folder / "dicom_dir", label_from_name="_CONTRAST_([01])_")
    assert len(by_table) == len(by_name) == 100
    assert by_table.case_id.tolist() == by_name.case_id.tolist()
    assert by_table.targets.tolist() == by_name.targets.tolist()
    assert by_table.targets.sum(axis=0).tolist() == [50, 50]
    assert len(set(by_table.frame["patient_id"])) == 54
    by_path = index(
        folder / "dicom_dir", folder / "overview.csv", label="Contrast", key="dicom_name"
    )
    assert by_path.fingerprint == by_table.fingerprint


@pytest.mark.data
@pytest.mark.parametrize("unit", ("image", "frame", "series", "study"))
def test_real_files_of_every_kind_stand_in_exactly_one_table(data_root: Path, unit: str) -> None:
    folder = data_root / "dicom"
    found = index_unlabelled([folder], SPACE, unit=unit)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    others = {r.case_id for r in found.refusals} - set(found.identities["case_id"])
    stand = [*found.instances["source"], *found.identities["source"], *others]
    assert sorted(stand) == files
