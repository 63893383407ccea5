"""Near-duplicates among the pictures of a store, told apart by where they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.findings import Finding
from medimg.data.checks.near import Pair, near_duplicates
from medimg.data.parts import manifests_of
from medimg.data.store import ImageStore

#: The most that pictures are called alike whose pixels are not equal.
_ALIKE = 0.9999


def near_copies(store: ImageStore, groups: NDArray[np.intp]) -> tuple[list[Finding], list[str]]:
    """Return the pairs of pictures that are probably copies, and what else has to be known.

    Pairs whose pixels are equal are left to `leaks.equal_pixels`. Two pictures of one patient in
    one split are expected to look alike: they are counted, not named.

    Parameters
    ----------
    groups : int (N,)
        Whose each case is.
    """
    rows = np.flatnonzero(store.manifest.split != "none")
    pairs = near_duplicates(store.pixels, store.index[rows])
    splits = np.stack([part.split for part in manifests_of(store.manifest)])
    across, within, own = [], [], 0
    for pair in pairs:
        a, b = rows[pair.first], rows[pair.second]
        if store.pixel_hash[a] == store.pixel_hash[b]:
            continue
        both = splits[:, [a, b]]
        if ((both != "none").all(axis=1) & (both[:, 0] != both[:, 1])).any():
            across.append(_named(store, pair, a, b))
        elif groups[a] != groups[b]:
            within.append(_named(store, pair, a, b))
        else:
            own += 1
    found = [
        _finding("near_duplicates_across_splits", across),
        _finding("near_duplicates_within_split", within),
    ]
    notes = [f"{own:,} near-duplicates of one patient within one split are not listed"]
    return [finding for finding in found if finding.groups], notes if own else []


def _named(store: ImageStore, pair: Pair, a: int, b: int) -> dict[str, Any]:
    cases = sorted((str(store.manifest.case_id[a]), str(store.manifest.case_id[b])))
    return {
        "cases": cases,
        "similarity": min(round(float(pair.similarity), 4), _ALIKE),
        "how": pair.how,
    }


def _finding(code: str, pairs: list[dict[str, Any]]) -> Finding:
    """Return the finding of pairs, the most alike first."""
    pairs = sorted(pairs, key=lambda pair: (-pair["similarity"], pair["cases"]))
    return Finding(code, tuple(tuple(pair["cases"]) for pair in pairs), {"pairs": pairs})
