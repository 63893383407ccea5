"""`Predictions`: one row a case, the type in which the pixel half and the table half meet.

Whoever holds `predictions.csv` and its sidecar `predictions.json` can compute every number
again without torch, a GPU or the scans.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.calibrator import Calibrator, ScoreKind, to_logits, to_probabilities
from medimg.errors import PredictionsError, nearest
from medimg.files import fingerprint, read_json, write_json
from medimg.labels import LabelSpace, check_targets, class_index
from medimg.operating import PREFIX, OperatingPoint, check_points, points_of, points_to_list
from medimg.tables import column_floats, column_text, group_codes, read_table, write_table

_OWN = ("case_id", "patient_id", "split", "target", "predicted")
_FORMAT = "medimg.predictions"
#: How the columns of targets, scores and decisions begin.
PREFIXES = ("target:", "logit:", "p:", PREFIX)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores and targets of N cases for K classes; sorted by `case_id` at construction.

    Parameters
    ----------
    case_id : sequence of str (N,)
        Unique, not empty.
    scores : float32 (N, K)
        Finite; logits, or probabilities within [0, 1] that sum to one (to 1e-3) for exclusive
        classes, as `kind` declares. Never guessed.
    kind : {"logits", "probabilities"}
    space : LabelSpace
    targets : float32 (N, K) in {0, 1, NaN}, optional
        NaN is "nobody looked". Absent: all unknown.
    patient_id : sequence of str (N,), optional
        Who the case is of; an empty string where it is not known.
    split : sequence of str (N,), optional
    calibrator : Calibrator, optional
        Applied by `probabilities`; the scores stay as they are.
    thresholds : tuple of OperatingPoint
        Frozen on other cases, for `probabilities`; one of another label space is refused.
    bundle_id : str, optional
        The bundle that made them.
    uncalibrated_id : str, optional
        The same without its calibrator: what the predictions of one model share before and after
        it is calibrated.
    metadata : DataFrame (N rows), optional
        Further columns, for subgroups.

    Raises
    ------
    PredictionsError
        Anything that breaks the rules above, by name.
    """

    case_id: NDArray[Any]
    scores: NDArray[np.float32]
    kind: ScoreKind
    space: LabelSpace
    targets: NDArray[np.float32] = None  # type: ignore[assignment]
    patient_id: NDArray[Any] | None = None
    split: NDArray[Any] | None = None
    calibrator: Calibrator | None = None
    bundle_id: str | None = None
    metadata: pd.DataFrame = field(default_factory=pd.DataFrame)
    thresholds: tuple[OperatingPoint, ...] = ()
    uncalibrated_id: str | None = None

    def __post_init__(self) -> None:
        ids = _texts(self.case_id)
        n = len(ids)
        order = np.argsort(ids, kind="stable")
        _check_ids(ids[order])
        scores = _check_scores(np.asarray(self.scores), self.kind, self.space, ids)
        targets = np.full((n, self.space.k), np.nan) if self.targets is None else self.targets
        set_ = object.__setattr__
        set_(self, "case_id", ids[order])
        set_(self, "scores", scores[order])
        set_(self, "targets", check_targets(targets, self.space, n)[order])
        for name in ("patient_id", "split"):
            values = getattr(self, name)
            if values is not None:
                values = _texts(values)
                if len(values) != n:
                    raise PredictionsError(
                        f"{len(values)} values of {name} for {n} cases", remedy="give one a case"
                    )
                set_(self, name, values[order])
        set_(self, "thresholds", check_points(self.thresholds, self.space))
        set_(self, "metadata", self._check_metadata(n).iloc[order].reset_index(drop=True))
        for array in (self.case_id, self.scores, self.targets):
            array.flags.writeable = False

    def _check_metadata(self, n: int) -> pd.DataFrame:
        frame = self.metadata if len(self.metadata.columns) else pd.DataFrame(index=range(n))
        if len(frame) != n:
            raise PredictionsError(
                f"{len(frame)} rows of metadata for {n} cases", remedy="give one a case"
            )
        for column in frame.columns:
            if column in _OWN or str(column).startswith(PREFIXES):
                raise PredictionsError(
                    f"metadata column {column!r} has a name with a meaning of its own",
                    remedy="rename the column",
                )
        return frame

    def __len__(self) -> int:
        return len(self.case_id)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities float64 (N, K), calibrated where there is a calibrator."""
        return to_probabilities(self.scores, self.kind, self.space, self.calibrator)

    @property
    def logits(self) -> NDArray[np.float64]:
        """Logits float64 (N, K) before any calibrator."""
        return to_logits(self.scores, self.kind, self.space)

    @property
    def calibrated_logits(self) -> NDArray[np.float64]:
        """Logits float64 (N, K) after the calibrator, where there is one."""
        return self.logits if self.calibrator is None else self.calibrator.apply(self.logits)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which cases (N,) have any known target."""
        return np.asarray(~np.isnan(self.targets).all(axis=1))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of cases, splits, scores, targets and of who belongs together.

        Neither the order of the rows nor the names of the patients have a part.
        """
        return fingerprint(
            list(self.case_id),
            None if self.patient_id is None else group_codes(self.patient_id),
            None if self.split is None else list(self.split),
            self.scores.tobytes(),
            np.nan_to_num(self.targets, nan=-1).tobytes(),
            self.kind,
            self.space.to_dict(),
            None if self.calibrator is None else self.calibrator.to_dict(),
        )

    def take(self, rows: NDArray[Any]) -> Predictions:
        """Return the cases of a boolean mask or of indices."""
        return replace(
            self,
            case_id=self.case_id[rows],
            scores=self.scores[rows],
            targets=self.targets[rows],
            patient_id=None if self.patient_id is None else self.patient_id[rows],
            split=None if self.split is None else self.split[rows],
            metadata=self.metadata.iloc[np.arange(len(self))[rows]],
        )

    def select(self, split: str) -> Predictions:
        """Return the cases of one split; one that holds none raises with the splits at hand."""
        there = [] if self.split is None else sorted(set(self.split))
        if self.split is None or split not in there:
            raise PredictionsError(
                f"no case of split {split!r}; splits here: {there or 'none'}",
                remedy="name one of them" if there else "leave the split out",
            )
        return self.take(self.split == split)

    def with_calibrator(self, calibrator: Calibrator | None) -> Predictions:
        """Return the same scores with another calibrator.

        Thresholds hold for one calibrator alone: another drops them.
        """
        kept = self.thresholds if calibrator == self.calibrator else ()
        return replace(self, calibrator=calibrator, thresholds=kept)

    def with_points(self, points: Sequence[OperatingPoint]) -> Predictions:
        """Return the same scores with these thresholds; see `choose_points`."""
        return replace(self, thresholds=tuple(points))

    def to_table(self) -> dict[str, Any]:
        """Return the columns of `predictions.csv`, in order."""
        columns: dict[str, Any] = {"case_id": self.case_id}
        if self.patient_id is not None:
            columns["patient_id"] = self.patient_id
        if self.split is not None:
            columns["split"] = self.split
        columns |= {str(c): self.metadata[c].to_numpy() for c in self.metadata.columns}
        columns |= target_columns(self.targets, self.space, exclusive_name="target")
        prefix = "logit:" if self.kind == "logits" else "p:"
        columns |= {prefix + c: self.scores[:, k] for k, c in enumerate(self.space.classes)}
        exact = self.probabilities
        probabilities = exact.astype(np.float32)
        if self.kind == "logits":
            columns |= {"p:" + c: probabilities[:, k] for k, c in enumerate(self.space.classes)}
        if self.space.exclusive:
            columns["predicted"] = np.asarray(self.space.classes, object)[
                probabilities.argmax(axis=1)
            ]
        return columns | {
            point.column(self.space): point.flags(exact, self.space).astype(np.int64)
            for point in self.thresholds
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table (`.csv` or `.parquet`) and its sidecar beside it (`.json`)."""
        path = _table_path(path)
        write_table(path, self.to_table())
        write_json(
            path.with_suffix(".json"),
            {
                "format": _FORMAT,
                "format_version": 1,
                "space": self.space.to_dict(),
                "kind": self.kind,
                "calibrator": None if self.calibrator is None else self.calibrator.to_dict(),
                "thresholds": points_to_list(self.thresholds),
                "bundle_id": self.bundle_id,
                "uncalibrated_id": self.uncalibrated_id,
                "metadata": [str(c) for c in self.metadata.columns],
            },
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        kind: ScoreKind | None = None,
        space: LabelSpace | None = None,
    ) -> Predictions:
        """Read a table of predictions, ours or somebody else's.

        A table without sidecar needs `kind`; its `space` is taken from its columns where that
        is plain (`target` with class names and `p:CLASS` or `logit:CLASS`: multiclass;
        `target:CLASS`: multilabel).
        """
        path = _table_path(path)
        frame = read_table(path)
        sidecar = path.with_suffix(".json")
        about: dict[str, Any] = read_json(sidecar) if sidecar.is_file() else {}
        if about and not _is_sidecar(about):
            raise PredictionsError(
                f"{sidecar} is no sidecar of predictions", remedy="move it away and give --kind"
            )
        kind = kind or about.get("kind")
        if kind is None:
            raise PredictionsError(
                f"{path} does not say whether its scores are logits or probabilities",
                remedy="give --kind logits or --kind probabilities",
            )
        if about and space is None:
            space = LabelSpace.from_dict(about["space"])
        # What was fitted on scores of one kind says nothing of those of the other.
        fitted = about if kind == about.get("kind") else {}
        calibrator = fitted.get("calibrator")
        return cls._from_frame(
            frame,
            str(path),
            kind,
            space or _guess_space(frame, str(path), kind),
            None if calibrator is None else Calibrator.from_dict(calibrator),
            points_of(fitted.get("thresholds", ())),
            (about.get("bundle_id"), about.get("uncalibrated_id")),  # older tables lack the second
        )

    @classmethod
    def _from_frame(
        cls,
        frame: pd.DataFrame,
        name: str,
        kind: ScoreKind,
        space: LabelSpace,
        calibrator: Calibrator | None,
        thresholds: tuple[OperatingPoint, ...],
        bundle_ids: tuple[str | None, str | None],
    ) -> Predictions:
        if "case_id" not in frame:
            raise PredictionsError(
                f"{name} has no column case_id{nearest('case_id', frame.columns)}",
                remedy="name each case in a column case_id; rows are never joined by position",
            )
        prefix = "logit:" if kind == "logits" else "p:"
        missing = [prefix + c for c in space.classes if prefix + c not in frame]
        if missing:
            raise PredictionsError(
                f"{name} has no column {missing[0]}{nearest(missing[0], frame.columns)}",
                remedy=f"{kind} of every class stand in columns {prefix}CLASS",
            )
        scores = np.stack(
            [column_floats(frame[prefix + c], f"{name}: {prefix}{c}") for c in space.classes], 1
        )
        extra = [c for c in frame if c not in _OWN and not str(c).startswith(PREFIXES)]
        return cls(
            case_id=frame["case_id"].to_numpy(),
            scores=scores,
            kind=kind,
            space=space,
            targets=read_targets(frame, space, name, exclusive_name="target"),
            patient_id=frame["patient_id"].to_numpy() if "patient_id" in frame else None,
            split=frame["split"].to_numpy() if "split" in frame else None,
            calibrator=calibrator,
            thresholds=thresholds,
            bundle_id=bundle_ids[0],
            uncalibrated_id=bundle_ids[1],
            metadata=frame[extra],
        )


