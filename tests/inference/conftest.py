"""A network of random weights as a bundle, and folders of small pictures to predict with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg.data.preprocess import Preprocess
from medimg.inference.bundle import ModelBundle
from medimg.labels import LabelSpace
from medimg.models.build import build_model, spec_of

AN_HOUR = 3600.0


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., ModelBundle]:
    """A bundle for pictures of ``side`` x ``side``; 512 makes batches of 16, 1024 of 4."""

    def make(side: int = 512, seed: int = 0) -> ModelBundle:
        shape = (1, side, side)
        model = build_model("mlp", shape=shape, classes=3, seed=seed, hidden=(4,))
        return ModelBundle(
            model=model.eval(),
            spec=spec_of(model, shape, 3),
            preprocess=Preprocess(size=(side, side), channels=1, bits=8, units="stored"),
            mean=(0.4,),
            std=(0.3,),
            space=LabelSpace(("a", "b", "c")),
            logit_shift=(0.0, 0.5, 0.0),
        )

    return make


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """Writes pictures of noise by name into a folder, last changed an hour ago."""

    def write(folder: Path, names: Sequence[str], *, seed: int = 0, age: float = AN_HOUR) -> Path:
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([seed, number]).integers(0, 256, (12, 12), np.uint8)
            Image.fromarray(noise).save(path, "PNG")
            os.utime(path, (time.time() - age,) * 2)
        return folder

    return write
