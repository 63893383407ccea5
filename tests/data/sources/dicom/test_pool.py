"""Workers that die, hang or run out of memory cost one task, and leave nothing behind."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg.data.sources.dicom import pool as pools
from medimg.data.sources.dicom.pool import Pool, shared_pool, usable_workers
from medimg.errors import MedimgError, PixelError, UsageError

PROGRAM = (str(Path(__file__).with_name("faulty_worker.py")),)
SOON = 30.0


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(1, seconds=SOON, memory=2 << 30, program=PROGRAM) as made:
        yield made


def ask(pool: Pool, op: str, **task: Any) -> dict[str, Any]:
    return pool.submit({"op": op, **task}).result(SOON).value


def code_of(pool: Pool, op: str, seconds: float | None = None, **task: Any) -> str:
    with pytest.raises(PixelError) as caught:
        pool.submit({"op": op, **task}, seconds=seconds).result(SOON)
    return caught.value.code


def gone(pid: int, within: float = 15.0) -> bool:
    """Whether a process is no more, or will not be in a moment."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z" and Path(f"/proc/{pid}/stat").read_text().split()[3] == "1":
            return True  # a child of the first process, which has not yet looked
        time.sleep(0.02)
    return False


def children() -> set[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in text.split()}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("large", [10, 80 << 20], ids=["within the window", "beyond it"])
def test_arrays_come_back_equal(pool: Pool, large: int) -> None:
    for _ in range(2):
        arrays = pool.submit({"op": "arrays", "large": large}).result(SOON).arrays
        assert arrays["grid"].tolist() == np.arange(12).reshape(3, 4).T.tolist()
        assert arrays["grid"].dtype == np.uint16
        assert arrays["scalar"].shape == ()
        assert arrays["scalar"] == 2.5
        assert arrays["empty"].shape == (0, 4)
        assert arrays["mask"].tolist() == [True, False]
        assert arrays["big_endian"].tolist() == [1, 2]
        assert arrays["large"].size == large
        assert (arrays["large"] == 7).all()
        assert arrays["last"].tolist() == [-1]


def test_an_answer_is_the_callers_own_and_no_later_one_changes_it(pool: Pool) -> None:
    first = pool.submit({"op": "arrays", "large": 5}).result(SOON).arrays["large"]
    first[:] = 1
    second = pool.submit({"op": "arrays", "large": 5}).result(SOON).arrays["large"]
    assert first.tolist() == [1] * 5
    assert second.tolist() == [7] * 5


def test_answers_in_flight_do_not_overwrite_each_other(pool: Pool) -> None:
    sizes = [3, 70 << 20, 5, 66 << 20, 80 << 20, 1, 2]
    futures = [pool.submit({"op": "arrays", "large": size}) for size in sizes]
    for size, future in zip(sizes, futures, strict=True):
        arrays = future.result(SOON).arrays
        assert arrays["large"].size == size
        assert (arrays["large"] == 7).all()
        assert arrays["last"].tolist() == [-1]


@pytest.mark.parametrize("text", ["", "-- \n\0", "name\udcff", "x" * 3_000_000], ids=len)
def test_text_of_any_kind_and_length_goes_there_and_back(pool: Pool, text: str) -> None:
    assert ask(pool, "echo", say=text)["said"] == text


FAULTS = {
    "segfault": "crashed",
    "abort": "crashed",
    "leave": "crashed",
    "not_json": "corrupt",
    "no_such_operation": "corrupt",
}


@pytest.mark.parametrize("op", FAULTS)
def test_a_fault_costs_one_task(pool: Pool, op: str) -> None:
    futures = [pool.submit({"op": "echo", "say": n}) for n in range(3)]
    bad = pool.submit({"op": op})
    futures += [pool.submit({"op": "echo", "say": n}) for n in range(3, 6)]
    assert [future.result(SOON).value["said"] for future in futures] == list(range(6))
    with pytest.raises(PixelError) as caught:
        bad.result(SOON)
    assert caught.value.code == FAULTS[op]
    assert caught.value.remedy


def test_the_message_of_a_crash_names_the_signal(pool: Pool) -> None:
    with pytest.raises(PixelError, match="SIGSEGV"):
        ask(pool, "segfault")
    assert pool.submit({"op": "echo", "say": 1}).result(SOON).value["said"] == 1
    assert pool.deaths == 1


@pytest.mark.parametrize("op", ["hang", "hang_in_c"])
def test_a_hang_ends_at_the_time_limit(pool: Pool, op: str) -> None:
    ask(pool, "echo", say=1)
    start = time.monotonic()
    assert code_of(pool, op, seconds=0.3) == "time_limit"
    assert time.monotonic() - start < 3
    assert ask(pool, "echo", say=2)["said"] == 2


