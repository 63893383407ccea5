"""Why a metric has no value, and what a mean over classes leaves out, in words."""

from __future__ import annotations

import numpy as np

from medimg.evaluation.metrics import Bools
from medimg.evaluation.sample import Figures, Sample

Groups = list[tuple[str, int]]
"""What a metric rests on, in words, and how many patients it has."""


def class_groups(sample: Sample, k: int) -> Groups:
    """Return how many patients there are with class `k` and without it."""
    name, target = sample.space.classes[k], sample.targets[:, k]
    count = sample.units.count
    return [(f"with {name!r}", count(target == 1)), (f"without {name!r}", count(target == 0))]


def all_groups(sample: Sample) -> Groups:
    """Return the groups that all classes together rest on; classes without cases do not."""
    pairs = [class_groups(sample, k) for k in range(sample.space.k)]
    both = [pair for pair in pairs if min(n for _, n in pair) > 0]
    return [pair[i] for i in (0, 1) for pair in both] or [("of a second class", 0)]


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
