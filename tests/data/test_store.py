"""The store: decoded once, refused by name, the same whatever the order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import medimg.data.decode as decode_module
from medimg.data.audit import audit
from medimg.data.index import index
from medimg.data.manifest import Case
from medimg.data.options import DicomPixels
from medimg.data.preprocess import Preprocess
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.errors import DataError, LeakError
from medimg.testing import make_image_folder, make_npz, make_table

PREP = Preprocess(size=(16, 16), channels=1)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every source that is decoded."""
    seen: list[str] = []
    real = decode_module.read_cases

    def counting(root: Path, cases: Iterable[Case], dicom: DicomPixels) -> object:
        def noted() -> Iterator[Case]:
            for case in cases:
                seen.append(case.source)
                yield case

        return real(root, noted(), dicom)

    monkeypatch.setattr(decode_module, "read_cases", counting)
    return seen


def test_a_second_build_decodes_nothing_whatever_split_and_labels(
    tmp_path: Path, reads: list[str]
) -> None:
    manifest = index(make_image_folder(tmp_path / "a"))
    first = ImageStore.build(manifest, PREP, tmp_path / "s")
    count = len(reads)
    assert count == len(manifest) == len(first)
    second = ImageStore.build(split(manifest, seed=4), PREP, tmp_path / "s")
    assert len(reads) == count
    rows = np.arange(len(first))
    assert np.array_equal(first.read(rows), second.read(rows))


def test_new_and_changed_files_alone_are_decoded(tmp_path: Path, reads: list[str]) -> None:
    folder = make_image_folder(tmp_path / "a", per_class=4)
    old = ImageStore.build(index(folder), PREP, tmp_path / "s")
    kept = old.read(np.arange(len(old)))
    reads.clear()
    make_image_folder(tmp_path / "b", per_class=6, seed=9)
    (tmp_path / "b" / "benign" / "5.png").rename(folder / "benign" / "5.png")
    (tmp_path / "b" / "malignant" / "0.png").replace(folder / "malignant" / "0.png")
    new = ImageStore.build(index(folder), PREP, tmp_path / "s")
    assert sorted(reads) == ["benign/5.png", "malignant/0.png"]
    place = {case: row for row, case in enumerate(new.manifest.case_id)}
    for row, case in enumerate(old.manifest.case_id):
        same = np.array_equal(new.read(np.array([place[case]]))[0], kept[row])
        assert same == (case != "malignant/0.png")


def test_a_touched_file_with_the_same_bytes_is_not_decoded_again(
    tmp_path: Path, reads: list[str]
) -> None:
    folder = make_image_folder(tmp_path / "a")
    ImageStore.build(index(folder), PREP, tmp_path / "s")
    reads.clear()
    os.utime(folder / "benign" / "0.png", ns=(1, 1))
    ImageStore.build(index(folder), PREP, tmp_path / "s")
    assert reads == []


def test_unreadable_scan_is_listed_not_skipped(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "a", per_class=5)
    broken = folder / "benign" / "2.png"
    broken.write_bytes(broken.read_bytes()[:-20])
    store = ImageStore.build(index(folder), PREP, tmp_path / "s")
    assert [(r.case_id, r.code) for r in store.refusals] == [("benign/2.png", "corrupt")]
    assert "benign/2.png" not in store.manifest.case_id
    alone = ImageStore.build(
        index(make_image_folder(tmp_path / "c", per_class=5)), PREP, tmp_path / "t"
    )
    place = {case: row for row, case in enumerate(alone.manifest.case_id)}
    for row, case in enumerate(store.manifest.case_id):
        other = alone.read(np.array([place[case]]))
        assert np.array_equal(store.read(np.array([row])), other)


def test_nothing_readable_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "a", per_class=2)
    manifest = index(folder)
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="none of 4"):
        ImageStore.build(manifest, PREP, tmp_path / "s")
    assert not (tmp_path / "s" / "store.json").exists()


def test_sizes_that_differ_are_refused_where_no_size_is_given(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "a", size=(16, 16), per_class=2)
    make_image_folder(tmp_path / "a", size=(8, 16), per_class=1)
    with pytest.raises(DataError, match="differ in size"):
        ImageStore.build(index(tmp_path / "a"), Preprocess(), tmp_path / "s")


def test_another_preprocessing_makes_the_store_anew(tmp_path: Path, reads: list[str]) -> None:
    manifest = index(make_image_folder(tmp_path / "a"))
    ImageStore.build(manifest, PREP, tmp_path / "s")
    store = ImageStore.build(manifest, Preprocess(size=(8, 8), bits=16), tmp_path / "s")
    assert store.shape == (1, 8, 8)
    assert store.pixels.dtype == np.uint16
    assert len(reads) == 2 * len(manifest)


def test_altered_pixels_are_found_by_verify(tmp_path: Path) -> None:
    manifest = index(make_image_folder(tmp_path / "a"))
    ImageStore.build(manifest, PREP, tmp_path / "s")
    with (tmp_path / "s" / "pixels.npy").open("rb+") as handle:
        handle.seek(-1, 2)
        handle.write(b"\x07")
    with pytest.raises(DataError, match="changed"):
        ImageStore.build(manifest, PREP, tmp_path / "s", verify=True)


