"""Memory that a worker and its supervisor share: arrays one after the other, and where they lie."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What both sides keep mapped, three times as fast as reading and writing it; what lies beyond
#: is read, and given back at once.
WINDOW = 64 << 20
#: glibc keeps the pages of freed arrays only below these sizes, else each new array faults its
#: pages in again, which takes ten times as long as filling them. A worker is told the sizes; a
#: supervisor, whose environment is the user's, frees one array of the first size.
KEPT = 31 << 20
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(KEPT), "MALLOC_TRIM_THRESHOLD_": str(2 * KEPT)}


class Shared:
    """The supervisor's side.

    Attributes
    ----------
    descriptor : int
        For the worker to inherit; -1 once closed.
    """

    def __init__(self) -> None:
        self.descriptor = _nameless()
        os.ftruncate(self.descriptor, WINDOW)
        self._window = mmap.mmap(self.descriptor, WINDOW)

    def close(self) -> None:
        """Give it back."""
        if self.descriptor >= 0:
            self._window.close()
            os.close(self.descriptor)
            self.descriptor = -1

    def arrays(self, places: Sequence[Sequence[Any]]) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays of an answer.

        Raises
        ------
        ValueError
            They do not lie within what is there.
        """
        there = os.fstat(self.descriptor).st_size
        arrays = {place[0]: self._array(there, *place[1:]) for place in places}
        if there > WINDOW:
            os.ftruncate(self.descriptor, WINDOW)
        return arrays

    def _array(self, there: int, dtype: str, shape: Sequence[int], offset: int) -> NDArray[Any]:
        if np.dtype(dtype).hasobject or min(shape, default=0) < 0:
            raise ValueError("no array of numbers")
        count = np.dtype(dtype).itemsize
        for length in shape:
            count *= length
        if offset < 0 or offset + count > there:
            raise ValueError("an array that lies outside")
        array = np.empty(shape, dtype)
        view = array.reshape(-1).view(np.uint8).data
        if offset + count <= WINDOW:
            view[:] = memoryview(self._window)[offset : offset + count]
            return array
        while view:
            read = os.preadv(self.descriptor, [view], offset)
            view, offset = view[read:], offset + read
        return array


def share(
    arrays: Mapping[str, NDArray[Any]], descriptor: int, window: mmap.mmap
) -> list[list[Any]]:
    """Write arrays one after the other; return the name, type, shape and offset of each."""
    places: list[list[Any]] = []
    offset = 0
    for name, array in arrays.items():
        places.append([name, array.dtype.str, array.shape, offset])
        view = np.asarray(array, order="C").reshape(-1).view(np.uint8).data
        end = offset + len(view)
        if end <= len(window):
            memoryview(window)[offset:end] = view
        else:
            _write(descriptor, view, offset)
        offset = end
    return places


def _write(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _nameless() -> int:
    """Return the descriptor of memory that has no name and vanishes with its last user."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("medimg", os.MFD_CLOEXEC)
    descriptor, name = tempfile.mkstemp(prefix="medimg-")
    Path(name).unlink()
    return descriptor
