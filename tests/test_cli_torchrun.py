"""`torchrun -m medimg train`: several processes, one run folder, the numbers of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import medimg as mi
from medimg.predictions import Predictions
from medimg.testing import make_npz, make_table

#: So many epochs take long enough to be interrupted.
LONG = {"epochs": 300, "checkpoint_steps": 7}


def write_config(folder: Path, **fit: Any) -> Path:
    """Write a config of a small network with all that is random in a training."""
    make_npz(folder / "x.npz", n={"train": 120, "val": 40, "test": 60})
    options = {"batch_size": 16, "precision": "float32", "monitor": "val_loss"}
    values = {
        "data": {"source": str(folder / "x.npz"), "cache": str(folder / "cache")},
        "model": {"name": "cnn", "widths": [4, 8], "dropout": 0.2},
        "fit": {**options, "augment": {"flip_horizontal": True, "rotate": 10}, **fit},
        "evaluate": {"resamples": 100},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def torchrun(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start `torchrun --nproc-per-node 2 -m medimg ARGUMENTS`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*command, "--nproc-per-node", "2", "-m", "medimg", *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(job: subprocess.Popen[str]) -> tuple[str, str]:
    out, said = job.communicate(timeout=280)
    assert job.returncode == 0, said
    return out, said


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_processes_leave_the_run_folder_of_one(tmp_path: Path) -> None:
    config = write_config(tmp_path, epochs=2, augment={}, lr=1e-3)
    values = yaml.safe_load(config.read_text()) | {"model": {"name": "mlp", "hidden": [8]}}
    config.write_text(yaml.safe_dump(values))
    out, _ = finish(torchrun("train", config, "-o", tmp_path / "two"))
    done = mi.run(config, tmp_path / "one")
    assert out.count("AUROC, macro") == 1  # the first process alone speaks
    one, two = (
        {p.relative_to(tmp_path / run).parts for p in (tmp_path / run).rglob("*")}
        for run in ("one", "two")
    )
    slots = {("checkpoint", f"state-{number}.pt") for number in (1, 2)}  # by the clock
    assert one - slots == two - slots
    log = log_of(tmp_path / "two")
    assert [row["event"] for row in log] == ["start", "epoch", "epoch", "end", "scored"]
    assert log[0]["processes"] == 2
    for mine, row in zip(
        done.history, [row for row in log if row["event"] == "epoch"], strict=True
    ):
        for name in ("val_accuracy", "val_auroc"):
            assert mine[name] == row[name]
    tables = [Predictions.load(tmp_path / run / "predictions/test.csv") for run in ("one", "two")]
    assert np.abs(tables[0].scores - tables[1].scores).max() < 1e-5


@pytest.mark.slow
def test_a_training_that_is_ended_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    config = write_config(tmp_path, **LONG)
    finish(torchrun("train", config, "-o", tmp_path / "whole"))
    job = torchrun("train", config, "-o", tmp_path / "run")
    log = tmp_path / "run" / "log.jsonl"
    while not (log.is_file() and len(log_of(tmp_path / "run")) > 3):
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=120)
    assert job.returncode != 0
    assert "--resume" in said
    assert log_of(tmp_path / "run")[-1]["event"] == "epoch"
    finish(torchrun("train", config, "-o", tmp_path / "run", "--resume"))
    for file in ("predictions/test.csv", "bundle/weights.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "run" / file).read_bytes()


@pytest.mark.slow
def test_folds_are_trained_in_step(tmp_path: Path) -> None:
    config = write_config(tmp_path, epochs=2)
    values = yaml.safe_load(config.read_text())
    values["data"]["source"] = str(make_table(tmp_path / "table", n=160))
    config.write_text(yaml.safe_dump(values))
    finish(torchrun("train", config, "-o", tmp_path / "run", "--folds", "3"))
    table = Predictions.load(tmp_path / "run/predictions/out_of_fold.csv")
    assert len(set(table.case_id)) == len(table) == 160


@pytest.mark.slow
def test_what_the_first_process_refuses_ends_all(tmp_path: Path) -> None:
    config = write_config(tmp_path, epochs=2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("not to be touched")
    start = time.monotonic()
    _, said = (job := torchrun("train", config, "-o", tmp_path / "run")).communicate(timeout=280)
    assert job.returncode != 0
    assert "holds files that medimg did not write" in said
    assert 'Traceback (most recent call last):\n  File "' + str(mi.__file__) not in said
    assert time.monotonic() - start < 120


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_training_in_words(tmp_path: Path) -> None:
    config = write_config(tmp_path, **LONG)
    job = torchrun("train", config, "-o", tmp_path / "run")
    log = tmp_path / "run" / "log.jsonl"
    while not (log.is_file() and len(log_of(tmp_path / "run")) > 3):
        time.sleep(0.05)
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = job.communicate(timeout=120)
    assert job.returncode != 0
    assert "another process of this training has ended" in said
    finish(torchrun("train", config, "-o", tmp_path / "run", "--resume"))


@pytest.mark.slow
def test_other_verbs_are_done_once() -> None:
    out, _ = finish(torchrun("show", "config"))
    assert out.count("batch_size") == 1
