"""Several processes take the same steps as one, and no case counts twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training import ranks

from medimg.errors import UsageError
from medimg.testing import make_npz
from medimg.training.distributed import World
from medimg.training.rendezvous import neighbours, world_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes work, with the data that they train on."""
    folder = tmp_path_factory.mktemp("ranks")
    make_npz(folder / "x.npz", n={"train": 90, "val": 30, "test": 30}, classes=3)
    ranks.make_store(folder)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes found; they are started once, since torch loads for seconds."""
    return ranks.start(folder, 2)


@pytest.fixture(scope="module")
def spoken(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rank["spoken"] for rank in found]


@pytest.fixture(scope="module")
def learnt(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rank["learnt"] for rank in found]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 128])
def test_parts_hold_every_case_once_and_differ_by_one_at_most(n: int, size: int) -> None:
    parts = [np.arange(n)[World(rank, size).part(n)] for rank in range(size)]
    assert np.concatenate(parts).tolist() == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 128])
def test_the_losses_of_all_ranks_have_the_mean_of_the_whole_batch(n: int) -> None:
    losses = np.random.default_rng(0).random(n)
    of_ranks = []
    for rank in range(3):
        mine, weight = World(rank, 3).batch(n)
        assert len(losses[mine]) >= min(n, 2)  # batch normalization cannot take a single case
        of_ranks.append(weight * losses[mine].sum() / n)
    assert np.mean(of_ranks) == pytest.approx(losses.mean(), rel=1e-14)


def test_one_process_is_a_world_that_changes_nothing() -> None:
    world, model = World.current(), ranks.network()
    assert (world.rank, world.size, world.first) == (0, 1, True)
    assert world.wrap(model) is model
    assert world.agree([True, False]) == [True, False]
    assert world.seed(5) == 5
    rows = np.ones((3, 2), np.float32)
    assert world.gather_rows(rows, 3) is rows


def test_an_environment_that_says_half_is_refused() -> None:
    assert world_size({}) == world_size({"WORLD_SIZE": "1"}) == 1
    with pytest.raises(UsageError, match="RANK is not set"):
        world_size({"WORLD_SIZE": "2"})
    for said in ("", "two", "0", "-1"):
        with pytest.raises(UsageError, match="no number of processes"):
            world_size({"WORLD_SIZE": said})


@pytest.mark.parametrize("verb", ["show", "train"])
def test_the_command_says_that_it_does_not_know_who_it_is(verb: str, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("data: {source: digits}\nmodel: {name: mlp}\n")
    given = {key: value for key, value in os.environ.items() if key != "RANK"}
    out = ["-o", str(tmp_path / "run")] if verb == "train" else []
    done = subprocess.run(
        [sys.executable, "-m", "medimg", verb, str(config), *out],
        env=given | {"WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "RANK is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_processes_of_one_machine_are_counted() -> None:
    several = dict.fromkeys(("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"), "0")
    assert neighbours({}) == neighbours({"LOCAL_WORLD_SIZE": "8"}) == 1
    assert neighbours(several | {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}) == 4
    assert neighbours(several | {"WORLD_SIZE": "8"}) == 8


def test_one_device_for_all_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="cuda:0"):
        World(0, 2, 0).device("cuda:0")
    with pytest.raises(UsageError, match="no CUDA device of its own"):
        World(2, 3, 2).device("auto")
    assert World(2, 3, 2).device("cpu") == torch.device("cpu")


def test_what_one_rank_raises_all_hear(spoken: list[dict[str, Any]]) -> None:
    for said in spoken:
        assert said["agreed"] == [False, True, True]
        assert said["sum"].tolist() == [3.0]
        assert said["mean"].item() == 0.5


def test_rows_are_gathered_in_order_and_none_twice(spoken: list[dict[str, Any]]) -> None:
    for said in spoken:
        expected = np.arange(10, dtype=np.float32).reshape(5, 2) / 3
        assert np.array_equal(said["rows"].numpy(), expected)
        assert said["none"].shape == (0, 2)


def test_each_rank_draws_for_itself_and_draws_the_same_again(spoken: list[dict[str, Any]]) -> None:
    first, second = spoken
    assert not torch.equal(first["drawn"], second["drawn"])
    torch.manual_seed(7)
    assert torch.equal(first["drawn"], torch.rand(3))  # rank 0 draws what one process would
    for said in spoken:
        assert torch.equal(said["drawn"], said["drawn_again"])
        assert [s.tolist() for s in said["states"]] == [s.tolist() for s in first["states"]]


def test_states_of_another_number_of_processes_are_refused(spoken: list[dict[str, Any]]) -> None:
    states = spoken[0]["states"]
    with pytest.raises(UsageError, match="begun by 2 processes"):
        World().set_rng_states(states, torch.device("cpu"))
    with pytest.raises(UsageError, match="another kind of device"):
        World().set_rng_states([torch.cat([states[0], torch.zeros(16)])], torch.device("cpu"))


@pytest.mark.parametrize("name", [name for name in ranks.CASES if name != "norm"])
def test_two_ranks_take_the_steps_of_one_process(name: str, learnt: list[dict[str, Any]]) -> None:
    alone = ranks.learn(World(), **ranks.CASES[name])
    for rank in learnt:
        for key, value in rank[name].items():
            torch.testing.assert_close(value, alone[key], rtol=0, atol=1e-12)


def test_on_the_cpu_each_rank_normalizes_by_its_own_part(learnt: list[dict[str, Any]]) -> None:
    first, second = (rank["norm"] for rank in learnt)
    assert all(torch.equal(first[key], second[key]) for key in first)  # one network, and its means
    alone = ranks.learn(World(), **ranks.CASES["norm"])
    assert not torch.allclose(first["1.running_var"], alone["1.running_var"])


@pytest.mark.parametrize(("name", "most"), [("float64", 1e-10), ("float32", 1e-6)])
def test_a_training_by_two_ranks_is_that_of_one_process(
    name: str, most: float, found: list[dict[str, Any]], folder: Path
) -> None:
    alone, history = ranks.train(name, folder)
    for rank in found:
        weights, (row,) = rank["fits"][name]
        for key, value in weights.items():
            torch.testing.assert_close(value, alone[key], rtol=0, atol=most)
        for metric in ("val_accuracy", "val_auroc"):
            assert row[metric] == history[0][metric]
        for loss in ("train_loss", "val_loss"):
            assert row[loss] == pytest.approx(history[0][loss], abs=1e-6)


def test_ranks_that_would_go_on_from_different_states_are_refused(
    found: list[dict[str, Any]],
) -> None:
    first, second = (rank["refused"] for rank in found)
    assert "different states to go on from (here: epoch 1, step 0)" in first
    assert "different states to go on from (here: none)" in second


def test_a_rank_that_dies_ends_the_others_in_words(
    found: list[dict[str, Any]], folder: Path
) -> None:
    assert "another process of this training has ended" in (folder / "heard").read_text()
