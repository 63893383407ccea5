"""A prediction that is stopped at any moment goes on where it was, by the same command."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medimg.files import lock
from medimg.inference.bundle import ModelBundle

MakeBundle, Put = Callable[..., ModelBundle], Callable[..., Path]
COUNT = 300


def command(work: Path, out: str, *more: str) -> list[str]:
    words = ("predict", work / "bundle", work / "scans", "-o", work / out, "--device", "cpu")
    return [sys.executable, "-m", "medimg", *map(str, words), *more]


def medimg(work: Path, out: str, *more: str, status: int = 3, **options: Any) -> str:
    """Run the command to its end and return what it said."""
    done = subprocess.run(
        command(work, out, *more),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def stopped(work: Path, out: str, number: int, batches: int) -> tuple[int, str]:
    """Start the command, send a signal once it has written some batches; return how it ended."""
    process = subprocess.Popen(
        command(work, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 90
    before = batches_in(work / out)
    while batches_in(work / out) < before + batches:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert not (work / out / "run.json").exists()
    return process.returncode, errors


def batches_in(out: Path) -> int:
    path = out / "journal.jsonl"
    return path.read_bytes().count(b'{"rows"') if path.exists() else 0


def tables(out: Path) -> dict[str, bytes]:
    names = ("predictions.csv", "predictions.json", "errors.csv", "journal.jsonl")
    return {name: (out / name).read_bytes() for name in names}


def about(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, make_bundle: MakeBundle, put: Put) -> Path:
    """A bundle, a folder of scans, two of them damaged, and a run over it that nobody stopped."""
    work = tmp_path_factory.mktemp("a working folder")
    make_bundle(1024).save(work / "bundle")
    put(work / "scans", [f"{i:03d}.png" for i in range(COUNT)])
    for name in ("007.png", "150.png"):
        (work / "scans" / name).write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
        os.utime(work / "scans" / name, (1, 1))
    assert f"{COUNT - 2} in all" in medimg(work, "whole")
    return work


def test_killed_twice_it_ends_with_the_very_same_bytes(work: Path) -> None:
    for batches in (1, 40):
        assert stopped(work, "killed", signal.SIGKILL, batches)[0] == -signal.SIGKILL
    held = batches_in(work / "killed")
    assert f"{COUNT - 2} in all" in medimg(work, "killed")
    said = about(work / "killed")
    assert held >= 41
    assert said["predicted_before"] >= 4 * held
    assert (said["found"], said["predicted"], said["refused"]) == (COUNT, COUNT - 2, {"corrupt": 2})
    assert tables(work / "killed") == tables(work / "whole")


def test_interrupted_it_says_how_to_go_on_and_does(work: Path) -> None:
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        returncode, errors = stopped(work, "stopped", number, 5)
        assert returncode == status, errors
        assert "same command" in errors
        assert "Traceback" not in errors
    said = medimg(work, "stopped")
    assert f"{COUNT - 2} in all" in said
    assert f"{COUNT - 2} predicted now" not in said
    assert tables(work / "stopped") == tables(work / "whole")


def test_a_full_disk_is_an_error_and_the_next_run_goes_on(work: Path) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    said = medimg(work, "full", status=2, preexec_fn=little_room)
    assert "same command" in said
    assert batches_in(work / "full") > 5
    medimg(work, "full")
    assert about(work / "full")["predicted_before"] > 20
    assert tables(work / "full") == tables(work / "whole")


def test_a_second_process_on_the_same_folder_is_refused_by_name(work: Path) -> None:
    with lock(work / "whole"):
        assert "another medimg process" in medimg(work, "whole", "--overwrite", status=2)
    assert (work / "whole" / "run.json").exists()


def test_limits_and_settling_give_their_status(work: Path, put: Put) -> None:
    said = medimg(work, "whole", "--max-refused", "0.5%", status=1)
    assert f"2 of {COUNT} cases were refused" in said
    for name in ("007.png", "150.png"):
        (work / "scans" / name).rename(work / name)
    put(work / "scans", ["zzz.png"], age=1.0)
    try:
        said = medimg(work, "whole", status=3)
        assert "1 left for the next run" in said
        assert "refused" not in said
        said = medimg(work, "whole", "--settle", "0", status=0)
        assert f"1 predicted now, {COUNT - 1} in all" in said
    finally:
        (work / "scans" / "zzz.png").unlink()
        for name in ("007.png", "150.png"):
            (work / name).rename(work / "scans" / name)
