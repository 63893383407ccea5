"""One row a patient: the scores and targets of a patient's cases, put together.

N cases, P patients, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.calibrator import to_logits
from medimg.errors import LeakError, UsageError, nearest
from medimg.evaluation.intervals.units import Units
from medimg.predictions import Predictions
from medimg.tables import column_text

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Patients:
    """The cases in the order of their patients: `order` (N,), and where each begins (P,)."""

    of_case: NDArray[np.int64]
    order: NDArray[np.int64]
    start: NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Predictions) -> _Patients:
        units = Units.of(predictions.case_id, predictions.patient_id)
        if units.kind != "patient":
            raise UsageError(
                f"none of {len(predictions)} cases says of which patient it is",
                remedy="add a column patient_id, or leave the scores by case (by_patient: none)",
            )
        order = np.argsort(units.of_case, kind="stable")
        start = np.searchsorted(units.of_case[order], np.arange(units.n))
        return cls(units.of_case, order, start)

    @property
    def first(self) -> NDArray[np.int64]:
        """The first case of each patient (P,), by case id."""
        return self.order[self.start]

    def mean(self, values: Floats) -> Floats:
        """Return the means (P, K) of values (N, K)."""
        sums = np.add.reduceat(values[self.order], self.start, axis=0)
        return np.asarray(sums / np.bincount(self.of_case)[:, None])

    def most(self, values: Floats) -> Floats:
        """Return the highest (P, K) of values (N, K)."""
        return np.asarray(np.maximum.reduceat(values[self.order], self.start, axis=0))

    def agree(self, texts: NDArray[Any]) -> NDArray[np.bool_]:
        """Return in which patients (P,) all texts (N,) are the same."""
        other = texts != texts[self.first][self.of_case]
        return np.asarray(np.bincount(self.of_case, other) == 0)


def _mean_logits(predictions: Predictions, patients: _Patients) -> Floats:
    return patients.mean(predictions.calibrated_logits)


def _mean_probability(predictions: Predictions, patients: _Patients) -> Floats:
    mean = patients.mean(predictions.probabilities)
    return to_logits(mean, "probabilities", predictions.space)


def _max_probability(predictions: Predictions, patients: _Patients) -> Floats:
    """Return the logits of each patient's most suspicious case; no probability is rounded."""
    space, logits = predictions.space, predictions.calibrated_logits
    if not space.exclusive:
        return patients.most(logits)
    positive = space.positive_index
    if positive is None:
        raise UsageError(
            f"max_probability of the {space.kind} classes {', '.join(space.classes)}: the highest "
            "probability of a patient's cases is defined for a target condition or for labels",
            remedy="take mean_logits or mean_probability, or of two classes name one positive",
        )
    highest = patients.most(logits[:, [positive]] - logits[:, [1 - positive]])
    return np.asarray(highest * (np.arange(2) == positive))


HOW: Mapping[str, Callable[[Predictions, _Patients], Floats]] = {
    "mean_logits": _mean_logits,
    "mean_probability": _mean_probability,
    "max_probability": _max_probability,
}


def several_cases(predictions: Predictions) -> bool:
    """Return whether any patient has several cases; without patient ids nobody is known to."""
    return not Units.of(predictions.case_id, predictions.patient_id).independent


def by_patient(predictions: Predictions, how: str = "mean_logits") -> Predictions:
    """Return one row a patient.

    A case without a patient id is a patient of its own. A patient's row bears the first of its
    case ids, so that whatever names a case names no patient. The target of exclusive classes is
    the one that all cases with a known target share, and unknown where they differ; a label of
    `multilabel` is 1 where any case has it, 0 where all known are 0. A column of metadata is
    kept where a patient's cases agree and blank where they do not.

    Parameters
    ----------
    predictions : Predictions
        Of one split, or of splits that no patient crosses.
    how : {"mean_logits", "mean_probability", "max_probability"}
        The mean of the logits; of the probabilities; or the highest probability of the target
        condition or of each label (a patient is as ill as the most suspicious image).

    Returns
    -------
    Predictions
        Logits. A calibrator is applied to the cases before they are put together, and none is
        left to apply: whether the probabilities still mean what they say is for the calibration
        of these rows to show. Thresholds that were chosen on cases are not taken over.

    Raises
    ------
    UsageError
        No patient ids, an unknown `how`, or `max_probability` of classes without a target
        condition.
    LeakError
        A patient whose cases stand in several splits.
    """
    if how not in HOW:
        raise UsageError(
            f"by_patient {how!r} is unknown{nearest(how, HOW)}", remedy=f"one of {', '.join(HOW)}"
        )
    patients = _Patients.of(predictions)
    first = patients.first
    ids, split = predictions.patient_id, predictions.split
    if split is not None:
        _one_split_each(predictions.case_id, split, patients)
    return Predictions(
        case_id=predictions.case_id[first],
        scores=HOW[how](predictions, patients).astype(np.float32),
        kind="logits",
        space=predictions.space,
        targets=_targets(predictions, patients),
        patient_id=None if ids is None else ids[first],
        split=None if split is None else split[first],
        bundle_id=predictions.bundle_id,
        metadata=_metadata(predictions.metadata, patients),
    )


def patient_note(predictions: Predictions, how: str = "mean_logits") -> str:
    """Return in words what `by_patient` makes of predictions, and whom it leaves out."""
    patients = _Patients.of(predictions)
    lost = np.asarray(np.isnan(_targets(predictions, patients)).all(axis=1))
    looked = np.bincount(patients.of_case, predictions.known) > 0
    left_out = {
        "whose cases are of different classes": int((lost & looked).sum()),
        "without any known target": int((lost & ~looked).sum()),
    }
    words = [f"{n} {why}" for why, n in left_out.items() if n]
    note = f"one row a patient ({how}): {len(predictions)} cases of {len(lost)} patients"
    return f"{note}; left out: {' and '.join(words)}" if words else note


def _targets(predictions: Predictions, patients: _Patients) -> NDArray[np.float32]:
    found = np.fmax.reduceat(predictions.targets[patients.order], patients.start, axis=0)
    if predictions.space.exclusive:
        found[found.sum(axis=1) > 1] = np.nan
    return np.asarray(found, np.float32)


def _metadata(frame: pd.DataFrame, patients: _Patients) -> pd.DataFrame:
    first, kept = patients.first, {}
    for column in frame.columns:
        texts = np.asarray(column_text(frame[column].to_numpy()), object)
        kept[column] = np.where(patients.agree(texts), texts[first], "")
    return pd.DataFrame(kept, index=range(len(first)), dtype=object)


def _one_split_each(case_id: NDArray[Any], split: NDArray[Any], patients: _Patients) -> None:
    apart = np.asarray(split != split[patients.first][patients.of_case])
    if apart.any():
        n = len(np.unique(patients.of_case[apart]))
        case = int(np.flatnonzero(apart)[0])
        other = patients.first[patients.of_case[case]]
        raise LeakError(
            f"patients with cases in several splits: {n}; such as case {case_id[other]!r} of "
            f"split {split[other]!r} and {case_id[case]!r} of split {split[case]!r}",
            remedy="name one split; no patient may stand in two (medimg split parts patients)",
        )
