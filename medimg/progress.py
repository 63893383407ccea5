"""Progress: a bar in a terminal, plain lines elsewhere, nothing for what is done in a moment."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

#: Seconds before anything is shown, and between two plain lines.
PATIENCE, INTERVAL = 2.0, 10.0


class Progress:
    """Counts work done; shows it on stderr once it has lasted two seconds.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        How many units there are.
    unit : str
        What is counted.
    shown : bool
        False counts in silence, within another's progress.
    """

    def __init__(self, label: str, total: int, unit: str = "", *, shown: bool = True) -> None:
        self.shown = shown
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self.stats = ""
        self._start = self._said = time.monotonic()
        self._bar: RichProgress | None = None

    def __enter__(self) -> Progress:
        return self

    def advance(self, count: int = 1, stats: str = "") -> None:
        """Count `count` more units; `stats` is shown beside them."""
        self.done += count
        self.stats = stats or self.stats
        now = time.monotonic()
        if not self.shown or now - self._start < PATIENCE:
            return
        if sys.stderr.isatty():
            self._show_bar()
        elif now - self._said >= INTERVAL or self._said == self._start:
            self._said = now
            self._line(now)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._said != self._start and kind is None:
            self._line(time.monotonic())

    def _line(self, now: float) -> None:
        elapsed = now - self._start
        left = elapsed / max(self.done, 1) * (self.total - self.done)
        share = 100 * self.done / max(self.total, 1)
        parts = [f"{self.label}: {self.done}/{self.total} {self.unit} ({share:.0f}%)", self.stats]
        parts.append(f"{elapsed:.0f} s, {left:.0f} s left" if left else f"{elapsed:.0f} s")
        sys.stderr.write(", ".join(p for p in parts if p) + "\n")
        sys.stderr.flush()

    def _show_bar(self) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.add_task(self.label, total=self.total, unit=self.unit, stats="")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=self.done, stats=self.stats)


def _make_bar() -> RichProgress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[unit]} {task.fields[stats]}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
