"""Nothing grows with the square of the number of cases."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from medimg.data.audit import audit
from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.testing import make_idx


def test_sixty_thousand_cases_are_split_stored_and_audited_in_seconds(tmp_path: Path) -> None:
    folder = make_idx(tmp_path / "x", n={"train": 50_000, "t10k": 10_000}, shape=(4, 4))
    start = time.monotonic()
    manifest = split(index(folder))
    store = ImageStore.build(manifest, Preprocess(), tmp_path / "s")
    audit(store, quick=True)
    assert time.monotonic() - start < 60
    start = time.monotonic()
    again = ImageStore.build(manifest, Preprocess(), tmp_path / "s")
    assert time.monotonic() - start < 20
    assert np.array_equal(again.read(np.arange(9)), store.read(np.arange(9)))
