"""`medimg index` and `medimg new` on folders of DICOM, as the installed command."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medimg.data.manifest import Manifest
from medimg.testing import make_dicom


def medimg(*args: object, cwd: Path, status: int = 0) -> str:
    """Run the command and return what it printed, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "medimg", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    assert "Traceback" not in output
    return output


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scan(folder: Path, number: int, frames: int = 0) -> None:
    shape = (frames, 8, 8) if frames else (8, 8)
    array = np.random.default_rng(number).integers(0, 4000, shape, dtype=np.uint16)
    folder.mkdir(exist_ok=True)
    patient = f"SECRET{number:03d}"
    options = {"patient": patient, "study": patient, "series": patient, "slope": 1}
    make_dicom(folder / f"NAME{number:03d}.dcm", array, intercept=-1024, **options)


def label(folder: Path, numbers: range) -> None:
    lines = [f"SECRET{n:03d},{'ab'[n % 2]}" for n in numbers]
    (folder / "labels.csv").write_text("\n".join(["PatientID,label", *lines, ""]))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Six scans, one of which is refused, and labels for five of them and for one more."""
    for number in range(5):
        scan(tmp_path / "scans", number)
    scan(tmp_path / "scans", 5, frames=3)
    label(tmp_path, range(1, 7))
    return tmp_path


INDEX = ("index", "scans", "--labels", "labels.csv", "-o", "manifest.csv")


def test_an_index_writes_its_tables_says_counts_and_names_nobody(work: Path) -> None:
    out = medimg(*INDEX, cwd=work, status=3)
    assert "6 files: 4 case, 1 no label" in out
    assert "1 refused: 1 frames; errors.csv says why, identities.csv which" in out
    assert "joined by PatientID (column PatientID): 4 of 6 rows; 2 label no case, 1 cases" in out
    assert "labels_unmatched.csv" in out
    assert "4 cases, 2 classes" in out
    assert "SECRET" not in out
    assert "NAME" not in out
    secret = ("manifest.csv", "instances.csv", "identities.csv", "labels_unmatched.csv")
    modes = {name: stat.S_IMODE((work / name).stat().st_mode) for name in secret}
    assert set(modes.values()) == {0o600}
    for name in ("errors.csv", "labels_unmatched.csv"):
        text = (work / name).read_text()
        assert "SECRET" not in text
        assert "NAME" not in text
    instances, identities = rows(work / "instances.csv"), rows(work / "identities.csv")
    assert [r["role"] for r in instances] == ["no label", *["case"] * 4]
    assert [r["source"] for r in identities] == ["NAME005.dcm"]
    assert rows(work / "errors.csv")[0]["case_id"] == identities[0]["case_id"]
    unmatched = rows(work / "labels_unmatched.csv")
    assert [(r["row"], r["reason"].split(":")[0]) for r in unmatched] == [
        ("6", "its scan is no case"),
        ("7", "no such scan"),
    ]
    assert len(Manifest.load(work / "manifest.csv")) == 4


def test_a_second_run_says_unchanged_and_a_grown_folder_is_brought_up_to_date(work: Path) -> None:
    medimg(*INDEX, cwd=work, status=3)
    before = {p.name: p.read_bytes() for p in work.glob("*.*")}
    assert medimg(*INDEX, cwd=work, status=3) == "manifest.csv: unchanged\n"
    assert {p.name: p.read_bytes() for p in work.glob("*.*")} == before
    scan(work / "scans", 6)
    assert "7 files: 5 case" in medimg(*INDEX, cwd=work, status=3)
    label(work, range(7))
    assert "7 files: 6 case" in medimg(*INDEX, cwd=work, status=3)
    grown = (work / "instances.csv").read_bytes()
    assert "6 case" in medimg(*INDEX, "--overwrite", cwd=work, status=3)
    assert (work / "instances.csv").read_bytes() == grown
    (work / "scans" / "NAME005.dcm").unlink()
    assert "refused" not in medimg(*INDEX, cwd=work)
    assert medimg(*INDEX, cwd=work) == "manifest.csv: unchanged\n"


def test_another_manifest_in_the_way_is_refused(work: Path) -> None:
    medimg(*INDEX, cwd=work, status=3)
    out = medimg(*INDEX, "--where", "Modality=CT", cwd=work, status=2)
    assert "--overwrite" in out
    medimg(*INDEX, "--where", "Modality=CT", "--overwrite", cwd=work, status=3)
    edited = (work / "manifest.csv").read_text().replace(",CT,", ",CT2,")
    (work / "manifest.csv").write_text(edited)
    out = medimg(*INDEX, "--where", "Modality=CT", cwd=work, status=2)
    assert "--overwrite" in out
    assert (work / "manifest.csv").read_text() == edited


def test_tables_inside_the_folder_are_not_among_its_files(work: Path) -> None:
    args = ("index", ".", "--labels", "../labels.csv", "-o", "own.csv")
    folder = work / "scans"
    first = medimg(*args, cwd=folder, status=3)
    assert (folder / "own.instances.csv").is_file()
    assert (folder / "own.errors.csv").is_file()
    assert medimg(*args, cwd=folder, status=3) == "own.csv: unchanged\n"
    assert medimg(*args, "--overwrite", cwd=folder, status=3) == first
    assert {Path(r["source"]).suffix for r in rows(folder / "own.instances.csv")} == {".dcm"}


def test_where_nothing_is_a_case_the_tables_still_say_why(work: Path) -> None:
    for number in range(5):
        (work / "scans" / f"NAME{number:03d}.dcm").unlink()
    assert "frames" in medimg(*INDEX, cwd=work, status=1)
    assert [r["code"] for r in rows(work / "errors.csv")] == ["frames"]
    assert not (work / "manifest.csv").exists()


@pytest.mark.parametrize(
    ("args", "message", "role"),
    [
        ((), "5 cases", "no label"),
        (("--where", "Modality=XX"), "--where 'Modality=XX' leaves out every image", "left out"),
        ((*INDEX[2:4], "--where", "Modality=XX"), "'Modality=XX' leaves out every", "left out"),
    ],
)
def test_where_there_are_no_labels_or_no_cases_the_tables_account_for_the_files(
    work: Path, args: tuple[str, ...], message: str, role: str
) -> None:
    for _ in range(2):
        out = medimg("index", "scans", "-o", "m.csv", *args, cwd=work, status=1)
        assert message in out
        assert "m.instances.csv, m.errors.csv, m.identities.csv are written, no manifest" in out
        if role == "no label":
            assert "--labels" in out
            assert "--label-from-name" in out
            assert "medimg predict BUNDLE FOLDER" in out
        assert "SECRET" not in out
        assert {r["role"] for r in rows(work / "m.instances.csv")} == {role}
        refused = role == "no label"
        assert len(rows(work / "m.errors.csv")) == len(rows(work / "m.identities.csv")) == refused
        assert not (work / "m.csv").exists()
        assert not (work / "m.json").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--where", "Modalty=CT"], "did you mean Modality"),
        (["--where", "KVP>high"], "no order"),
        (["--unit", "slice"], "unit"),
        (["--key", "PatientID=Name"], "nothing that a key holds"),
        (["--key-date", "day"], "go together"),
        (["--within", "soon"], "within"),
        (["--key-date", "day", "--within", "30"], "write it as 30d"),
        (["--key-date", "day", "--within", "45"], "write it as 45d"),
    ],
)
def test_wrong_options_give_status_two(work: Path, args: list[str], message: str) -> None:
    assert message in medimg(*INDEX, *args, cwd=work, status=2)
    assert not (work / "manifest.csv").exists()


def test_options_of_the_command_reach_the_index(work: Path) -> None:
    out = medimg(
        *("index", "scans", "--label-from-name", "NAME00([0-5])", "--unit", "frame"),
        *("--where", "Modality=CT", "--where", "NumberOfFrames!=3", "-o", "x/m.csv"),
        cwd=work,
    )
    assert "6 files: 5 case, 1 left out" in out
    made = json.loads((work / "x/m.json").read_text())
    assert made["space"]["classes"] == ["0", "1", "2", "3", "4"]


def test_a_written_config_holds_what_was_said_and_the_range_of_ct(work: Path) -> None:
    (work / "scans" / "NAME005.dcm").unlink()
    medimg(
        *("new", "scans", "--labels", "labels.csv", "--key", "PatientID", "--unit", "image"),
        *("--where", "Modality=CT", "-o", "my.yaml"),
        cwd=work,
    )
    text = (work / "my.yaml").read_text()
    for line in (
        'key: "PatientID"',
        'unit: "image"',
        'where: ["Modality=CT"]',
        "# Modality: CT 4.",
        "range: [-1024, 3071]",
        "size: [8, 8]",
        "# Patients: 4.",
    ):
        assert line in text
    assert "SECRET" not in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_listed(work: Path) -> None:
    (work / "scans" / "NAME001.dcm").chmod(0)
    medimg(*INDEX, cwd=work, status=3)
    assert {r["code"] for r in rows(work / "errors.csv")} == {"frames", "not_permitted"}
