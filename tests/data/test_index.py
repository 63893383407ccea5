"""`index`: every source becomes the manifest that a person would have written by hand."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg.data.index import index, index_unlabelled
from medimg.data.manifest import Manifest
from medimg.data.sources.formats import read_case
from medimg.data.sources.medmnist_sets import SETS, set_name
from medimg.errors import (
    DataError,
    LabelError,
    MedimgError,
    NothingReadable,
    PixelError,
    SourceNotFound,
    UsageError,
)
from medimg.labels import LabelSpace, class_index
from medimg.testing import (
    make_dicom,
    make_idx,
    make_image_folder,
    make_nifti,
    make_npz,
    make_table,
    write_idx,
)

SPACE = LabelSpace(("benign", "malignant"), positive="malignant")


def labels_of(manifest: Manifest) -> dict[str, str]:
    names = [*manifest.space.classes, ""]
    return {
        c: names[k] for c, k in zip(manifest.case_id, class_index(manifest.targets), strict=True)
    }


def table(folder: Path, text: str, files: str = "a b c") -> Path:
    for name in files.split():
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / f"{name}.png")
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------------------- MedMNIST and npz


def test_sets_are_those_of_the_medmnist_package() -> None:
    info = pytest.importorskip("medmnist").INFO
    kinds = {"multi-class": "multiclass", "binary-class": "multiclass"}
    kinds |= {"multi-label, binary-class": "multilabel", "ordinal-regression": "ordinal"}
    assert set(SETS) == set(info)
    for name, known in SETS.items():
        theirs = info[name]["label"]
        ours = {str(k): c for k, c in enumerate(known.space.classes)}
        plain = {
            k: c.replace(" (", "(").replace("normal or benign", "normal, benign")
            for k, c in ours.items()
        }
        assert plain == {k: c.replace(" (", "(") for k, c in theirs.items()}, name
        assert known.space.kind == kinds[info[name]["task"]]
        assert known.channels == info[name]["n_channels"]
        assert known.dimensions == (3 if name.endswith("3d") else 2)


def test_target_condition_of_a_set_is_the_disease() -> None:
    positive = {name: s.space.positive for name, s in SETS.items() if s.space.positive}
    assert positive == {
        "breastmnist": "malignant",
        "pneumoniamnist": "pneumonia",
        "nodulemnist3d": "malignant",
        "adrenalmnist3d": "hyperplasia",
        "vesselmnist3d": "aneurysm",
    }


def test_set_is_known_by_its_name_up_to_the_first_underscore() -> None:
    assert set_name(Path("x/breastmnist_64.npz")) == "breastmnist"
    assert set_name("pneumoniamnist_reconstructed.npz") == "pneumoniamnist"


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind", "positive", "counts"),
    [
        ("breastmnist", "multiclass", "malignant", (546, 78, 156)),
        ("retinamnist", "ordinal", None, (1080, 120, 400)),
        ("adrenalmnist3d", "multiclass", "hyperplasia", (1188, 98, 298)),
        ("pneumoniamnist_reconstructed", "multiclass", "pneumonia", (4708, 524, 624)),
    ],
)
def test_real_medmnist_brings_its_splits_classes_and_labels(
    data_root: Path, name: str, kind: str, positive: str | None, counts: tuple[int, ...]
) -> None:
    path = data_root / "medmnist" / f"{name}.npz"
    manifest, arrays = index(path), np.load(path)
    assert (manifest.space.kind, manifest.space.positive) == (kind, positive)
    assert tuple(len(manifest.rows(s)) for s in ("train", "val", "test")) == counts
    assert manifest.case_id[0] == f"{name}.npz#test@0"
    codes = dict(zip(manifest.case_id, class_index(manifest.targets), strict=True))
    for split in ("train", "val", "test"):
        wanted = arrays[f"{split}_labels"][:, 0]
        assert [codes[f"{name}.npz#{split}@{i}"] for i in range(len(wanted))] == wanted.tolist()


@pytest.mark.data
def test_real_breast_is_positive_where_it_is_malignant(data_root: Path) -> None:
    manifest = index(data_root / "medmnist" / "breastmnist.npz")
    assert manifest.targets[manifest.rows("train")].sum(axis=0).tolist() == [147, 399]
    assert manifest.space.classes[0] == manifest.space.positive == "malignant"


def test_unknown_npz_has_numbered_classes(tmp_path: Path) -> None:
    manifest = index(make_npz(tmp_path / "mine.npz", classes=3))
    assert manifest.space == LabelSpace(("0", "1", "2"))
    named = index(tmp_path / "mine.npz", classes=("x", "y", "z"), kind="ordinal")
    assert named.space == LabelSpace(("x", "y", "z"), "ordinal")


def test_npz_of_images_and_labels_has_no_splits(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4), np.uint8), labels=[0, 1, 1])
    manifest = index(tmp_path / "a.npz", positive="1")
    assert list(manifest.case_id) == [f"a.npz#images@{i}" for i in range(3)]
    assert set(manifest.split) == {""}
    assert class_index(manifest.targets).tolist() == [0, 1, 1]
    assert read_case(manifest.root, "a.npz#images", "2").array.shape == (1, 4, 4)


def test_several_columns_of_labels_are_multilabel(tmp_path: Path) -> None:
    manifest = index(make_npz(tmp_path / "a.npz", kind="multilabel", classes=3))
    assert manifest.space == LabelSpace(("0", "1", "2"), "multilabel")
    wanted = np.load(tmp_path / "a.npz")["val_labels"]
    rows = [list(manifest.case_id).index(f"a.npz#val@{i}") for i in range(len(wanted))]
    assert np.array_equal(manifest.targets[rows], wanted)


@pytest.mark.parametrize("change", ({"channels": 3}, {"classes": 3}, {"shape": (4, 8, 8)}))
def test_known_name_with_other_contents_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = make_npz(tmp_path / "breastmnist.npz", **change)
    with pytest.raises(DataError, match="not its contents"):
        index(path)


@pytest.mark.parametrize(
    "labels", (np.array([0, -1, 1]), np.array([0.5, 1, 0]), np.array([0, np.nan, 1]))
)
def test_labels_that_are_no_class_numbers_are_refused(tmp_path: Path, labels: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4), np.uint8), labels=labels)
    with pytest.raises(LabelError, match="class numbers"):
        index(tmp_path / "a.npz")


def test_npz_without_labels_or_images_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(DataError, match="no labels"):
        index(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", weights=np.zeros(3))
    with pytest.raises(DataError, match="no images"):
        index(tmp_path / "b.npz")


def test_options_without_a_meaning_are_refused(tmp_path: Path) -> None:
    path = make_npz(tmp_path / "a.npz")
    with pytest.raises(UsageError, match="patient_id"):
        index(path, patient_id="PID")
    with pytest.raises(UsageError, match="did you mean positive"):
        index(path, positiv="1")
    with pytest.raises(UsageError, match="kind"):
        index(path, kind="binary")


# ---------------------------------------------------------------------------- IDX


@pytest.mark.data
@pytest.mark.parametrize("name", ("mnist", "fashion-mnist"))
def test_real_idx_folder_has_train_and_test(data_root: Path, name: str) -> None:
    manifest = index(data_root / name)
    assert (len(manifest.rows("train")), len(manifest.rows("test"))) == (60_000, 10_000)
    assert manifest.space.classes == tuple("0123456789")
    assert "train-images-idx3-ubyte.gz@17" in set(manifest.case_id)


@pytest.mark.data
def test_real_mnist_labels_stand_by_their_images(data_root: Path) -> None:
    manifest = index(data_root / "mnist" / "t10k-images-idx3-ubyte.gz")
    found = labels_of(manifest)
    first = [found[f"t10k-images-idx3-ubyte.gz@{i}"] for i in range(10)]
    assert first == list("7210414959")  # the first ten digits of the test set


@pytest.mark.parametrize("packed", (True, False))
def test_idx_pair_is_indexed_from_folder_and_file(tmp_path: Path, packed: bool) -> None:
    make_idx(tmp_path, packed=packed, n={"train": 6, "t10k": 3})
    manifest = index(tmp_path)
    assert (len(manifest.rows("train")), len(manifest.rows("test"))) == (6, 3)
    name = f"t10k-images-idx3-ubyte{'.gz' if packed else ''}"
    alone = index(tmp_path / name)
    assert list(alone.case_id) == [f"{name}@{i}" for i in range(3)]
    assert labels_of(alone) == {f"{name}@{i}": str(i) for i in range(3)}


def test_file_and_its_gzipped_twin_are_one(tmp_path: Path) -> None:
    make_idx(tmp_path, packed=True)
    make_idx(tmp_path, packed=False)
    assert len(index(tmp_path)) == 42


def test_idx_without_its_labels_or_with_fewer_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((4, 3, 3), np.uint8))
    with pytest.raises(DataError, match="no file of labels"):
        index(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="4 images and train-labels-idx1-ubyte 3 labels"):
        index(tmp_path)


# ---------------------------------------------------------------------------- folders


@pytest.mark.parametrize("ending", (".png", ".jpg", ".tif", ".bmp"))
def test_folder_of_classes_gives_each_file_its_folder(tmp_path: Path, ending: str) -> None:
    manifest = index(make_image_folder(tmp_path / "x", ending=ending), positive="malignant")
    assert manifest.space == SPACE
    assert all(case.split("/")[0] == label for case, label in labels_of(manifest).items())
    assert len(manifest) == 12


def test_folder_of_splits_and_classes_brings_its_splits(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path, splits=("train", "valid", "test"), per_class=2)
    manifest = index(folder)
    assert [len(manifest.rows(s)) for s in ("train", "val", "test")] == [4, 4, 4]
    assert manifest.case_id[0] == "test/benign/0.png"
    assert manifest.space.classes == ("benign", "malignant")


def test_files_that_are_no_images_are_logged_and_damaged_images_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_image_folder(tmp_path, per_class=2)
    (folder / "benign" / "Thumbs.db").write_bytes(b"x")
    (folder / "benign" / ".hidden.png").write_bytes(b"x")
    (folder / "benign" / "damaged.png").write_bytes(b"\x89PN")
    (folder / "benign" / "misnamed.txt").write_bytes((folder / "benign" / "0.png").read_bytes())
    with caplog.at_level(logging.WARNING, "medimg.index"):
        manifest = index(folder)
    assert len(manifest) == 6
    assert {"benign/damaged.png", "benign/misnamed.txt"} < set(manifest.case_id)
    assert "Thumbs.db" in caplog.text
    assert ".hidden.png" in caplog.text
    with pytest.raises(PixelError):
        read_case(manifest.root, "benign/damaged.png", "")


def test_classes_give_the_order_and_no_is_text(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path, classes=("yes", "no"), per_class=2)
    assert index(folder).space.classes == ("no", "yes")
    assert index(folder, classes=("yes", "no"), kind="ordinal").space.classes == ("yes", "no")
    with pytest.raises(LabelError, match="'no' is none of the classes"):
        index(folder, classes=("yes", "nein"))


def test_numbered_folders_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path, classes=("10", "9", "1"), per_class=1)
    assert index(folder).space.classes == ("1", "9", "10")


def test_unfit_folders_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFound, match="no images"):
        index(tmp_path / "empty")
    make_image_folder(tmp_path / "one", classes=("benign",))
    with pytest.raises(LabelError, match="one class alone, benign"):
        index(tmp_path / "one")
    with pytest.raises(LabelError, match="no folder of a class"):
        index(tmp_path / "one" / "benign")
    with pytest.raises(UsageError, match="multilabel"):
        index(make_image_folder(tmp_path / "two"), kind="multilabel")


def test_nifti_files_lie_in_folders_of_classes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_nifti(tmp_path / name / "1.nii.gz", np.zeros((4, 3, 2), np.int16))
    manifest = index(tmp_path)
    assert list(manifest.case_id) == ["a/1.nii.gz", "b/1.nii.gz"]


# ---------------------------------------------------------------------------- tables


def test_table_brings_patients_splits_and_metadata_as_text(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "path,label,patient_id,study_id,split,site,age\n"
        "a.png,no,007,1,Training,A,63\nb.png,yes,000000000000000000000000000000000007,2,valid,B,\n"
        "c.png,no,08,3,test,A,5\n",
    )
    manifest = index(path)
    assert manifest.frame["patient_id"].tolist() == ["007", "0" * 35 + "7", "08"]
    assert manifest.split.tolist() == ["train", "val", "test"]
    assert manifest.metadata.to_dict("list") == {"site": ["A", "B", "A"], "age": ["63", "", "5"]}
    assert labels_of(manifest) == {"a.png": "no", "b.png": "yes", "c.png": "no"}
    assert manifest.root == tmp_path


@pytest.mark.parametrize("separator", (",", ";", "\t"))
@pytest.mark.parametrize("start", ("", "\ufeff"))
def test_separators_marks_and_quoted_newlines_are_taken(
    tmp_path: Path, separator: str, start: str
) -> None:
    rows = [["Image Index", " Finding", "Note"], ["a.png", "x", '"two\nlines"'], ["b.png", "y", ""]]
    path = table(tmp_path, start + "\n".join(separator.join(r) for r in rows) + "\n")
    manifest = index(path, label="Finding")
    assert labels_of(manifest) == {"a.png": "x", "b.png": "y"}
    assert manifest.metadata["Note"].tolist() == ["two\nlines", ""]


def test_parquet_is_a_table_too(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table(tmp_path, "")
    frame = pd.DataFrame({"path": ["a.png", "b.png"], "label": [0, 1], "patient_id": ["01", "02"]})
    frame.to_parquet(tmp_path / "t.parquet")
    manifest = index(tmp_path / "t.parquet")
    assert manifest.space.classes == ("0", "1")
    assert manifest.frame["patient_id"].tolist() == ["01", "02"]


def test_columns_that_are_not_plain_are_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, "path,diagnosis,target\na.png,x,1\nb.png,y,0\n")
    with pytest.raises(UsageError, match=r"several columns could be the label: diagnosis, target"):
        index(path)
    assert index(path, label="diagnosis").space.classes == ("x", "y")
    path = table(tmp_path, "bild,befund\na.png,x\nb.png,y\n")
    with pytest.raises(UsageError, match=r"no column could be the path: bild, befund") as caught:
        index(path)
    assert "--path" in caught.value.remedy
    with pytest.raises(UsageError, match="did you mean befund"):
        index(path, path="bild", label="befnd")
    assert len(index(path, path="bild", label="befund")) == 2


def test_blank_label_is_refused_until_it_is_said_what_it_means(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na.png,x\nb.png,\nc.png,y\n")
    with pytest.raises(LabelError, match=r"blank in 1 rows, the first is row 3") as caught:
        index(path)
    assert "--blank" in caught.value.remedy
    manifest = index(path, blank="unknown")
    assert labels_of(manifest) == {"a.png": "x", "b.png": "", "c.png": "y"}
    with pytest.raises(UsageError, match="one class a case"):
        index(path, blank="negative")


def test_minus_one_is_no_class_until_it_is_said_what_it_means(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na.png,1\nb.png,-1\nc.png,0\n")
    with pytest.raises(LabelError, match="-1 in 1 rows"):
        index(path)
    assert labels_of(index(path, uncertain="unknown"))["b.png"] == ""
    assert index(path, classes=("-1", "0", "1")).space.k == 3


CHEXPERT = "Path,Edema,Effusion,Age\na.png,1.0,0.0,70\nb.png,-1.0,,\nc.png,0.0,1.0,50\n"


@pytest.mark.parametrize(
    ("uncertain", "value"), [("unknown", np.nan), ("positive", 1), ("negative", 0)]
)
@pytest.mark.parametrize(("blank", "empty"), [("unknown", np.nan), ("negative", 0)])
def test_several_label_columns_are_multilabel_with_meanings_that_are_said(
    tmp_path: Path, uncertain: str, value: float, blank: str, empty: float
) -> None:
    path, label = table(tmp_path, CHEXPERT), ("Edema", "Effusion")
    with pytest.raises(LabelError, match="-1") as caught:
        index(path, label=label, blank=blank)
    assert "--uncertain" in caught.value.remedy
    with pytest.raises(LabelError, match="blank"):
        index(path, label=label, uncertain=uncertain)
    manifest = index(path, label=label, uncertain=uncertain, blank=blank)
    assert manifest.space == LabelSpace(label, "multilabel")
    np.testing.assert_array_equal(manifest.targets, [[1, 0], [value, empty], [0, 1]])


def test_label_columns_are_found_by_their_prefix(tmp_path: Path) -> None:
    manifest = index(make_table(tmp_path, kind="multilabel", classes=("a", "b", "c"), patients=4))
    assert manifest.space == LabelSpace(("a", "b", "c"), "multilabel")
    assert len(set(manifest.frame["patient_id"])) == 4
    assert "images/000.png" in set(manifest.case_id)


def test_joined_labels_are_split_at_the_separator(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na.png,Mass|Edema\nb.png,No Finding\nc.png,Edema | \n")
    manifest = index(path, separator="|")
    assert manifest.space == LabelSpace(("Edema", "Mass", "No Finding"), "multilabel")
    assert manifest.targets.tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    path = table(tmp_path, "path,label\na.png,Mass\nb.png,\n")
    with pytest.raises(LabelError, match="blank"):
        index(path, separator="|")
    assert index(path, separator="|", blank="negative").targets.tolist() == [[1], [0]]


def test_other_flags_are_refused_by_row(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label_x,label_y\na.png,1,0\nb.png,2,0\n")
    with pytest.raises(LabelError, match=r"label_x: row 3 holds '2'"):
        index(path)


def test_one_hot_columns_are_multiclass_where_it_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "image,MEL,NV\na.png,1.0,0.0\nb.png,0.0,1.0\n")
    manifest = index(path, label=["MEL", "NV"], kind="multiclass", positive="MEL")
    assert labels_of(manifest) == {"a.png": "MEL", "b.png": "NV"}


def test_ordinal_needs_an_order_unless_it_is_of_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\na.png,mild\nb.png,severe\nc.png,none\n")
    with pytest.raises(LabelError, match="order"):
        index(path, kind="ordinal")
    grades = ("none", "mild", "severe")
    assert index(path, kind="ordinal", classes=grades).space.classes == grades
    path = table(tmp_path, "path,label\na.png,10\nb.png,9\nc.png,9\n")
    assert index(path, kind="ordinal").space.classes == ("9", "10")


def test_rows_of_one_file_are_folded_where_they_agree(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,box\na.png,1,3\nb.png,0,\na.png,1,4\n./a.png,1,4\n")
    manifest = index(path)
    assert labels_of(manifest) == {"a.png": "1", "b.png": "0"}
    assert manifest.metadata["box"].tolist() == ["", ""]


@pytest.mark.parametrize("column", ("label", "patient_id", "split"))
def test_rows_of_one_file_that_differ_are_refused_by_name(tmp_path: Path, column: str) -> None:
    row = {"path": "a.png", "label": "x", "patient_id": "1", "split": "train"}
    other = row | {column: {"label": "y", "patient_id": "2", "split": "test"}[column]}
    last = {"path": "b.png", "label": "y", "patient_id": "3", "split": "val"}
    text = "\n".join(",".join(r) for r in (row, row.values(), other.values(), last.values()))
    with pytest.raises(LabelError, match=r"'a\.png' differ"):
        index(table(tmp_path, text + "\n"))


def test_listed_file_that_is_missing_stays_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path, "path,label\na.png,x\ngone.png,y\n")
    with caplog.at_level(logging.WARNING, "medimg.index"):
        manifest = index(path)
    assert "1 listed files are not there: gone.png" in caplog.text
    with pytest.raises(PixelError) as caught:
        read_case(manifest.root, "gone.png", "")
    assert caught.value.code == "not_found"


def test_table_of_which_no_file_is_there_says_where_it_looked(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\nx/1,x\nx/2,y\n")
    with pytest.raises(SourceNotFound, match=f"none is in {tmp_path}"):
        index(path)


def test_table_beside_a_folder_and_beside_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "scans").mkdir()
    table(tmp_path / "scans", "")
    (tmp_path / "scans" / "t.csv").unlink()
    path = table(tmp_path, "path,label\na.png,x\nb.png,y\n", files="")
    with caplog.at_level(logging.WARNING, "medimg.index"):
        manifest = index(tmp_path / "scans", labels=path)
    assert manifest.root == tmp_path / "scans"
    assert list(manifest.case_id) == ["a.png", "b.png"]
    assert "1 images have no row" in caplog.text
    assert "c.png" in caplog.text
    files = [tmp_path / "scans" / "a.png", tmp_path / "scans" / "b.png"]
    assert labels_of(index(files, labels=path)) == {"a.png": "x", "b.png": "y"}
    with pytest.raises(LabelError, match=r"no row for 1 of the files: c\.png"):
        index([*files, tmp_path / "scans" / "c.png"], labels=path)


def test_absolute_and_windows_paths_and_those_above_the_table_are_taken(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "images", per_class=2)
    (tmp_path / "tables").mkdir()
    text = f"path,label\n../images/benign/0.png,x\n{tmp_path}/images/malignant/1.png,y\n"
    manifest = index(table(tmp_path / "tables", text))
    assert manifest.root == tmp_path / "images"
    assert list(manifest.case_id) == ["benign/0.png", "malignant/1.png"]
    text = "path,label\nbenign\\0.png,x\nmalignant\\1.png,y\n"
    assert list(index(table(tmp_path / "images", text)).case_id) == list(manifest.case_id)


def test_frames_of_a_table_are_cases_of_their_own(tmp_path: Path) -> None:
    make_nifti(tmp_path / "a.nii", np.zeros((4, 3, 2, 2), np.int16))
    (tmp_path / "t.csv").write_text("path,frame,label\na.nii,0,x\na.nii,1,y\n")
    manifest = index(tmp_path / "t.csv")
    assert list(manifest.case_id) == ["a.nii@0", "a.nii@1"]
    for source, frame in zip(manifest.frame["source"], manifest.frame["frame"], strict=True):
        assert read_case(manifest.root, source, frame).array.shape == (1, 2, 3, 4)


def test_manifest_of_ones_own_comes_back_as_it_is(tmp_path: Path) -> None:
    manifest = index(make_image_folder(tmp_path / "x"))
    manifest.save(tmp_path / "m.csv")
    assert index(tmp_path / "m.csv").fingerprint == manifest.fingerprint


@pytest.mark.parametrize(
    "text",
    (
        "",
        "path,label\n",
        "path,label\n,x\nb.png,y\n",
        "path,label\na.png,x\n",
        "path,label,split\na.png,x,trian\nb.png,y,test\n",
        "path,label,case_id\na.png,x,1\nb.png,y,2\n",
        "path,label\n../../../../a.png,x\nb.png,y,z\n",
    ),
)
def test_unfit_tables_are_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(MedimgError):
        index(table(tmp_path, text))


def test_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    path = make_table(tmp_path, n=9, classes=("a", "b", "c"), patients=3)
    first = index(path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert index(path).fingerprint == first.fingerprint


# ---------------------------------------------------------------------------- without labels


def test_every_file_is_a_case_a_refusal_or_passed_over(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "x", per_class=2)
    make_npz(tmp_path / "x" / "a.npz", n={"train": 3, "test": 2})
    make_idx(tmp_path / "x" / "idx", n={"t10k": 4})
    (tmp_path / "x" / "notes.txt").write_text("hello")
    (tmp_path / "x" / ".DS_Store").write_bytes(b"x")
    os.mkfifo(tmp_path / "x" / "pipe")
    found = index_unlabelled([tmp_path / "x"], SPACE)
    manifest = found.manifest
    assert manifest is not None
    assert len(manifest) == 4 + 5 + 4
    assert {"benign/0.png", "a.npz#test@1", "idx/t10k-images-idx3-ubyte.gz@3"} < set(
        manifest.case_id
    )
    codes = {(r.case_id, r.code, r.stage) for r in found.refusals}
    assert codes == {
        ("notes.txt", "unknown_format", "index"),
        ("pipe", "not_regular", "index"),
    }
    assert sorted(found.passed) == [
        (".DS_Store", "hidden"),
        ("idx/t10k-labels-idx1-ubyte.gz", "labels"),
    ]
    assert np.isnan(manifest.targets).all()
    assert manifest.space == SPACE
    for source, frame in zip(manifest.frame["source"], manifest.frame["frame"], strict=True):
        read_case(manifest.root, source, frame)


def test_files_from_several_places_have_a_common_root_and_are_taken_once(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "one", per_class=1)
    make_image_folder(tmp_path / "two", per_class=1)
    paths = [tmp_path / "one", tmp_path / "two" / "benign" / "0.png", tmp_path / "one" / "benign"]
    found = index_unlabelled([*paths, tmp_path / "gone.png"], SPACE)
    assert found.manifest is not None
    assert found.manifest.root == tmp_path
    wanted = ["one/benign/0.png", "one/malignant/0.png", "two/benign/0.png"]
    assert list(found.manifest.case_id) == wanted
    assert [(r.case_id, r.code) for r in found.refusals] == [("gone.png", "not_found")]


def test_links_that_lead_out_of_the_folder_given_are_refused_once(tmp_path: Path) -> None:
    far, near = (make_image_folder(tmp_path / name, per_class=1) for name in ("far", "near"))
    (near / "folder").symlink_to(far)
    (near / "file.png").symlink_to(far / "benign" / "0.png")
    (near / "benign" / "loop").symlink_to(near / "benign")
    (near / "benign" / "same.png").symlink_to(near / "benign" / "0.png")
    for paths in ([near], [near, near / "benign"]):
        found = index_unlabelled(paths, SPACE)
        assert found.manifest is not None
        wanted = ["benign/0.png", "benign/same.png", "malignant/0.png"]
        assert list(found.manifest.case_id) == wanted
        codes = [(r.case_id, r.code, r.stage) for r in found.refusals]
        assert sorted(codes) == [(n, "not_permitted", "index") for n in ("file.png", "folder")]
        assert not found.passed
    found = index_unlabelled([near, near / "folder" / "benign"], SPACE)
    assert found.manifest is not None
    assert "folder/benign/0.png" in set(found.manifest.case_id)


def test_among_scans_a_link_that_leads_out_goes_by_a_pseudonym(tmp_path: Path) -> None:
    make_dicom(tmp_path / "near" / "1.dcm", np.zeros((4, 4), np.uint16))
    make_dicom(tmp_path / "far" / "2.dcm", np.zeros((4, 4), np.uint16))
    (tmp_path / "near" / "MUELLER").symlink_to(tmp_path / "far")
    found = index_unlabelled([tmp_path / "near"], SPACE)
    assert found.manifest is not None
    assert list(found.manifest.frame["source"]) == ["1.dcm"]
    assert [r.code for r in found.refusals] == ["not_permitted"]
    assert "MUELLER" not in repr(found.refusals)
    assert found.identities["source"] == ["MUELLER"]
    assert found.identities["case_id"] == [found.refusals[0].case_id]
    assert {len(cells) for cells in found.identities.values()} == {1}


def test_hidden_files_are_cases_where_they_are_dicom_alone(tmp_path: Path) -> None:
    make_image_folder(tmp_path, per_class=1)
    make_image_folder(tmp_path / ".hidden", per_class=1)
    make_dicom(tmp_path / ".hidden" / "1.dcm", np.zeros((4, 4), np.uint16))
    make_dicom(tmp_path / ".2", np.zeros((4, 4), np.uint16), instance=2)
    (tmp_path / "._2.dcm").write_bytes(b"\0\5\x16\7 a resource fork")
    found = index_unlabelled([tmp_path], SPACE)
    assert found.manifest is not None
    wanted = [".2", ".hidden/1.dcm", "benign/0.png", "malignant/0.png"]
    assert sorted(found.manifest.frame["source"]) == wanted
    names = ("._2.dcm", ".hidden/benign/0.png", ".hidden/malignant/0.png")
    assert sorted(found.passed) == [(name, "hidden") for name in names]
    assert not found.refusals


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        index_unlabelled([tmp_path / "gone"], SPACE)
    (tmp_path / "a.txt").write_text("x")
    found = index_unlabelled([tmp_path], SPACE)
    assert found.manifest is None
    assert [r.case_id for r in found.refusals] == ["a.txt"]
    with pytest.raises(NothingReadable, match=r"a\.txt"):
        index(tmp_path, space=SPACE)


def test_space_makes_index_forget_labels(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=1)
    manifest = index(folder, space=SPACE)
    assert np.isnan(manifest.targets).all()
    with pytest.raises(UsageError, match="space"):
        index(folder, space=SPACE, kind="ordinal")


def test_name_that_is_no_utf8_is_refused_in_words(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2)
    bad = os.fsencode(folder / "benign") + b"/\xff.png"
    with open(bad, "wb") as handle:  # noqa: PTH123 - a name of bytes
        handle.write((folder / "benign" / "0.png").read_bytes())
    with pytest.raises(DataError, match="UTF-8"):
        index(folder)
    found = index_unlabelled([folder], SPACE)
    assert found.manifest is not None
    assert len(found.manifest) == 4
    assert [r.code for r in found.refusals] == ["unsupported"]
    found.refusals[0].case_id.encode("utf-8")


def test_single_file_without_labels_says_what_to_do(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x")
    with pytest.raises(DataError, match="brings no labels"):
        index(folder / "benign" / "0.png")
    (tmp_path / "a.bin").write_bytes(b"\x01\x02")
    with pytest.raises(DataError, match="nothing to be indexed"):
        index(tmp_path / "a.bin")


def test_folders_of_splits_have_the_usual_names_and_stand_alone(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "a", splits=("Training", "Testing"))
    (tmp_path / "a" / "__MACOSX").mkdir()
    manifest = index(tmp_path / "a")
    assert manifest.space.classes == ("benign", "malignant")
    assert set(manifest.split) == {"train", "test"}
    make_image_folder(tmp_path / "a", classes=("more", "most"))
    with pytest.raises(LabelError, match="would be splits"):
        index(tmp_path / "a")


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    make_image_folder(tmp_path / "far", classes=("third", "x"), per_class=5)
    make_image_folder(tmp_path / "a", per_class=5)
    (tmp_path / "a" / "third").symlink_to(tmp_path / "far" / "third")
    (tmp_path / "a" / "benign" / "loop").symlink_to(tmp_path / "a")
    manifest = index(tmp_path / "a")
    assert manifest.space.classes == ("benign", "malignant", "third")
    assert len(manifest) == 15


def test_a_class_called_nan_is_a_blank(tmp_path: Path) -> None:
    table = make_table(tmp_path, n=6)
    table.write_text(table.read_text().replace("benign", "nan", 1))
    with pytest.raises(LabelError, match="--blank"):
        index(table)
    assert index(table, blank="unknown").space.classes == ("benign", "malignant")
