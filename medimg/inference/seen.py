"""What the column `seen` of predictions says of each case, and of all of them in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from medimg.predictions import Predictions

#: The column.
SEEN = "seen"
#: The splits that make a model; where something stands in several, the first counts.
SPLITS = ("train", "val", "calib")
#: What is said of a case beside the split that its picture stands in.
NO, NOT_CHECKED = "no", "not checked"
PATIENT_IN, CASE_ID_IN = "patient in ", "case id in "

_MADE_IT = (*SPLITS, *(PATIENT_IN + split for split in SPLITS))
_SAME_ID = tuple(CASE_ID_IN + split for split in SPLITS)
WORDS = (*_MADE_IT, *_SAME_ID, NO, NOT_CHECKED)


def counts(seen: Iterable[str]) -> dict[str, int]:
    """Return how many cases each word is said of, the gravest first."""
    found = Counter(seen)
    return {word: found[word] for word in WORDS if found[word]}


def seen_of(predictions: Predictions) -> list[str]:
    """Return the column of predictions; a table without it, or with another meaning: unchecked."""
    if SEEN in predictions.metadata:
        seen = [str(cell) for cell in predictions.metadata[SEEN]]
        if set(seen) <= set(WORDS):
            return seen
    return [NOT_CHECKED] * len(predictions)


def sentences(seen: Sequence[str], why: str = "", *, compared: bool = True) -> list[str]:
    """Return what the words mean for whoever reads the numbers; nothing for no cases.

    Parameters
    ----------
    why : str
        Why cases were not checked, where that is known.
    compared : bool
        Whether pictures were compared, not ids alone.
    """
    found, total = counts(seen), len(seen)
    if not total:
        return []
    made = {word: n for word, n in found.items() if word in _MADE_IT}
    same_id = {word: n for word, n in found.items() if word in _SAME_ID}
    because = f": {why}" if why else ""
    if found.get(NOT_CHECKED) == total:
        return [f"in the training set: not checked{because}"]
    lines = []
    if made:
        lines.append(
            f"WARNING: in the training set: {sum(made.values()):,} of {total:,} cases "
            f"({_listed(made)}); numbers over them are too good"
        )
    if same_id:
        said = f"{sum(same_id.values()):,} of {total:,} cases ({_listed(same_id)})"
        lines.append(
            f"with the id of a case of the training set, but another picture: {said}"
            if compared
            else f"WARNING: with the id of a case of the training set: {said}; where the picture "
            "is the same too, numbers over them are too good"
        )
    if NOT_CHECKED in found:
        lines.append(
            f"in the training set: {found[NOT_CHECKED]:,} of {total:,} cases not checked{because}"
        )
    return lines or [f"in the training set (train, val, calib): none of {total:,} cases"]


def _listed(found: dict[str, int]) -> str:
    return ", ".join(f"{word} {n:,}" for word, n in found.items())
