"""`build_model`: a built-in network by name, initialized from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from medimg.errors import UsageError
from medimg.models.cnn import cnn
from medimg.models.layers import initialize
from medimg.models.mlp import mlp
from medimg.models.options import model_options

#: Name -> function `(shape, classes, options) -> nn.Module`.
MODELS: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "cnn": cnn}


@dataclass(frozen=True)
class ModelSpec:
    """How to build a network again: what a bundle keeps beside the weights.

    `name` is ``"custom"`` for a module of the user's own.
    """

    name: str
    shape: tuple[int, ...]
    classes: int
    options: dict[str, Any]


def build_model(
    name: str, *, shape: Sequence[int], classes: int, seed: int = 0, **options: Any
) -> nn.Module:
    """Return a new network; torch's global random state is left as it was.

    Parameters
    ----------
    name : {"mlp", "cnn"}
    shape : sequence of int
        (C, [D,] H, W) of one case.
    classes : int
        K.
    seed : int
        The same seed gives the same weights.
    **options
        Fields of `medimg.models.options.MLPOptions` or `CNNOptions`.

    Raises
    ------
    UsageError
        An unknown name or option, or one output for other than two classes.
    """
    try:
        checked = model_options(name, options)
    except (ValidationError, ValueError) as error:
        raise UsageError(f"model {name!r}: {error}", remedy="correct the option") from error
    if checked.outputs == "one" and classes != 2:
        raise UsageError(
            f"model.outputs: one, with {classes} classes",
            remedy="one output is for two classes; use outputs: classes",
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = MODELS[name](tuple(shape), classes, checked)
        initialize(model, checked.init)
    model.medimg_spec = ModelSpec(name, tuple(shape), classes, checked.model_dump(mode="json"))  # type: ignore[assignment]
    return model


def spec_of(model: nn.Module, shape: Sequence[int], classes: int) -> ModelSpec:
    """Return the spec of a network that `build_model` made, or ``"custom"``."""
    spec = getattr(model, "medimg_spec", None)
    return spec if isinstance(spec, ModelSpec) else ModelSpec("custom", tuple(shape), classes, {})
