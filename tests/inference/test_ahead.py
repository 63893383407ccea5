"""An iterator that runs ahead keeps its order, its errors and its bounds, and ends with its user."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from medimg.inference.ahead import ahead


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "medimg-ahead"]


def test_items_come_in_order() -> None:
    with ahead(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))
    assert not threads()


def test_an_error_arrives_behind_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ZeroDivisionError("here")

    got = []
    with pytest.raises(ZeroDivisionError, match="here"), ahead(failing(), 5) as items:
        for item in items:
            got.append(item)
    assert got == [1, 2]
    assert not threads()


def test_it_runs_no_further_ahead_than_allowed() -> None:
    made: list[int] = []

    def counting() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            yield number

    with ahead(counting(), 2) as items:
        assert next(items) == 0
        time.sleep(0.3)
        assert len(made) <= 4
    assert len(made) <= 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_leaving_stops_the_thread_and_closes_the_generator(error: type[BaseException]) -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    with pytest.raises(error), ahead(endless(), 1) as items:
        next(items)
        raise error
    assert closed == ["medimg-ahead"]
    assert not threads()


def test_making_and_taking_overlap() -> None:
    def slow() -> Iterator[int]:
        for number in range(10):
            time.sleep(0.03)
            yield number

    start = time.monotonic()
    with ahead(slow(), 2) as items:
        for _ in items:
            time.sleep(0.03)
    assert time.monotonic() - start < 0.5
