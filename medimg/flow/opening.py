"""What a config names: its source, the cases in it, and their decoded pixels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from medimg.config import RunConfig
from medimg.data.fetch import find_data
from medimg.data.index import list_cases
from medimg.data.manifest import Manifest
from medimg.data.options import IndexOptions
from medimg.data.sources.dicom.index.listing import Indexed
from medimg.data.store import ImageStore
from medimg.errors import SourceNotFound
from medimg.files import fingerprint


def open_source(config: RunConfig, near: Sequence[Path] = ()) -> tuple[Indexed, Path]:
    """Return the cases that a config names, not split yet, and their source."""
    source = find_source(config, near)
    options = config.data.model_dump(include=set(IndexOptions.model_fields) - {"labels"})
    labels = config.data.labels
    return list_cases(
        source, labels=None if labels is None else find_data(labels, near), **options
    ), source


def open_store(config: RunConfig, manifest: Manifest, source: Path) -> ImageStore:
    """Return the decoded pixels of a manifest, from the cache where they are there."""
    folder = Path(config.data.cache) if config.data.cache else cache_folder()
    key = fingerprint(str(source.resolve()), config.preprocess.model_dump(mode="json"))
    return ImageStore.build(
        manifest,
        config.preprocess,
        folder / key[:16],
        keep_ids=config.data.keep_ids,
        metadata=config.data.metadata,
    )


def cache_folder() -> Path:
    """Return the user's cache of decoded pixels; made for the user alone (mode 0700)."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = base / "medimg" / "stores"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def find_source(config: RunConfig, near: Sequence[Path]) -> Path:
    """Return the first source of a config that is there; where none is, say so of the first."""
    sources = config.data.source
    if isinstance(sources, str):
        sources = (sources,)
    for source in sources:
        with contextlib.suppress(SourceNotFound):
            return find_data(source, near)
    return find_data(sources[0], near)
