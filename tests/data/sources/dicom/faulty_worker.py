"""A worker of faults: run by the tests of the pool in place of the real one."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from medimg.data.sources.dicom.worker import Result, main
from medimg.errors import PixelError

DONE = 0


def echo(task: dict[str, Any]) -> Result:
    return {"said": task["say"], "pid": os.getpid()}, {}


def arrays(task: dict[str, Any]) -> Result:
    return {}, {
        "grid": np.arange(12, dtype=np.uint16).reshape(3, 4).T,
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.float32),
        "mask": np.array([True, False]),
        "big_endian": np.array([1, 2], ">i4"),
        "large": np.full(task["large"], 7, np.uint8),
        "last": np.array([-1], np.int16),
    }


def seen(task: dict[str, Any]) -> Result:
    value = {"environment": dict(os.environ), "modules": sorted(sys.modules)}
    return {**value, "cwd": str(Path.cwd())}, {}


def segfault(task: dict[str, Any]) -> Result:
    ctypes.string_at(0)
    return {}, {}


def abort(task: dict[str, Any]) -> Result:
    os.abort()


def leave(task: dict[str, Any]) -> Result:
    os._exit(0)


def nap(task: dict[str, Any]) -> Result:
    time.sleep(task["seconds_of"])
    return {}, {}


def hang(task: dict[str, Any]) -> Result:
    time.sleep(1000)
    return {}, {}


def hang_in_c(task: dict[str, Any]) -> Result:
    """Hang with Python's lock held, as a decoder does."""
    ctypes.PyDLL(None).sleep(1000)
    return {}, {}


def allocate(task: dict[str, Any]) -> Result:
    return {"length": len(bytearray(task["bytes"]))}, {}


def raise_(task: dict[str, Any]) -> Result:
    text = "Doe^Jane 19700101"
    kinds: dict[str, type[BaseException]] = {
        kind.__name__: kind
        for kind in (ValueError, RecursionError, SystemExit, KeyboardInterrupt, ImportError)
    }
    if task["kind"] == "PixelError":
        raise PixelError("frames", "the file holds 3 frames", remedy="name one")
    raise kinds[task["kind"]](text)


def not_json(task: dict[str, Any]) -> Result:
    return {"value": object()}, {}


def chatter(task: dict[str, Any]) -> Result:
    print("a line of a library", flush=True)
    os.write(1, b"\xff" * 4096)
    os.write(2, b"Doe^Jane")
    return {"stdin": os.read(0, 10).decode()}, {}


def second_time_dies(task: dict[str, Any]) -> Result:
    global DONE
    DONE += 1
    if DONE > 1:
        os.abort()
    return {"pid": os.getpid()}, {}


if __name__ == "__main__":
    main(
        {
            operation.__name__: operation
            for operation in (
                *(echo, arrays, seen, segfault, abort, leave, hang, hang_in_c, allocate),
                *(nap, raise_, not_json, chatter, second_time_dies),
            )
        }
    )