def test_a_task_that_waits_behind_another_has_all_its_time(pool: Pool) -> None:
    futures = [pool.submit({"op": "nap", "seconds_of": 0.5}, seconds=1.2) for _ in range(6)]
    assert all(future.result(SOON).value == {} for future in futures)
    assert pool.deaths == 0


def test_memory_beyond_the_limit_is_refused_by_name(pool: Pool) -> None:
    assert ask(pool, "allocate", bytes=100 << 20)["length"] == 100 << 20
    assert code_of(pool, "allocate", bytes=3 << 30) == "memory_limit"
    assert ask(pool, "allocate", bytes=100 << 20)["length"] == 100 << 20


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("ValueError", "corrupt"),
        ("RecursionError", "corrupt"),
        ("SystemExit", "corrupt"),
        ("KeyboardInterrupt", "corrupt"),
        ("ImportError", "unsupported"),
        ("PixelError", "frames"),
    ],
)
def test_an_exception_is_told_without_its_text(pool: Pool, kind: str, code: str) -> None:
    pid = ask(pool, "echo", say=0)["pid"]
    with pytest.raises(PixelError) as caught:
        ask(pool, "raise_", kind=kind)
    assert caught.value.code == code
    assert "Doe" not in str(caught.value)
    assert "1970" not in str(caught.value)
    assert ask(pool, "echo", say=0)["pid"] == pid, "the worker lives on"


