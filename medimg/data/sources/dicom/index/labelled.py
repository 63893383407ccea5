"""Cases with their labels: of a table, of the folders that they lie in, or of their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import COLUMNS as OWN
from medimg.data.manifest import is_taken
from medimg.data.options import IndexOptions
from medimg.data.sources import table
from medimg.data.sources.dicom.index.cases import Unit
from medimg.data.sources.dicom.index.join import STRIPPED, Joined, Unmatched, join
from medimg.data.sources.dicom.index.match import base_name
from medimg.data.sources.dicom.index.metadata import METADATA
from medimg.data.sources.folder import SPLIT_NAMES, class_and_split
from medimg.errors import DataError, LabelError, UsageError
from medimg.labels import LabelSpace
from medimg.tables import read_table

#: Options that speak of a table of labels.
_OF_TABLES = (
    *("path", "label", "patient_id", "split", "separator", "uncertain", "blank"),
    *("key", "key_date", "within", "all_studies"),
)
_WAYS = (
    "give a table (--labels L.csv), say where the class stands in the names of the files "
    "(--label-from-name REGEX), or sort them into one subfolder a class; scans to predict need "
    "no labels and no index: medimg predict BUNDLE FOLDER"
)
Columns = Mapping[str, Sequence[str]]


class NoLabels(DataError):
    """Nobody says what the classes of the cases are; the files are accounted for all the same."""


class Labelled(NamedTuple):
    """N cases with their labels.

    units : list of Unit (N,)
    targets : float32 (N, K) in {0, 1, NaN}
    space : LabelSpace
    own : dict of lists of str (N,)
        Further columns of the manifest, as a table brings them.
    unmatched : list of Unmatched, or None
        Rows of the table that label no case; None without a table.
    notes : tuple of str
        What to tell of it; without names and ids.
    """

    units: list[Unit]
    targets: NDArray[np.float32]
    space: LabelSpace
    own: dict[str, list[str]]
    unmatched: list[Unmatched] | None = None
    notes: tuple[str, ...] = ()


def check_options(options: IndexOptions, labels: Path | None) -> None:
    """Refuse options that have no meaning for where the labels are."""
    if labels is not None and options.label_from_name is not None:
        raise UsageError("label_from_name together with labels", remedy="leave one of them out")
    said = [name for name in _OF_TABLES if getattr(options, name)] if labels is None else []
    if said:
        raise UsageError(
            f"option {said[0]} has no meaning without a table of labels",
            remedy="give one: --labels L.csv",
        )


def label(
    units: Sequence[Unit], columns: Columns, options: IndexOptions, root: Path, labels: Path | None
) -> Labelled:
    """Return those of the cases for which there are labels.

    Parameters
    ----------
    columns : mapping of str to sequence of str (I,)
        Those of a `Scan`.
    labels : path, optional
        The table.

    Raises
    ------
    UsageError, DataError, LabelError
        No labels, or labels that do not fit; no message holds a name or an id.
    """
    if labels is not None:
        joined = join(read_table(labels), columns, units, options, root=root, path=labels)
        return _from_table(units, joined, columns, options, str(labels))
    if options.label_from_name is not None:
        return _from_names(units, columns["source"], options, options.label_from_name)
    return _from_folders(units, columns, options)


def unlabelled(units: Sequence[Unit], space: LabelSpace) -> Labelled:
    """Return all cases with unknown targets."""
    targets = np.full((len(units), space.k), np.nan, np.float32)
    return Labelled(list(units), targets, space, {})


def _from_table(
    units: Sequence[Unit], joined: Joined, columns: Columns, options: IndexOptions, name: str
) -> Labelled:
    pairs = [(unit, row) for unit, row in zip(units, joined.rows, strict=True) if row >= 0]
    kept = [unit for unit, _ in pairs]
    rows = np.array([row for _, row in pairs], np.intp)
    used = [joined.key.column, *joined.label, *([joined.frame] if joined.frame else [])]
    rest = joined.sheet.drop(columns=used)
    own: dict[str, list[str]] = {}
    split = table.one_column(rest, "split", options.split, name, optional=True)
    if split is not None:
        own["split"] = table.read_splits(list(rest.pop(split).to_numpy(object)[rows]), name)
    patient = table.one_column(rest, "patient_id", options.patient_id, name, optional=True)
    if patient is not None:
        patients = [cell.strip() for cell in rest.pop(patient).to_numpy(object)[rows]]
        headers = columns["PatientID"]
        if options.patient_id or not any(headers[unit.members[0]] for unit in kept):
            own["patient_id"] = patients
    plain, left = _metadata(rest)
    own |= {column: list(rest[column].to_numpy(object)[rows]) for column in plain}
    notes = [_said(joined, len(units) - len(kept))]
    if left:
        notes.append(f"columns left out, for their names mean something else: {', '.join(left)}")
    return Labelled(
        kept, joined.labels.targets[rows], joined.labels.space, own, joined.unmatched, tuple(notes)
    )


def _metadata(rest: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the columns of a table that become metadata, and those whose names are taken."""
    names = [str(column) for column in rest.columns]
    taken = [n for n in names if is_taken(n) or n in OWN or n in METADATA]
    return [n for n in names if n not in taken], taken


