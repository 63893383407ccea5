"""TensorBoard: what stands in the log stands in the event files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from medimg.errors import UsageError
from medimg.training.track import tracked

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

START = {"event": "start", "epoch": 0, "device": "cpu", "train": 8}


def epoch(number: int, loss: float) -> dict[str, Any]:
    return {
        "event": "epoch",
        "epoch": number,
        "lr": 1e-3,
        "train_loss": loss,
        "val_balanced_accuracy": 0.5,
        "val_auroc": None,
    }


def read(folder: Path) -> Any:
    found = event_accumulator.EventAccumulator(str(folder))
    found.Reload()
    return found


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def test_every_number_of_an_epoch_is_a_scalar(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    sent = [START, epoch(1, 0.75), epoch(2, 0.5), {"event": "end", "epochs": 2}]
    with tracked(rows.append, tmp_path) as log:
        for row in sent:
            log(row)
    assert rows == sent
    assert scalars(tmp_path, "train/loss") == [(1, 0.75), (2, 0.5)]
    assert sorted(read(tmp_path).Tags()["scalars"]) == ["lr", "train/loss", "val/balanced_accuracy"]


def test_rows_can_be_seen_while_the_training_goes_on(tmp_path: Path) -> None:
    with tracked(lambda row: None, tmp_path) as log:
        log(START)
        log(epoch(1, 0.75))
        assert scalars(tmp_path, "train/loss") == [(1, 0.75)]


def test_a_run_that_goes_on_takes_back_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    with tracked(lambda row: None, tmp_path) as log:
        for row in (START, epoch(1, 0.75), epoch(2, 0.5), epoch(3, 0.25)):
            log(row)
    with tracked(lambda row: None, tmp_path) as log:
        for row in (START | {"epoch": 1}, epoch(2, 0.125)):
            log(row)
    assert scalars(tmp_path, "train/loss") == [(1, 0.75), (2, 0.125)]


def test_a_note_before_the_start_takes_nothing_back(tmp_path: Path) -> None:
    with tracked(lambda row: None, tmp_path) as log:
        for row in (START, epoch(1, 0.75)):
            log(row)
    with tracked(lambda row: None, tmp_path) as log:
        for row in ({"event": "note", "note": "a damaged slot"}, START | {"epoch": 1}):
            log(row)
    assert scalars(tmp_path, "train/loss") == [(1, 0.75)]
    assert len(read(tmp_path).Tensors("note/text_summary")) == 1


def test_skipped_batches_are_texts(tmp_path: Path) -> None:
    with tracked(lambda row: None, tmp_path) as log:
        log(START)
        log({"event": "skipped", "cases": ["a", "b"]})
    (text,) = read(tmp_path).Tensors("skipped/text_summary")
    assert '"cases": ["a", "b"]' in text.tensor_proto.string_val[0].decode()


def test_a_run_that_fails_leaves_what_it_wrote(tmp_path: Path) -> None:
    def run() -> None:
        with tracked(lambda row: None, tmp_path) as log:
            log(START)
            log(epoch(1, 0.75))
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        run()
    assert scalars(tmp_path, "train/loss") == [(1, 0.75)]


def test_without_a_folder_nothing_is_imported_or_written() -> None:
    def log(row: dict[str, Any]) -> None:
        del row

    with tracked(log, None) as same:
        assert same is log


def test_tensorboard_that_is_missing_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(UsageError, match="TensorBoard") as caught, tracked(print, tmp_path):
        pass
    assert "medimg[track]" in str(caught.value.remedy)
    assert not list(tmp_path.iterdir())
