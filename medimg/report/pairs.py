"""Which pictures of an audit to show side by side, so that a person can judge them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.findings import Audit
from medimg.data.store import ImageStore
from medimg.labels import LabelSpace
from medimg.report.examples import picture
from medimg.report.findings import Pair, Picture, members

#: Findings that are about what pictures show.
PICTURED = (
    "pixels_in_several_splits",
    "pixels_under_several_labels",
    "near_duplicates_across_splits",
    "near_duplicates_within_split",
    "duplicates_within_split",
)
#: Pictures shown of one group; the others are counted.
_SIDE_BY_SIDE = 4


def pair_pictures(audit: Audit, store: ImageStore, most: int = 12) -> dict[str, list[Pair]]:
    """Return the pictures of each finding that is about pictures, by its code.

    Parameters
    ----------
    audit : Audit
        The cases of which; one that the store does not hold is left out.
    store : ImageStore
        The pictures.
    most : int
        Groups of a finding that are shown; of near-duplicates the most similar come first.
    """
    row_of = {case_id: row for row, case_id in enumerate(store.manifest.case_id)}
    pairs: dict[str, list[Pair]] = {}
    for finding in (f for f in audit.findings if f.code in PICTURED):
        groups = ((cases, words) for cases, words in members(finding) if row_of.keys() >= {*cases})
        pairs[finding.code] = [
            _pair(store, [row_of[case_id] for case_id in cases], words)
            for cases, words in islice(groups, most)
        ]
    return pairs


def _pair(store: ImageStore, rows: Sequence[int], words: str) -> Pair:
    shown = _unlike_first(store, rows)[:_SIDE_BY_SIDE]
    images = _stretched([picture(store.read(np.array([row]))[0]) for row in shown])
    manifest = store.manifest
    pictures = tuple(
        Picture(
            image=image,
            case_id=manifest.case_id[row],
            split=manifest.split[row],
            label=_label(manifest.space, manifest.targets[row]),
        )
        for row, image in zip(shown, images, strict=True)
    )
    return Pair(pictures, words, more=len(rows) - len(shown))


def _unlike_first(store: ImageStore, rows: Sequence[int]) -> list[int]:
    """Return the rows so that each split and label that stands in them comes early."""
    manifest, seen, rank = store.manifest, Counter[object](), {}
    for row in rows:
        kind = (manifest.split[row], manifest.targets[row].tobytes())
        rank[row] = seen[kind]
        seen[kind] += 1
    return sorted(rows, key=rank.__getitem__)


def _stretched(images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Return pictures with the greys that they use spread out, all by one rule.

    CT fills a small part of its range of units and would look black. Pictures of one group are
    spread alike, so that a copy made brighter stays brighter.
    """
    low, high = np.percentile(np.concatenate([image.ravel() for image in images]), (0.5, 99.5))
    factor = 255 / max(high - low, 1)
    return [((image - low) * factor).clip(0, 255).round().astype(np.uint8) for image in images]


def _label(space: LabelSpace, targets: NDArray[np.float32]) -> str:
    """Return the names of the classes that a case has."""
    if np.isnan(targets).all():
        return "unknown"
    return ", ".join(space.classes[k] for k in np.flatnonzero(targets == 1)) or "none"