def test_what_a_library_prints_neither_shows_nor_spoils_an_answer(
    pool: Pool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ask(pool, "chatter") == {"stdin": ""}
    assert ask(pool, "echo", say="x")["said"] == "x"
    assert capfd.readouterr() == ("", "")


def test_a_task_that_ends_a_used_worker_is_judged_in_a_fresh_one(pool: Pool) -> None:
    first = ask(pool, "second_time_dies")["pid"]
    second = ask(pool, "second_time_dies")["pid"]
    assert second != first
    assert pool.deaths == 1


def test_a_worker_killed_while_idle_costs_no_task(pool: Pool) -> None:
    first = ask(pool, "echo", say=1)["pid"]
    os.kill(first, signal.SIGKILL)
    time.sleep(0.1)
    assert ask(pool, "echo", say=2)["pid"] != first


def test_a_worker_is_told_little_and_loads_little(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "here")
    seen = ask(pool, "seen")
    assert "CANARY_TOKEN" not in seen["environment"]
    assert seen["environment"]["OMP_NUM_THREADS"] == "1"
    assert seen["cwd"] == "/"
    assert str(Path("here").absolute()) in seen["environment"]["PYTHONPATH"].split(os.pathsep)
    loaded = {name.partition(".")[0] for name in seen["modules"]}
    assert not loaded & {"torch", "pandas", "scipy", "pydicom", "pydantic", "multiprocessing"}


def test_submit_never_waits(pool: Pool) -> None:
    pool.submit({"op": "hang"})
    start = time.monotonic()
    futures = [pool.submit({"op": "echo", "say": n}) for n in range(20_000)]
    assert time.monotonic() - start < 5
    pool.close()
    assert all(future.cancelled() for future in futures)


def test_a_task_that_json_cannot_hold_is_the_callers_error(pool: Pool) -> None:
    with pytest.raises(TypeError):
        pool.submit({"op": "echo", "say": b""})
    assert ask(pool, "echo", say=1)["said"] == 1
    assert pool.deaths == 0


def test_several_workers_share_the_tasks() -> None:
    with Pool(3, program=PROGRAM) as pool:
        futures = [pool.submit({"op": "hang"}, seconds=1.0) for _ in range(2)]
        answers = [pool.submit({"op": "echo", "say": n}) for n in range(50)]
        assert [a.result(SOON).value["said"] for a in answers] == list(range(50))
        for future in futures:
            assert isinstance(future.exception(SOON), PixelError)


def test_one_task_after_the_other_needs_one_worker() -> None:
    with Pool(4, program=PROGRAM) as pool:
        assert len({ask(pool, "echo", say=n)["pid"] for n in range(20)}) == 1


def test_closing_cancels_what_is_not_done_and_leaves_nothing() -> None:
    gc.collect()
    before, open_before = children(), descriptors()
    pool = Pool(2, seconds=1000, program=PROGRAM)
    pids = [ask(pool, "echo", say=0)["pid"]]
    futures = [pool.submit({"op": "hang"}) for _ in range(6)]
    time.sleep(0.5)
    start = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - start < 5
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(0)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit({"op": "echo", "say": 1})
    assert children() == before
    assert descriptors() == open_before
    assert gone(pids[0], within=0.1)
    assert pool.deaths == 0


def test_closing_while_a_worker_starts_is_clean() -> None:
    before = children()
    for pause in (0.0, 0.05, 0.15):
        pool = Pool(1, program=PROGRAM)
        future = pool.submit({"op": "echo", "say": 1})
        time.sleep(pause)
        pool.close()
        with contextlib.suppress(CancelledError):
            assert future.result(0).value["said"] == 1  # the worker was faster than the pause
    assert children() == before


def test_a_cancelled_task_is_not_done(pool: Pool) -> None:
    slow = pool.submit({"op": "hang"}, seconds=0.3)
    queued = pool.submit({"op": "abort"})
    assert queued.cancel()
    assert isinstance(slow.exception(SOON), PixelError)
    assert ask(pool, "echo", say=1)["said"] == 1
    assert pool.deaths == 1


@pytest.mark.parametrize(
    "program",
    [("-c", "raise SystemExit(3)"), ("-c", "import os; os.abort()"), ("no_such_file.py",)],
)
def test_workers_that_cannot_be_started_are_said_so(
    program: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_ATTEMPTS", (0.0, 0.0))
    with (
        Pool(1, program=program) as pool,
        pytest.raises(MedimgError, match="cannot be started") as caught,
    ):
        pool.submit({"op": "echo"}).result(SOON)
    assert not isinstance(caught.value, PixelError)


def test_it_works_without_memory_files(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    arrays = pool.submit({"op": "arrays", "large": 70 << 20}).result(SOON).arrays
    assert arrays["grid"].sum() == 66
    assert (arrays["large"] == 7).all()


def test_a_child_of_fork_gets_workers_of_its_own(pool: Pool) -> None:
    mine = ask(pool, "echo", say=1)["pid"]
    before = descriptors()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            assert descriptors() < before + 2, "the parent's pipes are closed here"
            theirs = ask(pool, "echo", say=2)["pid"]
            pool.close()
            os.write(writer, str(theirs).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    said = os.read(reader, 100)
    os.close(reader)
    assert status == 0
    assert said
    assert int(said) != mine
    assert ask(pool, "echo", say=3)["pid"] == mine


def test_the_shared_pool_is_one_and_comes_back_after_it_was_closed() -> None:
    first = shared_pool()
    assert shared_pool() is first
    first.close()
    second = shared_pool()
    assert second is not first
    second.close()


@pytest.mark.parametrize("named", ["0", "-1", "many", "1e3", "99999", "²"])
def test_a_wrong_number_of_workers_is_refused(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIMG_WORKERS", named)
    with pytest.raises(UsageError, match="MEDIMG_WORKERS"):
        usable_workers()


def test_the_number_of_workers_is_settable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIMG_WORKERS", "3")
    assert Pool().workers == 3
    monkeypatch.setenv("MEDIMG_WORKERS", "")
    assert Pool().workers == min(len(os.sched_getaffinity(0)), 16)
    with pytest.raises(UsageError, match="workers"):
        Pool(0)


# -- how a whole process ends --------------------------------------------------------------------

SCRIPT = """
import sys, time
from medimg.data.sources.dicom.pool import Pool
pool = Pool(2, seconds=float(sys.argv[2]), program=(sys.argv[1],))
pids = set()
for _ in range(20):
    pids |= {f.result().value["pid"] for f in [pool.submit({"op": "echo", "say": 1}) for _ in "ab"]}
futures = [pool.submit({"op": "hang_in_c"}) for _ in range(int(sys.argv[3]))]
print(*pids, flush=True)
"""


def started(ending: str, seconds: float = 1000.0, hung: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", SCRIPT + ending]
    return subprocess.Popen(
        [*command, PROGRAM[0], str(seconds), str(hung)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def pids_of(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(pid) for pid in process.stdout.readline().split()]


@pytest.mark.parametrize("hung", [0, 5])
@pytest.mark.parametrize("ending", ["", "raise SystemExit(0)", "del pool, futures"])
def test_an_interpreter_that_ends_leaves_no_worker_and_no_warning(ending: str, hung: int) -> None:
    with started(ending, hung=hung) as process:
        pids = pids_of(process)
        _, errors = process.communicate(timeout=SOON)
    assert pids
    assert (process.returncode, errors) == (0, "")
    assert all(gone(pid) for pid in pids)


def test_ctrl_c_leaves_no_worker() -> None:
    with started("time.sleep(1000)", hung=2) as process:
        pids = pids_of(process)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=SOON)
    assert process.returncode != 0
    assert errors.count("KeyboardInterrupt") == 1
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_idle_workers_end_with_a_parent_that_is_killed(number: signal.Signals) -> None:
    with started("time.sleep(1000)") as process:
        pids = pids_of(process)
        process.send_signal(number)
        process.communicate(timeout=SOON)
    assert all(gone(pid, within=5) for pid in pids)


def test_hung_workers_end_by_themselves_when_nobody_is_left_to_end_them() -> None:
    with started("time.sleep(1000)", seconds=1.0, hung=2) as process:
        pids = pids_of(process)
        process.kill()
        process.communicate(timeout=SOON)
    assert all(gone(pid, within=12) for pid in pids)