def test_patients_are_pseudonyms_unless_asked_otherwise(tmp_path: Path) -> None:
    manifest = index(make_table(tmp_path, patients=4))
    hidden = ImageStore.build(manifest, PREP, tmp_path / "s").manifest.frame["patient_id"]
    assert len(set(hidden)) == 4
    assert not set(hidden) & set(manifest.frame["patient_id"])
    shown = ImageStore.build(manifest, PREP, tmp_path / "s", keep_ids=True)
    assert set(shown.manifest.frame["patient_id"]) == set(manifest.frame["patient_id"])


def test_equal_pixels_in_two_splits_are_a_leak(tmp_path: Path) -> None:
    path = make_npz(tmp_path / "x.npz")
    arrays = dict(np.load(path))
    arrays["test_images"][0] = arrays["train_images"][3]
    arrays["test_labels"][0] = arrays["train_labels"][3]
    np.savez(path, **arrays)
    store = ImageStore.build(index(path), Preprocess(), tmp_path / "s")
    with pytest.raises(LeakError, match=r"pixels_in_several_splits.*x.npz#test@0 = x.npz#train@3"):
        audit(store).require_clean()


@pytest.mark.data
def test_the_known_copies_of_pneumonia_and_breast_are_found(
    data_root: Path, tmp_path: Path
) -> None:
    for name, copies in (("pneumoniamnist_reconstructed", 8), ("breastmnist", 1)):
        manifest = index(data_root / "medmnist" / f"{name}.npz")
        store = ImageStore.build(manifest, Preprocess(), tmp_path / name)
        findings = {finding.code: finding for finding in audit(store).findings}
        assert len(findings["pixels_in_several_splits"].groups) == copies


def test_another_frame_under_the_same_id_is_decoded_anew(tmp_path: Path) -> None:
    manifest = index(make_npz(tmp_path / "x.npz"))
    first = ImageStore.build(manifest, Preprocess(), tmp_path / "s")
    frames = manifest.frame["frame"].to_numpy().copy()
    frames[0], frames[1] = frames[1], frames[0]
    swapped = ImageStore.build(manifest.with_column("frame", frames), Preprocess(), tmp_path / "s")
    rows = np.array([0, 1])
    assert np.array_equal(swapped.read(rows), first.read(rows[::-1]))


def test_a_damaged_store_is_made_again(tmp_path: Path) -> None:
    manifest = index(make_image_folder(tmp_path / "a"))
    first = ImageStore.build(manifest, PREP, tmp_path / "s")
    kept = first.read(np.arange(len(first)))
    for name in ("pixels.npy", "rows.csv", "store.json"):
        (tmp_path / "s" / name).write_bytes(b"rubbish")
        again = ImageStore.build(manifest, PREP, tmp_path / "s")
        assert np.array_equal(again.read(np.arange(len(again))), kept)


def test_a_case_refused_for_good_makes_nothing_be_written_again(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "a")
    (folder / "benign" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ImageStore.build(index(folder), PREP, tmp_path / "s")
    before = (tmp_path / "s" / "pixels.npy").stat().st_mtime_ns
    store = ImageStore.build(index(folder), PREP, tmp_path / "s")
    assert len(store.refusals) == 1
    assert (tmp_path / "s" / "pixels.npy").stat().st_mtime_ns == before


def test_names_and_paths_do_not_go_beyond_the_manifest(tmp_path: Path) -> None:
    table = make_table(tmp_path, patients=4)
    header, *lines = table.read_text().splitlines()
    lines = [f"{line},Doe^Jane,A" for line in lines]
    table.write_text("\n".join([header + ",name,site", *lines]) + "\n")
    (tmp_path / "images" / "003.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    manifest = index(table)
    store = ImageStore.build(manifest, PREP, tmp_path / "s")
    assert list(store.manifest.metadata) == ["site"]
    assert str(tmp_path) not in store.refusals[0].message
    kept = ImageStore.build(manifest, PREP, tmp_path / "s", metadata=["name"])
    assert set(kept.manifest.metadata) == {"site", "name"}


def test_a_manifest_and_its_pseudonymized_copy_have_one_fingerprint(tmp_path: Path) -> None:
    manifest = index(make_table(tmp_path, patients=4))
    store = ImageStore.build(manifest, PREP, tmp_path / "s")
    assert store.manifest.fingerprint == manifest.fingerprint
    ids = manifest.frame["patient_id"].to_numpy().copy()
    ids[0] = ids[1]
    other = manifest.with_column("patient_id", ids)
    assert other.fingerprint != manifest.fingerprint


def test_colour_among_grey_is_refused_where_channels_are_open(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "a", per_class=3)
    make_image_folder(tmp_path / "a", per_class=1, mode="RGB")
    with pytest.raises(DataError, match="differ in channels"):
        ImageStore.build(index(tmp_path / "a"), Preprocess(size=(8, 8)), tmp_path / "s")
