"""What the control groups of Linux leave to this process: time on the cores, and memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

#: Where the kernel says what there is; absent elsewhere than on Linux.
ROOT = Path("/")


def quota(root: Path = ROOT) -> float:
    """Return how many cores' worth of time the control groups allow, infinity where no limit is.

    Version 2 writes ``cpu.max`` ("200000 100000", in microseconds, or "max 100000"), version 1
    ``cpu.cfs_quota_us`` (-1: none) beside ``cpu.cfs_period_us``.
    """
    return min((_share(folder) for folder in control_groups("cpu", root)), default=math.inf)


def group_memory(root: Path = ROOT) -> float:
    """Return the bytes that the control groups leave, infinity where no limit is."""
    return min((_left(folder) for folder in control_groups("memory", root)), default=math.inf)


def control_groups(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield the folders of the groups that bind this process: its own, and their parents."""
    for line in text(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        mount = root / "sys/fs/cgroup" / names
        folder = mount / path.lstrip("/")
        while folder.is_relative_to(mount):
            yield folder
            folder = folder.parent


def text(path: Path) -> str:
    """Return the text of one of the kernel's files, blank where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _share(folder: Path) -> float:
    words = text(folder / "cpu.max").split()
    if not words:
        words = [text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    allowed, period = map(_number, words)
    return allowed / period if 0 < allowed < math.inf else math.inf


def _left(folder: Path) -> float:
    """Return the limit of one group less what it holds; version 1 names both otherwise."""
    for limit, held in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        if (folder / limit).is_file():
            return max(_number(text(folder / limit)) - _number(text(folder / held), 0.0), 0.0)
    return math.inf


def _number(written: str, otherwise: float = math.inf) -> float:
    return float(written) if written.lstrip("-").isdecimal() else otherwise
