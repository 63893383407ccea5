"""The classification networks of torchvision and MONAI, which are imported when asked for.

B batch, C channels, K classes.
"""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from medimg.errors import UsageError
from medimg.models.layers import head_layers
from medimg.models.options import BackboneOptions
from medimg.models.weights import IMAGENET, Statistics

#: Sides tried, in this order, to say what a network would take.
_SIDES = (8, 16, 24, 28, 32, 48, 64, 80, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)
#: Most and fewest pixels a side of a patch of MONAI's vision transformer.
_PATCH = (16, 2)

#: Where MONAI takes its weights from; those of DenseNet are torchvision's.
_MEDICALNET = (
    "https://huggingface.co/TencentMedicalNet/MedicalNet-Resnet{0}/resolve/main/resnet_{0}{1}.pth"
)
_DENSENET = "https://download.pytorch.org/models/densenet{}.pth"
_DENSENETS = {"121": "121-a639ec97", "169": "169-b2777c0a", "201": "201-c1103571"}


def backbone(
    name: str, shape: tuple[int, ...], classes: int, options: BackboneOptions
) -> nn.Module:
    """Return the network `name` from (B, C, [D,] H, W) to logits (B, K), its weights at random.

    Raises
    ------
    UsageError
        Volumes for torchvision, or a side that the network does not take.
    """
    if name.startswith("torchvision/") and len(shape) != 3:
        raise UsageError(
            f"model {name} is for images, and a case here is {_size(shape)}",
            remedy="use resnet18, cnn or one of medimg.list_models('monai/*'), which take volumes",
        )
    require_takes(name, shape)
    return _build(name, shape, classes, options)


def require_takes(name: str, shape: tuple[int, ...]) -> None:
    """Raise `UsageError` where a network cannot take cases of a shape (C, [D,] H, W).

    Found out by building it and running it without memory or arithmetic (torch's device meta).
    """
    if (reason := _refusal(name, shape)) is None:
        return
    dimensions = len(shape) - 1
    side = next((s for s in _SIDES if _refusal(name, (shape[0], *[s] * dimensions)) is None), None)
    size = f"preprocess.size: [{', '.join([str(side)] * dimensions)}], or " if side else ""
    raise UsageError(
        f"model {name} does not take cases of {_size(shape)}: {reason}",
        remedy=f"set {size}use a network for small pictures, such as resnet18 or cnn",
    )


def _refusal(name: str, shape: tuple[int, ...]) -> str | None:
    """Return why a network does not take a shape, None where it does."""
    try:
        with torch.device("meta"), torch.no_grad():
            model = _build(name, shape, 2, BackboneOptions()).eval()
            model(torch.empty(2, *shape))
    except NotImplementedError:
        # RegNet computes its widths with tensors, which hold nothing there; it takes any size.
        return None
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return None


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[1:]))


def _build(name: str, shape: tuple[int, ...], classes: int, options: BackboneOptions) -> nn.Module:
    library, _, kind = name.partition("/")
    model = _torchvision(kind, shape) if library == "torchvision" else _monai(kind, shape)
    _replace_head(model, classes, options)
    return model


def _torchvision(kind: str, shape: tuple[int, ...]) -> nn.Module:
    from torchvision import models

    extra: dict[str, Any] = {}
    if kind in ("googlenet", "inception_v3"):
        # transform_input is the normalization, which the bundle brings.
        extra = {"aux_logits": False, "transform_input": False, "init_weights": True}
    elif kind.startswith("vit_"):
        extra = {"image_size": shape[-1]}
    elif kind == "maxvit_t":
        extra = {"input_size": shape[1:]}
    model: Any = models.get_model(kind, weights=None, **extra)
    if kind.startswith("squeezenet"):
        # Its own head is a convolution with relu behind: logits that cannot be negative, and
        # that stop learning where all are 0.
        pool, flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        model.classifier = nn.Sequential(nn.Dropout(0.5), pool, flatten, nn.Linear(512, 1))
    elif kind.startswith("mnasnet"):
        # The same layers and names, without a loader that asks for a version number, which
        # safetensors do not keep.
        parts: dict[str, nn.Module] = {"layers": model.layers, "avgpool": nn.AdaptiveAvgPool2d(1)}
        parts |= {"flatten": nn.Flatten(), "classifier": model.classifier}
        model = nn.Sequential(OrderedDict(parts))
    _set_channels(model, shape[0])
    network: nn.Module = model
    return network


