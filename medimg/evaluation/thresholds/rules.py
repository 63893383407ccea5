"""Rules by which a threshold is chosen: Youden's index, a wanted sensitivity, costs.

N cases, M distinct scores among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError, nearest
from medimg.evaluation.metrics import Floats
from medimg.labels import LabelSpace


@dataclass(frozen=True, eq=False)
class Cuts:
    """All thresholds that part the cases in different ways, from the lowest.

    Parameters
    ----------
    threshold : float64 (C,)
        Midway between two scores that follow each other (or the last and 0 or 1), so that no
        rounding of a score carries a case over.
    true, false : int64 (C,)
        Cases with and without the label at or above it.
    positives, negatives : int
    """

    threshold: Floats
    true: NDArray[np.int64]
    false: NDArray[np.int64]
    positives: int
    negatives: int

    @classmethod
    def of(cls, scores: Floats, target: NDArray[np.bool_]) -> Cuts:
        """Return the cuts of probabilities (N,) of cases with a known target (N,)."""
        levels, level = np.unique(scores, return_inverse=True)
        true = np.append(
            np.cumsum(np.bincount(level[target], minlength=len(levels))[::-1])[::-1], 0
        )
        every = np.append(np.cumsum(np.bincount(level, minlength=len(levels))[::-1])[::-1], 0)
        below, above = np.append(0.0, levels), np.append(levels, 1.0)
        middle = (below + above) / 2
        threshold = np.where(middle > below, middle, above)
        # Nothing lies below a score of 0 or above one of 1.
        kept = above > below
        return cls(
            threshold[kept],
            true[kept],
            (every - true)[kept],
            int(target.sum()),
            int((~target).sum()),
        )

    @property
    def parting(self) -> NDArray[np.intp]:
        """The cuts that leave cases on both sides."""
        flagged = self.true + self.false
        return np.flatnonzero((flagged > 0) & (flagged < self.positives + self.negatives))


#: Index of a cut and what it reaches; None where no cut does.
Picked = tuple[int, float] | None


def _youden(cuts: Cuts, _: float) -> Picked:
    """Return the cut of the greatest sensitivity + specificity - 1, the most sensitive of equals.

    Youden, Cancer 3 (1950) 32. Compared in whole numbers, so that equals are equal.
    """
    index = cuts.true * cuts.negatives - cuts.false * cuts.positives
    rows = cuts.parting
    if not len(rows):
        return None
    best = int(rows[np.argmax(index[rows])])
    return best, float(index[best] / (cuts.positives * cuts.negatives))


def _sensitivity(cuts: Cuts, wanted: float) -> Picked:
    """Return the highest cut that reaches a sensitivity."""
    rows = cuts.parting[cuts.true[cuts.parting] >= wanted * cuts.positives - 1e-9]
    return (int(rows[-1]), float(cuts.true[rows[-1]] / cuts.positives)) if len(rows) else None


def _specificity(cuts: Cuts, wanted: float) -> Picked:
    """Return the lowest cut that reaches a specificity."""
    right = cuts.negatives - cuts.false
    rows = cuts.parting[right[cuts.parting] >= wanted * cuts.negatives - 1e-9]
    return (int(rows[0]), float(right[rows[0]] / cuts.negatives)) if len(rows) else None


def _cost(cuts: Cuts, missed: float) -> Picked:
    """Return the cut of the least cost, where a missed case costs `missed` false alarms.

    Calling every case so, or none, may be the cheapest. The most sensitive of equals.
    """
    cost = missed * (cuts.positives - cuts.true) + cuts.false
    best = int(np.argmin(cost))
    return best, float(cost[best] / (cuts.positives + cuts.negatives))


RULES: dict[str, Callable[[Cuts, float], Picked]] = {
    "youden": _youden,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "cost": _cost,
}
"""Rule -> how it picks a cut."""

_FORM = "youden, sensitivity=.95, specificity=.9 or cost=5, or CLASS: before one of them"


@dataclass(frozen=True)
class Rule:
    """One rule: a name of `RULES`, its number where it has one, and a class where one is named."""

    name: str
    value: float | None = None
    label: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value:.12g}"

    def pick(self, cuts: Cuts) -> Picked:
        """Return the index of the cut and what it reaches; None where no cut reaches it."""
        return RULES[self.name](cuts, 0.0 if self.value is None else self.value)

    def labels(self, space: LabelSpace) -> tuple[str, ...]:
        """Return the classes that the rule is for.

        The one that it names; else the target condition of two classes, or every label of
        `multilabel`.

        Raises
        ------
        UsageError
            Neither, or a name that is no class.
        """
        if self.label is not None:
            if self.label not in space.classes:
                raise UsageError(
                    f"operating point {self.label}:{self} names none of the classes "
                    f"{list(space.classes)}{nearest(self.label, space.classes)}",
                    remedy="correct the name",
                )
            return (self.label,)
        if not has_conditions(space):
            raise UsageError(
                f"operating point {self} does not say of which of the classes "
                f"{list(space.classes)}, none of which is the target condition",
                remedy=f"name it, as {space.classes[-1]}:{self}",
            )
        return (space.positive,) if space.positive is not None else space.classes


def has_conditions(space: LabelSpace) -> bool:
    """Whether a label space says by itself which classes are conditions to be found."""
    return not space.exclusive or space.positive is not None


def parse_rule(text: str) -> Rule:
    """Return the rule that a text means, such as ``sensitivity=.95`` or ``malignant:youden``.

    Raises
    ------
    UsageError
        Anything else, or a number out of its range.
    """
    label, mark, rest = text.strip().rpartition(":")
    name, given, number = (part.strip() for part in rest.partition("="))
    if name not in RULES or bool(given) is (name == "youden") or (mark and not label.strip()):
        raise UsageError(
            f"operating point {text!r} is unknown{nearest(name, RULES)}", remedy=f"give {_FORM}"
        )
    value = _number(text, name, number) if given else None
    return Rule(name, value, label.strip() or None)


def _number(text: str, name: str, number: str) -> float:
    value = float(number) if re.fullmatch(r"\d*\.?\d+(e-?\d+)?|\d+\.", number, re.ASCII) else 0.0
    most = 1.0 if name != "cost" else 1e6
    if not 0 < value <= most:
        raise UsageError(
            f"operating point {text!r}: {number!r} is no {name}",
            remedy="give a number above 0 and at most 1, as .95"
            if name != "cost"
            else "say how many false alarms a missed case costs, as 5",
        )
    return value


def rules_for(rules: Iterable[str], space: LabelSpace, default: Iterable[str]) -> tuple[str, ...]:
    """Return `rules`; none where they are the default and no class is a condition to be found."""
    wanted = tuple(rules)
    return () if wanted == tuple(default) and not has_conditions(space) else wanted


def cut_scores(scores: Any, target: Any) -> Cuts:
    """Return the cuts of probabilities (N,) and targets (N,) in {0, 1, NaN}; unknown left out."""
    known = ~np.isnan(np.asarray(target))
    return Cuts.of(np.asarray(scores, np.float64)[known], np.asarray(target)[known] == 1)
