"""Splits by patient, stratified by label, independent of the order of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.manifest import Manifest
from medimg.errors import ManifestError, UsageError

#: A split cut from an official training set holds at least so many cases, but never more than
#: this share of them.
SMALLEST_CUT, LARGEST_SHARE = 50, 0.25


def split(
    manifest: Manifest,
    *,
    train: float = 0.7,
    val: float = 0.1,
    calib: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> Manifest:
    """Assign every case to a split; all cases of a patient go to the same one.

    Where the manifest brings no split, the shares are those given. Where it does, what it
    brings stays whole, and each of test, val and calib that is absent and wanted (its share is
    above 0) is cut from train: 10% of it by patient, at least 50 cases, at most a quarter.

    Parameters
    ----------
    train, val, calib, test : float
        Shares; they must sum to one (to 1e-6).
    seed : int
        The same seed and cases give the same split.

    Raises
    ------
    UsageError
        Shares that are negative or do not sum to one.
    ManifestError
        Splits on some cases and not on others.
    """
    shares = {"train": train, "val": val, "calib": calib, "test": test}
    if min(shares.values()) < 0 or train <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(
            f"split shares {shares}",
            remedy="give shares of at least 0 that sum to 1, train above 0",
        )
    assigned = manifest.split != ""
    if not assigned.any():
        return _cut(manifest, np.arange(len(manifest)), shares, seed)
    if not assigned.all():
        raise ManifestError(
            f"{(~assigned).sum()} of {len(manifest)} cases have no split, the others do",
            remedy="fill the column split in (none leaves a case out), or clear it",
        )
    there = set(manifest.split)
    for name in ("test", "val", "calib"):
        if name not in there and shares[name] > 0:
            manifest = _cut_from_train(manifest, name, seed)
    return manifest


def _cut_from_train(manifest: Manifest, name: str, seed: int) -> Manifest:
    rows = manifest.rows("train")
    if not len(rows):
        raise ManifestError(
            f"no case of split train to cut {name} from", remedy="name the training cases"
        )
    count = min(max(0.1 * len(rows), SMALLEST_CUT), LARGEST_SHARE * len(rows))
    share = count / len(rows)
    return _cut(manifest, rows, {"train": 1 - share, name: share}, seed)


def _cut(manifest: Manifest, rows: NDArray[Any], shares: dict[str, float], seed: int) -> Manifest:
    """Assign the cases of `rows` to splits by `shares`."""
    wanted = {name: share for name, share in shares.items() if share > 0}
    counts, group_of = _group_counts(manifest, rows)
    chosen = assign_groups(counts, np.array(list(wanted.values())), seed)
    split = manifest.split.copy()
    split[rows] = np.array(list(wanted), object)[chosen[group_of]]
    return manifest.with_column("split", split)


def _group_counts(
    manifest: Manifest, rows: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return counts (G, K + 1) of known positives and of cases, and the group of each row."""
    _, group_of = np.unique(manifest.groups[rows].astype(str), return_inverse=True)
    features = np.column_stack([np.nan_to_num(manifest.targets[rows]), np.ones(len(rows))])
    counts = np.zeros((group_of.max() + 1, features.shape[1]))
    np.add.at(counts, group_of, features)
    return counts, group_of


def assign_groups(
    counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int
) -> NDArray[np.intp]:
    """Return the split (G,) of each group, so that every class gets its share in every split.

    Groups are taken from the largest to the smallest, equal ones in an order drawn from
    `seed`; each goes where it lessens most the squared distance of the counts (splits x
    features) to the wanted ones, each feature in units of its own total.

    Parameters
    ----------
    counts : float (G, F)
        What each group holds of each feature (class).
    shares : float (S,)
        The wanted share of each split.
    """
    totals = np.maximum(counts.sum(axis=0), 1)
    wanted = shares[:, None] * totals
    have = np.zeros_like(wanted)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    chosen = np.empty(len(counts), np.intp)
    weight = 1 / totals**2
    for group in order:
        mine = counts[group]
        cost = ((mine * (mine + 2 * (have - wanted))) * weight).sum(axis=1)
        best = int(np.argmin(cost))
        have[best] += mine
        chosen[group] = best
    return chosen
