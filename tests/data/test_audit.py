"""The audit as a whole: folds, groups, copies that are told apart by where they stand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import medimg as mi
from medimg.data.audit import audit
from medimg.data.checks.findings import Audit, Finding
from medimg.data.folds import make_folds
from medimg.data.index import index
from medimg.data.manifest import Manifest
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import LeakError
from medimg.testing import make_manifest, make_npz, make_patients


def by_code(found: Audit) -> dict[str, Finding]:
    """Return findings and information by code."""
    return {finding.code: finding for finding in (*found.findings, *found.information)}


@pytest.fixture
def folded(tmp_path: Path) -> Manifest:
    """Forty pictures of ten patients in two folds, unsplit otherwise."""
    return make_folds(make_patients(tmp_path / "p.npz", patients=10, per_patient=4), 2, val=0)


def test_an_audit_of_folds_looks_at_the_split_of_each(folded: Manifest) -> None:
    assert folded.folds is not None
    assert not audit(folded, quick=True).leaks
    folds = folded.folds.copy()
    row = int(np.flatnonzero(folds[:, 0] == "test")[0])
    folds[row] = folds[row][::-1]
    parted = replace(folded, folds=folds)
    (leak,) = audit(parted, quick=True).leaks
    assert leak.code == "patient_in_several_splits"
    assert parted.case_id[row] in leak.groups[0]
    with pytest.raises(LeakError):
        audit(parted).require_clean()


def test_equal_pictures_in_different_folds_are_a_leak(folded: Manifest, tmp_path: Path) -> None:
    assert folded.folds is not None
    store = ImageStore.build(folded, Preprocess(), tmp_path / "store", keep_ids=True)
    test = folded.folds[:, 0] == "test"
    one, other = int(np.flatnonzero(test)[0]), int(np.flatnonzero(~test)[0])
    hashes = store.pixel_hash.copy()
    hashes[other] = hashes[one]
    (leak,) = audit(replace(store, pixel_hash=hashes), quick=True).leaks
    assert leak.code == "pixels_in_several_splits"
    assert leak.groups == (tuple(sorted(folded.case_id[[one, other]])),)


def test_metadata_are_judged_by_the_groups_that_are_asked_for() -> None:
    rng = np.random.default_rng(3)
    n = 240
    manifest = make_manifest(n, seed=3)
    subject = np.repeat(np.arange(n // 12), 12)
    kernel = rng.integers(0, 4, n // 12)[subject].astype(str).astype(object)
    label = rng.integers(0, 2, n // 12)[subject]
    manifest = replace(manifest, targets=np.eye(2, dtype=np.float32)[label])
    manifest = manifest.with_column("subject", np.array([f"s{i}" for i in subject], object))
    manifest = manifest.with_column("kernel", kernel)
    alone = {row["name"]: row for row in audit(manifest).metadata}
    together = {row["name"]: row for row in audit(manifest, by=("subject",)).metadata}
    assert alone["kernel"]["high"] - alone["kernel"]["low"] < 0.2
    assert together["kernel"]["high"] - together["kernel"]["low"] > 0.4


def test_what_was_not_looked_at_is_said(tmp_path: Path) -> None:
    manifest = index(make_npz(tmp_path / "x.npz"))
    assert "pixels" in audit(manifest).not_checked
    store = ImageStore.build(manifest, Preprocess(), tmp_path / "s")
    assert not audit(store).not_checked


def textured(n: int, seed: int) -> np.ndarray:
    """Return pictures uint8 (n, 64, 64) with detail of every size, each its own."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(n, 64, 64))
    soft = sum(gaussian_filter(noise, (0, s, s)) * s for s in (1, 2, 4, 8))
    low, high = soft.min(axis=(1, 2), keepdims=True), soft.max(axis=(1, 2), keepdims=True)
    return np.asarray(255 * (soft - low) / (high - low)).astype(np.uint8)


