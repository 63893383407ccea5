"""One worker process as its supervisor sees it: start it, ask it within a time, end it."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import medimg
from medimg.errors import MedimgError, PixelError

#: How a worker is run, after the interpreter's name.
PROGRAM = ("-m", "medimg.data.sources.dicom.worker")
#: Seconds in which a worker is up, on a slow network file system too, or gone once killed.
START, END = 120.0, 10.0
#: An answer of more JSON than this comes from a worker that has lost its mind.
MESSAGE_CAP = 256 << 20
#: Shared memory that both sides keep mapped, three times as fast as reading and writing it;
#: what lies beyond is read, and given back at once.
WINDOW = 64 << 20
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
        self.shared = _shared_memory()
        self._window = mmap.mmap(self.shared, WINDOW)
        arguments = ["-P", "-W", "ignore", *program, str(self.shared), str(memory)]
        try:
            self.process = subprocess.Popen(
                [sys.executable or "python3", *arguments],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                pass_fds=(self.shared,),
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor
            )
        except OSError as error:
            self._window.close()
            os.close(self.shared)
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

    def ask(self, task: bytes, seconds: float) -> Answer:
        """Return the answer to a task (JSON); end where that is not to be had within `seconds`.

        Raises
        ------
        PixelError
            The worker's own, or ``crashed``, ``time_limit``.
        """
        self.asked += 1
        try:
            deadline = time.monotonic() + seconds
            self._send(task, deadline)
            answer = self._receive(deadline)
            if "error" in answer:
                code, message, remedy = answer["error"]
                error = PixelError(code, message, remedy=remedy)
            else:
                return Answer(answer["value"], self._arrays(answer["arrays"]))
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
        return self.shared >= 0 and self.process.poll() is None

    def kill(self) -> None:
        """End the process at once; whoever waits for its answer is told that it died."""
        self.process.kill()

    def end(self) -> None:
        """End the process and give back all that it took."""
        if self.shared < 0:
            return
        self.process.kill()
        # A process that waits for a dead network file system outlives even SIGKILL.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END)
        self._close()

    def forget(self) -> None:
        """Let go, in a child of `os.fork`, of a process that is the parent's."""
        self.process.returncode = 0  # else Popen would warn that it still runs
        if self.shared >= 0:
            self._close()

    def _close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self._window.close()
        os.close(self.shared)
        self.shared = -1

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
            _wait(self._in, select.POLLOUT, deadline)
            view = view[os.write(self._in, view) :]

    def _receive(self, deadline: float) -> dict[str, Any]:
        count = int.from_bytes(self._read(4, deadline), "little")
        if count > MESSAGE_CAP:
            raise _Gone
        answer: dict[str, Any] = json.loads(self._read(count, deadline))
        return answer

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            _wait(self._out, select.POLLIN, deadline)
            piece = os.read(self._out, count - len(data))
            if not piece:
                raise _Gone
            data += piece
        return bytes(data)

    def _arrays(self, places: list[Any]) -> dict[str, NDArray[Any]]:
        arrays = {place[0]: self._array(*place[1:]) for place in places}
        if os.fstat(self.shared).st_size > WINDOW:
            os.ftruncate(self.shared, WINDOW)
        return arrays

    def _array(self, dtype: str, shape: list[int], offset: int) -> NDArray[Any]:
        """Return a copy of an array in shared memory; it must lie within what is there."""
        there = os.fstat(self.shared).st_size
        if np.dtype(dtype).hasobject or min(shape, default=0) < 0:
            raise _Gone
        count = np.dtype(dtype).itemsize
        for length in shape:
            count *= length
        if offset < 0 or offset + count > there:
            raise _Gone
        array = np.empty(shape, dtype)
        view = array.reshape(-1).view(np.uint8).data
        if offset + count <= WINDOW:
            view[:] = memoryview(self._window)[offset : offset + count]
            return array
        while view:
            read = os.preadv(self.shared, [view], offset)
            view, offset = view[read:], offset + read
        return array


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Wait for a pipe; poll, since select takes no descriptor above 1023."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise _Late


def _shared_memory() -> int:
    """Return the descriptor of memory that has no name and vanishes with its last user."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("medimg", os.MFD_CLOEXEC)
    else:
        descriptor, name = tempfile.mkstemp(prefix="medimg-")
        Path(name).unlink()
    os.ftruncate(descriptor, WINDOW)
    return descriptor


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
    return {**kept, **threads, "PYTHONPATH": os.pathsep.join(paths)}


def _no_worker(why: str) -> MedimgError:
    return MedimgError(
        f"the processes that decode DICOM cannot be started: {why}",
        remedy="free memory and processes, or set MEDIMG_WORKERS=1",
    )
