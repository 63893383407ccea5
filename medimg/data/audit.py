"""`audit`: what stands between a manifest and an honest figure; the checks, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from medimg.data.checks.acquisition import predictors
from medimg.data.checks.copies import near_copies
from medimg.data.checks.findings import CODES, Audit, Finding
from medimg.data.checks.leaks import equal_pixels, groups_in_several_splits
from medimg.data.checks.merge import merge
from medimg.data.checks.sites import prevalence
from medimg.data.checks.tables import (
    class_absent_from_split,
    file_missing,
    ids_alike,
    patient_in_several_classes,
    source_listed_twice,
)
from medimg.data.groups import columns_of, group_of
from medimg.data.manifest import Manifest
from medimg.data.parts import manifests_of, stores_of
from medimg.data.store import ImageStore

_NO_PIXELS = "give a store of decoded pictures, or --pixels"
_QUICK = "files, metadata, sites and near-duplicates are left to `medimg audit --pixels`"


def audit(
    data: Manifest | ImageStore, *, by: Sequence[str] = (), quick: bool = False, seed: int = 0
) -> Audit:
    """Look for leaks and for what else makes figures too good.

    Parameters
    ----------
    data : Manifest or ImageStore
        A store is checked with its pictures; of folds, the split of each. Cases of split `none`
        take no part.
    by : sequence of str
        Further columns whose values may not stand in several splits; patients and studies
        never may.
    quick : bool
        Only what costs next to nothing: groups, ids, classes and pictures that are equal.
    seed : int
        Of the permutations and folds behind the figures of the metadata.

    Raises
    ------
    UsageError
        A column of `by` that is not there.
    """
    manifest, store = (data.manifest, data) if isinstance(data, ImageStore) else (data, None)
    columns = columns_of(manifest, by) if by else ()
    parts: Sequence[Manifest | ImageStore] = stores_of(store) if store else manifests_of(manifest)
    cheap = merge([_cheap(part, columns) for part in parts])
    if quick:
        return replace(cheap, not_checked={**cheap.not_checked, "metadata and copies": _QUICK})
    groups = group_of(manifest, ("patient_id", *columns))
    metadata = predictors(manifest, groups=groups, seed=seed)
    costly = [
        file_missing(manifest),
        patient_in_several_classes(manifest),
        metadata.finding,
        prevalence(manifest, groups=groups, seed=seed),
    ]
    near, notes = near_copies(store, groups) if store else ([], [])
    found = _audit([*costly, *near], cheap.not_checked)
    return replace(merge([cheap, found]), metadata=metadata.rows, notes=(*metadata.notes, *notes))


def _cheap(data: Manifest | ImageStore, by: Sequence[str]) -> Audit:
    """Look at one split: groups, ids, classes and pictures that are equal."""
    manifest, store = (data.manifest, data) if isinstance(data, ImageStore) else (data, None)
    found: list[Finding | None] = [
        *groups_in_several_splits(manifest, by),
        *(check(manifest) for check in (class_absent_from_split, source_listed_twice, ids_alike)),
        *(equal_pixels(store) if store else ()),
    ]
    return _audit(found, {} if store else {"pixels": _NO_PIXELS})


def _audit(found: Iterable[Finding | None], not_checked: Mapping[str, str]) -> Audit:
    """Return findings in the order of `CODES`, what is no fault apart from the others."""
    order = list(CODES)
    there = sorted((f for f in found if f is not None), key=lambda f: order.index(f.code))
    return Audit(
        findings=tuple(f for f in there if f.severity != "information"),
        information=tuple(f for f in there if f.severity == "information"),
        not_checked=not_checked,
    )
