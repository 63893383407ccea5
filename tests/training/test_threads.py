"""How many threads are picked: what the machine has, and what others leave of it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from medimg.errors import UsageError
from medimg.training import threads as module
from medimg.training.threads import (
    allowed_processors,
    busy_cores,
    physical_cores,
    pick_threads,
    threads,
)


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@contextmanager
def spinning() -> Iterator[None]:
    """A neighbour that keeps one core busy."""
    code = "import sys\nsys.stdout.write('on'); sys.stdout.flush()\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.read(2) == b"on"
        yield
    finally:
        child.kill()
        child.communicate()


def machine(monkeypatch: pytest.MonkeyPatch, cores: int, busy: float, limit: float) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "allowed_processors", lambda: set(range(cores)))
    monkeypatch.setattr(module, "physical_cores", lambda found: {n: (str(n),) for n in found})
    monkeypatch.setattr(module, "quota", lambda: limit)
    monkeypatch.setattr(module, "busy_cores", lambda *_: busy)


@pytest.mark.parametrize(
    ("cores", "busy", "limit", "expected"),
    [
        (2, 0.0, math.inf, 2),
        (2, 0.1, math.inf, 2),
        (2, 1.0, math.inf, 1),
        (2, 2.0, math.inf, 1),
        (16, 3.2, math.inf, 13),
        (64, 30.0, 2.0, 2),
        (8, 0.0, 1.5, 1),
        (8, 0.0, 0.5, 1),
        (1, 0.0, math.inf, 1),
    ],
)
def test_auto_is_what_is_allowed_and_free(
    cores: int, busy: float, limit: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cores, busy, limit)
    assert pick_threads("auto") == expected


def test_a_number_and_then_the_environment_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 8, 0.0, math.inf)
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert pick_threads(5) == 5
    assert pick_threads("auto") == 3


def test_an_environment_that_is_no_number_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    with pytest.raises(UsageError, match="OMP_NUM_THREADS is 'many'"):
        pick_threads("auto")


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="no /proc/stat")
def test_a_spinning_neighbour_is_seen_and_our_own_work_is_not() -> None:
    cores = physical_cores(allowed_processors())
    with spinning():
        time.sleep(0.1)
        assert busy_cores(cores, 0.3) > 0.5


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="no /proc/stat")
def test_one_neighbour_on_two_cores_leaves_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    processors = sorted(allowed_processors())
    if len(set(physical_cores(processors[:2]).values())) < 2:
        pytest.skip("fewer than two cores")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "allowed_processors", lambda: set(processors[:2]))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors[:2])  # for the neighbour to inherit
    try:
        with spinning():
            time.sleep(0.1)
            assert pick_threads("auto") == 1
    finally:
        os.sched_setaffinity(0, before)


def test_busy_cores_counts_threads_of_one_core_once_and_leaves_strangers_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = os.sysconf("SC_CLK_TCK")
    row = "cpu{} {} 0 0 0 0 0 0 0 0 0\n"
    tree(tmp_path, proc__stat="cpu 0 0 0 0\n" + "".join(row.format(n, 0) for n in range(4)))

    def sleep(seconds: float) -> None:
        done = "".join(row.format(n, tick) for n in range(4))
        tree(tmp_path, proc__stat="cpu 0 0 0 0\n" + done)

    clock = iter([0.0, 1.0])
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    cores: dict[int, tuple[str, ...]] = {0: ("0", "0"), 1: ("0", "0"), 2: ("0", "1")}
    assert busy_cores(cores, 1.0, tmp_path) == pytest.approx(2.0)


def test_without_a_kernel_that_tells_all_are_free(tmp_path: Path) -> None:
    assert busy_cores({0: ("0",)}, 0.2, tmp_path) == 0.0
    assert len(set(physical_cores(range(3), tmp_path).values())) == 3


def test_threads_of_one_core_are_one(tmp_path: Path) -> None:
    for number, core in enumerate([0, 0, 1, 1]):
        folder = f"sys__devices__system__cpu__cpu{number}__topology__"
        tree(tmp_path, **{folder + "physical_package_id": "0\n", folder + "core_id": f"{core}\n"})
    assert len(set(physical_cores(range(4), tmp_path).values())) == 2


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="inside"), threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ValueError("inside")
    assert torch.get_num_threads() == before
