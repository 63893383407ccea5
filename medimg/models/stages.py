"""A network's parameters in stages, from its input to its head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

#: Children of the built-in networks that hold stages, and are none themselves.
_TRUNKS = frozenset(
    {"features", "layers", "blocks", "_blocks", "trunk_output", "encoder"}
    | {"classifier", "class_layers", "heads"}
)


@dataclass
class Stage:
    """What is frozen, released or given a learning rate as one: a block, a layer and its norm.

    `names` are those of its modules, dotted; empty for parameters of a parent itself.
    """

    names: list[str] = field(default_factory=list)
    parameters: list[nn.Parameter] = field(default_factory=list)


def stages(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters of each stage, from the input to the head.

    The last stage is the head. Of a user's own module each child is one, in the order in which
    they were assigned.

    Returns
    -------
    list of list of Parameter
        Every parameter of the model once; no stage is empty.
    """
    return [stage.parameters for stage in named_stages(model)]


def named_stages(model: nn.Module) -> list[Stage]:
    """Return the stages with the names of their modules; see `stages`."""
    found: list[Stage] = []
    first = Stage()
    seen: set[int] = set()
    for name, parameters in _units(model, "", inside=hasattr(model, "medimg_spec")):
        new = [p for p in parameters if id(p) not in seen]
        seen.update(id(p) for p in new)
        # A normalization belongs to the layer before it, tokens and positions to the first.
        if name and any(p.ndim >= 2 for p in new):
            found.append(first if not found else Stage())
        stage = found[-1] if found else first
        stage.names += [name] if name and new else []
        stage.parameters += new
    return found or ([first] if first.parameters else [])


def _units(
    module: nn.Module, path: str, *, inside: bool
) -> Iterator[tuple[str, list[nn.Parameter]]]:
    """Yield the module's own parameters, without a name, then those of each child."""
    yield "", list(module.parameters(recurse=False))
    for name, child in module.named_children():
        if inside and name in _TRUNKS and any(child.children()):
            yield from _units(child, f"{path}{name}.", inside=True)
        else:
            yield path + name, list(child.parameters())
