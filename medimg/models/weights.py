"""Weights from elsewhere: read, given the shape that a network wants, and put into it.

O outputs, I inputs, C channels.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from medimg.errors import SourceNotFound, UsageError
from medimg.models.stages import named_stages

State = dict[str, Tensor]

#: Outputs beside the head, for training alone: never built here.
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
#: Under what training scripts put the weights inside a file.
_INSIDE = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class Statistics:
    """The normalization that weights were trained with: of pixels in [0, 1], a channel each."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def of(self, channels: int) -> Statistics:
        """Return them for other channels: the mean of all for one, else repeated."""
        if channels == len(self.mean):
            return self
        if channels == 1:
            n = len(self.mean)
            return Statistics((sum(self.mean) / n,), (sum(self.std) / n,))
        places = [i % len(self.mean) for i in range(channels)]
        return Statistics(tuple(self.mean[i] for i in places), tuple(self.std[i] for i in places))


IMAGENET = Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def pretrained_statistics(
    model: nn.Module,
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and std (C,) that a network's published weights want, in shares of the range.

    None for weights at random, from a file that is not a published one, or trained without
    fixed numbers.
    """
    found = getattr(model, "medimg_statistics", None)
    return (found.mean, found.std) if isinstance(found, Statistics) else None


def read_weights(path: Path) -> State:
    """Return the weights of a file by name; no code of it is run.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or what `torch.save` made of a state dict, bare or under
        ``state_dict``, ``model_state_dict`` or ``model``.

    Raises
    ------
    SourceNotFound, UsageError
        No such file; or one that holds something else than weights.
    """
    if not path.is_file():
        raise SourceNotFound(f"model.weights: there is no file {path}", remedy="correct the path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise _no_weights(path, str(error).partition("\n")[0]) from error
    except Exception as error:  # safetensors raises a class of its own, which it does not export
        raise _no_weights(path, str(error)) from error
    return named_tensors(state, path)


def named_tensors(state: object, source: object) -> State:
    """Return the tensors of a loaded file, without its wrapping and ``module.`` prefixes."""
    for key in _INSIDE:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state:
        raise _no_weights(source, "no mapping of names to tensors")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _no_weights(source, f"{name!r} is no tensor")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _no_weights(source: object, reason: str) -> UsageError:
    return UsageError(
        f"model.weights: {source} cannot be read as weights: {reason}",
        remedy="give a .safetensors file, or torch.save(model.state_dict(), 'weights.pt')",
    )


def transfer(model: nn.Module, state: State, source: object) -> None:
    """Put all weights but those of the head into `model`.

    A first layer for other channels is adapted: see `adapt_channels`.

    Raises
    ------
    UsageError
        A weight that the network lacks, or the file, or one of another shape; named.
    """
    own = model.state_dict()
    head = tuple(f"{name}." for name in named_stages(model)[-1].names)
    wanted = {name for name in own if not name.startswith(head)}
    given = {
        name: weight
        for name, weight in state.items()
        if not name.startswith((*head, *_AUXILIARY))
        # Where the head here is a layer with something behind, there it may be a layer alone.
        and not any(h.startswith(f"{name.rpartition('.')[0]}.") for h in head)
    }
    # Old files lack the counter of batch normalization, which nothing here reads.
    missing = {n for n in wanted - set(given) if not n.endswith("num_batches_tracked")}
    unknown = set(given) - wanted
    if missing or unknown:
        lacks = [f"{len(n)} {what}, {min(n)} among them" for n, what in _sets(missing, unknown)]
        raise _misfit(source, "; ".join(lacks))
    first = _first_layer(model)
    for name, weight in given.items():
        if name == first:
            weight = adapt_channels(weight, own[name].shape[1])
        if weight.squeeze().shape != own[name].squeeze().shape:
            sizes = f"{name} is {tuple(weight.shape)} there and {tuple(own[name].shape)} here"
            raise _misfit(source, sizes)
        own[name] = weight.reshape(own[name].shape)
    model.load_state_dict(own)


def _sets(missing: set[str], unknown: set[str]) -> list[tuple[set[str], str]]:
    both = [(missing, "weights of the network are not there"), (unknown, "are not the network's")]
    return [pair for pair in both if pair[0]]


def _misfit(source: object, reason: str) -> UsageError:
    return UsageError(
        f"model.weights: {source} does not fit the network: {reason}",
        remedy="give the weights of this very network, built with the same options",
    )


def _first_layer(model: nn.Module) -> str:
    """Return the name of the weight of the first convolution, "" where there is none."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            return f"{name}.weight"
    return ""


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Return a first layer's weight (O, I, ...) for C channels, (O, C, ...).

    Summed over the inputs for one channel: what a grey picture in all of them would give.
    Repeated for more, and scaled by I / C, so that the response to a picture that is alike in
    all channels stays the same for C a multiple of I, and nearly so for others.
    """
    inputs = weight.shape[1]
    if channels == inputs:
        return weight
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, [i % inputs for i in range(channels)]] * (inputs / channels)
