"""What the installed command says of cases that were in a bundle's training set."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg.testing import make_dicom

#: Patients of four scans each; the last two are not among those that are trained on.
PATIENTS, SCANS, TRAINED = 22, 4, 20
FEW = ("--resamples", 100)


def medimg(*words: object, key: Path, cwd: Path, status: int = 0) -> str:
    """Run the command under a pseudonym key; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "medimg", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MEDIMG_KEY_FILE": str(key)},
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    return said


def seen(out: Path) -> Counter[str]:
    """How often each word stands in the column `seen`."""
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as handle:
        return Counter(row["seen"] for row in csv.DictReader(handle))


def counts(out: Path) -> Mapping[str, int]:
    return json.loads((out / "run.json").read_text())["seen"]


def write_scan(
    path: Path, patient: int, number: int, syntax: str = "explicit", *, anonymous: bool = False
) -> None:
    """Write a CT image of a patient, half of whom have a bright half."""
    values = np.random.default_rng([patient, number]).integers(0, 300, (16, 16), dtype=np.uint16)
    values[: 8 if patient % 2 else 0] += 500
    make_dicom(
        path,
        values,
        slope=1,
        intercept=-1024,
        patient="" if anonymous else f"Canary{patient:03d}",
        instance=100 * patient + number,
        transfer_syntax=syntax,
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the first scans of most patients, in DICOM."""
    work = tmp_path_factory.mktemp("work")
    rows = []
    for patient in range(TRAINED):
        for number in range(SCANS - 1):
            write_scan(work / "scans" / f"{patient}-{number}.dcm", patient, number)
            rows.append(f"{patient}-{number}.dcm,{'ab'[patient % 2]}")
    (work / "labels.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    (work / "config.yaml").write_text(
        "data: {source: scans, labels: labels.csv, label: [label]}\n"
        "preprocess: {size: [16, 16], channels: 1, dicom: {range: [-1024, 0]}}\n"
        "model: {name: mlp, hidden: [8]}\nfit: {epochs: 2, batch_size: 8}\n"
        "split: {train: 0.4, val: 0.2, calib: 0.2, test: 0.2}\nevaluate: {resamples: 100}\n"
    )
    medimg("train", "config.yaml", "-o", "run", key=work / "key", cwd=work)
    return work


def test_scans_are_known_again_elsewhere_and_patients_by_other_scans(work: Path) -> None:
    for patient in range(PATIENTS):
        write_scan(work / "new" / f"{patient}" / "again.dcm", patient, 0, "RLE")
        write_scan(work / "new" / f"{patient}" / "later.dcm", patient, SCANS - 1)
    said = medimg(
        "predict", "run/bundle", "new", "-o", "out", "--settle", 0, key=work / "key", cwd=work
    )
    of = {"train": 8, "val": 4, "calib": 4}  # patients; of each one known and one new scan
    expected = of | {f"patient in {split}": n for split, n in of.items()}
    assert seen(work / "out") == expected | {"no": 2 * (PATIENTS - 16)}
    assert counts(work / "out") == dict(seen(work / "out"))
    assert "WARNING: in the training set: 32 of 44 cases (train 8, val 4, calib 4" in said
    assert "Canary" not in said


def test_a_run_s_own_test_cases_are_looked_at_and_none_is_found(work: Path) -> None:
    run = work / "run" / "predictions"
    with (run / "test.csv").open(newline="") as handle:
        assert {row["seen"] for row in csv.DictReader(handle)} == {"no"}
    said = medimg("evaluate", run / "test.csv", *FEW, "-o", "clean", key=work / "key", cwd=work)
    line = "in the training set (train, val, calib): none of 12 cases"
    assert said.startswith(line)
    assert line in (work / "clean" / "index.html").read_text()


def test_cases_that_calibrated_are_said_first_and_loudly(work: Path) -> None:
    table = work / "run" / "predictions" / "calib.csv"
    said = medimg("evaluate", table, *FEW, "-o", "calib", key=work / "nokey", cwd=work)
    line = "WARNING: in the training set: 12 of 12 cases (calib 12); numbers over them are too good"
    assert said.startswith(line)
    page = (work / "calib" / "index.html").read_text()
    assert page.index(line) < page.index("<table")
    assert not (work / "nokey").exists()


def test_predictions_that_do_not_say_so_are_looked_up_by_id(work: Path) -> None:
    own, old = work / "run" / "predictions" / "calib.csv", work / "old.csv"
    with own.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    with old.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [c for c in rows[0] if c != "seen"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    shutil.copy(own.with_suffix(".json"), old.with_suffix(".json"))
    ask = ("evaluate", old, *FEW, "--overwrite", "-o", "looked up")
    said = medimg(*ask, key=work / "key", cwd=work)
    assert said.startswith("in the training set: not checked: name the bundle")
    said = medimg(*ask, "--bundle", "run/bundle", key=work / "key", cwd=work)
    assert said.startswith("WARNING: in the training set: 12 of 12 cases (patient in calib 12)")
    assert "pictures were not compared" in said
    said = medimg(*ask, "--bundle", "run/bundle", key=work / "absent", cwd=work)
    assert said.startswith("in the training set: not checked: only the pseudonym key")
    assert not (work / "absent").exists()
    assert "bundle.json" in medimg(*ask, "--bundle", "run", key=work / "key", cwd=work, status=1)


def test_another_key_and_an_older_bundle_say_not_checked(work: Path) -> None:
    ask = ("scans", "--settle", 0, "-o")
    said = medimg("predict", "run/bundle", *ask, "theirs", key=work / "their key", cwd=work)
    assert "in the training set: not checked: only the pseudonym key" in said
    assert set(seen(work / "theirs")) == {"not checked"}
    old = shutil.copytree(work / "run" / "bundle", work / "older")
    forget_members(old)
    said = medimg("predict", "older", *ask, "before", key=work / "key", cwd=work)
    assert "in the training set: not checked: the bundle keeps no record of it" in said
    assert counts(work / "before") == {"not checked": TRAINED * (SCANS - 1)}


def test_what_calibrates_a_bundle_later_is_in_its_record(work: Path) -> None:
    predictions = work / "run" / "predictions" / "test.csv"
    calibrate = ("calibrate", "run/bundle", predictions, "--split", "test", "-o", "recalibrated")
    medimg(*calibrate, key=work / "key", cwd=work)
    medimg(
        *("predict", "recalibrated", "scans", "-o", "after", "--settle", 0),
        key=work / "key",
        cwd=work,
    )
    assert seen(work / "after")["patient in calib"] == 12
    assert "no" not in seen(work / "after")


def test_what_calibrated_without_the_key_or_comes_under_other_names_is_not_ruled_out(
    work: Path,
) -> None:
    run = ("predict", "run/bundle", "scans", "--settle", 0)
    for key, name in (("nobody's key", "blind"), ("key", "told")):
        table, bundle = f"{name} scans", f"{name} bundle"
        medimg(*run, "-o", table, key=work / key, cwd=work)
        csv_file = label_cases(work / table / "predictions.csv")
        medimg("calibrate", "run/bundle", csv_file, "-o", bundle, key=work / key, cwd=work)
    for patient in range(TRAINED, PATIENTS):  # new ones, of whom nothing but the picture is known
        write_scan(work / "nameless" / f"{patient}.dcm", patient, 0, anonymous=True)
    again = ("scans", "--settle", 0, "-o")
    medimg("predict", "blind bundle", *again, "blind again", key=work / "key", cwd=work)
    assert "no" not in seen(work / "blind again")
    assert seen(work / "blind again")["not checked"] == 12
    medimg("predict", "told bundle", *again, "told again", key=work / "key", cwd=work)
    assert seen(work / "told again")["patient in calib"] == 12
    for name, why in (("blind", "not all on record"), ("told", "the pictures that calibrated")):
        ask = ("predict", f"{name} bundle", "nameless", "--settle", 0, "-o", f"{name} nameless")
        said = medimg(*ask, key=work / "key", cwd=work)
        assert set(seen(work / f"{name} nameless")) == {"not checked"}
        assert why in said


def test_what_another_bundle_said_is_left_aside(work: Path) -> None:
    text = (work / "config.yaml").read_text()
    (work / "other.yaml").write_text(text + "seed: 9\n")
    medimg("train", "other.yaml", "-o", "other run", key=work / "key", cwd=work)
    table = work / "run" / "predictions" / "test.csv"
    ask = ("evaluate", table, *FEW, "--overwrite", "-o", "judged", "--bundle")
    said = medimg(*ask, "run/bundle", key=work / "key", cwd=work)
    assert said.startswith("in the training set (train, val, calib): none of 12 cases\n")
    assert "left aside" not in said
    for key in ("key", "absent"):
        said = medimg(*ask, "other run/bundle", key=work / key, cwd=work)
        assert "`seen` is of another bundle and was left aside" in said
        assert "none of" not in said
    with (work / "other run" / "manifest.csv").open(newline="") as handle:
        split = {row["case_id"]: row["split"] for row in csv.DictReader(handle)}
    with table.open(newline="") as handle:
        there = [split[row["case_id"]] for row in csv.DictReader(handle)]
    found = sum(name != "test" for name in there)
    assert found > 0
    said = medimg(*ask, "other run/bundle", key=work / "key", cwd=work)
    assert f"WARNING: in the training set: {found} of 12 cases" in said


def test_what_the_bundle_found_before_it_was_calibrated_holds_and_no_does_not(work: Path) -> None:
    bare = strip_calibrator(work / "run" / "bundle", work / "bare")
    medimg("predict", bare, "scans", "--settle", 0, "-o", "early", key=work / "key", cwd=work)
    table = label_cases(work / "early" / "predictions.csv")
    medimg("calibrate", bare, table, "-o", "late", key=work / "key", cwd=work)
    ask = ("evaluate", table, *FEW, "-o", "late report", "--bundle", "late")
    said = medimg(*ask, key=work / "key", cwd=work)
    assert "60 of 60 cases (train 24, val 12, calib 12, patient in calib 12)" in said
    assert "left aside" not in said


def test_ids_alone_never_say_none(work: Path) -> None:
    rows = ["case_id,target,p:a,p:b", *(f"foreign {n},{'ab'[n % 2]},0.5,0.5" for n in range(20))]
    (work / "foreign.csv").write_text("\n".join(rows) + "\n")
    ask = ("evaluate", "foreign.csv", *FEW, "--kind", "probabilities", "-o", "foreign")
    said = medimg(*ask, "--bundle", "run/bundle", key=work / "key", cwd=work)
    assert said.startswith("in the training set: not checked: not found by id")
    assert "pictures were not compared" in said
    rows = [rows[0] + ",patient_id", *(f"{row},P{n % 7}" for n, row in enumerate(rows[1:]))]
    (work / "foreign.csv").write_text("\n".join(rows) + "\n")
    said = medimg(*ask, "--overwrite", "--bundle", "run/bundle", key=work / "key", cwd=work)
    assert said.startswith("in the training set: not checked: not found by id")


@pytest.mark.data
def test_breastmnist_is_known_again_as_png_under_other_names(
    data_root: Path, tmp_path: Path
) -> None:
    source, key = data_root / "medmnist" / "breastmnist.npz", tmp_path / "key"
    (tmp_path / "config.yaml").write_text(
        f"data: {{source: {source}}}\nmodel: {{name: mlp, hidden: [4]}}\nfit: {{epochs: 1}}\n"
        "audit: {allow: {pixels_in_several_splits: official, pixels_under_several_labels: so}}\n"
        "evaluate: {resamples: 100}\n"
    )
    medimg("train", "config.yaml", "-o", "run", key=key, cwd=tmp_path)
    with np.load(source) as arrays:
        pictures = {name: arrays[f"{name}_images"] for name in ("train", "val", "test")}
    (tmp_path / "png").mkdir()
    for number, array in enumerate(np.concatenate([*pictures.values()])):
        Image.fromarray(array).save(tmp_path / "png" / f"{number:04d}.png")
    ask = ("--settle", 0, "-o")
    medimg("predict", "run/bundle", "png", *ask, "a", key=key, cwd=tmp_path)
    medimg("predict", "run/bundle", source, *ask, "b", key=key, cwd=tmp_path)
    # One picture of test stands in train too: 491 of train and 55 of calib make 546.
    assert seen(tmp_path / "a") == {"train": 492, "val": 78, "calib": 55, "no": 155}
    assert seen(tmp_path / "b") == seen(tmp_path / "a")


def label_cases(table: Path) -> Path:
    """Give predictions of scans some class each, in a table beside; return it."""
    with table.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    out = table.with_name("labelled.csv")
    with out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "target": "ab"[n % 2]} for n, row in enumerate(rows))
    shutil.copy(table.with_suffix(".json"), out.with_suffix(".json"))
    return out


def strip_calibrator(bundle: Path, out: Path) -> Path:
    """Write a bundle without its calibrator."""
    from medimg.inference.bundle import ModelBundle

    return ModelBundle.load(bundle).with_calibrator(None).save(out)


def forget_members(bundle: Path) -> None:
    """Make a bundle what it was before bundles kept a record."""
    from medimg.files import fingerprint, write_json

    (bundle / "members.json").unlink()
    about = json.loads((bundle / "bundle.json").read_text())
    del about["sha256"], about["files"]["members.json"]
    write_json(bundle / "bundle.json", about | {"sha256": fingerprint(about)})
