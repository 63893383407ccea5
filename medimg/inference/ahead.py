"""An iterator that runs ahead in a thread of its own, so that reading and predicting overlap."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Seconds between two looks at whether to stop, and at most to wait for the thread at the end.
_LOOK, _PATIENCE = 0.1, 5.0


class _End:
    """Comes after the last item, with what the iterator raised, if anything."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Producer(Generic[T]):
    """Fills a bounded queue from an iterator until it ends, fails or is stopped."""

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self.items = items
        self.ready: queue.Queue[Any] = queue.Queue(depth)
        self.stopped = threading.Event()
        # A decoder that hangs must not keep an interrupted process from ending.
        self.thread = threading.Thread(target=self._run, name="medimg-ahead", daemon=True)

    def _run(self) -> None:
        end = _End()
        try:
            for item in self.items:
                if not self._put(item):
                    break
        except BaseException as error:  # raised again where the items are taken
            end = _End(error)
        finally:
            close = getattr(self.items, "close", None)
            if close is not None:
                close()
            self._put(end)

    def _put(self, item: Any) -> bool:
        while not self.stopped.is_set():
            with contextlib.suppress(queue.Full):
                self.ready.put(item, timeout=_LOOK)
                return True
        return False

    def take(self) -> Iterator[T]:
        """Yield the items in order; raise what the iterator raised, in its place."""
        while not isinstance(item := self.ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error


@contextlib.contextmanager
def ahead(items: Iterator[T], depth: int) -> Iterator[Iterator[T]]:
    """Run `items` in a thread, at most `depth` items beyond the one being made.

    Leaving the context stops the thread, whichever way it is left, and closes a generator in
    the thread that ran it.
    """
    producer = _Producer(items, depth)
    producer.thread.start()
    try:
        yield producer.take()
    finally:
        producer.stopped.set()
        producer.thread.join(_PATIENCE)
