"""`Pool`: supervised worker processes that decode DICOM; one that dies costs one task.

Not `multiprocessing`, which runs the user's script again, nor a `ProcessPoolExecutor`, which is
broken for good once one of its processes dies. Each worker has a thread that hands it one task
after the other, and where many wait the next one ahead, waits for the answer as long as the
limit allows, and replaces it where it must.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Any, NamedTuple

from medimg.data.sources.dicom.process import PROGRAM, Answer, Worker
from medimg.errors import MedimgError, PixelError, UsageError

__all__ = ["Answer", "Pool", "shared_pool", "usable_workers"]

#: More workers than this outrun any disk.
MOST_WORKERS = 16
#: Seconds to wait before each further attempt to start a worker: the machine may be busy.
_ATTEMPTS = (0.1, 1.0, 3.0)


class _Job(NamedTuple):
    future: Future[Answer]
    task: bytes
    seconds: float


class Pool:
    """Worker processes, started when they are first needed.

    Parameters
    ----------
    workers : int, optional
        How many at most; by default ``MEDIMG_WORKERS``, or the cores that may be used.
    seconds : float
        The time limit of one task.
    memory : int
        Bytes of address space of one worker; not enforced on macOS, which knows no such limit.
    program : sequence of str
        What the interpreter runs as a worker.

    Attributes
    ----------
    deaths : int
        How many workers died or had to be ended so far.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        seconds: float = 60.0,
        memory: int = 4 << 30,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.workers = usable_workers() if workers is None else workers
        if self.workers < 1:
            raise UsageError(f"{workers} workers", remedy="give 1 or more")
        self.seconds, self.memory, self.program = seconds, memory, tuple(program)
        self.deaths = 0
        self._reset()
        _POOLS.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._running: set[Worker] = set()
        self._closed = False

    def submit(self, task: dict[str, Any], *, seconds: float | None = None) -> Future[Answer]:
        """Queue a task; never waits.

        Parameters
        ----------
        task : dict
            ``op`` names one of `worker.OPS`, the rest is what that takes; as JSON holds it.
        seconds : float, optional
            The time limit of this task, where it reads many files.

        Returns
        -------
        Future of Answer
            Raises the task's `PixelError`; `MedimgError` where no worker can be started; and
            `CancelledError` where the pool was closed before the task was done.
        """
        seconds = self.seconds if seconds is None else seconds
        message = json.dumps({**task, "seconds": seconds}).encode()
        job = _Job(Future(), message, seconds)
        with self._lock:
            if self._closed:
                raise RuntimeError("this pool of workers is closed")
            self._jobs.put(job)
            if len(self._threads) < self.workers and not self._idle.acquire(blocking=False):
                self._add_thread()
        return job.future

    def close(self) -> None:
        """End all workers; tasks that are not done are cancelled."""
        left: list[_Job] = []
        with self._lock:
            self._closed = True
            with contextlib.suppress(queue.Empty):
                while (job := self._jobs.get_nowait()) is not None:
                    left.append(job)
            for _ in self._threads:
                self._jobs.put(None)
            for worker in self._running:
                worker.kill()
        for job in left:
            job.future.cancel()
            job.future.set_running_or_notify_cancel()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self._supervise, name="medimg-dicom", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise MedimgError(
                    "no thread can be started to supervise the decoding of DICOM",
                    remedy="free memory and processes",
                ) from error
            return
        self._threads.append(thread)

    def _supervise(self) -> None:
        """Do jobs until there is a None, with one worker at a time."""
        worker: Worker | None = None
        job: _Job | None = None
        while (job := job or self._next()) is not None:
            following = None
            if job.future.running() or job.future.set_running_or_notify_cancel():
                following = self._following()
                worker = self._do(job, worker, following)
            job = following  # not the last one: it holds the pixels, and the next may be far
        self._drop(worker)

    def _next(self) -> _Job | None:
        with contextlib.suppress(queue.Empty):
            return self._jobs.get_nowait()
        self._idle.release()
        return self._jobs.get()

    def _following(self) -> _Job | None:
        """Return a job to be begun before the current one is settled.

        Only where that takes none from a worker that has nothing to do.
        """
        if self._jobs.qsize() < self.workers:
            return None
        with contextlib.suppress(queue.Empty):
            job = self._jobs.get_nowait()
            if job is None:
                self._jobs.put(None)
            elif job.future.set_running_or_notify_cancel():
                return job
        return None

    def _do(self, job: _Job, worker: Worker | None, following: _Job | None) -> Worker | None:
        """Settle one job; return the worker, where it lives."""
        ahead = None if following is None else following.task
        while True:
            try:
                if self._closed:
                    raise CancelledError
                if worker is None or not worker.alive:
                    self._drop(worker)
                    worker = None
                    worker = self._living()
                answer = worker.ask(job.task, job.seconds, ahead)
            except BaseException as error:
                again = worker is not None and self._once_more(worker, error)
                if worker is not None and not worker.alive:
                    self._drop(worker)
                    worker = None
                if again:
                    continue
                job.future.set_exception(CancelledError() if self._closed else error)
            else:
                job.future.set_result(answer)
            return worker

    def _once_more(self, worker: Worker, error: BaseException) -> bool:
        """Whether what a former task left behind may be to blame for the end of a worker.

        A file that ends a used worker is tried again in a fresh one, and judged by that alone,
        so that no outcome hangs on the order of the files.
        """
        ended = isinstance(error, PixelError) and error.code in ("crashed", "memory_limit")
        return ended and worker.asked > 1 and not worker.alive and not self._closed

    def _living(self) -> Worker:
        """Return a new worker, after several attempts if need be."""
        for pause in _ATTEMPTS:
            with contextlib.suppress(MedimgError):
                return self._started()
            if self._closed:
                break
            time.sleep(pause)
        return self._started()

    def _started(self) -> Worker:
        worker = Worker(self.program, self.memory)
        with self._lock:
            self._running.add(worker)
            if self._closed:
                worker.kill()
        try:
            worker.greet()
        except BaseException:
            self._drop(worker)
            raise
        return worker

    def _drop(self, worker: Worker | None) -> None:
        if worker is None:
            return
        with self._lock:
            self._running.discard(worker)
            self.deaths += not self._closed
        worker.end()

    def _forget(self) -> None:
        """In a child of `os.fork`: the workers and their threads are the parent's."""
        for worker in self._running:
            worker.forget()
        self._reset()


def usable_workers() -> int:
    """Return ``MEDIMG_WORKERS``, or the number of cores that this process may use, up to 16."""
    named = os.environ.get("MEDIMG_WORKERS")
    if named:
        if not (named.isascii() and named.isdigit() and 0 < int(named) <= 1024):
            raise UsageError(
                f"MEDIMG_WORKERS is {named!r}", remedy="set it to a number of processes, as 4"
            )
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    return min(os.cpu_count() or 1, MOST_WORKERS)


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()
_SHARED: list[Pool] = []
_SHARED_LOCK = threading.Lock()


def shared_pool() -> Pool:
    """Return the pool of this process, made when it is first asked for."""
    with _SHARED_LOCK:
        if not _SHARED or _SHARED[0]._closed:
            _SHARED[:] = [Pool()]
        return _SHARED[0]


def _close_all() -> None:
    for pool in list(_POOLS):
        pool.close()


def _after_fork() -> None:
    global _SHARED_LOCK
    _SHARED_LOCK = threading.Lock()
    for pool in list(_POOLS):
        pool._forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
