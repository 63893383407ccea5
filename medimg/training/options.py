"""Options of training, without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medimg.data.options import AugmentOptions, Options

Monitor = Literal["val_loss", "val_auroc", "val_accuracy"]
Rate = Annotated[float, Field(gt=0, lt=1e6)]


class FitOptions(Options):
    """How a network is trained."""

    epochs: Annotated[int, Field(ge=1)] = Field(20, description="at most so many")
    batch_size: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        128, description="cases a step; all: batch gradient descent"
    )
    loss: Literal["auto", "cross_entropy", "mse", "bce"] = Field(
        "auto", description="auto: cross-entropy, and bce for multi-label"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the target spread over all classes (cross-entropy)"
    )
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        "adam", description="sgd without momentum is plain gradient descent"
    )
    lr: Rate = Field(1e-3, description="learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="of sgd")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.0, description="L2 penalty; decoupled for adamw"
    )
    schedule: Literal["constant", "cosine", "step"] = Field(
        "constant", description="of the learning rate over the epochs"
    )
    warmup: Annotated[float, Field(ge=0)] = Field(
        0.0, description="epochs of linear rise of the learning rate"
    )
    steps: tuple[int, ...] = Field((), description="epochs after which step lowers the rate")
    step_factor: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="by this factor")
    class_weights: Literal["balanced"] | tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="balanced, or a number a class; logits are corrected for it"
    )
    sampler: Literal["natural", "weighted", "stratified"] = Field(
        "natural",
        description="weighted: classes alike; stratified: every batch has the training shares",
    )
    monitor: Monitor | None = Field(
        None, description="keep the epoch that is best on val; null: the last"
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="stop after so many epochs without a better one"
    )
    converge: Annotated[float, Field(gt=0)] | None = Field(
        None, description="stop when ten epochs lower the training loss by less than this share"
    )
    augment: AugmentOptions = AugmentOptions()

    @model_validator(mode="after")
    def _fits_together(self) -> FitOptions:
        if self.patience is not None and self.monitor is None:
            raise ValueError("patience needs monitor: val_loss, val_auroc or val_accuracy")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is for sgd, not for {self.optimizer}")
        if bool(self.steps) != (self.schedule == "step"):
            raise ValueError("steps and schedule: step go together")
        if self.label_smoothing and self.loss not in ("auto", "cross_entropy"):
            raise ValueError(f"label_smoothing is for cross_entropy, not for {self.loss}")
        if self.label_smoothing and (self.class_weights or self.sampler == "weighted"):
            raise ValueError(
                "label_smoothing does not go with class_weights or the weighted sampler: what "
                "they add to the logits could not be taken back"
            )
        return self
