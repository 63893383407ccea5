"""`OperatingPoint`: one frozen threshold, where it came from, and how it decides.

N cases, K classes. How a threshold is chosen stands in `medimg.evaluation.thresholds.choose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PredictionsError, nearest
from medimg.labels import LabelSpace

#: How the column of a point begins in a table of predictions.
PREFIX = "at:"


@dataclass(frozen=True)
class ChosenOn:
    """The cases that a threshold was chosen on: enough to know them again, not to name them.

    Parameters
    ----------
    fingerprint : str
        Of the predictions.
    split : str
    n : int
        Cases whose target is known for the label.
    n_patients : int or None
        Patients that they are of; None where no patient ids came.
    prevalence : float
        The share of them that has the label: calibrated probabilities hold at it.
    marks : tuple of str
        The smallest hashes of cases with their scores, at most 64: whether any of those cases
        stands in another table can be told by them, under another calibrator and in a part of
        the table too. It takes the very case id and scores: of DICOM, whose ids are pseudonyms,
        nobody else can tell.
    """

    fingerprint: str
    split: str
    n: int
    n_patients: int | None
    prevalence: float
    marks: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        of = "" if self.n_patients is None else f" of {self.n_patients} patients"
        return f"{self.split} ({self.n} cases{of})"


@dataclass(frozen=True)
class OperatingPoint:
    """A case is called `label` where its calibrated probability of it is `threshold` or more.

    Parameters
    ----------
    label : str
        A class of the label space.
    rule : str
        How it was chosen: ``"youden"``, ``"sensitivity=0.95"``, ``"specificity=0.9"`` or
        ``"cost=5"``.
    threshold : float
        Within (0, 1].
    chosen_on : ChosenOn
    value : float
        What was reached there: Youden's index, the sensitivity, the specificity, or the mean cost
        a case in false alarms.
    """

    label: str
    rule: str
    threshold: float
    chosen_on: ChosenOn
    value: float

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise PredictionsError(
                f"threshold {self.threshold} of {self.label!r} ({self.rule}) is no probability",
                remedy="give one above 0 and at most 1",
            )

    def __str__(self) -> str:
        return f"{self.label} from {self.threshold:.4g} ({self.rule}, chosen on {self.chosen_on})"

    def flags(self, probabilities: NDArray[Any], space: LabelSpace) -> NDArray[np.bool_]:
        """Return which cases (N,) are called `label`, of calibrated probabilities (N, K)."""
        return np.asarray(probabilities[:, space.index(self.label)] >= self.threshold)

    def column(self, space: LabelSpace) -> str:
        """Return the name of its column: ``at:RULE`` for the target condition, else with label."""
        return f"{PREFIX}{self.rule}" + ("" if self.label == space.positive else f":{self.label}")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        value = asdict(self)
        value["chosen_on"]["marks"] = list(self.chosen_on.marks)
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> OperatingPoint:
        """Return the operating point of a JSON form."""
        chosen = dict(value["chosen_on"])
        chosen["marks"] = tuple(chosen["marks"])
        return cls(**{**value, "chosen_on": ChosenOn(**chosen)})


def check_points(points: Iterable[OperatingPoint], space: LabelSpace) -> tuple[OperatingPoint, ...]:
    """Return operating points of a label space, in the order in which they came.

    Raises
    ------
    PredictionsError
        A label that is no class, or one rule twice for one label.
    """
    checked, seen = tuple(points), set[tuple[str, str]]()
    for point in checked:
        if point.label not in space.classes:
            raise PredictionsError(
                f"an operating point of {point.label!r}, which is none of the classes "
                f"{list(space.classes)}{nearest(point.label, space.classes)}",
                remedy="choose points on predictions of these classes",
            )
        if (point.label, point.rule) in seen:
            raise PredictionsError(
                f"two operating points {point.rule} of {point.label!r}", remedy="give one of them"
            )
        seen.add((point.label, point.rule))
    return checked


def points_to_list(points: Iterable[OperatingPoint]) -> list[dict[str, Any]]:
    """Return the JSON form of several points."""
    return [point.to_dict() for point in points]


def points_of(values: Iterable[Mapping[str, Any]]) -> tuple[OperatingPoint, ...]:
    """Return the points of a JSON form of several."""
    return tuple(OperatingPoint.from_dict(value) for value in values)
