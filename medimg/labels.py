"""`LabelSpace`: which classes there are, how they relate, and which one is the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medimg.errors import LabelError, nearest
from medimg.files import fingerprint

Kind = Literal["multiclass", "multilabel", "ordinal"]


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a task.

    Parameters
    ----------
    classes : tuple of str
        Names in the order of the columns of every score and target; for `ordinal` from the
        lowest grade to the highest. Two or more, but one is enough for `multilabel`.
    kind : {"multiclass", "multilabel", "ordinal"}
        One class a case; any number of classes a case; one class a case, with an order.
        Binary is `multiclass` with two classes.
    positive : str, optional
        The target condition, so that sensitivity, PPV and the rest are defined. Only for two
        classes.

    Raises
    ------
    LabelError
        Names that repeat, are empty or padded with blanks, too few of them, or a `positive`
        that is no class.
    """

    classes: tuple[str, ...]
    kind: Kind = "multiclass"
    positive: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if self.kind not in get_args(Kind):
            raise LabelError(
                f"kind {self.kind!r} is unknown", remedy=f"one of {', '.join(get_args(Kind))}"
            )
        if len(self.classes) < (1 if self.kind == "multilabel" else 2):
            raise LabelError(
                f"classes {list(self.classes)} are too few for {self.kind}",
                remedy="name at least two classes; a data set of one class teaches nothing",
            )
        for name in self.classes:
            if not isinstance(name, str) or not name or name != name.strip() or "\n" in name:
                raise LabelError(
                    f"{name!r} is no class name",
                    remedy="a name is text of one line without blanks at its ends",
                )
        if len(set(self.classes)) != self.k:
            raise LabelError(f"classes {list(self.classes)} repeat", remedy="name each once")
        if self.positive is not None:
            if self.kind != "multiclass" or self.k != 2:
                raise LabelError(
                    f"positive {self.positive!r} with {self.k} classes ({self.kind})",
                    remedy="a target condition is defined for two classes alone; leave it out",
                )
            self.index(self.positive)

    @property
    def k(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def exclusive(self) -> bool:
        """Whether a case has exactly one class."""
        return self.kind != "multilabel"

    @property
    def positive_index(self) -> int | None:
        """The column of the target condition, or None."""
        return None if self.positive is None else self.classes.index(self.positive)

    def index(self, name: str) -> int:
        """Return the column of class `name`; an unknown one raises with its nearest."""
        try:
            return self.classes.index(name)
        except ValueError:
            raise LabelError(
                f"{name!r} is none of the classes {list(self.classes)}{nearest(name, self.classes)}",
                remedy="correct the name, or add the class",
            ) from None

    def one_hot(self, indices: Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
        """Return targets float32 (N, K) for class indices (N,); -1 is unknown (a NaN row)."""
        codes = np.asarray(indices, dtype=np.int64)
        if codes.size and (codes.min() < -1 or codes.max() >= self.k):
            bad = codes[(codes < -1) | (codes >= self.k)][0]
            raise LabelError(f"label {bad} is outside 0 to {self.k - 1}", remedy="check the labels")
        targets = np.zeros((codes.size, self.k), np.float32)
        known = codes >= 0
        targets[np.flatnonzero(known), codes[known]] = 1
        targets[~known] = np.nan
        return targets

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"classes": list(self.classes), "kind": self.kind, "positive": self.positive}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LabelSpace:
        """Return the label space of a JSON form."""
        return cls(tuple(value["classes"]), value["kind"], value.get("positive"))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the label space."""
        return fingerprint(self.to_dict())


def class_index(targets: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the class (N,) of one-hot targets (N, K); -1 where the target is unknown."""
    known = ~np.isnan(targets).any(axis=1)
    return np.where(known, np.argmax(np.nan_to_num(targets), axis=1), -1)


def check_targets(targets: NDArray[Any], space: LabelSpace, n: int) -> NDArray[np.float32]:
    """Return `targets` as a checked float32 (N, K) in {0, 1, NaN}.

    Raises
    ------
    LabelError
        Another shape or value, or, for exclusive classes, a row that is neither one-hot nor
        wholly unknown.
    """
    checked = np.ascontiguousarray(targets, dtype=np.float32)
    if checked.shape != (n, space.k):
        raise LabelError(
            f"targets of shape {checked.shape} for {n} cases and {space.k} classes",
            remedy="give one row a case and one column a class",
        )
    unknown = np.isnan(checked)
    if not (unknown | (checked == 0) | (checked == 1)).all():
        raise LabelError("a target is neither 0, 1 nor NaN", remedy="NaN is unknown; use no -1")
    if space.exclusive:
        whole = unknown.all(axis=1)
        if not (whole | (checked.sum(axis=1) == 1)).all():
            raise LabelError(
                "a case has no class or several", remedy=f"{space.kind} wants exactly one a case"
            )
    return checked