def _said(joined: Joined, without: int) -> str:
    """Return what became of the rows of the table and of the scans."""
    rows, left = len(joined.sheet), len(joined.unmatched)
    text = (
        f"labels joined by {joined.key.what} (column {joined.key.column}): {rows - left} of "
        f"{rows} rows; {left} label no case, {without} cases have no label"
    )
    near = sum(one.reason == STRIPPED for one in joined.unmatched)
    return text + (f"; {near} rows match only without blanks, zeros or capitals" if near else "")


def _from_names(
    units: Sequence[Unit], sources: Sequence[str], options: IndexOptions, pattern: str
) -> Labelled:
    """Label each case by a part of the name of its files."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"--label-from-name {pattern!r}: {error}", remedy="give a regular expression"
        ) from error
    if compiled.groups != 1:
        raise UsageError(
            f"--label-from-name {pattern!r} has {compiled.groups} groups",
            remedy="put parentheses around the one part that is the class: '_(benign|malignant)_'",
        )
    found = []
    for unit in units:
        searched = {compiled.search(base_name(sources[member])) for member in unit.members}
        found.append({match[1] for match in searched if match is not None and match[1]})
    _require_one(found, "names of their files")
    labelled = [(unit, names.pop()) for unit, names in zip(units, found, strict=True) if names]
    if not labelled:
        raise LabelError(
            f"--label-from-name {pattern!r} is found in no name of {len(units)} files",
            remedy="it is searched in the name alone, without the folders",
        )
    notes = (f"labels from the names of files: {len(units) - len(labelled)} cases have none",)
    return _classes([u for u, _ in labelled], [n for _, n in labelled], {}, options, notes)


def _from_folders(units: Sequence[Unit], columns: Columns, options: IndexOptions) -> Labelled:
    """Label each case by the folder of a class that it lies in."""
    paths = [{columns["source"][m].partition("#")[0] for m in unit.members} for unit in units]
    tops = {path.split("/")[0] for own in paths for path in own if "/" in path}
    splits = {top for top in tops if top.lower() in SPLIT_NAMES}
    found = [{class_and_split(path, splits == tops)[1:] for path in own} for own in paths]
    names = {label for own in found for label, _ in own}
    if "" in names or len(names) < 2 or (splits and splits != tops):
        raise NoLabels(f"no labels for {len(units)} cases", remedy=_WAYS)
    _require_one(found, "folders")
    pairs = [own.pop() for own in found]
    _refuse_patients(units, [label for label, _ in pairs], columns["PatientID"])
    own = {"split": [split for _, split in pairs]}
    return _classes(list(units), [label for label, _ in pairs], own, options, ())


def _refuse_patients(units: Sequence[Unit], labels: Sequence[str], patients: Sequence[str]) -> None:
    """Refuse folders of patients: each holds one, and each another."""
    pairs = {(label, patients[u.members[0]]) for u, label in zip(units, labels, strict=True)}
    if all(patient for _, patient in pairs) and (
        len(pairs) == len({label for label, _ in pairs}) == len({patient for _, patient in pairs})
    ):
        raise NoLabels(
            f"no labels for {len(units)} cases: each of {len(pairs)} folders holds one patient",
            remedy=_WAYS,
        )


def _require_one(found: Sequence[set[str]] | Sequence[set[tuple[str, str]]], where: str) -> None:
    several = sum(len(own) > 1 for own in found)
    if several:
        raise LabelError(
            f"{several} cases have several classes by the {where}",
            remedy="a case has one; give a table of labels (--labels)",
        )


def _classes(
    units: list[Unit],
    names: Sequence[str],
    own: dict[str, list[str]],
    options: IndexOptions,
    notes: tuple[str, ...],
) -> Labelled:
    """Return cases of one class each."""
    classes = options.classes or table.sorted_classes(names)
    space = LabelSpace(classes, options.kind or "multiclass", options.positive)
    if not space.exclusive:
        raise UsageError(
            "kind multilabel, and one class a case", remedy="give a table (--labels) with several"
        )
    targets = space.one_hot([space.index(name) for name in names])
    return Labelled(units, targets, space, own, None, notes)