def _set_channels(model: nn.Module, channels: int) -> None:
    """Have the first convolution take other channels, with a response of the same spread."""
    name, old = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    if old.in_channels == channels:
        return
    same: Any = {k: getattr(old, k) for k in ("out_channels", "kernel_size", "stride", "padding")}
    new = nn.Conv2d(channels, **same, bias=old.bias is not None)
    with torch.no_grad():
        scale = old.weight.std() * math.sqrt(old.in_channels / channels)
        new.weight.normal_().mul_(scale)
        if new.bias is not None and old.bias is not None:
            new.bias.copy_(old.bias)
    model.set_submodule(name, new)


def _monai(kind: str, shape: tuple[int, ...]) -> nn.Module:
    nets = _nets()
    dimensions, channels = len(shape) - 1, shape[0]
    if kind == "vit":
        return _vit(shape)
    if kind.startswith("efficientnet"):
        model = nets.EfficientNetBN(
            kind, pretrained=False, spatial_dims=dimensions, in_channels=channels
        )
    elif kind.startswith("densenet"):
        make = getattr(nets, kind.replace("densenet", "DenseNet"))
        model = make(spatial_dims=dimensions, in_channels=channels, out_channels=1)
    elif kind.startswith("resnet"):
        # Without biases, as MedicalNet's weights: a normalization behind takes them away again.
        model = getattr(nets, kind)(
            spatial_dims=dimensions, n_input_channels=channels, bias_downsample=False
        )
    else:
        make = getattr(nets, kind)
        model = make(spatial_dims=dimensions, in_channels=channels, num_classes=1)
    found: nn.Module = model
    return found


def _nets() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what importing it finds old in other packages
        from monai.networks import nets
    return nets


def _vit(shape: tuple[int, ...]) -> nn.Module:
    sides = shape[1:]
    most, fewest = _PATCH
    common = math.gcd(*sides)
    fits = [p for p in range(most, fewest - 1, -1) if common % p == 0 and 4 * p <= min(sides)]
    if not fits:
        raise ValueError(f"no patch of {fewest} to {most} a side divides it into 4 or more")
    model = _nets().ViT(
        in_channels=shape[0],
        img_size=sides,
        patch_size=(fits[0],) * len(sides),
        classification=True,
        num_classes=1,
        spatial_dims=len(sides),
        post_activation="none",
    )
    for block in model.blocks:
        # Built by MONAI and never used: without gradients they would stop a training on several
        # processes, and travel in each bundle.
        block.norm_cross_attn = block.cross_attn = nn.Identity()
    model.register_forward_hook(_first)
    network: nn.Module = model
    return network


def _first(module: nn.Module, inputs: Any, output: tuple[Tensor, list[Tensor]]) -> Tensor:
    """Return the logits without the hidden states that stand beside them."""
    return output[0]


def _replace_head(model: nn.Module, classes: int, options: BackboneOptions) -> None:
    """Put a head for `classes` in the place of the last linear layer."""
    *_, (name, old) = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear))
    layers = head_layers(old.in_features, classes, options)
    model.set_submodule(name, layers[0] if len(layers) == 1 else nn.Sequential(*layers))


def library_weights(name: str, dimensions: int) -> tuple[str, Statistics | None]:
    """Return the address of a network's published weights, "" for none, and their statistics.

    torchvision's and, in 2D, MONAI's are of ImageNet; MONAI's 3D ResNets have those of
    MedicalNet (Chen et al., 2019), trained on volumes each normalized by itself.
    """
    library, _, kind = name.rpartition("/")
    if library == "torchvision":
        return _torchvision_weights(kind)
    if library == "monai":
        return _monai_weights(kind, dimensions)
    return "", None


def _torchvision_weights(kind: str) -> tuple[str, Statistics]:
    from torchvision import models

    weights = models.get_model_weights(kind).DEFAULT
    if kind in ("googlenet", "inception_v3"):
        # Trained elsewhere, with pixels from -1 to 1; torchvision's transforms are taken back
        # inside its own network (transform_input).
        return weights.url, Statistics((0.5,) * 3, (0.5,) * 3)
    given = weights.transforms()
    return weights.url, Statistics(tuple(given.mean), tuple(given.std))


def _monai_weights(kind: str, dimensions: int) -> tuple[str, Statistics | None]:
    if kind.startswith("resnet") and dimensions == 3:
        depth = kind.removeprefix("resnet")
        return _MEDICALNET.format(depth, "_23dataset" if int(depth) <= 50 else ""), None
    if dimensions != 2:
        return "", None
    published = {f"densenet{depth}": _DENSENET.format(end) for depth, end in _DENSENETS.items()}
    published |= {k: url for k, url in _nets().efficientnet.url_map.items() if k.startswith("eff")}
    for key, url in _nets().senet.SE_NET_MODELS.items():
        published[key.replace("_", "").removesuffix("32x4d")] = url
    url = published.get(kind, "")
    return url, IMAGENET if url else None
