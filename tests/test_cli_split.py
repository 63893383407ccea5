"""`medimg split` and `medimg train --folds` as they are typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.cli.main import app
from medimg.data.manifest import Manifest
from medimg.data.splits import split
from medimg.errors import FolderExists, UsageError
from medimg.testing import make_manifest, make_table

FAST = ["--set", "fit.epochs=2", "--set", "evaluate.resamples=100"]


def medimg(*args: object) -> None:
    """Run the command within this process, in the folder at hand; errors are raised."""
    app([str(arg) for arg in args], standalone_mode=False)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder at hand: a folder whose name has a blank, with a manifest of 60 cases of 20 patients at 2 sites."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    manifest = make_manifest(60, patients=20, root=folder)
    site = np.array(["A" if row % 20 < 15 else "B" for row in range(60)], object)
    manifest.with_column("site", site).save(folder / "my cases.csv")
    monkeypatch.chdir(folder)
    return folder


def test_cases_and_patients_of_each_class_are_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medimg("split", "my cases.csv", "-o", "s.csv")
    said = capsys.readouterr().out
    after = Manifest.load("s.csv")
    assert after.split.tolist() == split(Manifest.load("my cases.csv")).split.tolist()
    assert said.splitlines()[1].split()[:3] == ["split", "cases", "(patients)"]
    train = after.rows("train")
    patients = after.frame["patient_id"].iloc[train].nunique()
    assert f"{len(train)} ({patients})" in said
    assert said.splitlines()[-1] == f"split {after.split_fingerprint}"


def test_the_same_options_give_the_same_split(place: Path) -> None:
    command = ("split", "my cases.csv", "--seed", 3, "--test", 0.2, "--train", 0.6, "-o")
    medimg(*command, "one.csv")
    medimg(*command, "two.csv")
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()
    assert len(Manifest.load("one.csv").rows("test")) == 12


def test_a_site_that_is_held_out_is_the_test(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medimg("split", "my cases.csv", "-o", "s.csv", "--hold-out", "site=B")
    after = Manifest.load("s.csv")
    assert set(after.frame["site"].iloc[after.rows("test")]) == {"B"}
    assert len(after.rows("test")) == 15
    assert "not 10.0%" not in capsys.readouterr().out


def test_folds_are_told_one_by_one_and_written_beside(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    medimg("split", "my cases.csv", "-o", "f.csv", "--folds", 4)
    said = capsys.readouterr().out
    manifest = Manifest.load("f.csv")
    assert manifest.folds is not None
    assert manifest.folds.shape == (60, 4)
    assert Path("f.folds.csv").is_file()
    for number in range(1, 5):
        assert f"fold {number}  test" in said
    assert said.splitlines()[-1] == f"split {manifest.split_fingerprint}"


def test_a_class_too_rare_for_the_folds_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = make_manifest(30, root=tmp_path)
    rare = np.zeros(30, np.int64)
    rare[:2] = 1
    targets = manifest.space.one_hot(rare)
    Manifest(manifest.frame, targets, manifest.space, tmp_path).save(tmp_path / "m.csv")
    medimg("split", tmp_path / "m.csv", "-o", tmp_path / "f.csv", "--folds", 4)
    said = capsys.readouterr().out
    assert "class 'malignant' is of 2" in said
    assert "no case of class 'malignant' in test" in said


@pytest.mark.parametrize(
    "options, message",
    [
        (["--folds", 1], "1 folds of 20 groups"),
        (["--folds", 21], "from 2 to 20"),
        (["--folds", 3, "--hold-out", "site=B"], "--folds with --hold-out"),
        (["--folds", 3, "--calib", 0.2], "--folds with --calib"),
        (["--train", 0.9], "sum to 1"),
        (["--by", "lesoin"], "no column 'lesoin'"),
        (["--missing", "guess"], "own, refuse"),
        (["--hold-out", "site=C"], "site"),
    ],
)
def test_wrong_usage_writes_nothing(place: Path, options: list[object], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        medimg("split", "my cases.csv", "-o", "s.csv", *options)
    assert message in str(raised.value)
    assert not Path("s.csv").exists()


def test_what_a_manifest_brings_is_set_aside_by_anew_alone(place: Path) -> None:
    medimg("split", "my cases.csv", "-o", "s.csv")
    with pytest.raises(UsageError, match="--anew"):
        medimg("split", "s.csv", "-o", "f.csv", "--folds", 3)
    medimg("split", "s.csv", "-o", "f.csv", "--folds", 3, "--anew")
    assert set(Manifest.load("f.csv").split) == {""}
    with pytest.raises(UsageError, match="brings folds"):
        medimg("split", "f.csv", "-o", "g.csv")
    medimg("split", "f.csv", "-o", "g.csv", "--anew")
    assert Manifest.load("g.csv").folds is None


def test_folds_of_a_manifest_are_trained_by_their_number_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_table("some data", n=60, patients=30, size=(8, 8))
    medimg("index", table, "-o", "m.csv")
    medimg("split", "m.csv", "-o", "f.csv", "--folds", 2)
    Path("c.yaml").write_text(
        "data: {source: f.csv}\npreprocess: {size: [8, 8]}\nmodel: {name: mlp, hidden: [4]}\n"
    )
    train = ("train", "c.yaml", "-o", "my run", *FAST)
    with pytest.raises(UsageError, match="--folds 2"):
        medimg(*train)
    with pytest.raises(UsageError, match="3 asked for"):
        medimg(*train, "--folds", 3)
    capsys.readouterr()
    medimg(*train, "--folds", 2)
    said = capsys.readouterr()
    assert "fold 2 of 2" in said.err
    assert "by fold" in said.out
    assert "out_of_fold: 60 cases of 30 patients" in said.out
    with pytest.raises(FolderExists, match="is finished"):
        medimg(*train, "--folds", 2, "--resume")
    medimg("show", "my run")
    assert "folds: 2" in capsys.readouterr().out
    medimg("predict", "my run/fold-1/bundle", table.parent / "images", "-o", "p")
