"""The installed command: exit statuses, messages, and each verb by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medimg.testing import make_idx, make_image_folder, make_npz, make_table

FAST = ["--set", "fit.epochs=2", "--set", "evaluate.resamples=100"]
NOW = ["--settle", "0"]


def medimg(*args: object, cwd: Path, status: int = 0) -> str:
    """Run the command and return what it printed, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "medimg", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == status, output
    assert "Traceback" not in output
    return output


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a config made by `new`, and a finished run."""
    folder = tmp_path_factory.mktemp("a working folder")
    make_image_folder(folder / "pictures", per_class=70, size=(12, 12))
    medimg("new", "pictures", "-o", "my.yaml", cwd=folder)
    medimg("train", "my.yaml", "-o", "run", *FAST, cwd=folder)
    return folder


def test_a_run_can_be_shown_predicted_calibrated_and_evaluated(work: Path) -> None:
    assert "accuracy" in medimg("show", "run", cwd=work)
    assert "benign" in medimg("show", "run/bundle", cwd=work)
    assert "140 cases" in medimg("show", "run/manifest.csv", cwd=work)
    assert "title" in medimg("show", "my.yaml", cwd=work)
    out = medimg("predict", "run/bundle", "pictures", "-o", "predicted", *NOW, cwd=work)
    assert "140 predicted now, 140 in all: " in out
    medimg("calibrate", "run/bundle", "run/predictions/calib.csv", "-o", "again", cwd=work)
    out = medimg(
        "evaluate", "run/predictions/test.csv", "-o", "report", "--resamples", 100, cwd=work
    )
    assert "sensitivity" in out.casefold()
    first = json.loads((work / "run/report/metrics.json").read_text())
    second = json.loads((work / "report/metrics.json").read_text())
    assert first["metrics"] == second["metrics"]


def test_a_written_config_says_what_was_seen(work: Path) -> None:
    text = (work / "my.yaml").read_text()
    assert "140 cases, multiclass: benign 70, malignant 70" in text
    assert "size: [12, 12]" in text
    assert "target condition" in text
    assert "there already" in medimg("new", "pictures", "-o", "my.yaml", cwd=work, status=2)


def test_a_finished_folder_is_refused_with_status_two(work: Path) -> None:
    assert "--overwrite" in medimg("train", "my.yaml", "-o", "run", cwd=work, status=2)
    assert "did not write" in medimg(
        "train", "my.yaml", "-o", "pictures", "--overwrite", cwd=work, status=2
    )


def test_a_corrupt_image_gives_status_three_and_a_row(work: Path, tmp_path: Path) -> None:
    make_image_folder(tmp_path / "new", per_class=4, size=(12, 12))
    (tmp_path / "new/benign/2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = medimg("predict", work / "run/bundle", "new", "-o", "out", *NOW, cwd=tmp_path, status=3)
    assert "1 refused" in out
    rows = (tmp_path / "out/errors.csv").read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].startswith("benign/2.png")
    assert len((tmp_path / "out/predictions.csv").read_text().splitlines()) == 8


def test_the_last_lines_of_a_prediction_account_for_every_file(work: Path, tmp_path: Path) -> None:
    make_image_folder(tmp_path / "new", per_class=4, size=(12, 12), seed=7)
    (tmp_path / "new/.notes").write_text("hello")
    command = ["predict", work / "run/bundle", "new", "-o", "out", *NOW]
    out = medimg(*command, cwd=tmp_path)
    assert out.splitlines()[-3:] == [
        "8 predicted now, 8 in all: out/predictions.csv",
        "1 passed over: 1 hidden",
        "with the id of a case of the training set, but another picture: 8 of 8 cases "
        "(case id in train 7, case id in calib 1)",
    ]
    for name in ("benign/0.png", "benign/1.png"):
        (tmp_path / "new" / name).unlink()
    (tmp_path / "new/benign/2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "new/notes.txt").write_text("hello")
    assert medimg(*command, cwd=tmp_path, status=3).splitlines()[-5:-1] == [
        "0 predicted now, 7 in all: out/predictions.csv",
        "2 of them kept, of files that are no longer there",
        "2 refused: 1 corrupt, 1 unknown_format; out/errors.csv says why",
        "1 passed over: 1 hidden",
    ]
    wrong = [*command[:-1], "nan"]
    assert "settle" in medimg(*wrong, cwd=tmp_path, status=2)
    assert "--unit" in medimg(*command, "--unit", "frame", cwd=tmp_path, status=2)
    assert "--where" in medimg(*command, "--where", "KVP>1", cwd=tmp_path, status=2)


def test_nothing_to_predict_gives_status_one(work: Path, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    medimg("predict", work / "run/bundle", "x", "-o", "out", cwd=tmp_path, status=1)
    medimg("predict", work / "run/bundle", "nowhere", "-o", "out2", cwd=tmp_path, status=1)
    medimg("predict", "nowhere", "x", "-o", "out3", cwd=tmp_path, status=1)


@pytest.mark.parametrize(
    "args, message",
    [
        (["train", "none.yaml", "-o", "r"], "none.yaml"),
        (["train", "my.yaml"], "--out"),
        (["frain"], "frain"),
        (["train", "my.yaml", "-o", "r", "--set", "fit.epohcs=3"], "did you mean fit.epochs"),
        (["evaluate", "run/predictions/test.csv", "-o", "r", "--kind", "scores"], "scores"),
        (["evaluate", "run/predictions/test.csv", "-o", "r", "--resamples", "3"], "resamples"),
        (["index", "pictures", "-o", "m.csv", "--kind", "x"], "kind"),
        (["fetch", "braestmnist"], "did you mean"),
    ],
)
def test_wrong_usage_gives_status_two(work: Path, args: list[str], message: str) -> None:
    assert message in medimg(*args, cwd=work, status=2)


def test_absent_data_say_where_they_were_looked_for(work: Path) -> None:
    (work / "c.yaml").write_text("data: {source: medmnist/chestmnist.npz}\n")
    out = medimg("train", "c.yaml", "-o", "r9", cwd=work, status=1)
    assert "medimg fetch chestmnist" in out
    assert str(work) in out


def test_index_split_and_audit_make_a_manifest_to_train_on(tmp_path: Path) -> None:
    make_table(tmp_path, n=80, patients=40)
    assert "80 cases" in medimg("index", "labels.csv", "-o", "m.csv", cwd=tmp_path)
    assert "calib" in medimg("split", "m.csv", "-o", "s.csv", cwd=tmp_path)
    assert "several splits" in medimg("audit", "s.csv", cwd=tmp_path)
    (tmp_path / "c.yaml").write_text(
        "data: {source: s.csv}\npreprocess: {size: [8, 8]}\nmodel: {name: mlp}\n"
    )
    medimg("train", "c.yaml", "-o", "run", *FAST, cwd=tmp_path)


def test_new_takes_a_table_with_unknowns_once_they_are_explained(tmp_path: Path) -> None:
    table = make_table(tmp_path, n=60, kind="multilabel", classes=("effusion", "nodule"))
    lines = table.read_text().splitlines()
    lines[1] = lines[1].rsplit(",", 1)[0] + ",-1"
    lines[2] = lines[2].rsplit(",", 1)[0] + ","
    table.write_text("\n".join(lines) + "\n")
    args = ["new", "labels.csv", "--label", "label_effusion", "--label", "label_nodule"]
    assert "--uncertain" in medimg(*args, "-o", "a.yaml", cwd=tmp_path, status=1).replace(
        "uncertain=", "--uncertain"
    )
    known = [*args, "--uncertain", "unknown", "--blank", "unknown"]
    medimg(*known, "-o", "my.yaml", cwd=tmp_path)
    medimg("train", "my.yaml", "-o", "run", *FAST, cwd=tmp_path)
    metrics = json.loads((tmp_path / "run/report/metrics.json").read_text())
    assert metrics["space"]["kind"] == "multilabel"


@pytest.mark.parametrize("make", [make_idx, make_npz], ids=["idx", "npz"])
def test_other_sources_train_by_the_same_command(tmp_path: Path, make: object) -> None:
    name = "x.npz" if make is make_npz else "x"
    make(
        tmp_path / name,
        n={"train": 60, "test": 20} if make is make_npz else {"train": 60, "t10k": 20},
    )  # type: ignore[operator]
    (tmp_path / "c.yaml").write_text(f"data: {{source: {name}}}\nmodel: {{name: mlp}}\n")
    medimg("train", "c.yaml", "-o", "run", *FAST, cwd=tmp_path)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_ends_with_its_status_and_goes_on(
    tmp_path: Path, number: int, status: int
) -> None:
    make_npz(tmp_path / "x.npz", n={"train": 60, "test": 20})
    (tmp_path / "c.yaml").write_text(
        "data: {source: x.npz}\nmodel: {name: mlp}\nfit: {epochs: 100000}\n"
    )
    command = [sys.executable, "-m", "medimg", "train", "c.yaml", "-o", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/checkpoint/state-1.pt").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "--resume" in errors
    assert not (tmp_path / "run/run.json").exists()
    assert "--resume" in medimg("train", "c.yaml", "-o", "run", cwd=tmp_path, status=2)


def test_the_help_is_there_at_once_and_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from medimg.cli.main import app; "
        "app(['--help'], standalone_mode=False); "
        "sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0


def test_no_space_left_is_an_error_and_leaves_no_torso(work: Path) -> None:
    if not Path("/dev/full").exists() or os.geteuid() != 0:
        pytest.skip("needs root and a small file system")
    place = work / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        out = medimg("train", "my.yaml", "-o", "small/run", *FAST, cwd=work, status=2)
        assert "free space" in out
        assert not (place / "run/run.json").exists()
        assert not (place / "run/bundle/bundle.json").exists()
    finally:
        subprocess.run(["umount", str(place)], check=False)
