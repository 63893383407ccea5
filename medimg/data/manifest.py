"""`Manifest`: which cases there are, whose they are, what is known of them; never pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.ids import plain_ids, study_ids
from medimg.data.sidecars import read_files, read_folds, write_files, write_folds
from medimg.errors import ManifestError, SourceNotFound, UsageError, nearest
from medimg.files import beside as beside
from medimg.files import fingerprint, read_json, write_json
from medimg.labels import LabelSpace, check_targets
from medimg.predictions import PREFIXES, read_targets, target_columns
from medimg.tables import group_codes, read_table, write_table

#: The columns that every manifest has, in this order; all text, blank where not known.
COLUMNS = ("case_id", "patient_id", "study_id", "source", "frame", "split")
#: `none` is a case that takes no part.
SPLITS = ("train", "val", "calib", "test", "none")


class Case(NamedTuple):
    """Where the pixels of one case are.

    Parameters
    ----------
    source : str
        Relative to the manifest's root, with ``/``; may end in ``#member``.
    frame : str
        The number of a frame or row, from 0; or blank.
    files : tuple of str
        The sources of a volume, in order; empty for a case of one file.
    """

    source: str
    frame: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Manifest:
    """N cases, sorted by `case_id` at construction.

    Parameters
    ----------
    frame : DataFrame (N rows)
        `case_id` and `source` are wanted; `patient_id`, `study_id`, `frame` and `split` are
        filled with blanks where absent; every further column is metadata. All cells are text.
        `source` is relative to `root`, with ``/``, and may end in ``#member``; `frame` is the
        number of a frame or row within it, or blank.
    targets : float32 (N, K) in {0, 1, NaN}
        NaN is "nobody looked".
    space : LabelSpace
    root : path
        The folder that sources are relative to.
    files : mapping of str to tuple of str
        The ordered sources of each case that is a volume of several files; its row's `source`
        is the first of them.
    folds : text (N, F), optional
        The split of each case in each of F folds; see `fold`.

    Raises
    ------
    ManifestError
        No cases, ids that repeat or are blank, an unknown split, folds of another length, or
        metadata whose name has a meaning of its own.
    """

    frame: pd.DataFrame
    targets: NDArray[np.float32]
    space: LabelSpace
    root: Path
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folds: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        frame = _with_columns(self.frame)
        targets = check_targets(self.targets, self.space, len(frame))
        order = np.argsort(frame["case_id"].to_numpy(), kind="stable")
        frame = frame.iloc[order].reset_index(drop=True)
        _check(frame)
        object.__setattr__(self, "frame", frame)
        object.__setattr__(self, "targets", targets[order])
        if self.folds is not None:
            object.__setattr__(self, "folds", _checked_folds(self.folds, len(frame))[order])
            self.folds.flags.writeable = False
        object.__setattr__(self, "root", Path(self.root))
        self.targets.flags.writeable = False

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def case_id(self) -> NDArray[Any]:
        """Ids (N,) as text."""
        return self.frame["case_id"].to_numpy()

    @property
    def split(self) -> NDArray[Any]:
        """Splits (N,) as text; blank where not assigned yet."""
        return self.frame["split"].to_numpy()

    @property
    def metadata(self) -> pd.DataFrame:
        """The columns beyond the manifest's own."""
        return self.frame[[c for c in self.frame if c not in COLUMNS]]

    @property
    def groups(self) -> NDArray[Any]:
        """Who each case is of (N,): the patient; a case without one is its own group.

        Ids that `medimg.data.ids.plain_id` takes for one are one person.
        """
        patient = plain_ids(self.frame["patient_id"])
        return np.where(patient == "", "case:" + self.case_id, "patient:" + patient)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of cases, splits, targets, classes and of who belongs together.

        Neither the order of the rows, the root, metadata nor the names of patients have a part,
        so that a manifest and its pseudonymized copy have the same. Folds have, where they are.
        """
        own = ("case_id", "source", "frame", "split")
        columns = [self.frame[c].to_numpy().tolist() for c in own]
        patient, study = self.frame["patient_id"], self.frame["study_id"]
        groups = [group_codes(ids) for ids in (plain_ids(patient), study_ids(study, patient))]
        parts = [
            *(columns, groups, np.nan_to_num(self.targets, nan=-1).tobytes()),
            self.space.to_dict(),
        ]
        files = {c: list(self.files[c]) for c in self.case_id if c in self.files}
        folds = [] if self.folds is None else [self.folds.tolist()]
        return fingerprint(*parts, *([files] if files else []), *folds)

    @property
    def split_fingerprint(self) -> str:
        """The SHA-256 of which image stands in which split (and fold), and of nothing else.

        Images are told by source and frame, not by `case_id`, which hangs on a secret key for
        DICOM: two people who split the same folder alike have the same.
        """
        columns = [self.frame[c].to_numpy() for c in ("source", "frame", "split")]
        columns += [] if self.folds is None else list(self.folds.T)
        return fingerprint(sorted(zip(*(c.tolist() for c in columns), strict=True)))

    def cases(self) -> list[Case]:
        """Return where the pixels of each case are, in the order of the rows."""
        rows = zip(self.frame["case_id"], self.frame["source"], self.frame["frame"], strict=True)
        return [Case(source, frame, self.files.get(case_id, ())) for case_id, source, frame in rows]

    def rows(self, split: str) -> NDArray[np.intp]:
        """Return the row numbers of one split."""
        return np.flatnonzero(self.split == split)

    def take(self, rows: NDArray[Any]) -> Manifest:
        """Return the cases of a boolean mask or of row numbers."""
        return replace(
            self,
            frame=self.frame.iloc[np.arange(len(self))[rows]],
            targets=self.targets[rows],
            folds=None if self.folds is None else self.folds[rows],
        )

    def with_column(self, name: str, values: NDArray[Any]) -> Manifest:
        """Return the manifest with one column set, in the order of its rows."""
        return replace(self, frame=self.frame.assign(**{name: values}))

    def fold(self, number: int) -> Manifest:
        """Return the manifest with the splits of one fold, from 1, and without folds.

        A case of split `none` stays none.

        Raises
        ------
        UsageError
            No such fold, or no folds at all.
        """
        count = 0 if self.folds is None else self.folds.shape[1]
        if self.folds is None or not 1 <= number <= count:
            raise UsageError(
                f"fold {number} of a manifest with {count} folds",
                remedy=f"name one of 1 to {count}" if count else "make folds with make_folds",
            )
        split = np.where(self.split == "none", "none", self.folds[:, number - 1])
        return replace(self, frame=self.frame.assign(split=split), folds=None)

    def counts(self) -> pd.DataFrame:
        """Return the number of cases and patients a split, and of known positives a class."""
        rows, patient = [], plain_ids(self.frame["patient_id"])
        for split in dict.fromkeys((*SPLITS, *sorted(set(self.split)))):
            here = self.rows(split)
            if not len(here):
                continue
            patients = set(patient[here]) - {""}
            row: dict[str, Any] = {"split": split or "(unassigned)", "cases": len(here)}
            row["patients"] = len(patients) or None
            positives = np.nansum(self.targets[here], axis=0).astype(int)
            row |= dict(zip(self.space.classes, positives.tolist(), strict=True))
            row["unknown"] = int(np.isnan(self.targets[here]).any(axis=1).sum())
            rows.append(row)
        return pd.DataFrame(rows)

    def to_table(self) -> Mapping[str, Any]:
        """Return the columns of `manifest.csv`."""
        own = {c: self.frame[c].to_numpy() for c in COLUMNS}
        labels = target_columns(self.targets, self.space, exclusive_name="label")
        return own | labels | {str(c): self.metadata[c].to_numpy() for c in self.metadata}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `path` (CSV or Parquet, mode 0600) and, beside it, its `.json`.

        The files of volumes go into `instances.csv` beside it, unless a table that names them
        is there already, and the folds into `folds.csv`.
        """
        path = Path(path)
        own = {c: self.files[c] for c in self.case_id if c in self.files}
        write_files(beside(path, "instances"), own)
        if self.folds is not None:
            write_folds(beside(path, "folds"), self.case_id, self.folds)
        write_table(path, self.to_table(), mode=0o600)
        about = {
            "format": "medimg.manifest",
            "format_version": 1,
            "space": self.space.to_dict(),
            "root": str(self.root.resolve()),
            "fingerprint": self.fingerprint,
            "volumes": len(self.files),
            "folds": 0 if self.folds is None else self.folds.shape[1],
            "split_fingerprint": self.split_fingerprint,
        }
        write_json(path.with_suffix(".json"), about, mode=0o600)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
    ) -> Manifest:
        """Read a manifest that `save` wrote; `root` where its folder has moved.

        The table may have been edited since: its fingerprint is then its own.
        """
        path = Path(path)
        frame = read_table(path)
        sidecar = path.with_suffix(".json")
        if not sidecar.is_file():
            raise ManifestError(
                f"{path} has no {sidecar.name} beside it",
                remedy="make it with `medimg index`; a table of paths and labels is no manifest",
            )
        about = read_json(sidecar)
        if about.get("format") != "medimg.manifest":
            raise ManifestError(f"{sidecar} is no manifest's sidecar", remedy="index again")
        space = LabelSpace.from_dict(about["space"])
        targets = read_targets(frame, space, str(path), exclusive_name="label")
        metadata = [c for c in frame if c != "label" and not str(c).startswith("label:")]
        root = Path(root if root is not None else about["root"])
        if not root.is_dir():
            raise SourceNotFound(
                f"{path}: the folder of its scans, {root}, is not there",
                remedy="move it back, or index it again where it is",
            )
        files = read_files(beside(path, "instances")) if about.get("volumes") else {}
        ids = frame["case_id"].to_numpy()
        known = set(ids)
        return cls(
            frame[metadata],
            targets,
            space,
            root,
            {case_id: own for case_id, own in files.items() if case_id in known},
            read_folds(beside(path, "folds"), ids) if about.get("folds") else None,
        )


