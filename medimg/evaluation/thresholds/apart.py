"""Whether what a threshold is chosen on is of the same model, and of other cases than are scored."""

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
    """Refuse to score cases that thresholds were chosen on, or by thresholds of another model.

    Parameters
    ----------
    calib : Predictions, optional
        What thresholds are to be chosen on (or prediction sets fitted).
    scored : Predictions
        With the thresholds that were frozen before, which are looked through too.

    Raises
    ------
    UsageError
        A case, or a patient, stands in both; says how many and names a case, no patient. Or the
        two are known to be of different models; tables that do not say it are taken.
    """
    if calib is not None:
        _require_one_model(calib, scored)
        require_others(calib, scored, "thresholds are chosen on", _ELSEWHERE)
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


def _require_one_model(calib: Predictions, scored: Predictions) -> None:
    made, scoring = calib.uncalibrated_id, scored.uncalibrated_id
    if made is not None and scoring is not None and made != scoring:
        raise UsageError(
            f"the cases to choose thresholds on were predicted by another model ({made[:12]}) than "
            f"those that are scored ({scoring[:12]})",
            remedy="give predictions of the same model, such as those of calib in its own run",
        )


def require_others(first: Predictions, scored: Predictions, use: str, remedy: str) -> None:
    """Refuse two tables that share a case or a patient; `use` says what the first is for.

    Raises
    ------
    UsageError
        Says how many they share and names a case, no patient.
    """
    cases = np.intersect1d(first.case_id, scored.case_id)
    if len(cases):
        raise UsageError(
            f"{len(cases)} cases stand both among those that are scored and those that {use}, "
            f"the first {cases[0]!r}",
            remedy=remedy + "; where names repeat by chance, give the cases names of their own",
        )
    if first.patient_id is None or scored.patient_id is None:
        return
    patients = set(first.patient_id) & set(scored.patient_id) - {""}
    if patients:
        raise UsageError(
            f"{len(patients)} patients have cases both among those that are scored and those that "
            f"{use}",
            remedy=remedy + "; `medimg split` keeps people together",
        )
