"""The built-in networks by name, without torch."""

from __future__ import annotations

from fnmatch import fnmatchcase

#: Written here: `medimg.models.mlp`, `cnn` and `resnet`.
OWN = ("mlp", "cnn", "resnet18", "resnet34", "resnet50")

#: torchvision's classification networks, as `torchvision.models.list_models` has them; a test
#: holds the two against each other. Importing torchvision for its names would cost seconds.
TORCHVISION = (
    "alexnet",
    *(f"convnext_{size}" for size in ("tiny", "small", "base", "large")),
    *(f"densenet{depth}" for depth in (121, 161, 169, 201)),
    *(f"efficientnet_b{number}" for number in range(8)),
    *(f"efficientnet_v2_{size}" for size in ("s", "m", "l")),
    "googlenet",
    "inception_v3",
    "maxvit_t",
    *(f"mnasnet{width}" for width in ("0_5", "0_75", "1_0", "1_3")),
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    *(
        f"regnet_{kind}_{size}"
        for kind in ("x", "y")
        for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")
    ),
    "regnet_y_128gf",
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    "squeezenet1_0",
    "squeezenet1_1",
    *(f"swin_{size}" for size in ("t", "s", "b")),
    *(f"swin_v2_{size}" for size in ("t", "s", "b")),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    *(f"vit_{size}" for size in ("b_16", "b_32", "l_16", "l_32", "h_14")),
    "wide_resnet50_2",
    "wide_resnet101_2",
)

#: MONAI's, in 2D and 3D.
MONAI = (
    *(f"densenet{depth}" for depth in (121, 169, 201, 264)),
    *(f"efficientnet-b{number}" for number in range(9)),
    *(f"resnet{depth}" for depth in (10, 18, 34, 50, 101, 152, 200)),
    "senet154",
    *(f"seresnet{depth}" for depth in (50, 101, 152)),
    *(f"seresnext{depth}" for depth in (50, 101)),
    "vit",
)

#: Every name that `build_model` takes.
NAMES = (*OWN, *(f"torchvision/{name}" for name in TORCHVISION), *(f"monai/{n}" for n in MONAI))


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the built-in networks that match `pattern`.

    Parameters
    ----------
    pattern : str
        As in a shell: ``*`` is any run of characters, ``?`` one.

    Examples
    --------
    >>> list_models("resnet*")
    ['resnet18', 'resnet34', 'resnet50']
    """
    return [name for name in NAMES if fnmatchcase(name, pattern)]
