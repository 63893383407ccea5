"""`Estimate` and `Evaluation`: what `evaluate` returns and `metrics.json` holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from medimg.labels import LabelSpace

if TYPE_CHECKING:
    import pandas as pd

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
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_patients: int | None
    method: str
    unit: Unit
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} is {number}; use None with a reason")


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin of a reliability table; `confidence` and `frequency` are None where it is empty."""

    low: float
    high: float
    confidence: float | None
    frequency: float | None
    count: int


@dataclass(frozen=True, slots=True)
class RocCurve:
    """The ROC points of one class against the rest, from (0, 0) to (1, 1)."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


@dataclass(frozen=True)
class Evaluation:
    """All numbers of one evaluation.

    `confusion` is (K, K) counts, rows true and columns predicted, for exclusive classes; for
    `multilabel` one row a class: true negatives, false positives, false negatives, true
    positives.
    """

    n: int
    n_patients: int | None
    split: str
    space: LabelSpace
    calibrated: bool
    metrics: Mapping[str, Estimate]
    per_class: Mapping[str, Mapping[str, Estimate]]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]
    roc: Mapping[str, RocCurve] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a number: class (blank for all), metric and the fields of `Estimate`."""
        import pandas as pd

        groups = {"": self.metrics, **self.per_class}
        return pd.DataFrame(
            [
                {"class": group, "metric": name} | asdict(estimate)
                for group, estimates in groups.items()
                for name, estimate in estimates.items()
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `metrics.json`."""
        return {
            "schema_version": 1,
            "n": self.n,
            "n_patients": self.n_patients,
            "split": self.split,
            "classes": list(self.space.classes),
            "kind": self.space.kind,
            "positive": self.space.positive,
            "calibrated": self.calibrated,
            "metrics": {name: asdict(e) for name, e in self.metrics.items()},
            "per_class": {
                c: {name: asdict(e) for name, e in row.items()} for c, row in self.per_class.items()
            },
            "confusion": [list(row) for row in self.confusion],
            "reliability": [asdict(b) for b in self.reliability],
            "provenance": dict(self.provenance),
        }
