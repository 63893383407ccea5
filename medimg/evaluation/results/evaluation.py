"""`Evaluation`: what `evaluate` returns and `metrics.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from medimg.evaluation.results.sections import (
    Abstention,
    CalibrationCheck,
    ConformalResult,
    DecisionCurve,
    Metrics,
    OperatingResult,
    PrevalenceRow,
    RunRow,
    ScoreCurves,
    Shift,
    Subgroups,
)
from medimg.labels import LabelSpace

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import TypeAdapter

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Evaluation:
    """All numbers of one evaluation.

    `confusion` is (K, K) counts, rows true and columns predicted, for exclusive classes; for
    `multilabel` one row a class: true negatives, false positives, false negatives, true
    positives. `uncalibrated` is `calibration` without the calibrator, where there is one;
    `by_patient` is the same of one row a patient, where patients have several cases.
    """

    n: int
    n_patients: int | None
    split: str
    space: LabelSpace
    calibrated: bool
    metrics: Metrics
    per_class: Mapping[str, Metrics]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[CalibrationCheck, ...] = ()
    uncalibrated: tuple[CalibrationCheck, ...] = ()
    curves: Mapping[str, ScoreCurves] = field(default_factory=dict)
    operating: tuple[OperatingResult, ...] = ()
    decision: tuple[DecisionCurve, ...] = ()
    prevalence: tuple[PrevalenceRow, ...] = ()
    abstention: Abstention | None = None
    subgroups: tuple[Subgroups, ...] = ()
    conformal: tuple[ConformalResult, ...] = ()
    runs: tuple[RunRow, ...] = ()
    shift: Shift | None = None
    by_patient: Evaluation | None = None
    notes: tuple[str, ...] = ()
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
        content: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return {"schema_version": SCHEMA_VERSION} | content

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation of the content of `metrics.json`."""
        content = {name: v for name, v in value.items() if name != "schema_version"}
        return _adapter().validate_python(content)


@cache
def _adapter() -> TypeAdapter[Evaluation]:
    from pydantic import TypeAdapter

    return TypeAdapter(Evaluation)
