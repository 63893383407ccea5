"""SIGINT and SIGTERM: noted first, obeyed at the second, and handlers put back."""

from __future__ import annotations

import signal
import threading

import pytest

import medimg.training.signals as signals_module
from medimg.training.signals import Signals

BOTH = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_is_noted_and_ends_nothing(number: signal.Signals) -> None:
    before = signal.signal(number, lambda number, frame: None)
    try:
        handler = signal.getsignal(number)
        reached = False
        with pytest.raises(KeyboardInterrupt), Signals() as signals:
            assert signals.came is None
            signal.raise_signal(number)
            assert signals.came is number
            reached = True
        assert reached
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_that_nobody_obeyed_is_obeyed_at_the_end_once(number: signal.Signals) -> None:
    got: list[int] = []
    before = signal.signal(number, lambda number, frame: got.append(number))
    try:
        with pytest.raises(KeyboardInterrupt), Signals():
            signal.raise_signal(number)
            assert got == []
        assert got == [number]
        with pytest.raises(ValueError, match="its own"), Signals():
            signal.raise_signal(number)
            raise ValueError("its own")
        assert got == [number]
    finally:
        signal.signal(number, before)


def test_a_second_ctrl_c_stops_at_once_and_a_second_sigterm_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)  # torchrun passes on what its processes have got
        assert signals.came is signal.SIGTERM
        monkeypatch.setattr(signals_module, "_TWICE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_whoever_handled_the_signal_before_gets_it_in_the_end() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGTERM)
            assert got == []
            with pytest.raises(KeyboardInterrupt):
                signals.stop()
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGINT)
            assert signals.came is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_than_the_main_one_sets_no_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def enter() -> None:
        with Signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
