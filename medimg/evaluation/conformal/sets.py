"""`Conformal`: the thresholds of prediction sets, and the sets that they give.

N cases, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PredictionsError, UsageError, nearest
from medimg.evaluation.conformal.scores import score_table
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.results.estimate import Unit
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

ALL = "all"
"""The name of the one group where nothing tells cases apart."""

BLANK = "(not given)"
"""The group of the cases whose cell is blank."""

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Error levels at which thresholds are kept beside the one that was asked for."""

Thresholds = Mapping[str, float | None]


@dataclass(frozen=True)
class Conformal:
    """What `fit_conformal` found; numbers and texts only.

    Parameters
    ----------
    method : {"lac", "aps", "raps", "risk"}
    by : str
        What has thresholds of its own: blank (nothing), ``"class"`` or a column of metadata.
    alpha : float
        The share of truths that the sets may miss.
    space : LabelSpace
    thresholds : mapping of str to float or None
        The highest score that a set holds, a group (``"all"``, a class, or a value of the
        column); None where the group has fewer than 1 / alpha - 1 calibration patients: the
        sets then hold every class.
    levels : mapping of str to tuple of float or None
        The same at each of `LEVELS`.
    units : mapping of str to int
        How many patients (or cases, see `unit`) each threshold rests on.
    n_cases, n_units : int
        Calibration cases with a truth to hold, and the patients that they are of.
    unit : {"patient", "case"}
    seed : int
        Of the numbers that break the lumps of APS and RAPS.
    split : str
        Of which split the calibration cases are.
    fitted_on : str
        The fingerprint of the calibration predictions, without a calibrator.
    """

    method: str
    by: str
    alpha: float
    space: LabelSpace
    thresholds: Thresholds
    levels: Mapping[str, tuple[float | None, ...]]
    units: Mapping[str, int]
    n_cases: int
    n_units: int
    unit: Unit
    seed: int
    split: str
    fitted_on: str

    def at(self, level: int) -> Conformal:
        """Return the same with the error level ``LEVELS[level]``."""
        found = {name: values[level] for name, values in self.levels.items()}
        return replace(self, alpha=LEVELS[level], thresholds=found)

    def scores(self, predictions: Predictions) -> Floats:
        """Return the nonconformity of every class float64 (N, K), without the calibrator."""
        self._require_same_classes(predictions)
        return score_table(predictions, self.method, self.seed)

    def sets(self, predictions: Predictions) -> Bools:
        """Return which classes the set of each case holds, bool (N, K).

        Neither a calibrator that the predictions carry nor their targets have a part. A case of
        a group that was not there to calibrate on gets every class.

        Raises
        ------
        PredictionsError
            Other classes than those it was fitted on.
        UsageError
            The column of `by` is not there.
        """
        return self.within(self.scores(predictions), groups(predictions, self.by))

    def within(self, scores: Floats, group: NDArray[Any] | None) -> Bools:
        """Return the sets bool (N, K) of `scores` (N, K) of cases of a `group` (N,) each."""
        return np.asarray(scores <= self._limits(group))

    def _limits(self, group: NDArray[Any] | None) -> Floats:
        """Return the highest score that is held: (1, 1), (1, K) or (N, 1)."""
        limit = {name: np.inf if t is None else t for name, t in self.thresholds.items()}
        if group is not None:
            return np.asarray([limit.get(g, np.inf) for g in group])[:, None]
        names = self.space.classes if self.by == "class" else (ALL,)
        return np.asarray([[limit[name] for name in names]])

    def _require_same_classes(self, predictions: Predictions) -> None:
        mine, other = self.space, predictions.space
        if (mine.classes, mine.exclusive) != (other.classes, other.exclusive):
            raise PredictionsError(
                f"classes {list(other.classes)} ({other.kind}) are not those of the prediction "
                f"sets, {list(mine.classes)} ({mine.kind})",
                remedy="fit the sets on calibration cases of the same classes",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        levels = {name: list(values) for name, values in self.levels.items()}
        return asdict(self) | {"space": self.space.to_dict(), "levels": levels}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Conformal:
        """Return the prediction sets of a JSON form."""
        levels = {name: tuple(values) for name, values in value["levels"].items()}
        space = LabelSpace.from_dict(value["space"])
        return cls(**{**value, "space": space, "levels": levels})


def groups(predictions: Predictions, by: str) -> NDArray[Any] | None:
    """Return the group of each case (N,) where `by` is a column; None where it is none."""
    if by in ("", "class"):
        return None
    columns = [str(c) for c in predictions.metadata.columns]
    if by not in columns:
        raise UsageError(
            f"the predictions have no column {by!r} to form groups by{nearest(by, columns)}",
            remedy=f"columns here: {', '.join(columns) or 'none'}; or by class",
        )
    cells = predictions.metadata[by].fillna("").astype(str).str.strip().to_numpy(object)
    return np.where(cells == "", BLANK, cells)
