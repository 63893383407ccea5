"""Who and which pixels stand on both sides of a split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.checks.findings import Finding
from medimg.data.manifest import Manifest, plain_id
from medimg.data.store import ImageStore

#: A UID (PS3.5 9.1), or the pseudonym of one.
_UNIQUE = re.compile(r"[0-9]+(\.[0-9]+){3,}|[a-z2-7]{26}")
_OWN_CODES = {
    "patient_id": "patient_in_several_splits",
    "study_id": "study_in_several_splits",
}


def groups_in_several_splits(manifest: Manifest, by: Sequence[str]) -> list[Finding]:
    """Return the patients, studies and groups of the columns `by` that stand in several splits.

    Ids are compared as `plain_id` gives them; a blank id is nobody's. The studies of different
    patients differ, unless their id is unique in the world: tables number them within a patient
    (``study1``). Where several columns are
    chained into one group, that group stands in several splits exactly where a value of one of
    the columns does.
    """
    found: dict[str, set[tuple[str, ...]]] = {}
    for column in dict.fromkeys([*_OWN_CODES, *by]):
        ids = _studies(manifest) if column == "study_id" else _plain(manifest, column)
        code = _OWN_CODES.get(column, "group_in_several_splits")
        found.setdefault(code, set()).update(_several(manifest, ids, manifest.split))
    others = [column for column in by if column not in _OWN_CODES]
    return [
        Finding(code, tuple(sorted(groups)), {} if code in _OWN_CODES.values() else {"by": others})
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
        Finding("pixels_in_several_splits", _several(manifest, hashes, manifest.split)),
        Finding("pixels_under_several_labels", _several(manifest, hashes, labels)),
        Finding("duplicates_within_split", within, _alike(manifest, within, labels)),
        Finding("blank_pictures", _cases_of(store, blank)),
    ]
    return [finding for finding in found if finding.groups]


def _plain(manifest: Manifest, column: str) -> NDArray[Any]:
    return manifest.frame[column].map(plain_id).to_numpy()


def _studies(manifest: Manifest) -> NDArray[Any]:
    """Return what names the study of each case (N,); blank where there is none."""
    study, patient = _plain(manifest, "study_id"), _plain(manifest, "patient_id")
    local = np.array([bool(i) and not _UNIQUE.fullmatch(i) for i in study], bool)
    return np.where(local, patient + "\0" + study, study)


def _several(
    manifest: Manifest, ids: NDArray[Any], values: NDArray[Any]
) -> tuple[tuple[str, ...], ...]:
    """Return the cases of each id that has several values; blanks and split none are left out."""
    takes_part = (ids != "") & (values != "") & (manifest.split != "none")
    frame = pd.DataFrame({"case": manifest.case_id, "id": ids, "value": values})[takes_part]
    several = frame.groupby("id", sort=False)["value"].transform("nunique") > 1
    return _collect(frame[several], ["id"])


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
    patients = _plain(manifest, "patient_id")
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
