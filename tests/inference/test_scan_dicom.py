"""Scans as they come from a scanner: by pseudonym, images or volumes, joined back by one table."""

from __future__ import annotations

import csv
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg.data.index import index, index_unlabelled
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import FolderExists, UsageError
from medimg.inference.bundle import ModelBundle
from medimg.inference.scan import predict_scans
from medimg.labels import LabelSpace
from medimg.models.build import build_model, spec_of
from medimg.testing import make_dicom, make_dicom_folder, make_series

SPACE = LabelSpace(("benign", "malignant"))


def bundle_for(*size: int, units: str = "HU") -> ModelBundle:
    shape = (1, *size)
    model = build_model("mlp", shape=shape, classes=2, hidden=(4,))
    return ModelBundle(
        model=model.eval(),
        spec=spec_of(model, shape, 2),
        preprocess=Preprocess(
            size=size, channels=1, bits=8, units=units, dicom={"range": (0, 1200)}
        ),
        mean=(0.4,),
        std=(0.3,),
        space=SPACE,
        logit_shift=(0.0, 0.0),
    )


def settle(folder: Path) -> None:
    for path in folder.rglob("*.*"):
        os.utime(path, (1e9, 1e9))


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / name).open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three patients with two series of four slices each."""
    make_dicom_folder(tmp_path, patients=3, per_patient=2, slices=4, size=(16, 16))
    settle(tmp_path / "scans")
    return tmp_path / "scans"


def test_images_are_cases_by_pseudonym_that_identities_join_back(
    scans: Path, tmp_path: Path
) -> None:
    broken = sorted(scans.rglob("*.dcm"))[5]
    broken.write_bytes(broken.read_bytes()[:-40])
    settle(scans)
    out = tmp_path / "out"
    result = predict_scans(bundle_for(16, 16), scans, out)
    assert (len(result.predictions), result.summary["found"]) == (23, 24)
    rows = {row["case_id"]: row for row in table(out, "identities.csv")}
    named = {r["case_id"] for n in ("predictions.csv", "errors.csv") for r in table(out, n)}
    assert named == set(rows)
    assert len({row["source"] for row in rows.values()}) == 24
    assert rows[result.refusals[0].case_id]["source"] == broken.relative_to(scans).as_posix()
    assert all(all(row.values()) for row in rows.values())
    assert stat.S_IMODE((out / "identities.csv").stat().st_mode) == 0o600
    secrets = {cell for r in rows.values() for c, cell in r.items() if c != "case_id"}
    for path in out.iterdir():
        if path.name != "identities.csv":
            text = path.read_text()
            assert not [secret for secret in secrets if secret in text], path.name


def test_a_bundle_for_volumes_takes_each_series_as_a_case(scans: Path, tmp_path: Path) -> None:
    bundle = bundle_for(4, 16, 16)
    streamed = predict_scans(bundle, scans, tmp_path / "out").predictions
    assert len(streamed) == 6
    labels = tmp_path / "labels.csv"
    manifest = index(scans, labels=labels, label="label", unit="series", key="PatientID")
    manifest.save(tmp_path / "m.csv")
    listed = predict_scans(bundle, tmp_path / "m.csv", tmp_path / "listed").predictions
    stored = bundle.predict(ImageStore.build(manifest, bundle.preprocess, tmp_path / "store"))
    assert np.array_equal(streamed.case_id, stored.case_id)
    assert np.array_equal(streamed.scores, stored.scores)
    assert listed.fingerprint == stored.fingerprint


def test_a_series_that_grew_is_predicted_again_and_stands_once(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    heights = [2.0, 4.0, 6.0, 8.0, 0.0]
    for number in (1, 2):
        make_series(scans / f"s{number}", 4, heights=heights, series=str(number), shape=(16, 16))
    settle(scans)
    bundle, out = bundle_for(4, 16, 16, units="stored"), tmp_path / "out"
    first = predict_scans(bundle, scans, out).predictions
    files = make_series(tmp_path / "more", 5, heights=heights, series="1", shape=(16, 16))
    files[4].rename(scans / "s1" / "lowest.dcm")
    settle(scans)
    second = predict_scans(bundle, scans, out)
    assert len(second.predictions) == len(first) == 2
    assert second.summary["predicted_before"] == 1
    assert second.summary["kept"] == 0


def test_a_series_whose_last_slice_has_just_come_waits(scans: Path, tmp_path: Path) -> None:
    os.utime(sorted(scans.rglob("*.dcm"))[-1])
    result = predict_scans(bundle_for(4, 16, 16), scans, tmp_path / "out")
    assert len(result.predictions) == 5
    assert [r.code for r in result.refusals] == ["recent"]


def test_files_in_other_units_than_the_bundle_is_for_are_refused(tmp_path: Path) -> None:
    scans, array = tmp_path / "scans", np.arange(256, dtype=np.uint16).reshape(16, 16)
    make_dicom(scans / "ct.dcm", array, modality="CT", slope=1, intercept=-1024)
    make_dicom(scans / "mr.dcm", array, modality="MR", instance=2)
    make_dicom(scans / "us.dcm", array.astype(np.uint8), modality="US", instance=3)
    Image.fromarray(array.astype(np.uint8)).save(scans / "picture.png")
    settle(scans)
    result = predict_scans(bundle_for(16, 16), scans, tmp_path / "out")
    rows = {row["case_id"]: row["source"] for row in table(tmp_path / "out", "identities.csv")}
    assert [rows[case_id] for case_id in result.predictions.case_id] == ["ct.dcm"]
    refused = {rows.get(r.case_id, r.case_id): (r.code, r.stage) for r in result.refusals}
    assert refused == dict.fromkeys(("mr.dcm", "us.dcm", "picture.png"), ("mixed_units", "decode"))


def test_a_unit_makes_each_frame_a_case_and_conditions_leave_scans_out(tmp_path: Path) -> None:
    scans, bundle = tmp_path / "scans", bundle_for(8, 8)
    ct = {"modality": "CT", "slope": 1, "intercept": 0}
    make_dicom(scans / "many.dcm", np.ones((3, 8, 8), np.uint16), **ct)
    make_dicom(scans / "other.dcm", np.ones((8, 8), np.uint16), modality="MR", instance=2)
    settle(scans)
    out = tmp_path / "out"
    options = {"unit": "frame", "where": ["Modality=CT", "PatientID=P0001"]}
    first = predict_scans(bundle, scans, out, **options)
    assert len(first.predictions) == 3
    assert not first.refusals
    assert first.summary["passed_over"] == {"left out": 1}
    assert "P0001" not in (out / "journal.jsonl").read_text()
    options["where"].reverse()
    assert predict_scans(bundle, scans, out, **options).summary["predicted_before"] == 3
    for other, named in (({"unit": None}, "another --unit"), ({"where": ()}, "another --where")):
        with pytest.raises(FolderExists, match=named):
            predict_scans(bundle, scans, out, **(options | other))


def test_the_default_unit_may_be_said_and_a_wrong_choice_leaves_no_folder(
    scans: Path, tmp_path: Path
) -> None:
    bundle, out = bundle_for(4, 16, 16), tmp_path / "out"
    for wrong in ({"unit": "slice"}, {"where": "Modalty=CT"}, {"where": "CT"}):
        with pytest.raises(UsageError, match=r"slice|Modalty|CT"):
            predict_scans(bundle, scans, out, **wrong)
    assert not out.exists()
    predict_scans(bundle, scans, out)
    assert predict_scans(bundle, scans, out, unit="series").summary["predicted_before"] == 6
    manifest = index_unlabelled([scans], SPACE, unit="series").manifest
    assert manifest is not None
    manifest.save(tmp_path / "m.csv")
    with pytest.raises(UsageError, match="--unit has no meaning"):
        predict_scans(bundle, tmp_path / "m.csv", tmp_path / "listed", unit="series")
