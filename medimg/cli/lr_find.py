"""What `medimg lr-find` does and prints."""

from __future__ import annotations

import sys
from pathlib import Path

from medimg.config import RunConfig
from medimg.data.splits import split
from medimg.data.store import ImageStore
from medimg.errors import UsageError
from medimg.files import claim_folder, lock, require_free
from medimg.flow.opening import open_source, open_store
from medimg.inference.forward import pick_device
from medimg.models.build import build_model
from medimg.report.rates import PAGE, write_rates
from medimg.training.lr_find import LRFind, lr_find


def find_and_print(config: RunConfig, path: Path, out: Path, *, overwrite: bool) -> None:
    """Sweep the learning rate of a config, write page and table, and print the suggestion."""
    require_free(out, PAGE, overwrite=overwrite)
    pick_device(config.device)
    store = _open(config, path)
    claim_folder(out, PAGE, overwrite=overwrite)
    with lock(out):
        found = _sweep(config, store)
        page = write_rates(
            out,
            found.rates,
            found.losses,
            found.smoothed,
            suggestion=found.suggestion,
            reason=found.reason,
            title=f"Learning rate: {config.title or path.stem}",
        )
    _say(found, page)


def _open(config: RunConfig, path: Path) -> ImageStore:
    """Return the decoded pixels of a config's cases, split as its run would split them."""
    indexed, source = open_source(config, [path.resolve().parent])
    manifest = indexed.require()
    if manifest.folds is not None:
        raise UsageError(
            f"{source} brings folds, and a learning rate is looked for on one split",
            remedy="set them aside: `medimg split M.csv -o M2.csv --anew`",
        )
    manifest = split(manifest, **config.split.model_dump(), seed=config.seed)
    return open_store(config, manifest, source)


def _sweep(config: RunConfig, store: ImageStore) -> LRFind:
    model = build_model(
        config.model.name,
        shape=store.shape,
        classes=store.manifest.space.k,
        seed=config.seed,
        **config.model.options,
    )
    return lr_find(model, store, config.fit, seed=config.seed, device=config.device)


def _say(found: LRFind, page: Path) -> None:
    write = sys.stdout.write
    if found.suggestion is None:
        write(f"no learning rate is suggested: {found.reason}\n")
    else:
        write(f"--set fit.lr={found.suggestion:g}    ({found.reason})\n")
    write(f"curve  {page}\n")
