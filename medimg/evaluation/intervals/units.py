"""`Units`: what is taken as independent: patients, or cases where no patient is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import Bools
from medimg.evaluation.results.estimate import Estimate, Unit

MIN_UNITS = 10
"""With fewer patients (or cases) of a class a resampled interval is not to be trusted."""


@dataclass(frozen=True)
class Units:
    """What is taken as independent.

    Parameters
    ----------
    of_case : int64 (N,)
        The unit of each case, 0 to `n` - 1.
    n : int
        How many units there are.
    kind : {"patient", "case"}
        Patients where ids came, else cases.
    """

    of_case: NDArray[np.int64]
    n: int
    kind: Unit

    @classmethod
    def of(cls, case_id: NDArray[Any], patient_id: NDArray[Any] | None) -> Units:
        """Return the units of cases; a blank patient id makes a patient of its own."""
        n = len(case_id)
        if patient_id is None or not (patient_id != "").any():
            return cls(np.arange(n), n, "case")
        # No text id holds a NUL, so that a case cannot be taken for a patient of its name.
        names = np.where(patient_id == "", "\0case " + case_id, patient_id)
        found, of_case = np.unique(names, return_inverse=True)
        return cls(of_case.astype(np.int64), len(found), "patient")

    @property
    def independent(self) -> bool:
        """Whether no two cases share a unit."""
        return self.n == len(self.of_case)

    def count(self, rows: Bools) -> int:
        """Return how many units have a case in a mask (N,)."""
        return int(np.count_nonzero(np.bincount(self.of_case[rows], minlength=self.n)))

    def patients(self, rows: Bools) -> int | None:
        """Return how many patients the cases of a mask (N,) are of; None where no ids came."""
        return self.count(rows) if self.kind == "patient" else None

    def estimate(
        self,
        value: float | None,
        ends: tuple[float | None, float | None],
        rows: Bools,
        method: str,
        reason: str | None = None,
        *,
        expected: float | None = None,
        p: float | None = None,
    ) -> Estimate:
        """Return an `Estimate` that rests on the cases of a mask (N,)."""
        return Estimate(
            value=value,
            low=ends[0],
            high=ends[1],
            n=int(rows.sum()),
            n_patients=self.patients(rows),
            method=method,
            unit=self.kind,
            reason=reason,
            expected=expected,
            p=p,
        )

    def without(self, value: float | None, rows: Bools, reason: str | None) -> Estimate:
        """Return an `Estimate` that has no interval, and why."""
        return self.estimate(value, (None, None), rows, "none", reason)
