"""What stands in several splits is found whatever the ids look like; blank pictures are no copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medimg.data.audit import audit
from medimg.data.checks.findings import Finding
from medimg.data.index import index
from medimg.data.manifest import Manifest
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore, with_pseudonyms
from medimg.errors import LeakError
from medimg.labels import LabelSpace
from medimg.testing import make_manifest, make_npz


def quick(data: Manifest | ImageStore, by: Sequence[str] = ()) -> dict[str, Finding]:
    """Return what a quick audit finds of groups and pictures, by code."""
    found = {finding.code: finding for finding in audit(data, by=by, quick=True).findings}
    found.pop("class_absent_from_split", None)
    return found


def with_cells(manifest: Manifest, **columns: Sequence[str]) -> Manifest:
    """Return the manifest with columns of text."""
    for name, cells in columns.items():
        manifest = manifest.with_column(name, np.array(cells, object))
    return manifest


SPLITS = ["train", "test", "val", "test"]


@pytest.mark.parametrize(
    "ids",
    [
        ["7", "007", "a", "b"],
        [" p7", "P7 ", "a", "b"],
        ["P-007", "p-7", "a", "b"],
        ["site01/0012", "Site1/12", "a", "b"],
        ["\u212b7", "\u00e57", "a", "b"],
        ["M\u00fcller", "Mu\u0308ller", "a", "b"],
        ["7", "7.0", "a", "b"],
        ["p7", "p\u200b7", "a", "b"],
        ["p7", "p\uff17", "a", "b"],
        ["Doe  7", "doe 7", "a", "b"],
        ["P-7", "P\u20117", "a", "b"],
    ],
)
def test_a_patient_is_found_under_ids_that_differ_in_blanks_capitals_or_zeros(
    ids: list[str],
) -> None:
    manifest = with_cells(make_manifest(4), patient_id=ids, split=SPLITS)
    found = quick(manifest)
    assert found["patient_in_several_splits"].groups == (("case00000.png", "case00001.png"),)
    with pytest.raises(LeakError, match=r"case00000\.png = case00001\.png"):
        audit(manifest, quick=True).require_clean()


@pytest.mark.parametrize(
    "ids",
    [
        ["7", "70", "700", "0"],
        *(["a1", "a10", "a01x", ""], ["7.1", "7", "71", "7.01x"], [""] * 4),
        *(["NA", "na", "NaN", "n/a"], ["unknown"] * 4, ["Anonymous"] * 4, ["?", "-", "?", "-"]),
    ],
)
def test_different_and_blank_ids_are_different_patients(ids: list[str]) -> None:
    assert not quick(with_cells(make_manifest(4), patient_id=ids, split=SPLITS))


def test_studies_that_are_numbered_within_patients_are_told_apart() -> None:
    manifest = with_cells(
        make_manifest(4), patient_id=["a", "b", "c", ""], study_id=["study1"] * 4, split=SPLITS
    )
    assert not quick(manifest)


@pytest.mark.parametrize("study", ["study1", "2", "Exam-03", "follow-up 2", "baseline"])
def test_a_number_within_a_patient_names_no_study_where_none_is_known(study: str) -> None:
    manifest = with_cells(make_manifest(4), study_id=[study] * 4, split=SPLITS)
    assert not quick(manifest)
    assert set(with_pseudonyms(manifest).frame["study_id"]) == {""}
    two = with_cells(manifest, patient_id=["p", "p", "q", "r"])
    assert set(quick(two)) == {"patient_in_several_splits", "study_in_several_splits"}
    assert set(quick(with_pseudonyms(two))) == set(quick(two))


UNIQUE = ["1.2.840.1.77", "MZXW6YTBOI2345MZXW6YTBOI23", "A70041"]


@pytest.mark.parametrize("study", UNIQUE)
def test_a_study_that_is_unique_in_the_world_is_one_whoever_it_is_said_to_be_of(study: str) -> None:
    manifest = with_cells(
        make_manifest(4), patient_id=["a", "b", "c", ""], study_id=[study] * 4, split=SPLITS
    )
    assert set(quick(manifest)) == {"study_in_several_splits"}
    assert set(quick(with_pseudonyms(manifest))) == {"study_in_several_splits"}


def test_a_lesion_in_several_splits_is_a_leak_where_it_is_asked_for() -> None:
    manifest = with_cells(make_manifest(4), lesion=["x", "X", "", ""], split=SPLITS)
    assert not quick(manifest)
    found = quick(manifest, by=("lesion",))["group_in_several_splits"]
    assert found.severity == "leak"
    assert found.groups == (("case00000.png", "case00001.png"),)
    assert found.details["by"] == ["lesion"]


def test_cases_of_split_none_take_no_part() -> None:
    manifest = with_cells(
        make_manifest(4), patient_id=["p", "p", "q", "q"], split=["train", "none", "val", "none"]
    )
    assert not quick(manifest)


def test_a_chain_through_a_case_left_out_is_a_leak() -> None:
    cells = {"patient_id": ["p", "p", "", "q"], "lesion": ["", "L", "L", ""]}
    manifest = with_cells(make_manifest(4), **cells, split=["train", "none", "test", "val"])
    assert not quick(manifest)
    found = quick(manifest, by=("patient_id", "lesion"))
    assert set(found) == {"group_in_several_splits"}
    finding = found["group_in_several_splits"]
    assert finding.groups == (("case00000.png", "case00002.png"),)
    assert finding.details["words"] == ["1 linked through cases that take no part"]
    known = with_cells(manifest, split=["train", "train", "test", "val"])
    assert quick(known, by=("patient_id", "lesion"))["group_in_several_splits"].groups == (
        ("case00001.png", "case00002.png"),
    )


def test_a_study_of_a_case_left_out_chains_as_well() -> None:
    cells = {"patient_id": ["p", "p", "", "q"], "study_id": ["", "1.2.3.4", "1.2.3.4", ""]}
    manifest = with_cells(make_manifest(4), **cells, split=["train", "none", "test", "val"])
    assert set(quick(manifest)) == {"group_in_several_splits"}


def test_one_image_in_several_splits_is_a_leak() -> None:
    source, frame = ["a", "a", "b", "b"], ["", "3", "1", "2"]
    manifest = with_cells(make_manifest(4), source=source, frame=frame, split=SPLITS)
    found = quick(manifest)
    assert set(found) == {"source_in_several_splits", "source_listed_twice"}
    assert found["source_in_several_splits"].severity == "leak"
    assert found["source_in_several_splits"].groups == (("case00000.png", "case00001.png"),)
    within = quick(with_cells(manifest, split=["train", "train", "val", "test"]))
    assert set(within) == {"source_listed_twice"}


def test_a_file_of_two_volumes_in_several_splits_is_a_leak() -> None:
    manifest = with_cells(make_manifest(4), source=["v1", "v3", "x", "y"], split=SPLITS)
    files = {"case00000.png": ("v1", "v2", "v4"), "case00001.png": ("v3", "v4", "v2")}
    found = quick(replace(manifest, files=files))
    assert found["source_in_several_splits"].groups == (("case00000.png", "case00001.png"),)


def test_numbers_and_blanks_in_a_column_of_groups_are_taken_as_a_split_takes_them() -> None:
    manifest = make_manifest(4).with_column("split", np.array(SPLITS, object))
    lesions = np.array([7.0, "007", float("nan"), None], object)
    found = quick(manifest.with_column("lesion", lesions), by=("lesion",))
    assert found["group_in_several_splits"].groups == (("case00000.png", "case00001.png"),)


@pytest.fixture
def npz(tmp_path: Path) -> dict[str, np.ndarray]:
    """The arrays of a small set with pictures that all differ."""
    return dict(np.load(make_npz(tmp_path / "plain.npz")))


def store_of(arrays: dict[str, np.ndarray], folder: Path) -> ImageStore:
    np.savez(folder / "x.npz", **arrays)
    return ImageStore.build(index(folder / "x.npz"), Preprocess(), folder / "store")


def test_copies_within_a_split_warn_and_say_whose_they_are(
    npz: dict[str, np.ndarray], tmp_path: Path
) -> None:
    npz["train_images"][5] = npz["train_images"][2]
    npz["train_labels"][5] = npz["train_labels"][2]
    store = store_of(npz, tmp_path)
    found = quick(store)
    assert set(found) == {"duplicates_within_split"}
    assert found["duplicates_within_split"].groups == (("x.npz#train@2", "x.npz#train@5"),)
    assert found["duplicates_within_split"].details == {"of_one_patient": 0, "of_one_class": 1}
    audit(store, quick=True).require_clean()


def test_the_same_picture_under_two_labels_is_a_leak(
    npz: dict[str, np.ndarray], tmp_path: Path
) -> None:
    npz["train_images"][5] = npz["train_images"][2]
    npz["train_labels"][5] = 1 - npz["train_labels"][2]
    found = quick(store_of(npz, tmp_path))
    assert found["pixels_under_several_labels"].severity == "leak"
    assert found["duplicates_within_split"].details["of_one_class"] == 0


def test_each_label_of_equal_pictures_is_compared_where_it_is_known(tmp_path: Path) -> None:
    arrays = dict(np.load(make_npz(tmp_path / "plain.npz")))
    for name, rows in {"train": (2, 5, 7), "test": (0, 1)}.items():
        arrays[f"{name}_images"][list(rows)] = arrays[f"{name}_images"][rows[0]]
    store = store_of(arrays, tmp_path)
    targets = np.zeros((len(store), 2), np.float32)
    row = dict(zip(store.manifest.case_id, range(len(store)), strict=True))
    nan = float("nan")
    for case, labels in {
        "train@2": (0, nan), "train@5": (1, nan), "train@7": (nan, nan),
        "test@0": (1, nan), "test@1": (nan, 0),
    }.items():  # fmt: skip
        targets[row[f"x.npz#{case}"]] = labels
    space = LabelSpace(("x", "y"), "multilabel")
    found = quick(replace(store, manifest=replace(store.manifest, targets=targets, space=space)))
    assert found["pixels_under_several_labels"].groups == (("x.npz#train@2", "x.npz#train@5"),)


def test_blank_pictures_are_no_copies_of_one_another(
    npz: dict[str, np.ndarray], tmp_path: Path
) -> None:
    npz["train_images"][:2] = 0
    npz["test_images"][:2] = 0
    npz["val_images"][:2] = 255
    found = quick(store_of(npz, tmp_path))
    assert set(found) == {"blank_pictures"}
    assert sorted(map(len, found["blank_pictures"].groups)) == [2, 4]


@pytest.mark.data
def test_ct_contrast_holds_six_pairs_each_of_one_patient_and_class(
    data_root: Path, tmp_path: Path
) -> None:
    folder = data_root / "ct_contrast"
    manifest = index(folder, label_from_name=r"CONTRAST_(\d)")
    prep = Preprocess(size=(128, 128), channels=1)
    store = ImageStore.build(manifest, prep, tmp_path / "store", keep_ids=True)
    found = quick(store)
    assert set(found) == {"duplicates_within_split"}
    name = dict(zip(manifest.case_id, manifest.frame["source"], strict=True))
    pairs = {
        tuple(sorted(name[case].rpartition("/")[2][3:7] for case in group))
        for group in found["duplicates_within_split"].groups
    }
    assert pairs == {
        *(("0003", "0006"), ("0010", "0013"), ("0032", "0034")),
        *(("0065", "0066"), ("0084", "0085"), ("0098", "0099")),
    }
    assert found["duplicates_within_split"].details == {"of_one_patient": 6, "of_one_class": 6}
