"""How many threads train: as many as there are cores that nobody else is using."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from medimg.errors import UsageError
from medimg.training.heap import kept_heap
from medimg.training.quota import ROOT, quota, text

#: Seconds over which the neighbours' share of the machine is measured.
WATCH = 0.2


def pick_threads(wanted: int | Literal["auto"]) -> int:
    """Return the number of threads to train with, at least 1.

    Parameters
    ----------
    wanted : int or "auto"
        auto: ``OMP_NUM_THREADS`` where it is set; else the cores that this process may use and
        that are free. Two threads beside one busy neighbour on two cores are more than twice as
        slow as one: at the end of every operation each waits for the other.

    Raises
    ------
    UsageError
        ``OMP_NUM_THREADS`` is no whole number of at least 1.
    """
    if wanted != "auto":
        return wanted
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if told:
        if not told.isdecimal() or int(told) < 1:
            raise UsageError(
                f"OMP_NUM_THREADS is {told!r}", remedy="set a whole number of at least 1"
            )
        return int(told)
    processors = allowed_processors()
    cores = physical_cores(processors)
    count = len(set(cores.values()))
    limit = math.floor(min(count, quota()))
    if limit > 1:
        limit = min(limit, round(count - busy_cores(cores, WATCH)))
    return max(limit, 1)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Have torch compute with `n` threads while it lasts, on a heap that is kept."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with kept_heap():
            yield
    finally:
        torch.set_num_threads(before)


def allowed_processors() -> set[int]:
    """Return the numbers of the logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))  # macOS and Windows


def physical_cores(processors: Collection[int], root: Path = ROOT) -> dict[int, tuple[str, ...]]:
    """Return the physical core (package, core) behind each logical processor.

    Two threads of one core share its arithmetic units: matrix products gain nothing.
    """
    topology = "sys/devices/system/cpu/cpu{}/topology/{}"
    names = ("physical_package_id", "core_id")
    found = {}
    for number in processors:
        place = [text(root / topology.format(number, name)) for name in names]
        found[number] = tuple(place) if all(place) else (str(number),)
    return found


def busy_cores(cores: dict[int, tuple[str, ...]], seconds: float, root: Path = ROOT) -> float:
    """Return how many of `cores` others kept busy over the next `seconds`; 0 where unknown."""
    if not (root / "proc/stat").is_file():
        return 0.0
    before, mine, start = _busy_seconds(root), time.process_time(), time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - start
    shares: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for number, busy in _busy_seconds(root).items():
        if number in cores:
            shares[cores[number]] += (busy - before.get(number, busy)) / elapsed
    others = sum(min(share, 1.0) for share in shares.values())
    return max(others - (time.process_time() - mine) / elapsed, 0.0)


def _busy_seconds(root: Path) -> dict[int, float]:
    """Return the seconds that each processor was not idle since the machine's start."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for line in text(root / "proc/stat").splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _iowait, interrupt, soft = map(int, counts[:7])
            found[int(name[3:])] = (user + nice + system + interrupt + soft) / tick
    return found
