"""The Slurm script, with a cluster of shell scripts: what it starts, and what it does at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "train.slurm"


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """An environment in which srun notes its arguments and waits to be ended."""
    tools = tmp_path / "bin"
    tools.mkdir()
    commands = {
        "srun": f'echo "$@" > {tmp_path}/started\n'
        f'trap "echo saved > {tmp_path}/saved; exit 143" TERM\n'
        f"for _ in $(seq 200); do [[ -f {tmp_path}/run/run.json ]] && exit 0; sleep .05; done",
        "scontrol": "[[ $1 = show ]] && printf '%s\\n' first second ||"
        f' echo "$@" > {tmp_path}/requeued',
    }
    for name, text in commands.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tools / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "47",
        "SLURM_JOB_NODELIST": "first,second",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
        "MEDIMG_PYTHON": "python",
    }


def begin(tmp_path: Path, cluster: dict[str, str]) -> subprocess.Popen[str]:
    job = subprocess.Popen([SCRIPT, "c.yaml", "run", "--folds", "5"], cwd=tmp_path, env=cluster)
    while not (tmp_path / "started").is_file():
        time.sleep(0.02)
    time.sleep(0.2)
    return job


def test_a_job_at_its_time_limit_saves_and_is_queued_again(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    job = begin(tmp_path, cluster)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30) == 0
    assert (tmp_path / "saved").is_file()
    assert (tmp_path / "requeued").read_text().split() == ["requeue", "47"]
    started = (tmp_path / "started").read_text()
    assert "--rdzv-endpoint first:20047 " in started
    assert "--nnodes 2 --nproc-per-node 4" in started
    assert started.strip().endswith("-m medimg train c.yaml -o run --resume --folds 5")


def test_a_job_that_is_done_is_not_queued_again(tmp_path: Path, cluster: dict[str, str]) -> None:
    job = begin(tmp_path, cluster)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    assert job.wait(timeout=30) == 0
    assert not (tmp_path / "requeued").exists()
