"""What control groups of both versions leave is read, and their parents bind too."""

from __future__ import annotations

import math
from pathlib import Path

from medimg.training.quota import group_memory, quota


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_control_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert quota(tmp_path) == group_memory(tmp_path) == math.inf


def test_the_quota_of_a_control_group_binds_its_children(tmp_path: Path) -> None:
    tree(tmp_path, proc__self__cgroup="0::/a/b\n")
    folder = tmp_path / "sys/fs/cgroup/a/b"
    folder.mkdir(parents=True)
    (folder / "cpu.max").write_text("max 100000\n")
    (folder.parent / "cpu.max").write_text("150000 100000\n")
    assert quota(tmp_path) == 1.5


def test_the_quota_of_the_first_version_is_read(tmp_path: Path) -> None:
    tree(tmp_path, proc__self__cgroup="5:memory:/x\n4:cpu,cpuacct:/x\n")
    folder = tmp_path / "sys/fs/cgroup/cpu,cpuacct/x"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("200000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder.parent / "cpu.cfs_quota_us").write_text("-1\n")
    (folder.parent / "cpu.cfs_period_us").write_text("100000\n")
    assert quota(tmp_path) == 2.0


def test_the_memory_of_a_group_is_its_limit_less_what_it_holds(tmp_path: Path) -> None:
    tree(tmp_path, proc__self__cgroup="0::/a\n")
    folder = tmp_path / "sys/fs/cgroup/a"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n")
    (folder / "memory.current").write_text("100\n")
    assert group_memory(tmp_path) == math.inf
    (folder / "memory.max").write_text("1000\n")
    assert group_memory(tmp_path) == 900
