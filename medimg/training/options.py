"""Options of training, without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medimg.data.augment.options import AugmentOptions
from medimg.data.options import Options

Monitor = Literal[
    "val_loss",
    "val_accuracy",
    "val_auroc",
    "val_balanced_accuracy",
    "val_average_precision",
    "val_f1",
    "val_kappa",
    "val_mcc",
    "val_brier",
]
Precision = Literal["auto", "float32", "bfloat16"]
Rate = Annotated[float, Field(gt=0, lt=1e6)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
From0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

#: Metrics of which the lowest value is the best.
LOWER_IS_BETTER = frozenset({"val_loss", "val_brier"})


class FitOptions(Options):
    """How a network is trained."""

    epochs: Count = Field(20, description="at most so many")
    batch_size: Count | Literal["all"] = Field(
        128, description="cases a step, over all processes; all: batch gradient descent"
    )
    accumulate: Count = Field(
        1, description="parts that a batch is taken in, one after the other, to save memory"
    )

    loss: Literal["auto", "cross_entropy", "mse", "bce", "focal", "asymmetric"] = Field(
        "auto", description="auto: cross-entropy, and bce for multi-label"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the target spread over all classes (cross-entropy)"
    )
    focal_gamma: From0 = Field(2.0, description="focal: how much less an easy case counts")
    asymmetric_gammas: tuple[From0, From0] = Field(
        (1.0, 4.0), description="asymmetric: the same for a present and for an absent label"
    )
    asymmetric_clip: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="asymmetric: an absent label below this probability counts nothing"
    )
    class_weights: Literal["balanced", "effective"] | tuple[Above0, ...] | None = Field(
        None,
        description="balanced (by counts), effective (by effective numbers), or a number a "
        "class; logits are corrected for it",
    )
    logit_adjustment: From0 = Field(
        0.0, description="share of the log prior that is added to the logits in the loss"
    )
    sampler: Literal["natural", "weighted", "stratified"] = Field(
        "natural",
        description="weighted: classes alike; stratified: every batch has the training shares",
    )

    optimizer: Literal["sgd", "adam", "adamw", "muon"] = Field(
        "adam",
        description="sgd without momentum is plain gradient descent; muon: for the hidden "
        "matrices, adamw for the rest",
    )
    lr: Rate = Field(1e-3, description="learning rate")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="of sgd")
    nesterov: bool = Field(False, description="momentum that looks ahead (sgd)")
    weight_decay: From0 = Field(0.0, description="L2 penalty; decoupled for adamw and muon")
    schedule: Literal["constant", "cosine", "step"] = Field(
        "constant", description="of the learning rate over the epochs"
    )
    warmup: From0 = Field(0.0, description="epochs of linear rise of the learning rate")
    steps: tuple[Count, ...] = Field((), description="epochs after which step lowers the rate")
    step_factor: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="by this factor")
    clip: Above0 | None = Field(None, description="largest norm of the gradient")
    average: Literal["ema", "swa"] | None = Field(
        None, description="ema: moving average of the weights; swa: mean of the last epochs' ends"
    )
    average_epochs: Above0 = Field(
        2.0, description="ema: its time constant; swa: the last so many epochs"
    )

    freeze: bool = Field(False, description="train the head alone")
    unfreeze_every: Above0 | None = Field(
        None, description="epochs after which one more stage joins the training, from the head on"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="learning rate of a stage as a share of the one above it"
    )

    monitor: Monitor | None = Field(
        None, description="keep the epoch that is best on val; null: the last"
    )
    patience: Count | None = Field(
        None, description="stop after so many epochs without a better one"
    )
    converge: Above0 | None = Field(
        None, description="stop when ten epochs lower the training loss by less than this share"
    )

    precision: Precision = Field(
        "auto", description="of the products in training; auto: bfloat16 where the machine has it"
    )
    threads: Literal["auto"] | Count = Field(
        "auto", description="of the CPU; auto: as many as are free"
    )
    checkpoint_seconds: From0 = Field(
        30.0,
        description="seconds between two checkpoints, beside the ends of epochs (of short ones "
        "not of each: writing takes a twentieth of the time at most) and that of the last",
    )
    checkpoint_steps: Count | None = Field(
        None, description="steps between two checkpoints, instead of seconds"
    )
    augment: AugmentOptions = AugmentOptions()

    @model_validator(mode="after")
    def _loss_fits(self) -> FitOptions:
        for name, loss in _OF_ONE_LOSS.items():
            value = getattr(self, name)
            if value != type(self).model_fields[name].default and self.loss != loss:
                raise ValueError(f"{name} is for loss: {loss}, not for {self.loss}")
        if self.label_smoothing and self.loss not in ("auto", "cross_entropy"):
            raise ValueError(f"label_smoothing is for cross_entropy, not for {self.loss}")
        if self.logit_adjustment and self.loss not in ("auto", "cross_entropy", "bce"):
            raise ValueError(f"logit_adjustment is for cross_entropy and bce, not for {self.loss}")
        if self.label_smoothing and (self.class_weights or self.sampler == "weighted"):
            raise ValueError(
                "label_smoothing does not go with class_weights or the weighted sampler: what "
                "they add to the logits could not be taken back"
            )
        return self

    @model_validator(mode="after")
    def _steps_fit(self) -> FitOptions:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is for sgd, not for {self.optimizer}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs optimizer: sgd and a momentum, such as .9")
        if bool(self.steps) != (self.schedule == "step"):
            raise ValueError("steps and schedule: step go together")
        if self.steps and max(self.steps) >= self.epochs:
            raise ValueError(f"steps: {max(self.steps)} is not below epochs: {self.epochs}")
        if self.average_epochs != 2.0 and self.average is None:
            raise ValueError("average_epochs needs average: ema or swa")
        if self.unfreeze_every is not None and not self.freeze:
            raise ValueError("unfreeze_every needs freeze: true")
        if self.unfreeze_every is not None and self.unfreeze_every >= self.epochs:
            raise ValueError(
                f"unfreeze_every: {self.unfreeze_every:g} is not below epochs: {self.epochs}, and "
                "nothing would join the head; leave it out to train the head alone"
            )
        if self.batch_size != "all" and self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate: {self.accumulate} parts of a batch of {self.batch_size}; give at "
                "most one part a case"
            )
        return self

    @model_validator(mode="after")
    def _stopping_fits(self) -> FitOptions:
        if self.patience is not None and self.monitor is None:
            raise ValueError("patience needs monitor: val_loss, val_auroc or another metric of val")
        for name in ("patience", "converge"):
            if self.average == "swa" and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} does not go with average: swa, the mean of the last epochs of all "
                    "that are asked for, which an early end never comes to; use ema"
                )
        return self


#: Options that one loss alone knows.
_OF_ONE_LOSS = {
    "focal_gamma": "focal",
    "asymmetric_gammas": "asymmetric",
    "asymmetric_clip": "asymmetric",
}
