"""Folds: every case is tested once, nobody is parted, and a file gives them back."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimg.data.folds import make_folds, unsplit
from medimg.data.manifest import Manifest
from medimg.data.store import with_pseudonyms
from medimg.errors import ManifestError, UsageError
from medimg.labels import LabelSpace
from medimg.testing import make_manifest

SPACES = [
    LabelSpace(("a", "b")),
    LabelSpace(("low", "mid", "high"), "ordinal"),
    LabelSpace(("x", "y"), "multilabel"),
]


def folded(n: int = 60, k: int = 3, **options: object) -> Manifest:
    return make_folds(make_manifest(n, patients=20), k, **options)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(20, 150),
    patients=st.integers(8, 60),
    k=st.integers(2, 6),
    space=st.sampled_from(SPACES),
)
def test_every_case_is_tested_once_and_no_patient_is_parted(
    seed: int, n: int, patients: int, k: int, space: LabelSpace
) -> None:
    before = make_manifest(n, space=space, patients=patients, unknown=0.1, seed=seed)
    manifest = make_folds(before, k, seed=seed)
    assert manifest.folds is not None
    assert ((manifest.folds == "test").sum(axis=1) == 1).all()
    for number in range(1, k + 1):
        part = manifest.fold(number)
        assert part.folds is None
        assert set(part.split) <= {"train", "val", "test"}
        assert {"train", "test"} <= set(part.split)
        assert (part.frame.groupby("patient_id")["split"].nunique() == 1).all()


def test_each_class_gets_its_share_in_each_split_of_each_fold() -> None:
    manifest = make_folds(make_manifest(1000, space=SPACES[1], seed=1), 5, val=0.2)
    whole = manifest.targets.mean(axis=0)
    for number in range(1, 6):
        part = manifest.fold(number)
        assert len(part.rows("test")) == pytest.approx(200, abs=2)
        assert len(part.rows("val")) == pytest.approx(160, abs=2)
        for name in ("train", "val", "test"):
            assert np.abs(part.targets[part.rows(name)].mean(axis=0) - whole).max() < 0.02


def test_folds_do_not_hang_on_the_order_of_the_rows() -> None:
    first = make_manifest(60, patients=20)
    mixed = np.random.default_rng(0).permutation(60)
    second = Manifest(first.frame.iloc[mixed], first.targets[mixed], first.space, first.root)
    one, two = make_folds(first, seed=3), make_folds(second, seed=3)
    assert one.fingerprint == two.fingerprint
    assert one.split_fingerprint == two.split_fingerprint
    assert make_folds(first, seed=4).split_fingerprint != one.split_fingerprint


def test_folds_given_in_any_order_of_rows_stay_with_their_cases() -> None:
    manifest = folded()
    assert manifest.folds is not None
    mixed = np.random.default_rng(0).permutation(60)
    again = replace(
        manifest,
        frame=manifest.frame.iloc[mixed],
        targets=manifest.targets[mixed],
        folds=manifest.folds[mixed],
    )
    assert again.fingerprint == manifest.fingerprint
    assert again.fold(2).split.tolist() == manifest.fold(2).split.tolist()


@pytest.mark.parametrize("name", ["manifest.csv", "m with blanks.csv", "m.parquet"])
def test_a_file_gives_the_folds_back(tmp_path: Path, name: str) -> None:
    before = make_folds(make_manifest(30, patients=10, root=tmp_path), 4)
    before.save(tmp_path / name)
    after = Manifest.load(tmp_path / name)
    assert after.fingerprint == before.fingerprint
    assert np.array_equal(after.folds, before.folds)
    stem = "" if name == "manifest.csv" else f"{Path(name).stem}."
    table = tmp_path / f"{stem}folds.csv"
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    assert table.read_text().splitlines()[0] == "case_id,fold,split"
    assert len(table.read_text().splitlines()) == 1 + 30 * 4


def test_folds_of_another_manifest_that_lie_beside_are_not_taken(tmp_path: Path) -> None:
    make_folds(make_manifest(30, root=tmp_path), 4).save(tmp_path / "manifest.csv")
    make_manifest(30, root=tmp_path).save(tmp_path / "manifest.csv")
    assert Manifest.load(tmp_path / "manifest.csv").folds is None


def test_rows_that_are_taken_out_of_the_table_leave_the_folds_of_the_others(tmp_path: Path) -> None:
    before = make_folds(make_manifest(30, root=tmp_path), 4)
    before.save(tmp_path / "manifest.csv")
    lines = (tmp_path / "manifest.csv").read_text().splitlines()
    (tmp_path / "manifest.csv").write_text("\n".join(lines[:1] + lines[6:]) + "\n")
    after = Manifest.load(tmp_path / "manifest.csv")
    assert after.fingerprint == before.take(np.arange(5, 30)).fingerprint


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda lines: lines[:-1], "1 cases have no split in some fold"),
        (lambda lines: [*lines, lines[-1]], "stands twice in fold 4"),
        (lambda lines: [line.replace(",4,", ",7,") for line in lines], "not numbered from 1"),
        (lambda lines: [line.replace(",test", ",tset") for line in lines], "did you mean test"),
        (lambda lines: lines[:1], "30 cases have no split"),
        (lambda lines: ["case,fold,split", *lines[1:]], "has not the columns"),
    ],
)
def test_folds_that_break_the_rules_are_refused(
    tmp_path: Path, change: object, message: str
) -> None:
    make_folds(make_manifest(30, root=tmp_path), 4).save(tmp_path / "manifest.csv")
    table = tmp_path / "folds.csv"
    lines = change(table.read_text().splitlines())
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(ManifestError, match=message):
        Manifest.load(tmp_path / "manifest.csv")


def test_folds_of_another_length_are_refused() -> None:
    with pytest.raises(ManifestError, match="folds of shape"):
        replace(make_manifest(5), folds=np.full((4, 2), "test", object))


def test_folds_go_along_with_their_cases() -> None:
    manifest = folded()
    assert manifest.folds is not None
    part = manifest.take(np.arange(10, 20))
    assert np.array_equal(part.folds, manifest.folds[10:20])
    named = manifest.with_column("site", np.full(60, "A", object))
    assert np.array_equal(named.folds, manifest.folds)
    assert with_pseudonyms(manifest).fingerprint == manifest.fingerprint


def test_folds_have_a_part_in_the_fingerprint() -> None:
    manifest = folded()
    prints = {manifest.fingerprint, unsplit(manifest).fingerprint, folded(seed=1).fingerprint}
    assert len(prints) == 3


def test_a_fold_that_is_not_there_is_named_with_those_that_are() -> None:
    for number in (0, 4, -1):
        with pytest.raises(UsageError, match="1 to 3"):
            folded().fold(number)
    with pytest.raises(UsageError, match="make_folds"):
        make_manifest(5).fold(1)


def test_cases_of_split_none_are_none_in_every_fold() -> None:
    manifest = make_folds(make_manifest(60, patients=20, splits=("", "", "none")), 3)
    assert manifest.folds is not None
    left_out = manifest.split == "none"
    assert (manifest.folds[left_out] == "none").all()
    assert (manifest.folds[~left_out] != "none").all()


def test_a_case_that_is_left_out_afterwards_is_none_in_every_fold() -> None:
    manifest = folded()
    out = np.where(np.arange(60) < 10, "none", "").astype(object)
    for number in (1, 2, 3):
        fold = manifest.with_column("split", out).fold(number)
        assert (fold.split[:10] == "none").all()
        assert (fold.split[10:] == manifest.fold(number).split[10:]).all()


def test_folds_do_not_part_a_chain_through_a_case_left_out() -> None:
    manifest = make_manifest(90)
    for name, cells in {
        "patient_id": [f"p{i // 3}" if i % 3 < 2 else "" for i in range(90)],
        "lesion": [f"L{i // 3}" if i % 3 else "" for i in range(90)],
        "split": ["none" if i % 3 == 1 else "" for i in range(90)],
    }.items():
        manifest = manifest.with_column(name, np.array(cells, object))
    folds = make_folds(manifest, 5, by=("patient", "lesion")).folds
    assert folds is not None
    assert (folds[::3] == folds[2::3]).all()


def test_an_official_split_is_set_aside_by_name_alone() -> None:
    official = make_manifest(60, patients=20, splits=("train", "test", "none"))
    with pytest.raises(UsageError, match="--anew"):
        make_folds(official)
    with pytest.raises(UsageError, match="brings folds"):
        make_folds(folded())
    free = unsplit(official)
    assert set(free.split) == {"", "none"}
    assert make_folds(free).folds is not None
    assert unsplit(folded()).folds is None


@pytest.mark.parametrize("k", [1, 0, -3, 21])
def test_a_number_of_folds_that_the_groups_do_not_allow_is_refused(k: int) -> None:
    with pytest.raises(UsageError, match="from 2 to 20"):
        folded(k=k)


def test_as_many_folds_as_groups_leave_one_group_out_each() -> None:
    manifest = folded(k=20, val=0)
    assert manifest.folds is not None
    tested = [
        set(manifest.fold(j).frame["patient_id"][manifest.folds[:, j - 1] == "test"])
        for j in range(1, 21)
    ]
    assert all(len(patients) == 1 for patients in tested)
    assert len(set.union(*tested)) == 20


def test_one_patient_alone_gives_no_folds() -> None:
    with pytest.raises(UsageError, match="of 1 groups"):
        make_folds(make_manifest(10, patients=1), 2)


@pytest.mark.parametrize("val", [-0.1, 1.0])
def test_a_share_of_val_that_is_none_is_refused(val: float) -> None:
    with pytest.raises(UsageError, match="share"):
        folded(val=val)


def test_groups_of_several_columns_are_chained() -> None:
    lesion = np.array([f"L{row % 20 // 2}" for row in range(60)], object)
    manifest = make_manifest(60, patients=20).with_column("lesion", lesion)
    with pytest.raises(UsageError, match="from 2 to 10"):
        make_folds(manifest, 11, by=("patient", "lesion"))
    manifest = make_folds(manifest, 4, by=("patient", "lesion"))
    for number in range(1, 5):
        frame = manifest.fold(number).frame
        for column in ("patient_id", "lesion"):
            assert (frame.groupby(column)["split"].nunique() == 1).all()


def test_the_hash_of_the_split_hangs_on_images_and_splits_alone() -> None:
    first = make_manifest(60, patients=20, splits=("train", "test"))
    renamed = first.with_column("case_id", np.array([f"x{59 - i:02d}" for i in range(60)], object))
    assert renamed.fingerprint != first.fingerprint
    assert renamed.split_fingerprint == first.split_fingerprint
    moved = first.with_column("split", np.array(["test", "train"] * 30, object))
    assert moved.split_fingerprint != first.split_fingerprint
    assert with_pseudonyms(first).split_fingerprint == first.split_fingerprint
