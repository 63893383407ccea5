"""Options of the evaluation: small, frozen, without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EvaluateOptions(BaseModel):
    """How `evaluate` resamples."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    resamples: int = Field(2000, ge=100, description="bootstrap resamples of the patients")
    seed: int = Field(0, ge=0, description="seed of the resampling")
