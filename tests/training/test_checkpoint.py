"""Checkpoints: two slots, each with its checksum; a damaged one is never taken."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from medimg.errors import TrainingError
from medimg.training.checkpoint import Checkpoint


def saved(folder: Path, *values: float) -> list[Path]:
    """Write one state a value; return the two files, the latest first."""
    checkpoint = Checkpoint(folder)
    for value in values:
        checkpoint.save({"x": torch.full((50,), value), "history": [{"loss": value}]})
    return sorted(folder.glob("*.pt"), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)


def test_the_latest_state_comes_back(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "none").load() is None
    for count in range(1, 5):
        saved(tmp_path / str(count), *map(float, range(count)))
        checkpoint = Checkpoint(tmp_path / str(count))
        state = checkpoint.load()
        assert state is not None
        assert state["x"].tolist() == [count - 1.0] * 50
        assert state["history"] == [{"loss": count - 1.0}]
        assert checkpoint.notes == []


def test_of_300_flipped_bits_300_are_found_and_the_state_before_is_taken(tmp_path: Path) -> None:
    latest, _ = saved(tmp_path, 1.0, 2.0, 3.0)
    whole = latest.read_bytes()
    places = random.Random(0).sample(range(8 * len(whole)), 300)
    for place in places:
        flip(latest, place)
        checkpoint = Checkpoint(tmp_path)
        state = checkpoint.load()
        assert state is not None
        assert state["x"][0] == 2.0
        assert str(latest) in checkpoint.notes[0]
        latest.write_bytes(whole)


@pytest.mark.parametrize("length", [0, 10, 64, 500])
def test_a_state_that_was_cut_short_is_not_taken(tmp_path: Path, length: int) -> None:
    latest, _ = saved(tmp_path, 1.0, 2.0)
    latest.write_bytes(latest.read_bytes()[:length])
    state = Checkpoint(tmp_path).load()
    assert state is not None
    assert state["x"][0] == 1.0


def test_the_next_state_is_written_over_the_damaged_one(tmp_path: Path) -> None:
    latest, _ = saved(tmp_path, 1.0, 2.0)
    flip(latest, 4000)
    checkpoint = Checkpoint(tmp_path)
    checkpoint.load()
    checkpoint.save({"x": torch.full((50,), 3.0)})
    again = Checkpoint(tmp_path)
    state = again.load()
    assert state is not None
    assert state["x"][0] == 3.0
    assert again.notes == []


def test_a_damaged_older_state_costs_nothing_and_nothing_else_is_said(tmp_path: Path) -> None:
    latest, older = saved(tmp_path, 1.0, 2.0)
    flip(older, 4000)
    checkpoint = Checkpoint(tmp_path)
    state = checkpoint.load()
    assert state is not None
    assert state["x"][0] == 2.0
    assert checkpoint.notes == [f"{older} is damaged; went on from the other state"]
    assert checkpoint.loaded["count"] == 2
    assert checkpoint.loaded["sha256"].encode() == latest.read_bytes()[:64]


def test_processes_that_clean_up_at_once_do_not_trip_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 1.0)
    monkeypatch.setattr(Path, "glob", lambda *given: [tmp_path / ".state-2.pt.gone.tmp"])
    assert Checkpoint(tmp_path).load() is not None


def test_two_damaged_states_are_refused_by_name(tmp_path: Path) -> None:
    for path in saved(tmp_path, 1.0, 2.0):
        flip(path, 999)
    with pytest.raises(TrainingError, match=r"state-1\.pt, .*state-2\.pt: damaged") as caught:
        Checkpoint(tmp_path).load()
    assert "--overwrite" in caught.value.remedy


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    saved(tmp_path, 1.0)
    left = tmp_path / ".state-2.pt.abcdef.tmp"
    left.write_bytes(b"torso")
    assert Checkpoint(tmp_path).load() is not None
    assert not left.exists()
