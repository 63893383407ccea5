"""Why a metric has no value, and what a mean over classes leaves out, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from medimg.evaluation.metrics import Bools
from medimg.evaluation.sample import Figures, Sample


class Group(NamedTuple):
    """Cases that a metric rests on: in words, their mask (N,), and how many patients they tell of.

    `effective`: of equal size (`Units.effective`).
    """

    words: str
    rows: Bools
    effective: float


def class_groups(sample: Sample, k: int) -> list[Group]:
    """Return the cases with class `k` and those without it."""
    name, target = sample.space.classes[k], sample.targets[:, k]
    kinds = ((f"with {name!r}", target == 1), (f"without {name!r}", target == 0))
    return [Group(words, rows, sample.units.effective(rows)) for words, rows in kinds]


def all_groups(sample: Sample, pairs: Sequence[list[Group]]) -> list[Group]:
    """Return the groups of `class_groups` that all classes rest on: of those that have both."""
    both = [pair for pair in pairs if all(group.effective for group in pair)]
    nothing = Group("of a second class", np.zeros(len(sample.targets), bool), 0.0)
    return [pair[i] for i in (0, 1) for pair in both] or [nothing]


def undefined(sample: Sample, name: str, k: int) -> str:
    """Return why a metric of class `k` is not defined."""
    c, target = sample.space.classes[k], sample.targets[:, k]
    if name == "precision":
        return f"no case was predicted as {c!r}"
    if name == "npv":
        return f"every case was predicted as {c!r}"
    if name != "specificity" and not (target == 1).any():
        return f"no case with {c!r}"
    if not (target == 0).any():
        return f"no case without {c!r}"
    if name == "lr_positive":
        return f"no case without {c!r} was predicted as it: the ratio has no bound"
    if name == "lr_negative":
        return f"every case without {c!r} was predicted as it: the ratio has no bound"
    return "not defined in these cases"


def left_out(sample: Sample, point: Figures, name: str) -> str | None:
    """Return what a mean over classes says of classes in which it is not defined."""
    balanced = name == "balanced_accuracy"
    of = "recall" if balanced else name.removesuffix("_macro").removesuffix("_weighted")
    if of == name or of not in point:
        return None
    missing = np.isnan(point[of][:, 0])
    if balanced and not sample.space.exclusive:
        missing |= np.isnan(point["specificity"][:, 0])
    zero = missing & (sample.targets == 1).any(axis=0) & (name == "precision_macro")
    return joined(
        _names(sample, "left out, not defined: ", missing & ~zero),
        _names(sample, "counted as 0, never predicted: ", zero),
    )


def _names(sample: Sample, words: str, which: Bools) -> str | None:
    names = [c for c, yes in zip(sample.space.classes, which, strict=True) if yes]
    return words + ", ".join(names) if names else None


def joined(*parts: str | None) -> str | None:
    """Return the parts that are there as one text; None where there is none."""
    return "; ".join(p for p in parts if p) or None
