"""What each split got of each class, in cases and in patients, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.assign import group_counts
from medimg.data.groups import Links, columns_of, components, links_of
from medimg.data.ids import PLACEHOLDERS, plain_text, spellings
from medimg.data.manifest import SPLITS, Manifest

#: A split that is off its share by more than this part of it is told.
_FAR = 0.1


def split_counts(manifest: Manifest, by: Sequence[str] = ("patient_id",)) -> pd.DataFrame:
    """Return cases and patients of each class in each split: one row a split.

    Parameters
    ----------
    by : sequence of str
        Who belongs together; see `medimg.data.groups.group_of`.

    Returns
    -------
    DataFrame
        `split`; `cases` and `patients` (`groups`, where these are not patients); for each class
        its known cases as ``label:NAME``, and their patients as ``label:NAME patients``;
        `unknown`: cases with an unknown target.
    """
    columns = columns_of(manifest, by)
    links = links_of(manifest, columns)
    groups = components(manifest, list(links.values()))
    unit = _unit(columns, links, groups)
    rows = []
    for name in [s for s in (*SPLITS, "") if (manifest.split == s).any()]:
        here = manifest.rows(name)
        counts = _counts(manifest, groups, here)
        row: dict[str, Any] = {"split": name or "(unassigned)", "cases": len(here)}
        row[unit] = len(counts)
        for column, label in enumerate(manifest.space.classes):
            row[f"label:{label}"] = int(counts[:, column].sum())
            row[f"label:{label} {unit}"] = int((counts[:, column] > 0).sum())
        row["unknown"] = int(np.isnan(manifest.targets[here]).any(axis=1).sum())
        rows.append(row)
    return pd.DataFrame(rows)


def warnings(
    manifest: Manifest,
    by: Sequence[str] = ("patient_id",),
    shares: Mapping[str, float] | None = None,
) -> list[str]:
    """Return what makes the splits worth less than they seem, one sentence each.

    Classes of fewer groups than there are splits, classes absent from a split, cases without
    the ids that keep a group together, and splits far from their share.

    Parameters
    ----------
    by : sequence of str
        Who belongs together.
    shares : mapping of split to float, optional
        The wanted shares, where the cases were split by such.
    """
    part = np.flatnonzero((manifest.split != "none") & (manifest.split != ""))
    if not len(part):
        return []
    taken = manifest.take(part) if len(part) < len(manifest) else manifest
    columns = columns_of(manifest, by)
    links = links_of(manifest, columns)
    whole = components(manifest, list(links.values()))
    groups = whole[part]
    names = [name for name in SPLITS if (taken.split == name).any()]
    held = {name: _counts(taken, groups, taken.rows(name)) for name in names}
    return [
        *_nameless(manifest, columns, links),
        *_rare(taken, groups, len(names), _unit(columns, links, whole)),
        *_absent(taken, held),
        *_far(held, groups, shares or {}),
    ]


def _counts(
    manifest: Manifest, groups: NDArray[np.intp], rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    _, own = np.unique(groups[rows], return_inverse=True)
    return group_counts(manifest.targets[rows], own, manifest.space)


def _unit(columns: Sequence[str], links: Mapping[str, Links], groups: NDArray[np.intp]) -> str:
    """Return what a group is called: `patients` where every case has one, and groups are those."""
    if tuple(columns) != ("patient_id",):
        return "groups"
    patients = links["patient_id"]
    alike = len(patients.rows) == len(groups) and patients.total == groups.max() + 1
    return "patients" if alike else "groups"


def _nameless(
    manifest: Manifest, columns: Sequence[str], links: Mapping[str, Links]
) -> Iterator[str]:
    part = alone = (manifest.split != "none") & (manifest.split != "")
    for column in columns:
        alone = alone & ~np.isin(np.arange(len(manifest)), links[column].rows)
    if not alone.any():
        return
    written = np.zeros(alone.sum(), bool)
    for column in columns:
        numbers, texts = spellings(manifest.frame[column][alone])
        written |= np.array([plain_text(text) in PLACEHOLDERS for text in texts])[numbers]
    words = f" ({written.sum()} a word for none, such as NA)" if written.any() else ""
    yield (
        f"{alone.sum()} of {part.sum()} cases have no {' and no '.join(columns)}{words}: each "
        "counts as a group of its own, unless its study or image is another's too"
    )


def _rare(manifest: Manifest, groups: NDArray[np.intp], splits: int, unit: str) -> Iterator[str]:
    holders = (_counts(manifest, groups, np.arange(len(manifest))) > 0).sum(axis=0)
    for label, n in zip(manifest.space.classes, holders, strict=False):
        if 0 < n < splits:
            of = unit if n > 1 else unit.removesuffix("s")
            yield f"class {label!r} is of {n} {of}, too few for {splits} splits"


def _absent(manifest: Manifest, held: Mapping[str, NDArray[np.float64]]) -> Iterator[str]:
    classes = manifest.space.classes
    kinds = [f"of class {label!r}" for label in classes]
    if not manifest.space.exclusive:
        kinds += [f"known to be without {label!r}" for label in classes]
    for kind, column in zip(kinds, range(len(kinds)), strict=True):
        lacking = [name for name, counts in held.items() if not counts[:, column].any()]
        if lacking:
            yield f"no case {kind} in {', '.join(lacking)}"


def _far(
    held: Mapping[str, NDArray[np.float64]],
    groups: NDArray[np.intp],
    shares: Mapping[str, float],
) -> Iterator[str]:
    n, largest = len(groups), int(np.bincount(groups).max())
    for name, share in shares.items():
        cases = int(held[name][:, -1].sum()) if name in held else 0
        if abs(cases - share * n) > max(_FAR * share * n, 1):
            yield (
                f"split {name} has {cases / n:.1%} of the cases, not {share:.1%}: groups are not "
                f"parted, and the largest has {largest} of {n}"
            )
