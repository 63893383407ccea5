"""The weights that torchvision, MONAI and MedicalNet publish: fetched, and named as here."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from medimg.errors import SourceNotFound, UsageError
from medimg.models.backbone import library_weights
from medimg.models.weights import State, named_tensors, read_weights, transfer

#: Network -> (pattern, replacement): from names in old files to those of the modules.
_RENAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "torchvision/densenet": ((r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),),
    # The head there is a convolution; see `medimg.models.backbone`.
    "torchvision/squeezenet": ((r"^classifier\.1\.", "classifier.3."),),
    "monai/densenet": (
        (r"(denselayer\d+)\.(norm|conv)\.?([12]\.)", r"\1.layers.\2\3"),
        (r"^classifier\.", "class_layers.out."),
    ),
    "monai/se": (
        (r"^(layer[1-4]\.\d+)\.conv(\d)\.", r"\1.conv\2.conv."),
        (r"^(layer[1-4]\.\d+)\.bn(\d)\.", r"\1.conv\2.adn.N."),
        (r"^(layer[1-4]\.\d+)\.se_module\.fc1\.", r"\1.se_layer.fc.0."),
        (r"^(layer[1-4]\.\d+)\.se_module\.fc2\.", r"\1.se_layer.fc.2."),
        (r"^(layer[1-4]\.\d+)\.downsample\.0\.", r"\1.project.conv."),
        (r"^(layer[1-4]\.\d+)\.downsample\.1\.", r"\1.project.adn.N."),
    ),
}


def load_weights(model: nn.Module, name: str, shape: tuple[int, ...], weights: str) -> None:
    """Put weights from a file, or the published ones (``"default"``), into a new network.

    All but those of its head. What `pretrained_statistics` tells is set where the weights are
    published ones, fetched or as a file of the same name.

    Raises
    ------
    SourceNotFound
        There is no such file, or the published ones cannot be fetched.
    UsageError
        The network has no published weights, or the file's do not fit it.
    """
    url, statistics = library_weights(name, len(shape) - 1)
    if weights == "default":
        if not url:
            raise UsageError(
                f"model.weights: default, and nobody publishes weights of {name} for "
                f"{'volumes' if len(shape) == 4 else 'images'}",
                remedy="give a file, or weights: null; medimg.list_models('torchvision/*') have "
                "some for images, 'monai/resnet*' for volumes",
            )
        state = named_tensors(_fetch(url, name), url)
    else:
        path = Path(weights).expanduser()
        state = read_weights(path)
        if path.name != Path(url).name:
            statistics = None
    transfer(model, renamed(state, name, model), weights if weights != "default" else url)
    if statistics is not None:
        model.medimg_statistics = statistics.of(shape[0])  # type: ignore[assignment]


def _fetch(url: str, name: str) -> object:
    """Return what an address holds, from torch's cache where it was fetched before."""
    try:
        return torch.hub.load_state_dict_from_url(
            url,
            map_location="cpu",
            progress=sys.stderr.isatty(),
            check_hash=_hashed(url),
            weights_only=True,
        )
    except (OSError, RuntimeError) as error:
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        raise SourceNotFound(
            f"the weights of {name} could not be fetched from {url}: {error}",
            remedy=f"connect to the network, or put the file into {cache}, or give its path as "
            "model.weights",
        ) from error


def _hashed(url: str) -> bool:
    """Whether a file's name ends with the start of its SHA-256, as torch.hub wants it."""
    return re.search(r"-[0-9a-f]{8,}\.", url) is not None


def renamed(state: State, name: str, model: nn.Module) -> State:
    """Return the weights under the names of the network's own modules."""
    for start, rules in _RENAMES.items():
        if name.startswith(start):
            for pattern, replacement in rules:
                state = {re.sub(pattern, replacement, n): w for n, w in state.items()}
    own = model.state_dict()
    if name.startswith("monai/efficientnet"):
        # MONAI counts the blocks through all stages, as the files do, and names the stage too.
        flat = {re.sub(r"^_blocks\.\d+\.(\d+\.)", r"_blocks.\1", n): n for n in own}
        state = {flat.get(n, n): w for n, w in state.items()}
    if name.startswith("monai/resnet"):
        state = {**_plain_shortcuts(own, state), **state}
    place = "encoder.pos_embedding"
    if place in state and place in own:
        state = {**state, place: _resized(state[place], own[place].shape[1])}
    return state


def _plain_shortcuts(own: State, state: State) -> State:
    """Return shortcuts for a file that has none, as MedicalNet's ResNet-18 and 34.

    There a shortcut leaves places out and pads new channels with zeros. As weights, the same:
    a convolution that is the identity, and a normalization that takes nothing off.
    """
    if any(".downsample." in name for name in state):
        return {}
    plain: State = {}
    for name, weight in own.items():
        if ".downsample.0." in name:
            plain[name] = torch.zeros_like(weight)
            plain[name][: weight.shape[1]].flatten(1).fill_diagonal_(1)
        elif name.endswith(".downsample.1.weight"):
            plain[name] = torch.full_like(weight, (1 + 1e-5) ** 0.5)
        elif ".downsample.1." in name:
            plain[name] = weight.clone()
    return plain


def _resized(positions: Tensor, length: int) -> Tensor:
    """Return a vision transformer's positions (1, 1 + S S, F) for another number of patches."""
    if positions.shape[1] == length:
        return positions
    token, grid = positions[:, :1], positions[:, 1:]
    old, new = (round((n - 1) ** 0.5) for n in (positions.shape[1], length))
    square = grid.transpose(1, 2).reshape(1, -1, old, old)
    sized = nn.functional.interpolate(square, (new, new), mode="bicubic", align_corners=True)
    return torch.cat([token, sized.flatten(2).transpose(1, 2)], dim=1)
