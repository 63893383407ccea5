"""`Units`: what is taken as independent: patients, or cases where no patient is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.results.estimate import Estimate, Unit

MIN_UNITS = 10
"""With fewer patients (or cases) of a class an interval is not to be trusted."""


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

    def sizes(self, rows: Bools) -> Floats:
        """Return how many cases of a mask (N,) each unit that has any holds, float64."""
        size = np.bincount(self.of_case[rows], minlength=self.n)
        return size[size > 0].astype(np.float64)

    def effective(self, rows: Bools) -> float:
        """Return how many units of equal size would weigh as those of a mask (N,) do.

        Kish, Survey Sampling, 1965: (sum of sizes)**2 / sum of sizes**2; 1 where one unit has
        nearly all the cases, 0 where there is none.
        """
        size = self.sizes(rows)
        return float(size.sum() ** 2 / (size**2).sum()) if size.size else 0.0

    def too_few(self, words: str, rows: Bools) -> str | None:
        """Return why the cases of a mask (N,) are of too few units for an interval, or None.

        Ten are wanted, and where they hold different numbers of cases, as much as ten of equal
        size: the cases of one that holds half of all move the value towards themselves, so that
        nothing at hand tells how far it is off.

        Parameters
        ----------
        words : str
            Which cases they are, after "patients": ``"with the class"``.
        rows : bool (N,)
        """
        size = self.sizes(rows)
        if len(size) < MIN_UNITS:
            return f"fewer than ten {self.kind}s {words} ({len(size)})"
        if (effective := self.effective(rows)) < MIN_UNITS:
            return (
                f"one {self.kind} holds {size.max() / size.sum():.0%} of the cases {words}: the "
                f"{len(size)} {self.kind}s tell as much as {effective:.1f} of equal size"
            )
        return None

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
