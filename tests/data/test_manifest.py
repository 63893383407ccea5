"""Manifests: what breaks the rules is refused, and no order of rows changes anything."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg.data.audit import audit
from medimg.data.manifest import Manifest
from medimg.data.store import with_pseudonyms
from medimg.errors import LeakError, ManifestError, SourceNotFound
from medimg.labels import LabelSpace
from medimg.testing import make_manifest

SPACES = [
    LabelSpace(("a", "b")),
    LabelSpace(("low", "mid", "high"), "ordinal"),
    LabelSpace(("x", "y"), "multilabel"),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.kind)
@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_file_gives_the_same_manifest_back(tmp_path: Path, space: LabelSpace, name: str) -> None:
    before = make_manifest(30, space=space, patients=10, unknown=0.2, root=tmp_path)
    before = before.with_column("sex", np.array(["M", ""] * 15, object))
    before.save(tmp_path / name)
    after = Manifest.load(tmp_path / name)
    assert after.fingerprint == before.fingerprint
    assert after.metadata["sex"].tolist() == before.metadata["sex"].tolist()
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_order_of_the_rows_does_not_change_the_fingerprint() -> None:
    first = make_manifest(60, patients=20)
    mixed = np.random.default_rng(0).permutation(60)
    second = Manifest(first.frame.iloc[mixed], first.targets[mixed], first.space, first.root)
    assert first.fingerprint == second.fingerprint


def test_the_root_may_move(tmp_path: Path) -> None:
    make_manifest(5, root=tmp_path / "gone").save(tmp_path / "m.csv")
    with pytest.raises(SourceNotFound, match="index it again"):
        Manifest.load(tmp_path / "m.csv")
    assert len(Manifest.load(tmp_path / "m.csv", root=tmp_path)) == 5


def test_a_table_is_not_taken_for_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("case_id,source\na,b\n")
    with pytest.raises(ManifestError, match="medimg index"):
        Manifest.load(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "frame, message",
    [
        ({"case_id": ["a", "a"], "source": ["x", "y"]}, "twice"),
        ({"case_id": ["a", ""], "source": ["x", "y"]}, "no case_id"),
        ({"case_id": ["a", "b"]}, "source"),
        ({"case_id": ["a", "b"], "source": ["x", "y"], "split": ["trian", ""]}, "train"),
        ({"case_id": ["a", "b"], "source": ["x", "y"], "patient_id": [7, 8]}, "text"),
        ({"case_id": [], "source": []}, "no cases"),
    ],
)
def test_what_breaks_the_rules_is_refused(frame: dict[str, list[object]], message: str) -> None:
    table = pd.DataFrame(frame)
    with pytest.raises(ManifestError, match=message):
        Manifest(table, np.full((len(table), 2), np.nan), SPACES[0], Path())


def test_a_patient_in_two_splits_is_a_leak_also_with_another_padding() -> None:
    manifest = make_manifest(4, splits=("train", "test"))
    manifest = manifest.with_column("patient_id", np.array(["007", "7 ", "8", "9"], object))
    found = audit(manifest)
    assert [finding.code for finding in found.leaks] == ["patient_in_several_splits"]
    with pytest.raises(LeakError, match="case00000"):
        found.require_clean()
    found.require_clean(allow=["patient_in_several_splits"])


def test_patients_are_counted_as_splits_take_them() -> None:
    ids = np.array(["007", "7", "7.0", "NA", "", "unknown"], object)
    manifest = make_manifest(6, splits=("train",)).with_column("patient_id", ids)
    assert manifest.counts()["patients"].tolist() == [1]


def test_studies_numbered_within_patients_have_the_fingerprint_of_their_pseudonyms() -> None:
    manifest = make_manifest(6)
    for name, cells in {
        "patient_id": ["a", "a", "A ", "b", "", "NA"],
        "study_id": ["study1", "study2", "study01", "study1", "study1", "1.2.3.4"],
    }.items():
        manifest = manifest.with_column(name, np.array(cells, object))
    named = with_pseudonyms(manifest)
    assert named.fingerprint == manifest.fingerprint
    study = named.frame["study_id"].tolist()
    assert study[0] == study[2] and study[4] == "" and len(set(study)) == 5


def test_a_case_left_out_is_no_leak() -> None:
    manifest = make_manifest(4, splits=("train", "none"))
    manifest = manifest.with_column("patient_id", np.array(["7", "7", "8", "9"], object))
    audit(manifest).require_clean()


def test_the_files_of_a_volume_are_kept_in_order_and_belong_to_the_fingerprint(
    tmp_path: Path,
) -> None:
    plain = make_manifest(4, root=tmp_path)
    case_id = plain.case_id[1]
    files = tuple(f"series/{i}" for i in range(12))
    volumes = replace(plain, files={case_id: files})
    assert volumes.fingerprint != plain.fingerprint
    assert replace(plain, files={case_id: files[::-1]}).fingerprint != volumes.fingerprint
    volumes.save(tmp_path / "manifest.csv")
    instances = tmp_path / "instances.csv"
    assert stat.S_IMODE(instances.stat().st_mode) == 0o600
    again = Manifest.load(tmp_path / "manifest.csv")
    assert again.fingerprint == volumes.fingerprint
    assert [case.files for case in again.cases()] == [(), files, (), ()]
    assert again.take(np.array([0])).cases()[0].files == ()


def test_a_table_of_instances_that_names_the_same_volumes_is_left_as_it_is(tmp_path: Path) -> None:
    volumes = replace(make_manifest(2, root=tmp_path), files={"case00000.png": ("a", "b")})
    volumes.save(tmp_path / "manifest.csv")
    richer = "case_id,position,source,Modality\ncase00000.png,0,a,CT\ncase00000.png,1,b,CT\n"
    (tmp_path / "instances.csv").write_text(richer)
    volumes.save(tmp_path / "manifest.csv")
    assert (tmp_path / "instances.csv").read_text() == richer


def test_two_manifests_in_one_folder_keep_their_instances_apart(tmp_path: Path) -> None:
    base = make_manifest(2, root=tmp_path)
    for name in ("a", "b"):
        replace(base, files={"case00000.png": (name, name)}).save(tmp_path / f"{name}.csv")
    for name in ("a", "b"):
        assert Manifest.load(tmp_path / f"{name}.csv").cases()[0].files == (name, name)
