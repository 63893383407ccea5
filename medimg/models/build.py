"""`build_model`: a built-in network by name, initialized from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from medimg.errors import UsageError
from medimg.labels import LabelSpace
from medimg.models.backbone import backbone
from medimg.models.cnn import cnn
from medimg.models.layers import initialize
from medimg.models.mlp import mlp
from medimg.models.names import OWN
from medimg.models.options import OwnOptions, model_options
from medimg.models.published import load_weights
from medimg.models.resnet import DEPTHS, resnet

#: Name -> function `(shape, classes, options) -> nn.Module`; `backbone` makes the rest.
MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "cnn": cnn,
    **{name: partial(resnet, name) for name in DEPTHS},
}


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
    name : str
        One of `medimg.list_models`: ``"mlp"``, ``"cnn"``, ``"resnet18"``, or one of
        torchvision's or MONAI's, such as ``"torchvision/convnext_tiny"``.
    shape : sequence of int
        (C, [D,] H, W) of one case.
    classes : int
        K.
    seed : int
        The same seed gives the same weights.
    **options
        Fields of the network's class in `medimg.models.options`.

    Raises
    ------
    UsageError
        An unknown name or option, one output for other than two classes, a shape that the
        network does not take, or weights that do not fit it.
    SourceNotFound
        A file of weights that is not there, or published ones that cannot be fetched.

    Examples
    --------
    >>> model = build_model("resnet18", shape=(1, 28, 28), classes=2)
    >>> model(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 2])
    """
    try:
        checked = model_options(name, options)
    except (ValidationError, ValueError) as error:
        raise UsageError(f"model {name!r}: {error}", remedy="correct the option") from error
    _require_outputs(checked.outputs, classes)
    make = MODELS[name] if name in OWN else partial(backbone, name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = make(tuple(shape), classes, checked)
        if isinstance(checked, OwnOptions):
            initialize(model, checked.init)
    # A bundle brings its own weights: it must not need these again, nor fetch them.
    again = checked.model_dump(mode="json") | {"weights": None}
    model.medimg_spec = ModelSpec(name, tuple(shape), classes, again)  # type: ignore[assignment]
    if checked.weights is not None:
        load_weights(model, name, tuple(shape), checked.weights)
    return model


def _require_outputs(outputs: str, classes: int) -> None:
    if outputs == "one" and classes != 2:
        raise UsageError(
            f"model.outputs: one, with {classes} classes",
            remedy="one output is for two classes; use outputs: classes",
        )
    if outputs == "cumulative" and classes < 2:
        raise UsageError(
            f"model.outputs: cumulative, with {classes} classes",
            remedy="it is for two or more ordered classes; use outputs: classes",
        )


def require_space(model: nn.Module, space: LabelSpace) -> None:
    """Raise `UsageError` where a network's outputs mean nothing in a label space."""
    spec = getattr(model, "medimg_spec", None)
    outputs = spec.options.get("outputs") if isinstance(spec, ModelSpec) else None
    if outputs == "cumulative" and space.kind != "ordinal":
        raise UsageError(
            f"model.outputs: cumulative, with {space.kind} labels, which have no order",
            remedy="say kind: ordinal where they have one, or use outputs: classes",
        )
    if outputs == "one" and not space.exclusive:
        raise UsageError(
            "model.outputs: one, with labels that do not exclude each other",
            remedy="use outputs: classes, one for each label",
        )


def spec_of(model: nn.Module, shape: Sequence[int], classes: int) -> ModelSpec:
    """Return the spec of a network that `build_model` made, or ``"custom"``."""
    spec = getattr(model, "medimg_spec", None)
    return spec if isinstance(spec, ModelSpec) else ModelSpec("custom", tuple(shape), classes, {})