def test_near_copies_are_told_apart_by_split_and_patient(tmp_path: Path) -> None:
    pictures = textured(60, seed=1)
    for copy, of in ((20, 0), (21, 1), (41, 40)):
        mirrored = pictures[of, :, ::-1].astype(np.float32)
        pictures[copy] = np.clip(mirrored * 0.9 + 10, 0, 255).astype(np.uint8)
    np.savez(tmp_path / "x.npz", train_images=pictures, train_labels=np.arange(60)[:, None] % 2)
    manifest = index(tmp_path / "x.npz")
    number = manifest.frame["frame"].astype(int).to_numpy()
    patient = np.where(np.isin(number, (40, 41)), "same", np.char.mod("p%d", number))
    split = np.where(number == 20, "test", "train")
    manifest = manifest.with_column("patient_id", patient.astype(object))
    manifest = manifest.with_column("split", split.astype(object))
    store = ImageStore.build(manifest, Preprocess(), tmp_path / "s", keep_ids=True)
    found = audit(store)
    across = by_code(found)["near_duplicates_across_splits"]
    within = by_code(found)["near_duplicates_within_split"]
    assert across.groups == (("x.npz#train@0", "x.npz#train@20"),)
    assert within.groups == (("x.npz#train@1", "x.npz#train@21"),)
    assert "mirrored left to right" in across.details["pairs"][0]["how"]
    assert any("1 near-duplicate" in note for note in found.notes)
    assert not found.leaks


@pytest.mark.data
def test_ct_contrast_tells_what_is_known_of_it(data_root: Path, tmp_path: Path) -> None:
    manifest = mi.index(
        data_root / "ct_contrast",
        labels=data_root / "ct_contrast" / "overview.csv",
        key="dicom_name",
        label=("Contrast",),
    )
    store = ImageStore.build(
        manifest, Preprocess(size=(128, 128), channels=1), tmp_path / "s", keep_ids=True
    )
    found = audit(store)
    codes = by_code(found)
    assert codes["duplicates_within_split"].details == {"of_one_patient": 6, "of_one_class": 6}
    assert len(codes["patient_in_several_classes"].groups) == 9
    rows = {row["name"]: row for row in found.metadata if row["auroc"] is not None}
    for name in ("window (2 columns)", "WindowCenter", "WindowWidth"):
        assert rows[name]["auroc"] > rows[name]["high"]
        assert 0.7 < rows[name]["auroc"] < 0.82
    assert not rows["KVP"]["outside"]
    assert rows["index"]["auroc"] == 1
    assert not found.leaks


@pytest.mark.data
def test_pneumonia_holds_eight_pictures_in_train_and_val_and_copies_within(
    data_root: Path, tmp_path: Path
) -> None:
    manifest = index(data_root / "medmnist" / "pneumoniamnist_reconstructed.npz")
    store = ImageStore.build(manifest, Preprocess(), tmp_path / "s")
    codes = by_code(audit(store, quick=True))
    leak = codes["pixels_in_several_splits"]
    splits = dict(zip(manifest.case_id, manifest.split, strict=True))
    assert len(leak.groups) == 8
    assert all({splits[case] for case in group} == {"train", "val"} for group in leak.groups)
    within = codes["duplicates_within_split"]
    assert {splits[group[0]] for group in within.groups} == {"train", "test"}


@pytest.mark.data
def test_official_splits_of_breastmnist_share_near_copies(data_root: Path, tmp_path: Path) -> None:
    """One scan cropped or saved anew, on both sides; most were looked at by eye."""
    store = ImageStore.build(
        index(data_root / "medmnist" / "breastmnist.npz"), Preprocess(), tmp_path / "s"
    )
    codes = by_code(audit(store))
    assert 110 <= len(codes["near_duplicates_across_splits"].groups) <= 130
    assert max(p["similarity"] for p in codes["near_duplicates_across_splits"].details["pairs"]) < 1
