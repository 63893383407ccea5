"""A leak stops a training before its first batch, also where `fit` is called by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

import medimg as mi
from medimg.errors import LeakError
from medimg.testing import make_table


class NeverRun(nn.Module):
    """A network that fails as soon as it sees a batch."""

    def forward(self, x: object) -> object:
        raise AssertionError("a batch was taken")


def store_of(folder: Path) -> mi.ImageStore:
    table = make_table(folder / "t", n=60, patients=30, size=(8, 8))
    manifest = mi.index(table)
    names = np.array(["train"] * 30 + ["test"] * 30, object)
    manifest = manifest.with_column("split", names)
    return mi.ImageStore.build(manifest, mi.Preprocess(size=(8, 8), channels=1), folder / "s")


def test_a_leak_stops_the_training_before_the_first_batch_naming_the_cases(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    groups = store.manifest.frame.groupby(store.manifest.frame["patient_id"])
    parted = [group for _, group in groups if group["split"].nunique() > 1]
    named = min(group["case_id"].tolist() for group in parted)
    logged: list[object] = []
    with pytest.raises(LeakError, match="patient_in_several_splits") as raised:
        mi.fit(NeverRun(), store, log=logged.append)
    assert " = ".join(named) in raised.value.message
    assert not logged


def test_a_leak_that_is_known_may_pass_by_its_code(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    model = mi.build_model("mlp", shape=store.shape, classes=2, hidden=(4,))
    bundle, history = mi.fit(
        model, store, mi.FitOptions(epochs=1), allow_leaks=["patient_in_several_splits"]
    )
    assert len(history) == 1
    assert bundle.fingerprints["split"] == store.manifest.split_fingerprint
