"""What a run was made with: versions, machine, threads, seed."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("medimg", "torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "Pillow")


def provenance(*, seed: int | None = None, device: str | None = None) -> dict[str, Any]:
    """Return versions, machine and time as plain JSON values; no path and no user name."""
    about: dict[str, Any] = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    if "torch" in sys.modules:
        about["threads"] = sys.modules["torch"].get_num_threads()
    if device is not None:
        about["device"] = device
    if seed is not None:
        about["seed"] = seed
    return about


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
