"""Options of augmentation, without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medimg.data.options import Options, Share

Degrees = Annotated[float, Field(ge=0, le=180)]
Slant = Annotated[float, Field(ge=0, le=60)]
#: A cubic B-spline grid of four intervals a side cannot fold below .4 of an interval
#: (Choi and Lee, Injectivity conditions of 2D and 3D uniform cubic B-spline functions, 2000).
Bend = Annotated[float, Field(ge=0, le=0.1)]
Amount = Annotated[float, Field(ge=0, le=10)]
Chance = Annotated[float, Field(gt=0, le=1)]


class AugmentOptions(Options):
    """Random changes of a training batch; nothing is on by default.

    Where the picture ends, the lowest stored value begins. Sides are those of the picture.
    """

    flip_horizontal: bool = Field(False, description="mirror left and right, half of the cases")
    flip_vertical: bool = Field(False, description="mirror top and bottom, half of the cases")
    flip_depth: bool = Field(False, description="mirror first and last slice, half of the cases")
    rotate: Degrees = Field(0.0, description="up to +- degrees, within the slice")
    scale: Share = Field(0.0, description="up to +- this share")
    shift: Share = Field(0.0, description="up to +- this share of the side")
    shear: Slant = Field(0.0, description="slant of the columns, up to +- degrees")
    elastic: Bend = Field(
        0.0, description="smooth random bending, up to +- this share of the side (at most .1)"
    )
    crop: Share = Field(
        0.0, description="cut out a part whose sides are shorter by up to this share, and enlarge"
    )
    blur: Amount = Field(0.0, description="Gaussian, up to this standard deviation in pixels")
    gamma: Amount = Field(0.0, description="exponent from 1 / (1 + this) to 1 + this")
    contrast: Share = Field(0.0, description="gain, 1 +- this")
    brightness: Share = Field(0.0, description="added, +- this share of the stored range")
    noise: Share = Field(
        0.0, description="Gaussian, up to this standard deviation as a share of the stored range"
    )
    cutout: Share = Field(0.0, description="side of a blank square")
    mixup: Amount = Field(
        0.0, description="alpha of mixup: two cases and their targets are blended; 0: off"
    )
    cutmix: Amount = Field(
        0.0, description="alpha of CutMix: a box comes from another case; with mixup: by turns"
    )
    share: Chance | Literal["rare"] = Field(
        1.0,
        description="share of the cases that is changed; rare: of each class 1 - its cases / "
        "those of the commonest class; the change itself can then tell the class",
    )

    @model_validator(mode="after")
    def _rare_fits(self) -> AugmentOptions:
        if self.share == "rare" and (self.mixup or self.cutmix):
            raise ValueError(
                "share: rare does not go with mixup or cutmix: rare cases would be mixed with common "
                "ones and not the other way round, and the probabilities would be too low for them"
            )
        return self

    @property
    def on(self) -> bool:
        """Whether anything is changed at all."""
        return any(bool(value) for value in self.model_dump(exclude={"share"}).values())
