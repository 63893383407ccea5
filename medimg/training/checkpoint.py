"""Checkpoints: a training's whole state, so that a killed run goes on to the same bits."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from medimg.errors import TrainingError
from medimg.files import write_bytes

State = dict[str, Any]

_SLOTS = ("state-1.pt", "state-2.pt")
#: The file's first bytes: the SHA-256, in hexadecimal digits, of all that follows.
_DIGEST = 64


class Checkpoint:
    """One folder with the two latest states of a training, written in turn.

    Each file begins with the SHA-256 of its rest: where the latest was damaged, the one before
    it is taken, and the training goes over the same steps again. After a training the latest is
    its last epoch's: ``load()["model"]`` are the last weights, where a bundle has the best.

    Attributes
    ----------
    loaded : dict
        Count and SHA-256 of the state that `load` returned; empty where it returned none.
    notes : list of str
        What `load` had to set aside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded: dict[str, Any] = {}
        self.notes: list[str] = []
        self._count = 0

    def save(self, state: State) -> None:
        """Write `state` (tensors and plain Python types) in place of the older one."""
        self._count += 1
        buffer = io.BytesIO()
        torch.save({"count": self._count, "state": state}, buffer)
        data = buffer.getbuffer()
        digest = hashlib.sha256(data).hexdigest().encode("ascii")
        write_bytes(self.folder / _SLOTS[self._count % 2], digest + data)

    def load(self) -> State | None:
        """Return the latest state that is whole, or None where there is none yet.

        Raises
        ------
        TrainingError
            There are states, and all of them are damaged.
        """
        for left in self.folder.glob(".state-*.tmp"):  # of a kill while one was written
            left.unlink(missing_ok=True)  # another process of the same training may be first
        files = [path for name in _SLOTS if (path := self.folder / name).is_file()]
        read = [_read(path) for path in files]
        damaged = [path for path, slot in zip(files, read, strict=True) if slot is None]
        whole = [slot for slot in read if slot is not None]
        if damaged and not whole:
            raise TrainingError(
                f"{', '.join(map(str, damaged))}: damaged (the SHA-256 is not the one noted)",
                remedy="start the run again with --overwrite",
            )
        self.notes += [f"{path} is damaged; went on from the other state" for path in damaged]
        if not whole:
            return None
        latest = max(whole, key=lambda slot: int(slot["count"]))
        # The next is written over the damaged one, or over the older of two that are whole.
        self._count = int(latest["count"])
        self.loaded = {"count": self._count, "sha256": latest["sha256"]}
        state: State = latest["state"]
        return state


def _read(path: Path) -> State | None:
    """Return what a slot holds, or None where a single bit of it is not as it was written."""
    data = path.read_bytes()
    digest = hashlib.sha256(memoryview(data)[_DIGEST:]).hexdigest()
    if digest.encode("ascii") != data[:_DIGEST]:
        return None
    slot: State = torch.load(
        io.BytesIO(memoryview(data)[_DIGEST:]), weights_only=True, map_location="cpu"
    )
    return slot | {"sha256": digest}
