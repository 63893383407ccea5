"""Options of the built-in networks, without torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from medimg.errors import nearest

Width = Annotated[int, Field(ge=1, le=65536)]
Share = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal[
    "relu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "identity"
]


class ModelOptions(BaseModel):
    """What every built-in network takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    activation: Activation = "relu"
    dropout: Share = Field(0.0, description="share of units left out in training")
    init: str = Field("default", description="default, zeros, xavier, he or normal(STD)")
    outputs: Literal["classes", "one"] = Field(
        "classes", description="one: a single output z for two classes, taken as logits (0, z)"
    )

    @field_validator("init")
    @classmethod
    def _known_init(cls, value: str) -> str:
        parse_init(value)
        return value


class MLPOptions(ModelOptions):
    """Fully connected layers; `hidden` holds the width of each hidden one."""

    hidden: tuple[Width, ...] = Field((128,), description="width of each hidden layer")


class CNNOptions(ModelOptions):
    """Blocks of convolution (3 a side), batch normalization and activation.

    The picture is halved between widths; one linear layer is fed with its mean, or, flattened,
    with every place.
    """

    widths: Annotated[tuple[Width, ...], Field(min_length=1)] = (32, 64, 128)
    convolutions: Annotated[int, Field(ge=1, le=4)] = Field(1, description="at each width")
    head: Literal["mean", "flatten"] = Field(
        "mean", description="mean: where does not matter; flatten: it does, as in centred objects"
    )


#: Name -> options: what a config may ask for.
OPTIONS: dict[str, type[ModelOptions]] = {"mlp": MLPOptions, "cnn": CNNOptions}


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


def model_options(name: str, options: dict[str, Any]) -> ModelOptions:
    """Return the checked options of the network `name`."""
    if name not in OPTIONS:
        raise ValueError(f"model {name!r} is unknown{nearest(name, OPTIONS)}; {', '.join(OPTIONS)}")
    return OPTIONS[name].model_validate(options)
