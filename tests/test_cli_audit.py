"""`medimg audit`: what it prints and writes, and the status that it ends with."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medimg.cli.main import main
from medimg.data.checks.findings import CODES, Audit, Finding
from medimg.data.manifest import Manifest
from medimg.data.splits import split
from medimg.report.audit_lines import lines
from medimg.testing import make_dicom_folder, make_npz, make_table


def medimg(*args: object, cwd: Path, status: int = 0) -> str:
    """Run the command in this process and return what it printed, stdout and stderr."""
    before = signal.getsignal(signal.SIGTERM)
    said, argv = io.StringIO(), ["medimg", *map(str, args)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", argv)
        patch.setattr(sys, "stdout", said)
        patch.setattr(sys, "stderr", said)
        with pytest.raises(SystemExit) as end:
            main()
    signal.signal(signal.SIGTERM, before)
    assert end.value.code == status, said.getvalue()
    return said.getvalue()


def table(folder: Path, **changes: dict[int, str]) -> None:
    """Write 24 pictures of 12 patients, split in turn, and index them into ``m.csv``.

    `changes` sets cells: column -> row -> text.
    """
    path = make_table(folder, n=24, patients=12, size=(12, 12))
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for i, row in enumerate(rows):
        row["split"] = ("train", "val", "test")[i % 12 // 4]
        row["lesion"] = str(i)
        row |= {column: cells[i] for column, cells in changes.items() if i in cells}
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    medimg("index", "labels.csv", "-o", "m.csv", cwd=folder)


def copy_picture(folder: Path, of: int, to: int) -> None:
    """Put the pixels of one picture into the file of another, encoded in another way."""
    from PIL import Image

    with Image.open(folder / f"images/{of:03d}.png") as picture:
        picture.save(folder / f"images/{to:03d}.png", compress_level=0)


def test_clean_manifest_ends_with_status_zero_and_says_what_was_not_looked_at(
    tmp_path: Path,
) -> None:
    table(tmp_path)
    out = medimg("audit", "m.csv", cwd=tmp_path)
    assert "24 cases of 12 patients; train 8, val 8, test 8" in out
    assert "0 leaks" in out and "several splits" in out
    assert "--pixels" in out
    assert not list(tmp_path.glob("**/audit.json"))


def test_leak_ends_with_status_one_after_all_is_printed_and_written(tmp_path: Path) -> None:
    table(tmp_path, patient_id={4: "000"})
    out = medimg("audit", "m.csv", "-o", "out", cwd=tmp_path, status=1)
    assert "LEAK         patient_in_several_splits  1 group, 3 cases" in out
    assert "images/000.png = images/004.png = images/012.png" in out
    assert "audit: {allow:" in out
    found = json.loads((tmp_path / "out/audit.json").read_text())["findings"]
    assert found[0]["groups"] == [["images/000.png", "images/004.png", "images/012.png"]]
    assert "images/004.png" in (tmp_path / "out/index.html").read_text()


def test_column_given_by_name_is_checked_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    table(tmp_path, lesion={0: "L1", 8: "l1"})
    medimg("audit", "m.csv", cwd=tmp_path)
    args = ["audit", "m.csv", "--by", "patient", "--by", "lesion"]
    assert "group_in_several_splits" in medimg(*args, cwd=tmp_path, status=1)
    out = medimg("audit", "m.csv", "--pixels", "--by", "lesoin", cwd=tmp_path, status=2)
    assert "did you mean lesion" in out and "decoding" not in out


def test_equal_pictures_are_found_with_pixels_and_shown_side_by_side(tmp_path: Path) -> None:
    table(tmp_path)
    copy_picture(tmp_path, of=0, to=8)
    medimg("audit", "m.csv", cwd=tmp_path)
    out = medimg("audit", "m.csv", "--pixels", "-o", "out", cwd=tmp_path, status=1)
    assert "pixels_in_several_splits" in out and "images/000.png = images/008.png" in out
    assert "--pixels" not in out
    html = (tmp_path / "out/index.html").read_text()
    assert 'alt="Case images/000.png"' in html and 'alt="Case images/008.png"' in html
    assert (tmp_path / "out/errors.csv").read_text().count("\n") == 1


def test_picture_that_cannot_be_read_is_said_and_gives_status_three(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "images/005.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = medimg("audit", "m.csv", "--pixels", "-o", "out", cwd=tmp_path, status=3)
    assert "1 refused: 1 corrupt" in out
    assert (tmp_path / "out/errors.csv").read_text().splitlines()[1].startswith("images/005.png")
    copy_picture(tmp_path, of=0, to=8)  # a leak weighs more than a refusal
    medimg("audit", "m.csv", "--pixels", "-o", "out", "--overwrite", cwd=tmp_path, status=1)


def test_nothing_readable_leaves_the_reasons_and_no_audit(tmp_path: Path) -> None:
    table(tmp_path)
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"no picture")
    out = medimg("audit", "m.csv", "--pixels", "-o", "out", cwd=tmp_path, status=1)
    assert "none of 24 cases could be read" in out
    assert len((tmp_path / "out/errors.csv").read_text().splitlines()) == 25
    assert not (tmp_path / "out/audit.json").exists()


def test_folder_in_use_is_refused_before_anything_is_looked_at(tmp_path: Path) -> None:
    table(tmp_path)
    medimg("audit", "m.csv", "-o", "out", cwd=tmp_path)
    out = medimg("audit", "m.csv", "-o", "out", "--pixels", cwd=tmp_path, status=2)
    assert "--overwrite" in out and "decoding" not in out
    out = medimg("audit", "m.csv", "-o", "images", "--overwrite", cwd=tmp_path, status=2)
    assert "did not write" in out and (tmp_path / "images/000.png").is_file()
    medimg("audit", "nowhere.csv", "-o", "out", "--overwrite", cwd=tmp_path, status=1)
    assert (tmp_path / "out/audit.json").is_file()


def test_output_says_the_same_twice(tmp_path: Path) -> None:
    table(tmp_path)
    for name in ("a", "b"):
        medimg("audit", "m.csv", "--pixels", "-o", name, cwd=tmp_path)
    for file in ("audit.json", "index.html"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_patients_of_scans_are_named_nowhere(tmp_path: Path) -> None:
    make_dicom_folder(tmp_path / "scans")
    medimg("index", "scans", "--labels", "scans/labels.csv", "-o", "m.csv", cwd=tmp_path)
    manifest = Manifest.load(tmp_path / "m.csv")
    patient = manifest.frame["patient_id"].iloc[0]
    half = np.where(np.arange(len(manifest)) % 2, "train", "test").astype(object)
    same = np.full(len(manifest), patient, object)
    leaking = manifest.with_column("split", half).with_column("patient_id", same)
    leaking.save(tmp_path / "s.csv")
    out = medimg("audit", "s.csv", "--pixels", "-o", "out", cwd=tmp_path, status=1)
    assert "patient_in_several_splits" in out
    written = out + "".join(p.read_text() for p in (tmp_path / "out").glob("*.*"))
    names = set(manifest.frame["patient_id"]) | set(manifest.frame["study_id"])
    assert patient and not [name for name in names if name in written]


def test_pictures_of_any_size_and_volumes_are_taken(tmp_path: Path) -> None:
    from PIL import Image

    table(tmp_path)
    for i in range(0, 24, 3):
        path = tmp_path / f"images/{i:03d}.png"
        with Image.open(path) as picture:
            resized = picture.convert("RGB").resize((200 + i, 90))
        resized.save(path)
    medimg("audit", "m.csv", "--pixels", cwd=tmp_path)
    make_npz(tmp_path / "v.npz", shape=(8, 9, 10))
    medimg("index", "v.npz", "-o", "v.csv", cwd=tmp_path)
    medimg("audit", "v.csv", "--pixels", "-o", "v", cwd=tmp_path)


def test_output_fits_a_terminal_that_knows_no_foreign_letters(tmp_path: Path) -> None:
    table(tmp_path, lesion={0: "L1", 8: "l1"})
    text = (tmp_path / "m.csv").read_text(encoding="utf-8").replace("lesion", "Läsion\x1b[31m", 1)
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    args = [sys.executable, "-m", "medimg", "audit", "m.csv", "--by", "Läsion\x1b[31m"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(args, cwd=tmp_path, capture_output=True, env=environment, check=False)
    assert done.returncode == 1
    assert b"L?sion?[31m" in done.stdout and b"\x1b" not in done.stdout


def test_leak_in_the_split_of_one_fold_is_found(tmp_path: Path) -> None:
    table(tmp_path, patient_id={4: "000"}, split=dict.fromkeys(range(24), "train"))
    manifest = Manifest.load(tmp_path / "m.csv")
    folds = np.full((24, 2), "train", object)
    folds[:12, 0] = folds[12:, 1] = "test"  # rows 12 apart are of one patient
    Manifest(manifest.frame, manifest.targets, manifest.space, manifest.root, folds=folds).save(
        tmp_path / "f.csv"
    )
    medimg("audit", "m.csv", cwd=tmp_path)
    out = medimg("audit", "f.csv", cwd=tmp_path, status=1)
    assert "2 folds" in out and "patient_in_several_splits" in out


def test_manifest_without_splits_is_not_called_clean(tmp_path: Path) -> None:
    make_table(tmp_path, n=24, patients=12, size=(12, 12))
    medimg("index", "labels.csv", "-o", "m.csv", cwd=tmp_path)
    out = medimg("audit", "m.csv", cwd=tmp_path)
    assert "no splits" in out and "nothing can stand in several splits yet" in out
    manifest = split(Manifest.load(tmp_path / "m.csv"), seed=0)
    manifest.save(tmp_path / "s.csv")
    assert "yet" not in medimg("audit", "s.csv", cwd=tmp_path)


def test_ten_thousand_groups_of_every_code_stay_few_lines() -> None:
    groups = tuple(tuple(f"case{i}-{j}" for j in range(1 + i % 40)) for i in range(10_000))
    findings = tuple(Finding(code, groups, {"table": [{"a": 1}] * 5000}) for code in CODES)
    row = {"columns": ["c" * 90] * 50, "auroc": 0.5, "low": 0.4, "high": 0.6, "cases": 7}
    said = list(lines(Audit(findings, findings, metadata=(row,) * 1000)))
    assert len(said) < 2 * len(CODES) * 12 + 25
    assert max(map(len, said)) <= 100
    assert sum("and 9,997 more" in line for line in said) == 2 * len(CODES)
    assert sum("and 985 more" in line for line in said) == 1


@pytest.mark.data
def test_ct_contrast_shows_its_six_pairs(data_root: Path, tmp_path: Path) -> None:
    scans = data_root / "ct_contrast"
    join = ["--labels", scans / "overview.csv", "--key", "dicom_name=file", "--label", "Contrast"]
    medimg("index", scans, *join, "--positive", "True", "-o", "m.csv", cwd=tmp_path)
    out = medimg("audit", "m.csv", "--pixels", "-o", "out", cwd=tmp_path)
    assert "duplicates_within_split  6 groups, 12 cases" in out
    assert "6 of 6 within one known patient" in out
    assert (tmp_path / "out/index.html").read_text().count("<img") >= 12


@pytest.mark.data
def test_pneumonia_shows_the_eight_pictures_in_train_and_val(
    data_root: Path, tmp_path: Path
) -> None:
    source = data_root / "medmnist/pneumoniamnist_reconstructed.npz"
    medimg("index", source, "-o", "m.csv", cwd=tmp_path)
    out = medimg("audit", "m.csv", "--pixels", cwd=tmp_path, status=1)
    assert "pixels_in_several_splits  8 groups" in out and "duplicates_within_split" in out
