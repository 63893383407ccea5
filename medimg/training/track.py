"""TensorBoard beside `log.jsonl`: the rows of a training as scalars (extra `track`)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from medimg.errors import UsageError

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

Row = dict[str, Any]
Log = Callable[[Row], None]

#: Rows that say nothing that a curve or a note could show.
_SILENT = ("start", "end")


@contextmanager
def tracked(log: Log, folder: str | os.PathLike[str] | None) -> Iterator[Log]:
    """Yield a log that also writes for TensorBoard, where a folder is given.

    An epoch's numbers become scalars at that epoch (``val_auroc`` is ``val/auroc``); any other
    row, such as one of skipped batches, a text. A run that goes on takes back what a killed one
    wrote after its last checkpoint.

    Parameters
    ----------
    log : function
        Gets every row first.
    folder : path, optional
        Of the event files, for ``tensorboard --logdir``. None: `log` alone.

    Raises
    ------
    UsageError
        TensorBoard is not installed.
    """
    if folder is None:
        yield log
        return
    board = _Board(folder)

    def both(row: Row) -> None:
        log(row)
        board.write(row)

    try:
        yield both
    finally:
        board.close()


class _Board:
    """One event file, opened at the start, which says from which epoch on it counts."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = folder
        self.make = _writer_class()
        self.writer: SummaryWriter | None = None
        self.early: list[Row] = []
        self.epoch = 0

    def write(self, row: Row) -> None:
        """Write one row, so that it can be seen at once; what comes before the start waits."""
        if row["event"] == "start":
            self.epoch = row["epoch"]
            self.writer = self.make(os.fspath(self.folder), purge_step=self.epoch + 1)
            for held in self.early:
                self._put(self.writer, held)
        if self.writer is None:
            self.early.append(row)
        else:
            self._put(self.writer, row)
            self.writer.flush()

    def _put(self, writer: SummaryWriter, row: Row) -> None:
        if row["event"] == "epoch":
            self.epoch = row["epoch"]
            for name, value in row.items():
                if name != "epoch" and isinstance(value, int | float):
                    writer.add_scalar(name.replace("_", "/", 1), value, self.epoch)
        elif row["event"] not in _SILENT:
            writer.add_text(row["event"], json.dumps(row), self.epoch)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _writer_class() -> type[SummaryWriter]:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise UsageError(
            f"track: true, but TensorBoard cannot be imported: {error}",
            remedy="pip install 'medimg[track]', or set track to false; log.jsonl has every number",
        ) from error
    return SummaryWriter
