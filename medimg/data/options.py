"""Options of the data half: small, frozen, without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Options(BaseModel):
    """The manners of every options model: frozen, keyword-only, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class IndexOptions(Options):
    """How a source is turned into a manifest."""

    labels: str | None = Field(None, description="table of labels beside a folder of images")
    path: str | None = Field(None, description="column of the image paths (found where plain)")
    label: tuple[str, ...] = Field((), description="column of the label; several: multi-label")
    patient_id: str | None = Field(None, description="column of the patient (found where plain)")
    split: str | None = Field(None, description="column of the split (found where plain)")
    kind: Literal["multiclass", "multilabel", "ordinal"] | None = Field(
        None, description="how the classes relate; ordinal from the lowest to the highest"
    )
    classes: tuple[str, ...] = Field((), description="class names, in order")
    positive: str | None = Field(None, description="the target condition, for two classes")
    separator: str | None = Field(None, description="what joins several labels in one cell")
    uncertain: Literal["unknown", "positive", "negative"] | None = Field(
        None, description="what -1 means in a multi-label table; refused until it is said"
    )
    blank: Literal["unknown", "negative"] | None = Field(
        None, description="what a blank label means; refused until it is said"
    )


class SplitOptions(Options):
    """Shares by patient of the splits that the source does not bring."""

    train: Positive = Field(0.7, description="share of the patients that is learnt from")
    val: Share = Field(0.1, description="share that picks the epoch")
    calib: Share = Field(0.1, description="share that fits the calibrator; 0: none is fitted")
    test: Share = Field(0.1, description="share that is scored, once")


class AugmentOptions(Options):
    """Random changes of a training batch; nothing is on by default."""

    flip_horizontal: bool = Field(False, description="mirror left and right, half of the cases")
    flip_vertical: bool = Field(False, description="mirror top and bottom, half of the cases")
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="up to +- degrees")
    scale: Share = Field(0.0, description="up to +- this share")
    shift: Share = Field(0.0, description="up to +- this share")
    brightness: Share = Field(0.0, description="added, +- this")
    contrast: Share = Field(0.0, description="gain, 1 +- this")
    cutout: Share = Field(0.0, description="side of a blank square")

    @property
    def on(self) -> bool:
        """Whether anything is changed at all."""
        return any(bool(value) for value in self.model_dump().values())
