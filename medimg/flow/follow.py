"""What the processes of a world but the first do in a run: they train in step, and write nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medimg.config import RunConfig
from medimg.data.manifest import Manifest
from medimg.data.parts import stores_of
from medimg.data.store import ImageStore
from medimg.files import ERRORS_CSV
from medimg.flow.opening import find_source, open_store
from medimg.flow.steps import train
from medimg.tables import read_table
from medimg.training.distributed import World


def follow(config: RunConfig, out: Path, *, near: Sequence[Path], folds: int = 0) -> None:
    """Train with the process that runs `medimg.recipe.run` or `medimg.crossval.run_folds`.

    Parameters
    ----------
    out : path
        The run folder, which all processes have to see: config, manifest and, at a resume,
        checkpoint are read from it.
    folds : int
        How many; 0 for one split.

    For the others see `medimg.recipe.run`.

    Raises
    ------
    TrainingError
        The first process has ended, whatever for: its own message says it.
    """
    world = World.current()
    world.barrier()  # until folder and store are there
    store = _open(config, out, near)
    for number, part in enumerate(stores_of(store), start=1):
        train(config, part, out / f"fold-{number}" if folds else out)
    world.leave()


def _open(config: RunConfig, out: Path, near: Sequence[Path]) -> ImageStore:
    """Open the store that the first process has made; cases that it could not read are let be."""
    manifest = Manifest.load(out / "manifest.csv")
    refused = read_table(out / ERRORS_CSV)["case_id"]
    manifest = manifest.take(~np.isin(manifest.case_id, refused))
    return open_store(config, manifest, find_source(config, near))
