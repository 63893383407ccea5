"""Options of the evaluation: small, frozen, without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ByPatient = Literal["none", "mean_logits", "mean_probability", "max_probability"]
ConformalMethod = Literal["none", "auto", "lac", "aps", "raps", "risk"]
Share = Annotated[float, Field(gt=0, lt=1)]


class EvaluateOptions(BaseModel):
    """What `evaluate` computes and how it resamples."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    resamples: int = Field(2000, ge=100, le=100_000, description="bootstrap resamples of patients")
    seed: int = Field(0, ge=0, description="seed of the resampling")
    subgroups: tuple[str, ...] = Field(
        (), description="columns of metadata whose groups to compare"
    )
    by_patient: ByPatient = Field(
        "mean_logits", description="one score a patient beside the images: none, mean_logits, ..."
    )
    operating_points: tuple[str, ...] = Field(
        ("youden",),
        description="thresholds chosen on calib: youden, sensitivity=.95, specificity=.9, cost=5",
    )
    conformal: ConformalMethod = Field(
        "auto",
        description="prediction sets: none, auto (lac, or risk for several labels), aps, raps",
    )
    conformal_by: tuple[str, ...] = Field(
        ("all", "class"), description="one threshold for all, for each class, or by a column"
    )
    alpha: float = Field(0.1, gt=0, lt=0.5, description="share of sets that may miss the truth")
    prevalences: tuple[Share, ...] = Field(
        (), description="other prevalences for which PPV and NPV are restated"
    )
