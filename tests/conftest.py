"""What every test has at hand: the real data, where they are, and a home of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Have Ctrl-C reach what the tests start: under nohup and `&` it is ignored, by children too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets; a test that asks for it carries the marker `data`."""
    named = os.environ.get("MEDIMG_DATA")
    place = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (place / "medmnist").is_dir():
        pytest.skip(f"no real data in {place} (set MEDIMG_DATA)")
    return place


@pytest.fixture(autouse=True, scope="session")
def _no_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the key, caches and settings of whoever runs the tests out of them."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDIMG_KEY_FILE", str(home / "key"))
    patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    yield
    patch.undo()