def target_columns(
    targets: NDArray[np.float32], space: LabelSpace, *, exclusive_name: str
) -> dict[str, list[str]]:
    """Return targets as text columns: a class name a case, or 1, 0, blank for each class."""
    if space.exclusive:
        names = np.asarray([*space.classes, ""], dtype=object)
        return {exclusive_name: list(names[class_index(targets)])}
    return {
        f"{exclusive_name}:{c}": ["" if v != v else str(int(v)) for v in targets[:, k]]
        for k, c in enumerate(space.classes)
    }


def read_targets(
    frame: pd.DataFrame, space: LabelSpace, name: str, *, exclusive_name: str
) -> NDArray[np.float32]:
    """Return targets float32 (N, K) of the text columns of `target_columns`; absent: unknown."""
    if space.exclusive:
        if exclusive_name not in frame:
            return np.full((len(frame), space.k), np.nan, np.float32)
        codes = {c: k for k, c in enumerate(space.classes)} | {"": -1}
        cells = frame[exclusive_name].str.strip()
        unknown = sorted(set(cells) - set(codes))
        if unknown:
            space.index(unknown[0])
        return space.one_hot(cells.map(codes).to_numpy(np.int64))
    columns = [f"{exclusive_name}:{c}" for c in space.classes]
    blank = pd.Series([""] * len(frame))
    return np.stack([column_floats(frame.get(c, blank), f"{name}: {c}") for c in columns], axis=1)


