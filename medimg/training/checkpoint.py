"""Checkpoints: a training's whole state, so that a killed run goes on to the same bits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from medimg.errors import TrainingError
from medimg.files import sha256_file, write_bytes, write_text

_STATE, _SUM = "state.pt", "state.sha256"


class Checkpoint:
    """One folder with the latest state of a training.

    The checksum's file names the state file of its generation, so that a kill between the two
    writes leaves the former pair in force.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any], generation: int) -> None:
        """Write `state` (tensors and plain Python types), then make it the current one."""
        path = self.folder / f"{generation}-{_STATE}"
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())
        write_text(self.folder / _SUM, f"{sha256_file(path)}  {path.name}\n")
        for old in self.folder.glob(f"*-{_STATE}"):
            if old != path:
                old.unlink()

    def load(self) -> dict[str, Any] | None:
        """Return the current state, or None where there is none yet.

        Raises
        ------
        TrainingError
            The state does not have the checksum that was written for it.
        """
        marker = self.folder / _SUM
        if not marker.is_file():
            return None
        stated, _, name = marker.read_text(encoding="ascii").strip().partition("  ")
        path = self.folder / name
        if not path.is_file() or sha256_file(path) != stated:
            raise TrainingError(
                f"{path} is missing or damaged (its SHA-256 is not the one noted)",
                remedy="start the run again with --overwrite",
            )
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return state
