"""`Estimate`: a number never leaves the evaluation alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Unit = Literal["patient", "case"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number with its 95% interval.

    Parameters
    ----------
    value : float or None
        The number; None where it is not defined (`reason` says why).
    low, high : float or None
        The ends of the 95% interval; None where no interval is honest (`reason` says why).
    n : int
        Cases that the number rests on.
    n_patients : int or None
        Patients that they are of; None where no patient ids came.
    method : str
        How the interval was made, such as ``"wilson"``, ``"bootstrap"`` or ``"none"``.
    unit : {"patient", "case"}
        What was taken as independent.
    reason : str, optional
        Why a value or an interval is missing.
    expected : float, optional
        What the value would be on average under the null hypothesis: perfect calibration for a
        calibration error, no difference for a difference.
    p : float, optional
        The p-value of that hypothesis, adjusted where several were tested together.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_patients: int | None
    method: str
    unit: Unit
    reason: str | None = None
    expected: float | None = None
    p: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "expected", "p"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} is {number}; use None with a reason")
