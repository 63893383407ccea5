"""What a table of cases shows without a look at any picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medimg.data.checks.tables import (
    class_absent_from_split,
    file_missing,
    ids_alike,
    patient_in_several_classes,
    source_listed_twice,
)
from medimg.data.manifest import Manifest
from medimg.labels import LabelSpace
from medimg.testing import make_manifest

CHECKS = (
    *(class_absent_from_split, source_listed_twice, ids_alike, file_missing),
    patient_in_several_classes,
)
THREE = LabelSpace(("a", "b", "c"))


def manifest_of(
    columns: dict[str, list[str]],
    labels: list[int] | None = None,
    root: Path = Path(),
    **more: Any,
) -> Manifest:
    n = len(next(iter(columns.values())))
    frame = pd.DataFrame({"case_id": [f"c{i}" for i in range(n)]} | columns, dtype=object)
    frame["source"] = frame.get("source", frame["case_id"])
    targets = THREE.one_hot(labels or [i % 3 for i in range(n)])
    return Manifest(frame, targets, THREE, root, **more)


def test_a_class_that_a_split_lacks_is_named() -> None:
    splits = ["train"] * 3 + ["test"] * 3 + ["none"]
    found = class_absent_from_split(manifest_of({"split": splits}, [0, 1, 2, 0, -1, 1, 0]))
    assert found is not None
    assert found.details["absent"] == {"test": ["c"]}
    assert "test: no c" in str(found)


def test_a_class_that_nobody_has_is_absent_from_every_split() -> None:
    found = class_absent_from_split(
        manifest_of({"split": ["train", "val"] * 3}, [0, 0, 1, 1, 0, 1])
    )
    assert found is not None
    assert found.details["absent"] == {"train": ["c"], "val": ["c"]}


def test_a_manifest_without_splits_lacks_no_class_in_them() -> None:
    assert class_absent_from_split(manifest_of({"split": [""] * 3})) is None


def test_one_image_under_several_cases_is_named() -> None:
    sources = ["a.png", "./a.png", "b.npz#train", "b.npz#train", "x//c.png", "x/c.png", "d.png"]
    frames = ["", "", "0", "1", "", "", ""]
    found = source_listed_twice(manifest_of({"source": sources, "frame": frames}))
    assert found is not None
    assert found.groups == (("c0", "c1"), ("c4", "c5"))


def test_a_slice_in_two_volumes_is_one_image_under_two_cases() -> None:
    files = {"c0": ("s1", "s2"), "c1": ("s3", "s2"), "c2": ("s4", "s4")}
    manifest = manifest_of({"source": ["s1", "s3", "s4"]}, files=files)
    found = source_listed_twice(manifest)
    assert found is not None
    assert found.groups == (("c0", "c1"),)


def test_ids_that_differ_in_form_alone_are_counted_and_not_printed() -> None:
    ids = ["ANNA7", "anna7 ", "007", "7", "8", "", "0", "00", "9", "9"]
    found = ids_alike(manifest_of({"patient_id": ids}))
    assert found is not None
    assert found.groups == (("c0", "c1"), ("c2", "c3"), ("c6", "c7"))
    assert found.details["words"] == ["3 patients, written in 6 ways"]
    assert "anna" not in str(found.to_dict()).casefold()


def test_missing_files_are_named_and_members_are_not_looked_for(tmp_path: Path) -> None:
    for name in ("a.png", "b.npz", "odd#name.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    sources = [
        *("a.png", "b.npz#train", "b.npz#test", "odd#name.png", "c.png", "d.zip#m.png"),
        *("dangling.png", "nul\0.png", "x" * 300 + ".png"),
    ]
    found = file_missing(manifest_of({"source": sources}, root=tmp_path))
    assert found is not None
    assert found.groups == (("c4",), ("c5",), ("c6",), ("c7",), ("c8",))


def test_a_volume_whose_slice_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "s1").write_bytes(b"")
    files = {"c0": ("s1", "s2")}
    found = file_missing(manifest_of({"source": ["s1", "s1"]}, root=tmp_path, files=files))
    assert found is not None
    assert found.groups == (("c0",),)


def test_patients_with_several_classes_are_information() -> None:
    found = patient_in_several_classes(
        manifest_of(
            {"patient_id": ["1", "01", "2", "2", "", "", "3", "3"]}, [0, 1, 2, 2, 0, 1, 0, -1]
        )
    )
    assert found is not None
    assert found.severity == "information"
    assert found.groups == (("c0", "c1"),)


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_table_gives_no_finding(check: Any, tmp_path: Path) -> None:
    manifest = make_manifest(60, splits=("train", "test", "val"), root=tmp_path)
    for source in manifest.frame["source"]:
        (tmp_path / source).write_bytes(b"")
    assert check(manifest) is None


@pytest.mark.parametrize("check", CHECKS)
def test_cases_of_split_none_and_the_order_of_rows_do_not_matter(check: Any) -> None:
    rng = np.random.default_rng(0)
    n = 60
    columns = {
        "source": [f"f{i}" for i in rng.integers(50, size=n)],
        "patient_id": [f"{'0' * rng.integers(2)}{i}" for i in rng.integers(1, 20, size=n)],
        "split": rng.choice(["train", "test"], n).tolist(),
    }
    labels = rng.integers(2, size=n).tolist()
    manifest = manifest_of(columns, labels, Path("/nowhere"))
    order = rng.permutation(n)
    turned = replace(manifest, frame=manifest.frame.iloc[order], targets=manifest.targets[order])
    assert check(manifest) == check(turned)
    assert check(manifest) is not None
    assert check(manifest.with_column("split", np.full(n, "none", object))) is None
