"""One worker process as its supervisor sees it: start it, ask it within a time, end it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import medimg
from medimg.data.sources.dicom.shared import KEEPING, KEPT, Shared
from medimg.errors import MedimgError, PixelError

#: How a worker is run, after the interpreter's name.
PROGRAM = ("-m", "medimg.data.sources.dicom.worker")
#: Seconds in which a worker is up, on a slow network file system too, or gone once killed.
START, END = 120.0, 10.0
#: An answer of more JSON than this comes from a worker that has lost its mind.
MESSAGE_CAP = 256 << 20
#: What is read of a pipe at once; a task that is sent ahead must fit into an empty one.
PIPE = 1 << 16
AHEAD = 4096
#: What a worker needs of its surroundings; it is told nothing else, tokens and keys least.
ENVIRONMENT = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    *("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONUTF8"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV"),
)


class Answer(NamedTuple):
    """What a worker says to a task."""

    value: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


class _Late(Exception):
    """The time is over."""


class _Gone(Exception):
    """The pipe has ended, or what comes out of it makes no sense."""


class Worker:
    """A running worker process; used by one thread, but for `kill`.

    Tasks are answered in order, through two pieces of shared memory in turn, so that the worker
    can be at the next task while an answer is still being read.

    Parameters
    ----------
    program : sequence of str
        The arguments of the interpreter.
    memory : int
        Bytes of address space that the worker may take.

    Raises
    ------
    MedimgError
        It cannot be started.
    """

    def __init__(self, program: Sequence[str], memory: int) -> None:
        self.asked = 0
        self._closed = False
        self._begun: bytes | None = None
        self._read = bytearray()
        self._shared = (Shared(), Shared())
        self._turns = cycle(self._shared)
        np.empty(KEPT, np.uint8)  # freed at once
        descriptors = [shared.descriptor for shared in self._shared]
        arguments = ["-P", "-W", "ignore", *program, *map(str, descriptors), str(memory)]
        try:
            self.process = subprocess.Popen(
                [sys.executable or "python3", *arguments],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor
            )
        except OSError as error:
            for shared in self._shared:
                shared.close()
            raise _no_worker(os.strerror(error.errno or 0)) from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    def greet(self) -> None:
        """Wait until the worker is up."""
        try:
            self._receive(time.monotonic() + START)
        except (_Late, _Gone) as error:
            self.end()
            raise _no_worker(f"a worker ended at once ({self._how()})") from error

    def ask(self, task: bytes, seconds: float, following: bytes | None = None) -> Answer:
        """Return the answer to a task (JSON); end where that is not to be had within `seconds`.

        Parameters
        ----------
        task : bytes
        seconds : float
        following : bytes, optional
            The task that comes next: the worker begins it as soon as it is done with this one.

        Raises
        ------
        PixelError
            The worker's own, or ``crashed``, ``time_limit``.
        """
        self.asked += 1
        shared = next(self._turns)
        try:
            deadline = time.monotonic() + seconds
            if task is not self._begun:
                self._send(task, deadline)
            self._begun = following if following and len(following) < AHEAD else None
            if self._begun is not None:
                self._send(self._begun, deadline)
            answer = self._receive(deadline)
            if "error" in answer:
                code, message, remedy = answer["error"]
                error = PixelError(code, message, remedy=remedy)
            else:
                return Answer(answer["value"], shared.arrays(answer["arrays"]))
        except _Late:
            error = self._time_limit(seconds)
        except Exception:
            error = self._crashed()
        else:
            if error.code == "memory_limit":
                self.end()
        raise error from None

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return not self._closed and self.process.poll() is None

    def kill(self) -> None:
        """End the process at once; whoever waits for its answer is told that it died."""
        self.process.kill()

    def end(self) -> None:
        """End the process and give back all that it took."""
        if self._closed:
            return
        self.process.kill()
        # A process that waits for a dead network file system outlives even SIGKILL.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END)
        self._close()

    def forget(self) -> None:
        """Let go, in a child of `os.fork`, of a process that is the parent's."""
        self.process.returncode = 0  # else Popen would warn that it still runs
        if not self._closed:
            self._close()

    def _close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        for shared in self._shared:
            shared.close()
        self._closed = True

    def _time_limit(self, seconds: float) -> PixelError:
        self.end()
        return PixelError(
            "time_limit",
            f"decoding the file took longer than {seconds:g} s",
            remedy="check the file; if it is sound, split it",
        )

    def _crashed(self) -> PixelError:
        self.end()
        return PixelError(
            "crashed",
            f"decoding the file ended its process ({self._how()})",
            remedy="copy or export the file again; if many crash, see whether memory runs out",
        )

    def _how(self) -> str:
        status = self.process.returncode
        if status is None or status >= 0:
            return f"exit status {status}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
        return f"signal {-status}"

    def _send(self, message: bytes, deadline: float) -> None:
        view = memoryview(len(message).to_bytes(4, "little") + message)
        while view:
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                _wait(self._in, select.POLLOUT, deadline)

    def _receive(self, deadline: float) -> dict[str, Any]:
        count = int.from_bytes(self._take(4, deadline), "little")
        if count > MESSAGE_CAP:
            raise _Gone
        answer: dict[str, Any] = json.loads(self._take(count, deadline))
        return answer

    def _take(self, count: int, deadline: float) -> bytes:
        while len(self._read) < count:
            _wait(self._out, select.POLLIN, deadline)
            piece = os.read(self._out, PIPE)
            if not piece:
                raise _Gone
            self._read += piece
        taken = bytes(self._read[:count])
        del self._read[:count]
        return taken


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Wait for a pipe; poll, since select takes no descriptor above 1023."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise _Late


def _environment() -> dict[str, str]:
    """Return the worker's environment: one thread, and this very medimg."""
    kept = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    paths = [
        str(Path(path).absolute()) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path
    ]
    folder = str(Path(medimg.__file__).resolve().parents[1])
    if folder not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths.insert(0, folder)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, **KEEPING, "PYTHONPATH": os.pathsep.join(paths)}


def _no_worker(why: str) -> MedimgError:
    return MedimgError(
        f"the processes that decode DICOM cannot be started: {why}",
        remedy="free memory and processes, or set MEDIMG_WORKERS=1",
    )
