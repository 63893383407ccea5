"""Who and which pixels stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.checks.findings import Finding
from medimg.data.groups import Links, components, links_of
from medimg.data.ids import plain_ids
from medimg.data.manifest import SPLITS, Manifest
from medimg.data.store import ImageStore

_OWN_CODES = {
    "patient_id": "patient_in_several_splits",
    "study_id": "study_in_several_splits",
    "source": "source_in_several_splits",
}
_OTHER = "group_in_several_splits"


def groups_in_several_splits(manifest: Manifest, by: Sequence[str]) -> list[Finding]:
    """Return the patients, studies, images and groups of `by` that stand in several splits.

    Cases are linked as in `medimg.data.groups.group_of`, which splits: an id whose cases stand
    in several splits is found under its own code. What is still parted when such ids are set
    aside is parted through a case that takes no part: two cases that share nothing, and each of
    which shares an id with it.

    Parameters
    ----------
    by : sequence of str
        The columns that a split is to keep together; patients, studies and images are looked at
        whatever they are. Without any, chains of patients, studies and images.
    """
    columns = tuple(by) or ("patient_id",)
    links = links_of(manifest, tuple(dict.fromkeys(["patient_id", *columns])))
    found: dict[str, set[tuple[str, ...]]] = {
        code: set() for code in (*_OWN_CODES.values(), _OTHER)
    }
    whole = []
    for column, link in links.items():
        cases, parted = _parted(manifest, link)
        found[_OWN_CODES.get(column, _OTHER)].update(cases)
        if column in (*columns, "study_id", "source"):
            whole.append(_without(link, parted))
    chains = _chains(manifest, whole)
    found[_OTHER].update(chains)
    others = [column for column in columns if column not in _OWN_CODES] or list(columns)
    details: dict[str, Any] = {"by": others}
    if chains:
        details["words"] = [f"{len(chains)} linked through cases that take no part"]
    return [
        Finding(code, tuple(sorted(groups)), details if code == _OTHER else {})
        for code, groups in found.items()
        if groups
    ]


def equal_pixels(store: ImageStore) -> list[Finding]:
    """Return the pictures that stand in several splits, under several labels, or twice in one.

    Pictures are equal where the integers that the store keeps are: a copy in another file,
    transfer syntax or folder is the same picture. A picture of one single value is no copy of
    another one: those are told apart, as `blank_pictures`.
    """
    manifest, hashes = store.manifest, store.pixel_hash.copy()
    blank = _blank(store, hashes)
    hashes[np.isin(hashes, list(blank))] = ""
    labels = np.array([row.tobytes() for row in manifest.targets], object)
    labels[np.isnan(manifest.targets).any(axis=1)] = ""
    within = _within_splits(manifest, hashes)
    found = [
        Finding("pixels_in_several_splits", _several(manifest, hashes)),
        Finding("pixels_under_several_labels", _under_several_labels(manifest, hashes)),
        Finding("duplicates_within_split", within, _alike(manifest, within, labels)),
        Finding("blank_pictures", _cases_of(store, blank)),
    ]
    return [finding for finding in found if finding.groups]


def _parted(
    manifest: Manifest, links: Links
) -> tuple[tuple[tuple[str, ...], ...], NDArray[np.intp]]:
    """Return the cases of each id that stands in several splits, and the numbers of these ids."""
    split = manifest.split[links.rows]
    there = np.flatnonzero((split != "") & (split != "none"))
    rows, ids = links.rows[there], links.ids[there]
    number, _ = pd.factorize(split[there])
    low, high = np.full(links.total, len(SPLITS)), np.full(links.total, -1)
    np.minimum.at(low, ids, number)
    np.maximum.at(high, ids, number)
    parted = np.flatnonzero(low < high)
    own = np.isin(ids, parted)
    frame = pd.DataFrame({"case": manifest.case_id[rows[own]], "id": ids[own]})
    return _collect(frame, ["id"]), parted


def _chains(manifest: Manifest, links: Sequence[Links]) -> tuple[tuple[str, ...], ...]:
    """Return the cases of each component that stands in several splits, though no id does."""
    if not np.isin(manifest.split, ["", "none"]).any():
        return ()  # neighbours that share an id share a split, and so do all of a component
    of = components(manifest, links)
    return _parted(manifest, Links(np.arange(len(of)), of, int(of.max()) + 1))[0]


def _without(links: Links, ids: NDArray[np.intp]) -> Links:
    """Return the links without those of some ids."""
    kept = ~np.isin(links.ids, ids)
    _, left = np.unique(links.ids[kept], return_inverse=True)
    return Links(links.rows[kept], left, int(left.max(initial=-1)) + 1)


def _under_several_labels(manifest: Manifest, hashes: NDArray[Any]) -> tuple[tuple[str, ...], ...]:
    """Return the cases of each picture of which a label is known to be 0 and to be 1."""
    rows = np.flatnonzero((hashes != "") & (manifest.split != "none"))
    rows = rows[pd.Series(hashes[rows]).duplicated(keep=False).to_numpy()]
    if not len(rows):
        return ()
    number, _ = pd.factorize(hashes[rows])
    targets = manifest.targets[rows]
    extremes = pd.DataFrame(targets).groupby(number).agg(["min", "max"]).to_numpy()
    differs = extremes[:, ::2] < extremes[:, 1::2]
    own = (differs[number] & ~np.isnan(targets)).any(axis=1)
    frame = pd.DataFrame({"case": manifest.case_id[rows[own]], "id": number[own]})
    return _collect(frame, ["id"])


def _several(manifest: Manifest, ids: NDArray[Any]) -> tuple[tuple[str, ...], ...]:
    """Return the cases of each id, of which a blank is none, that stands in several splits."""
    rows = np.flatnonzero(ids != "")
    number, found = pd.factorize(ids[rows])
    return _parted(manifest, Links(rows, number, len(found)))[0]


def _within_splits(manifest: Manifest, hashes: NDArray[Any]) -> tuple[tuple[str, ...], ...]:
    frame = pd.DataFrame({"case": manifest.case_id, "id": hashes, "split": manifest.split})
    frame = frame[(hashes != "") & (manifest.split != "none")]
    return _collect(frame[frame.duplicated(["id", "split"], keep=False)], ["id", "split"])


def _collect(frame: pd.DataFrame, by: list[str]) -> tuple[tuple[str, ...], ...]:
    """Return the cases of equal `by` together, sorted."""
    groups: dict[Any, list[str]] = {}
    for case_id, *key in frame[["case", *by]].itertuples(index=False):
        groups.setdefault(tuple(key), []).append(case_id)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values()))


def _alike(
    manifest: Manifest, groups: tuple[tuple[str, ...], ...], labels: NDArray[Any]
) -> dict[str, int]:
    """Return how many groups are of one known patient, and how many of one known class."""
    row_of = {case_id: row for row, case_id in enumerate(manifest.case_id)}
    patients = plain_ids(manifest.frame["patient_id"])
    counts = {"of_one_patient": 0, "of_one_class": 0}
    for group in groups:
        rows = [row_of[case_id] for case_id in group]
        for name, values in (("of_one_patient", patients), ("of_one_class", labels)):
            found = set(values[rows])
            counts[name] += len(found) == 1 and "" not in found
    return counts


def _blank(store: ImageStore, hashes: NDArray[Any]) -> set[str]:
    """Return the hashes, of those that stand twice, whose picture is of one single value."""
    values, first, counts = np.unique(hashes.astype(str), return_index=True, return_counts=True)
    blank = set()
    for value, row in zip(values[counts > 1], first[counts > 1], strict=True):
        picture = store.read(np.array([row]))
        if (picture == picture.flat[0]).all():
            blank.add(str(value))
    return blank


def _cases_of(store: ImageStore, hashes: set[str]) -> tuple[tuple[str, ...], ...]:
    cases: dict[str, list[str]] = {value: [] for value in sorted(hashes)}
    for case_id, value in zip(store.manifest.case_id, store.pixel_hash, strict=True):
        if value in cases:
            cases[value].append(case_id)
    return tuple(sorted(tuple(group) for group in cases.values()))
