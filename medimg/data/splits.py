"""Splits: no group parted, every class shared out, independent of the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medimg.data.assign import assign_groups, group_counts
from medimg.data.groups import Missing, group_of
from medimg.data.holdout import held_out
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
    by: Sequence[str] = ("patient_id",),
    missing: Missing = "own",
    hold_out: Sequence[str] = (),
    after: str | None = None,
) -> Manifest:
    """Assign every case to a split; all cases of a patient (or another group) go to the same one.

    Where the manifest brings no split, the shares are those given, of the cases and of each
    class. Where it does, what it brings stays whole, and each of test, val and calib that is
    absent and wanted (its share is above 0) is cut from train: 10% of it by group, at least 50
    cases, at most a quarter. A case of split `none` takes no part and stays so.

    Cases that `hold_out` or `after` name are the test, and nothing else is: other cases of their
    groups become `none`, the remaining ones are shared out among train, val and calib.

    Parameters
    ----------
    train, val, calib, test : float
        Shares; they must sum to one (to 1e-6).
    seed : int
        The same seed and cases give the same split.
    by : sequence of str
        Columns; cases that share a value in any of them are never parted, see
        `medimg.data.groups.group_of`.
    missing : {"own", "refuse"}
        A case without any of these ids is a group of its own, or is refused.
    hold_out : sequence of str
        ``COLUMN=VALUE``, as in ``site=B``; of several, the cases of any.
    after : str, optional
        ``COLUMN=DAY``, as in ``date=2024-01-01``: that day and later.

    Raises
    ------
    UsageError
        Shares that are negative or do not sum to one, an unknown column, a value that no case
        has, cases held out where the manifest brings its splits, or a manifest with folds.
    ManifestError
        Splits on some cases and not on others, cases without an id or a date where one is
        wanted, or none left to train on.
    """
    shares = _checked({"train": train, "val": val, "calib": calib, "test": test})
    if manifest.folds is not None:
        raise UsageError(
            "a split of a manifest that brings folds",
            remedy="take one of them, manifest.fold(1), or set them aside: medimg split --anew",
        )
    part = np.flatnonzero(manifest.split != "none")
    if not len(part):
        raise ManifestError(
            "every case is of split none", remedy="clear the column split where a case takes part"
        )
    taken = manifest.take(part) if len(part) < len(manifest) else manifest
    groups = group_of(manifest, by, missing)[part]
    if hold_out or after is not None:
        chosen = _without_held(taken, groups, held_out(taken, hold_out, after), shares, seed)
    elif (taken.split == "").all():
        chosen = _deal(taken, np.arange(len(taken)), groups, shares, seed)
    else:
        chosen = _completed(taken, groups, shares, seed)
    assigned = manifest.split.copy()
    assigned[part] = chosen
    return manifest.with_column("split", assigned)


def _checked(shares: dict[str, float]) -> dict[str, float]:
    whole = abs(sum(shares.values()) - 1) <= 1e-6
    if not (whole and min(shares.values()) >= 0 and shares["train"] > 0):
        raise UsageError(
            f"split shares {shares}",
            remedy="give shares of at least 0 that sum to 1, train above 0",
        )
    return shares


def _completed(
    manifest: Manifest, groups: NDArray[np.intp], shares: Mapping[str, float], seed: int
) -> NDArray[np.object_]:
    """Return the splits that the manifest brings, and those it lacks cut from train."""
    chosen = manifest.split.copy()
    blank = chosen == ""
    if blank.any():
        raise ManifestError(
            f"{blank.sum()} of {len(manifest)} cases have no split, the others do",
            remedy="fill the column split in (none leaves a case out), or clear it",
        )
    for name in ("test", "val", "calib"):
        if shares[name] <= 0 or (manifest.split == name).any():
            continue
        rows = np.flatnonzero(chosen == "train")
        if not len(rows):
            raise ManifestError(
                f"no case of split train to cut {name} from", remedy="name the training cases"
            )
        share = min(max(0.1, SMALLEST_CUT / len(rows)), LARGEST_SHARE)
        chosen[rows] = _deal(manifest, rows, groups, {"train": 1 - share, name: share}, seed)
    return chosen


def _without_held(
    manifest: Manifest,
    groups: NDArray[np.intp],
    held: NDArray[np.bool_],
    shares: Mapping[str, float],
    seed: int,
) -> NDArray[np.object_]:
    """Return the splits where the held-out cases, and no others, are test."""
    brought = sorted(set(manifest.split) - {""})
    if brought:
        raise UsageError(
            f"cases to hold out, and the data bring the splits {', '.join(brought)}",
            remedy="set them aside (medimg split --anew), or hold nothing out",
        )
    touched = np.zeros(groups.max() + 1, bool)
    touched[groups[held]] = True
    rest = np.flatnonzero(~touched[groups])
    if not len(rest):
        raise ManifestError(
            f"nothing left to train on: {held.sum()} of {len(manifest)} cases are held out, and "
            "the others share their groups",
            remedy="hold out less",
        )
    chosen = np.where(held, "test", "none").astype(object)
    kept = {name: share for name, share in shares.items() if name != "test"}
    whole = sum(kept.values())
    kept = {name: share / whole for name, share in kept.items()}
    chosen[rest] = _deal(manifest, rest, groups, kept, seed)
    return chosen


def _deal(
    manifest: Manifest,
    rows: NDArray[np.intp],
    groups: NDArray[np.intp],
    shares: Mapping[str, float],
    seed: int,
) -> NDArray[np.object_]:
    """Return the splits of some rows, by `shares`."""
    wanted = {name: share for name, share in shares.items() if share > 0}
    _, own = np.unique(groups[rows], return_inverse=True)
    counts = group_counts(manifest.targets[rows], own, manifest.space)
    chosen = assign_groups(counts, np.array(list(wanted.values())), seed)
    return np.array(list(wanted), object)[chosen[own]]
