"""The audits of a run: of its one split, or of the split of each fold."""

from __future__ import annotations

from collections.abc import Sequence

from medimg.data.audit import audit
from medimg.data.checks.findings import Audit
from medimg.data.checks.merge import merge
from medimg.data.groups import columns_of
from medimg.data.manifest import Manifest
from medimg.data.parts import manifests_of, stores_of
from medimg.data.store import ImageStore


def audit_manifests(manifest: Manifest, by: Sequence[str]) -> list[Audit]:
    """Audit, as far as it costs nothing, the manifest or that of each of its folds."""
    columns = columns_of(manifest, by)
    return [audit(part, by=columns, quick=True) for part in manifests_of(manifest)]


def audit_stores(store: ImageStore, by: Sequence[str], before: Sequence[Audit]) -> list[Audit]:
    """Audit the store of each fold, pictures too; `before` found the manifest's own faults.

    The columns of `by` that the store has left behind, since they may name people, were checked
    in the manifest.
    """
    columns = [column for column in by if column in store.manifest.frame]
    found = [audit(part, by=columns, quick=True) for part in stores_of(store)]
    return [merge(pair) for pair in zip(before, found, strict=True)]
