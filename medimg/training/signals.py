"""SIGINT and SIGTERM, noted: a training ends between two steps, with its state saved."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Seconds within which a second signal is the first once more.
_TWICE = 1.0


class Signals:
    """While it lasts, the first SIGINT or SIGTERM is noted in `came` and nothing else happens.

    A SIGINT after it stops at once, but for one within the same second: torchrun passes on what
    its processes have got already. For the same reason a second SIGTERM changes nothing. One that
    nobody obeyed until the end is obeyed then. Handlers are set in the main thread only (Python
    allows no other), never for a signal that is ignored (as under ``nohup``), and put back at the
    end.
    """

    def __init__(self) -> None:
        self.came: signal.Signals | None = None
        self._at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):
                    self._before[number] = before
                    signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        unheeded = bool(self._before) and self.came is not None
        self._put_back()
        if unheeded and kind is None:
            self.stop()

    def stop(self) -> None:
        """End the training the way that the signal would have ended it.

        Whoever handled the signal before gets it: Python raises `KeyboardInterrupt` at SIGINT,
        the command line ends with 130 or 143, and a bare process dies of SIGTERM.
        """
        self._put_back()
        signal.raise_signal(self.came or signal.SIGINT)
        raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.came is None:
            self.came, self._at = signal.Signals(number), now
        elif number == signal.SIGINT and now - self._at > _TWICE:
            self.came = signal.SIGINT
            self.stop()

    def _put_back(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, before)
