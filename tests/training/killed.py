"""Trainings that are killed at random moments, in processes of their own, and gone on with.

``python killed.py FOLDER TRIALS``: prints one line a trial, ``same`` or ``other``, and where the
kill came. Each training is a fork, so that torch is imported once.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from medimg.data.augment.options import AugmentOptions
from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.models.build import build_model
from medimg.testing import make_npz
from medimg.training.checkpoint import Checkpoint
from medimg.training.fit import fit
from medimg.training.options import FitOptions

OPTIONS = FitOptions(
    epochs=6,
    batch_size=8,
    optimizer="adamw",
    lr=3e-3,
    schedule="cosine",
    warmup=0.5,
    sampler="stratified",
    average="ema",
    average_epochs=0.5,
    monitor="val_loss",
    checkpoint_seconds=0.05,
    threads=1,
    augment=AugmentOptions(flip_horizontal=True, rotate=10, noise=0.05, cutout=0.2, mixup=0.2),
)


def train(store: ImageStore, folder: Path) -> None:
    """Train or go on, and leave the hash of weights and predictions."""
    model = build_model("cnn", shape=store.shape, classes=3, seed=0, widths=(4, 8), dropout=0.2)
    bundle, _ = fit(model, store, OPTIONS, seed=3, checkpoint=Checkpoint(folder))
    digest = hashlib.sha256()
    for name, tensor in bundle.model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    digest.update(bundle.predict(store).scores.tobytes())
    (folder / "sha256").write_text(digest.hexdigest())


def forked(store: ImageStore, folder: Path, seconds: float | None = None) -> str | None:
    """Train in a fork, killed after so many seconds; return the hash that it left."""
    child = os.fork()
    if not child:
        try:
            train(store, folder)
        finally:
            os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    path = folder / "sha256"
    return path.read_text() if path.is_file() else None


def main(root: Path, trials: int) -> None:
    torch.set_num_threads(1)
    path = make_npz(root / "x.npz", n={"train": 90, "val": 30, "test": 30}, classes=3)
    store = ImageStore.build(index(path), Preprocess(), root / "store")
    for name in ("first", "whole"):  # the first imports what the forks then have at hand
        start = time.monotonic()
        (root / name).mkdir()
        train(store, root / name)
        lasts = time.monotonic() - start
    whole = (root / "whole" / "sha256").read_text()
    moments = random.Random(0)
    for trial in range(trials):
        folder = root / str(trial)
        folder.mkdir()
        seconds = moments.uniform(0, lasts)
        forked(store, folder, seconds)
        reached = Checkpoint(folder).load()
        same = forked(store, folder) == whole
        place = "nowhere" if reached is None else f"{reached['epoch']}.{reached['place']}"
        sys.stdout.write(f"{'same' if same else 'other'} {place}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