def _texts(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    return np.asarray(column_text(np.asarray(values, dtype=object)), dtype=object)


def _table_path(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise PredictionsError(
            f"{path} is no table of predictions", remedy="name a .csv or .parquet file"
        )
    return path


def _is_sidecar(about: Any) -> bool:
    """Whether the content of a JSON file says what a sidecar of predictions says."""
    needed = {"format", "kind", "space"}
    return isinstance(about, dict) and needed <= set(about) and about["format"] == _FORMAT


def _check_ids(ids: NDArray[Any]) -> None:
    # A file may be called " ": only nothing at all is no name.
    blank = sum(name == "" for name in ids)
    if blank:
        raise PredictionsError(
            f"{blank} of {len(ids)} cases have no case_id", remedy="give every case a unique id"
        )
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise PredictionsError(
            f"case_id {twice[0]!r} stands twice ({len(twice)} repeats in all)",
            remedy="give every case one row; aggregate or remove the others",
        )


def _check_scores(
    scores: NDArray[Any], kind: str, space: LabelSpace, ids: NDArray[Any]
) -> NDArray[np.float32]:
    if kind not in ("logits", "probabilities"):
        raise PredictionsError(f"kind {kind!r} is unknown", remedy="logits or probabilities")
    if scores.shape != (len(ids), space.k):
        raise PredictionsError(
            f"scores of shape {scores.shape} for {len(ids)} cases and {space.k} classes",
            remedy="give one row a case and one column a class",
        )
    bad = ~np.isfinite(scores).all(axis=1)
    if kind == "probabilities" and not bad.any():
        bad = ((scores < 0) | (scores > 1)).any(axis=1)
        if space.exclusive:
            bad |= np.abs(scores.sum(axis=1, dtype=np.float64) - 1) > 1e-3
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        values = ", ".join(f"{v:.6g}" for v in scores[first][:10])
        more = ", ..." if space.k > 10 else ""
        raise PredictionsError(
            f"case {ids[first]!r} has {kind} [{values}{more}] ({bad.sum()} such cases)",
            remedy="finite numbers are wanted; probabilities lie in [0, 1] and, for exclusive "
            "classes, sum to one (are these logits?)",
        )
    return np.ascontiguousarray(scores, dtype=np.float32)


def _guess_space(frame: pd.DataFrame, name: str, kind: ScoreKind) -> LabelSpace:
    prefix = "logit:" if kind == "logits" else "p:"
    classes = tuple(str(c)[len(prefix) :] for c in frame if str(c).startswith(prefix))
    if not classes:
        raise PredictionsError(
            f"{name} has no column {prefix}CLASS",
            remedy=f"{kind} of every class stand in columns {prefix}CLASS",
        )
    several = any(str(c).startswith("target:") for c in frame)
    if not several and "target" not in frame:
        raise PredictionsError(
            f"{name} does not say whether its classes exclude each other",
            remedy="give --space, a YAML file with classes, kind and positive",
        )
    return LabelSpace(classes, "multilabel" if several else "multiclass")
