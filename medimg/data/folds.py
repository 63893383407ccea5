"""Folds: every group is tested once, and each fold has a validation split of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.assign import assign_groups, group_counts
from medimg.data.groups import Missing, group_of
from medimg.data.manifest import Manifest
from medimg.errors import UsageError


def make_folds(
    manifest: Manifest,
    k: int = 5,
    *,
    val: float = 0.1,
    seed: int = 0,
    by: Sequence[str] = ("patient_id",),
    missing: Missing = "own",
) -> Manifest:
    """Divide the cases into `k` folds; no group is parted, and classes get their shares.

    In fold j the cases of the j-th part are test; of the others a share `val` picks the epoch
    and the rest is learnt from. There is no calib: calibrators are fitted on predictions out
    of fold. A case of split `none` is none in every fold.

    Parameters
    ----------
    k : int
        At least 2, at most the number of groups.
    val : float
        Share of the cases that are not test; 0: no val.
    seed : int
        The same seed and cases give the same folds, in any order of the rows.
    by, missing
        Who belongs together; see `medimg.data.groups.group_of`.

    Returns
    -------
    Manifest
        With `folds`; see `Manifest.fold`.

    Raises
    ------
    UsageError
        A wrong `k` or `val`, an unknown column, or a manifest that brings its splits.
    ManifestError
        Cases without an id where `missing` is ``"refuse"``.
    """
    if not 0 <= val < 1:
        raise UsageError(f"val {val}", remedy="give a share from 0 to less than 1")
    _require_unsplit(manifest)
    rows = np.flatnonzero(manifest.split != "none")
    _, group = np.unique(group_of(manifest, by, missing)[rows], return_inverse=True)
    groups = int(group.max()) + 1 if len(rows) else 0
    if not 2 <= k <= groups:
        raise UsageError(
            f"{k} folds of {groups} groups ({', '.join(by)})",
            remedy=f"give a number from 2 to {groups}" if groups > 1 else "there must be two",
        )
    counts = group_counts(manifest.targets[rows], group, manifest.space)
    seeds = np.random.SeedSequence(seed).generate_state(k + 1).tolist()
    part = assign_groups(counts, np.full(k, 1 / k), seeds[0])
    folds = np.full((len(manifest), k), "none", object)
    for fold in range(k):
        folds[rows, fold] = _splits(counts, part == fold, val, seeds[fold + 1])[group]
    _require_tests(folds, k)
    return replace(manifest, folds=folds)


def _splits(
    counts: NDArray[np.float64], test: NDArray[np.bool_], val: float, seed: int
) -> NDArray[Any]:
    """Return the split (G,) of each group in the fold whose groups `test` are tested."""
    names = np.array(["train", "val"] if val else ["train"], object)
    shares = np.array([1 - val, val] if val else [1.0])
    splits = np.full(len(test), "test", object)
    splits[~test] = names[assign_groups(counts[~test], shares, seed)]
    return splits


def _require_unsplit(manifest: Manifest) -> None:
    brought = sorted(set(manifest.split) - {"", "none"})
    if brought or manifest.folds is not None:
        what = f"the splits {', '.join(brought)}" if brought else "folds"
        raise UsageError(
            f"the manifest brings {what}: folds would overrule them",
            remedy="set them aside knowingly: `medimg split M.csv -o M2.csv --anew --folds 5` of "
            "its manifest (`medimg index`), in Python `unsplit(manifest)`",
        )


def unsplit(manifest: Manifest) -> Manifest:
    """Return the manifest without the splits and folds that it brings; `none` stays."""
    split = np.where(manifest.split == "none", "none", "")
    return replace(manifest, frame=manifest.frame.assign(split=split.astype(object)), folds=None)


def _require_tests(folds: NDArray[Any], k: int) -> None:
    empty = [fold + 1 for fold in range(k) if not (folds[:, fold] == "test").any()]
    if empty:
        raise UsageError(
            f"{k} folds leave fold {empty[0]} without a case: some groups are too large",
            remedy="give fewer folds",
        )
