"""Whether the cases that a threshold was chosen on stand among those that are scored."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

from medimg.errors import UsageError
from medimg.predictions import Predictions

#: Marks of a point: a table that holds a tenth of its cases slips through once in 800 times.
_MARKS = 64
_ELSEWHERE = "choose thresholds on cases of their own (val or calib), and apply them to others"


def case_marks(predictions: Predictions) -> list[str]:
    """Return a mark (64 bits, hexadecimal) of each case: its id with its raw scores.

    The scores, to four decimals, so that another set of cases that goes by the same names is
    another set; no calibrator changes them.
    """
    scores = np.round(predictions.logits, 4) + 0.0  # -0.0 and 0.0 are one score
    pairs = zip(predictions.case_id, scores, strict=True)
    return [sha256(f"{i}\0".encode() + row.tobytes()).hexdigest()[:16] for i, row in pairs]


def least_marks(predictions: Predictions) -> tuple[str, ...]:
    """Return the smallest marks of the cases, by which they are known again; see `ChosenOn`."""
    return tuple(sorted(case_marks(predictions))[:_MARKS])


def require_apart(calib: Predictions | None, scored: Predictions) -> None:
    """Refuse to score cases that thresholds were chosen on.

    Parameters
    ----------
    calib : Predictions, optional
        What thresholds are to be chosen on (or prediction sets fitted).
    scored : Predictions
        With the thresholds that were frozen before, which are looked through too.

    Raises
    ------
    UsageError
        A case, or a patient, stands in both; says how many and names a case, no patient.
    """
    if calib is not None:
        _require_other_cases(calib, scored)
        _require_other_patients(calib, scored)
    frozen = {mark for point in scored.thresholds for mark in point.chosen_on.marks}
    if not frozen:
        return
    again = [i for i, m in zip(scored.case_id, case_marks(scored), strict=True) if m in frozen]
    if again:
        raise UsageError(
            f"the frozen thresholds were chosen on cases that are scored here, {again[0]!r} among "
            "them: they would look better than they are",
            remedy=_ELSEWHERE,
        )


def _require_other_cases(calib: Predictions, scored: Predictions) -> None:
    both = np.intersect1d(calib.case_id, scored.case_id)
    if len(both):
        raise UsageError(
            f"{len(both)} cases stand both among those that are scored and those that thresholds "
            f"are chosen on, the first {both[0]!r}",
            remedy=_ELSEWHERE + "; where names repeat by chance, give the cases names of their own",
        )


def _require_other_patients(calib: Predictions, scored: Predictions) -> None:
    if calib.patient_id is None or scored.patient_id is None:
        return
    both = set(calib.patient_id) & set(scored.patient_id) - {""}
    if both:
        raise UsageError(
            f"{len(both)} patients have cases both among those that are scored and those that "
            "thresholds are chosen on",
            remedy=_ELSEWHERE + "; `medimg split` keeps people together",
        )