def is_taken(column: str) -> bool:
    """Whether a column's name has a meaning of its own in manifests or predictions."""
    taken = ("label", "target", "predicted", "seen")
    return column in taken or column.startswith(("label:", *PREFIXES))


def _with_columns(frame: pd.DataFrame) -> pd.DataFrame:
    for column in ("case_id", "source"):
        if column not in frame:
            raise ManifestError(
                f"no column {column}{nearest(column, map(str, frame.columns))}",
                remedy="a manifest wants case_id and source",
            )
    blanks = {c: "" for c in COLUMNS if c not in frame}
    frame = frame.assign(**blanks)
    extra = [c for c in frame.columns if c not in COLUMNS]
    return frame[[*COLUMNS, *extra]].astype(object)


def _checked_folds(folds: NDArray[Any], n: int) -> NDArray[Any]:
    folds = np.asarray(folds, object)
    if folds.ndim != 2 or len(folds) != n or not folds.shape[1]:
        raise ManifestError(
            f"folds of shape {folds.shape} for {n} cases", remedy="give one column a fold"
        )
    _check_splits(set(folds.ravel()), SPLITS)
    return folds


def _check_splits(there: set[Any], known: tuple[str, ...]) -> None:
    unknown = sorted(map(str, there - set(known)))
    if unknown:
        raise ManifestError(
            f"split {unknown[0]!r} is unknown{nearest(unknown[0], SPLITS)}",
            remedy=f"one of {', '.join(SPLITS)}",
        )


def _check(frame: pd.DataFrame) -> None:
    if not len(frame):
        raise ManifestError("no cases", remedy="check the folder and the filters")
    ids = frame["case_id"]
    if not all(
        issubclass(kind, str)
        for c in COLUMNS
        for kind in set(map(type, frame[c].to_numpy().tolist()))
    ):
        raise ManifestError("a cell is no text", remedy="give ids and paths as text")
    if (ids == "").any() or (frame["source"] == "").any():
        raise ManifestError("a row has no case_id or no source", remedy="fill it in")
    if ids.duplicated().any():
        raise ManifestError(
            f"case_id {ids[ids.duplicated()].iloc[0]!r} stands twice", remedy="give each one row"
        )
    _check_splits(set(frame["split"]), (*SPLITS, ""))
    own = [c for c in frame if is_taken(str(c))]
    if own:
        raise ManifestError(
            f"metadata column {own[0]!r} has a name with a meaning of its own",
            remedy="rename the column",
        )
