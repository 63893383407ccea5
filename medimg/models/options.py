"""Options of the built-in networks, without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from medimg.errors import nearest
from medimg.models.names import NAMES

Width = Annotated[int, Field(ge=1, le=65536)]
Share = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal[
    "relu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "identity"
]


class ModelOptions(BaseModel):
    """What every built-in network takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    dropout: Share = Field(0.0, description="share of units left out in training")
    outputs: Literal["classes", "one", "cumulative"] = Field(
        "classes",
        description="one: a single output z for two classes, taken as logits (0, z); cumulative: "
        "proportional odds for ordered classes, one output and K - 1 cut points",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description="where the weights begin, but those of the head: a .safetensors or .pt file, "
        "or default for what torchvision or MONAI publishes (fetched once); null: at random",
    )


class OwnOptions(ModelOptions):
    """What the networks take that are written here."""

    activation: Activation = "relu"
    init: str = Field("default", description="default, zeros, xavier, he or normal(STD)")

    @field_validator("init")
    @classmethod
    def _known_init(cls, value: str) -> str:
        parse_init(value)
        return value


class MLPOptions(OwnOptions):
    """Fully connected layers; `hidden` holds the width of each hidden one."""

    hidden: tuple[Width, ...] = Field((128,), description="width of each hidden layer")
    norm: Literal["none", "batch", "layer"] = Field(
        "none", description="normalization between each hidden layer and its activation"
    )


class CNNOptions(OwnOptions):
    """Blocks of convolution (3 a side), batch normalization and activation.

    The picture is halved between widths; one linear layer is fed with its mean, or, flattened,
    with every place.
    """

    widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (32, 64, 128)
    convolutions: Annotated[int, Field(ge=1, le=4)] = Field(1, description="at each width")
    head: Literal["mean", "flatten"] = Field(
        "mean", description="mean: where does not matter; flatten: it does, as in centred objects"
    )


class ResNetOptions(OwnOptions):
    """Residual networks; `dropout` stands before the head."""

    stem: Literal["auto", "small", "usual"] = Field(
        "auto",
        description="small: 3 a side, stride 1, no pooling; usual: 7 a side, stride 2, then "
        "pooling; auto: small for sides up to 64 (volumes: 32)",
    )


class BackboneOptions(ModelOptions):
    """Networks of torchvision and MONAI; `dropout` stands before the head, beside their own."""


#: Name, or the names of a library -> options: what a config may ask for.
OPTIONS: dict[str, type[ModelOptions]] = {
    "mlp": MLPOptions,
    "cnn": CNNOptions,
    "resnet18": ResNetOptions,
    "resnet34": ResNetOptions,
    "resnet50": ResNetOptions,
    "torchvision/*": BackboneOptions,
    "monai/*": BackboneOptions,
}


def parse_init(text: str) -> tuple[str, float]:
    """Return the scheme and, for ``normal(STD)``, its standard deviation.

    Raises
    ------
    ValueError
        An unknown scheme, or a STD that is no number of at least 0.
    """
    if text in ("default", "zeros", "xavier", "he"):
        return text, 0.0
    if text.startswith("normal(") and text.endswith(")"):
        std = float(text[len("normal(") : -1])
        if 0 <= std < float("inf"):
            return "normal", std
    known = ("default", "zeros", "xavier", "he", "normal(0.01)")
    raise ValueError(f"init {text!r} is unknown{nearest(text, known)}; one of {', '.join(known)}")


def family(name: str) -> str:
    """Return the key that `OPTIONS` has for a network: its name, or ``"torchvision/*"``."""
    library, slash, _ = name.rpartition("/")
    return f"{library}/*" if slash else name


def model_options(name: str, options: dict[str, Any]) -> ModelOptions:
    """Return the checked options of the network `name`.

    Raises
    ------
    ValueError
        An unknown name, or an option that it has not.
    """
    if name not in NAMES:
        raise ValueError(
            f"model {name!r} is unknown{nearest(name, NAMES)}; {', '.join(OPTIONS)} "
            "(all of them: medimg.list_models())"
        )
    return OPTIONS[family(name)].model_validate(options)
