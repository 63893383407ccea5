"""What a table of cases shows without a look at any picture."""

from __future__ import annotations

import os
from itertools import compress

import numpy as np
import pandas as pd

from medimg.data.checks.findings import Finding
from medimg.data.ids import plain_ids
from medimg.data.images import Files, files_of, shared_images
from medimg.data.manifest import SPLITS, Manifest


def class_absent_from_split(manifest: Manifest) -> Finding | None:
    """Return the classes of which a split (train, val, calib, test) holds no known case."""
    absent = {}
    for split in SPLITS:
        rows = manifest.rows(split)
        if split == "none" or not len(rows):
            continue
        there = (manifest.targets[rows] == 1).any(axis=0)
        names = [c for c, known in zip(manifest.space.classes, there, strict=True) if not known]
        if names:
            absent[split] = names
    if not absent:
        return None
    words = [f"{split}: no {', '.join(names)}" for split, names in absent.items()]
    return Finding("class_absent_from_split", (), {"words": words, "absent": absent})


def source_listed_twice(manifest: Manifest) -> Finding | None:
    """Return the cases of one image, see `medimg.data.images`; of volumes, of any of their files."""
    rows, images, _ = shared_images(_files(manifest))
    cases = pd.Series(manifest.case_id[rows])
    groups = {tuple(sorted(own)) for _, own in cases.groupby(images)}
    return Finding("source_listed_twice", tuple(sorted(groups))) if groups else None


def ids_alike(manifest: Manifest) -> Finding | None:
    """Return the cases of patient ids that differ in how they are written alone, see `plain_text`.

    The groups name cases, never an id.
    """
    frame = _known_patients(manifest)
    several = frame.groupby("patient")["id"].transform("nunique") > 1
    groups = _by_patient(frame[several])
    if not groups:
        return None
    written = frame[several].drop_duplicates(["patient", "id"])
    words = [f"{len(groups)} patients, written in {len(written)} ways"]
    return Finding("ids_alike", groups, {"words": words})


def file_missing(manifest: Manifest) -> Finding | None:
    """Return the cases of which a file is not there; the members of a file are not looked for."""
    files = _files(manifest)
    root, there = os.fspath(manifest.root), {}
    for source in set(files.sources):
        there[source] = _exists(root, source)
        if not there[source] and "#" in source:
            file = source.rpartition("#")[0]
            there[file] = there[source] = there[file] if file in there else _exists(root, file)
    missing = files.rows[np.array([not there[source] for source in files.sources], bool)]
    groups = tuple((case_id,) for case_id in manifest.case_id[np.unique(missing)])
    return Finding("file_missing", groups) if groups else None


def patient_in_several_classes(manifest: Manifest) -> Finding | None:
    """Return the cases of each patient whose labels differ: lawful, and worth knowing."""
    frame = _known_patients(manifest)
    targets = manifest.targets[frame["row"].to_numpy()]
    frame = frame.assign(label=[row.tobytes() for row in targets])
    frame = frame.loc[~np.isnan(targets).any(axis=1)]
    groups = _by_patient(frame[frame.groupby("patient")["label"].transform("nunique") > 1])
    return Finding("patient_in_several_classes", groups) if groups else None


def _exists(root: str, source: str) -> bool:
    try:
        os.stat(f"{root}/{source}")  # noqa: PTH116 - a third of the time of Path
    except (OSError, ValueError):
        return False
    return True


def _files(manifest: Manifest) -> Files:
    """Return the files of the cases that take part."""
    rows, sources, frames = files_of(manifest)
    part = manifest.split[rows] != "none"
    return Files(rows[part], list(compress(sources, part)), list(compress(frames, part)))


def _known_patients(manifest: Manifest) -> pd.DataFrame:
    """Return row, case, id and plain id of the cases that take part and have a patient."""
    takes_part = np.flatnonzero(manifest.split != "none")
    ids = manifest.frame["patient_id"].to_numpy()[takes_part]
    columns = {"row": takes_part, "case": manifest.case_id[takes_part], "id": ids}
    patients = plain_ids(ids)
    return pd.DataFrame(columns | {"patient": patients}).iloc[np.flatnonzero(patients != "")]


def _by_patient(frame: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """Return the cases of each patient together, sorted."""
    return tuple(sorted(tuple(sorted(own)) for _, own in frame.groupby("patient")["case"]))
