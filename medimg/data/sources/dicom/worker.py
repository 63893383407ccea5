"""The worker process: takes tasks from a pipe, decodes, answers through shared memory.

Run as ``python -m medimg.data.sources.dicom.worker SHARED SHARED MEMORY`` by `pool.Pool` alone.
Messages in both directions are a length (4 bytes, little endian) and as much JSON. Arrays are
written to the two descriptors SHARED in turn; the answer says where. Whatever goes wrong here
goes out as a code and a sentence that holds no value of a header.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medimg.data.sources.dicom.shared import share
from medimg.errors import PixelError

#: What a task becomes: values that JSON holds, and arrays.
Result = tuple[dict[str, Any], dict[str, NDArray[Any]]]
Operation = Callable[[dict[str, Any]], Result]
#: Seconds after the supervisor's limit at which a worker ends itself: its supervisor is dead.
GRACE = 5.0
_AGAIN = "copy or export the file again"


def _headers(task: dict[str, Any]) -> Result:
    from medimg.data.sources.dicom.headers.batch import headers

    return headers(task)


def _dicomdir(task: dict[str, Any]) -> Result:
    from medimg.data.sources.dicom.headers.batch import dicomdir

    return dicomdir(task)


def _image(task: dict[str, Any]) -> Result:
    from medimg.data.options import DicomPixels
    from medimg.data.sources.dicom.opening import read_bytes
    from medimg.data.sources.dicom.pixels.read import read_image

    data = read_bytes(task["path"], task["member"], task["root"])
    return _packed(read_image(data, task["frame"], DicomPixels(**task["options"])))


def _volume(task: dict[str, Any]) -> Result:
    from medimg.data.options import DicomPixels
    from medimg.data.sources.dicom.opening import read_bytes
    from medimg.data.sources.dicom.volume.assemble import read_volume

    files = [partial(read_bytes, path, member, task["root"]) for path, member in task["files"]]
    return _packed(read_volume(files, DicomPixels(**task["options"])))


def _packed(pixels: Any) -> Result:
    """Return `Pixels` as `reader.pixels_of` takes them."""
    value = {
        "low": pixels.low,
        "high": pixels.high,
        "units": pixels.units,
        "spacing_mm": pixels.spacing_mm,
        "steps": pixels.steps,
    }
    arrays = {"array": pixels.array, "valid": pixels.valid, "affine": pixels.affine}
    return value, {name: array for name, array in arrays.items() if array is not None}


#: The name of a task -> what does it.
OPS: dict[str, Operation] = {
    "headers": _headers,
    "dicomdir": _dicomdir,
    "image": _image,
    "volume": _volume,
}


def main(ops: Mapping[str, Operation] = OPS) -> None:
    """Answer tasks until the pipe ends; never returns."""
    *shared, memory = map(int, sys.argv[1:])
    turns = cycle([(descriptor, mmap.mmap(descriptor, 0)) for descriptor in shared])
    tasks, answers = _own_pipes()
    _limit(memory)
    _silence()
    with contextlib.suppress(BrokenPipeError):
        _send(answers, b"{}")
        while (message := _receive(tasks)) is not None:
            _send(answers, _answer(ops, message, *next(turns)))
    # Finalising the interpreter with decoders loaded is slow, and may itself hang.
    os._exit(0)


def _own_pipes() -> tuple[int, int]:
    """Move the pipes off 0 and 1, so that what a library prints cannot end up between answers."""
    tasks, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
    return tasks, answers


def _limit(memory: int) -> None:
    """Bound what a task can take; macOS knows no limit of the address space."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        with contextlib.suppress(OSError):
            # Where the machine itself runs out of memory, let it end this and not the supervisor.
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _silence() -> None:
    """pydicom's warnings and log lines quote headers."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def _receive(descriptor: int) -> bytes | None:
    """Return one message, or None where the pipe has ended."""
    head = _read(descriptor, 4)
    return None if head is None else _read(descriptor, int.from_bytes(head, "little"))


def _read(descriptor: int, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        piece = os.read(descriptor, count - len(data))
        if not piece:
            return None
        data += piece
    return data


def _send(descriptor: int, message: bytes) -> None:
    view = memoryview(len(message).to_bytes(4, "little") + message)
    while view:
        view = view[os.write(descriptor, view) :]


def _answer(ops: Mapping[str, Operation], message: bytes, shared: int, window: mmap.mmap) -> bytes:
    """Return the answer to one task, whatever happens short of the process's death."""
    task = json.loads(message)
    # Ends a hang in a decoder even where nobody is left to do it.
    signal.setitimer(signal.ITIMER_REAL, task["seconds"] + GRACE)
    try:
        value, arrays = ops[task["op"]](task)
        return json.dumps({"value": value, "arrays": share(arrays, shared, window)}).encode()
    except BaseException as error:
        failure = _failure(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return json.dumps({"error": [failure.code, failure.message, failure.remedy]}).encode()


def _failure(error: BaseException) -> PixelError:
    """Return what is told of an error: of a foreign one its class alone, no text of a header."""
    name = type(error).__name__
    if isinstance(error, PixelError):
        return error
    if isinstance(error, MemoryError):
        return PixelError(
            "memory_limit",
            "decoding the file wants more memory than a worker may have",
            remedy="check the file; if it is sound, split it",
        )
    if isinstance(error, ImportError):
        return PixelError(
            "unsupported",
            f"a library that the file needs cannot be loaded ({name})",
            remedy="install medimg again, with all it depends on",
        )
    return PixelError("corrupt", f"the file is damaged ({name})", remedy=_AGAIN)


if __name__ == "__main__":
    main()
