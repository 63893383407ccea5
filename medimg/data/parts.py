"""The manifests that a manifest with folds stands for."""

from __future__ import annotations

from dataclasses import replace

from medimg.data.manifest import Manifest
from medimg.data.store import ImageStore


def manifests_of(manifest: Manifest) -> list[Manifest]:
    """Return the manifest of each fold, or the manifest itself where it has no folds."""
    if manifest.folds is None:
        return [manifest]
    return [manifest.fold(number + 1) for number in range(manifest.folds.shape[1])]


def stores_of(store: ImageStore) -> list[ImageStore]:
    """Return the store with the manifest of each fold, or the store itself."""
    return [replace(store, manifest=manifest) for manifest in manifests_of(store.manifest)]
