"""A CSV or Parquet table of paths and labels: which column is what, and what a cell means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.options import IndexOptions
from medimg.data.sources.folder import SPLIT_NAMES, some
from medimg.errors import DataError, LabelError, UsageError, nearest
from medimg.labels import Kind, LabelSpace

#: Meaning -> the names by which a column is known without being told; see `_plain`.
NAMES = {
    "path": (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "source"),
        *("image", "image_path", "imagepath", "image_file", "image_index", "img", "img_path"),
    ),
    "label": (
        *("label", "labels", "target", "class", "class_name"),
        *("diagnosis", "finding_labels", "y"),
    ),
    "patient_id": ("patient_id", "patientid", "patient", "subject", "subject_id"),
    "study_id": ("study_id", "studyid", "study", "accession", "accession_number"),
    "split": ("split", "subset", "partition"),
    "frame": ("frame",),
}
_OPTIONAL = ("patient_id", "study_id", "split", "frame")
_CELLS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}
_UNCERTAIN, _BLANK = ("-1", "-1.0"), ("", "nan", "NaN", "NA", "N/A", "null")
_MEANING = {"unknown": np.nan, "positive": 1.0, "negative": 0.0}


class Columns(NamedTuple):
    """Which column of a table is what; None or an empty tuple where there is none."""

    path: str
    label: tuple[str, ...]
    patient_id: str | None
    study_id: str | None
    split: str | None
    frame: str | None


class Labels(NamedTuple):
    """What the label columns say: targets float32 (N, K) in {0, 1, NaN} and their classes."""

    targets: NDArray[np.float32]
    space: LabelSpace


def find_columns(frame: pd.DataFrame, options: IndexOptions, name: str) -> Columns:
    """Return which column is what: as the options say, else where a name is plain.

    Raises
    ------
    UsageError
        A column that is named and not there, or none or several that could be meant.
    """
    path = one_column(frame, "path", options.path, name)
    label = label_columns(frame, options, name)
    rest = {
        meaning: one_column(frame, meaning, getattr(options, meaning, None), name, optional=True)
        for meaning in _OPTIONAL
    }
    assert path is not None
    return Columns(path, label, **rest)


def read_labels(frame: pd.DataFrame, columns: Columns, options: IndexOptions, name: str) -> Labels:
    """Return the targets and the label space of the label columns."""
    kind: Kind = options.kind or (
        "multilabel" if _several(frame, columns, options) else "multiclass"
    )
    if len(columns.label) > 1 or _is_flag(frame, columns, options, kind):
        return _flags(frame, columns.label, options, kind, name)
    cells = [str(cell).strip() for cell in frame[columns.label[0]]]
    if options.separator is not None:
        if kind != "multilabel":
            raise UsageError(
                f"separator {options.separator!r} with kind {kind}",
                remedy="several labels in one cell are multilabel; leave kind out",
            )
        return _joined(cells, options, options.separator, f"{name}: column {columns.label[0]}")
    if kind == "multilabel":
        raise UsageError(
            f"{name}: column {columns.label[0]} holds names, and kind is multilabel",
            remedy="give the separator that joins them (--separator '|'), or one column a label",
        )
    return _one_class(cells, options, kind, f"{name}: column {columns.label[0]}")


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return class names in order: whole numbers by value, anything else as text."""
    names = set(labels)
    if all(re.fullmatch(r"-?\d{1,18}", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def read_splits(cells: Sequence[str], name: str) -> list[str]:
    """Return the manifest's name of each split; a blank stays one."""
    texts = [cell.strip().lower() for cell in cells]
    unknown = sorted(set(texts) - {*SPLIT_NAMES, "none", ""})
    if unknown:
        raise DataError(
            f"{name}: split {unknown[0]!r} is unknown{nearest(unknown[0], SPLIT_NAMES)}",
            remedy=f"one of {', '.join(dict.fromkeys(SPLIT_NAMES.values()))}, none (takes no part) "
            "or blank",
        )
    return [SPLIT_NAMES.get(text, text) for text in texts]


def resolve_paths(cells: Sequence[str], base: Path, name: str) -> tuple[Path, list[str]]:
    """Return a root and each path relative to it, with ``/``.

    The root is `base` where all paths lie below it, else their nearest common folder, so that
    absolute paths and ``../images/1.png`` are taken.
    """
    if any(not cell.strip() for cell in cells):
        row = next(i for i, cell in enumerate(cells, start=2) if not cell.strip())
        raise DataError(f"{name}: row {row} names no file", remedy="fill in its path")
    base = base.absolute()
    full = [os.path.normpath(base / slashes(cell.strip())) for cell in cells]
    root = os.path.normpath(base)
    if not all(path.startswith(root + os.sep) for path in full):
        root = os.path.commonpath([Path(path).parent for path in full])
    return Path(root), [Path(os.path.relpath(path, root)).as_posix() for path in full]


def fold(frame: pd.DataFrame, targets: NDArray[np.float32], name: str) -> NDArray[np.intp]:
    """Return the first row of every case, once its other rows are seen to agree with it.

    `frame` has `case_id`; other columns that differ between rows of one case are blanked.

    Raises
    ------
    LabelError
        Two rows of one case differ in label, patient, study or split.
    """
    ids = frame["case_id"].to_numpy()
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    if len(first) == len(ids):
        return np.arange(len(ids))
    agree = (
        (targets == targets[first][which]) | np.isnan(targets) & np.isnan(targets[first][which])
    ).all(1)
    _refuse_difference(agree, ids, "labels", name)
    for column in frame.columns:
        cells = frame[column].to_numpy()
        same = cells == cells[first][which]
        if column in ("patient_id", "study_id", "split"):
            _refuse_difference(same, ids, column, name)
        elif not same.all():
            frame.loc[frame.index[first[np.unique(which[~same])]], column] = ""
    return np.sort(first)


def _refuse_difference(
    agree: NDArray[np.bool_], ids: NDArray[np.object_], what: str, name: str
) -> None:
    if not agree.all():
        raise LabelError(
            f"{name}: rows of {ids[~agree][0]!r} differ in {what} "
            f"({len(set(ids[~agree]))} such files)",
            remedy="leave one row a file, or correct them",
        )


def slashes(cell: str) -> str:
    """Return a path that was written on Windows with the separators of everybody else."""
    return cell if "/" in cell else cell.replace("\\", "/")


def one_column(
    frame: pd.DataFrame, meaning: str, given: str | None, name: str, *, optional: bool = False
) -> str | None:
    """Return the column of a meaning: the one given, else the one whose name is plain.

    Raises
    ------
    UsageError
        The one given is not there; several are plain, or, unless `optional`, none.
    """
    if given is not None:
        return there(frame, given, meaning, name)
    plain = _plain(frame, meaning)
    if len(plain) == 1:
        return plain[0]
    if not plain and optional:
        return None
    raise UsageError(
        f"{name}: {'several columns' if plain else 'no column'} could be the {meaning}: "
        f"{', '.join(plain or map(str, frame.columns))}",
        remedy=f"name it: {meaning}=COLUMN (--{meaning.replace('_', '-')} COLUMN)"
        if meaning not in ("study_id", "frame")
        else "rename the others",
    )


def there(frame: pd.DataFrame, column: str, meaning: str, name: str) -> str:
    """Return `column`, or raise `UsageError` with its nearest where the table has none such."""
    if column not in frame:
        raise UsageError(
            f"{name} has no column {column!r} for {meaning}"
            f"{nearest(column, map(str, frame.columns))}",
            remedy=f"its columns: {', '.join(map(str, frame.columns))}",
        )
    return column


def _plain(frame: pd.DataFrame, meaning: str) -> list[str]:
    """Return the columns whose name, without case, blanks and hyphens, means `meaning`."""
    return [
        str(column)
        for column in frame.columns
        if re.sub(r"[\s\-]+", "_", str(column).strip().lower()) in NAMES[meaning]
    ]


def label_columns(frame: pd.DataFrame, options: IndexOptions, name: str) -> tuple[str, ...]:
    """Return the columns of the labels: as the options say, else where a name is plain."""
    if options.label:
        return tuple(there(frame, column, "label", name) for column in options.label)
    plain = _plain(frame, "label")
    flags = [str(c) for c in frame.columns if re.match(r"label[_:].", str(c))]
    if flags and not plain:
        return tuple(flags)
    if not plain and options.classes and all(c in frame for c in options.classes):
        return options.classes
    column = one_column(frame, "label", None, name)
    assert column is not None
    return (column,)


def _several(frame: pd.DataFrame, columns: Columns, options: IndexOptions) -> bool:
    """Whether the table is multi-label, where nobody says so."""
    flag = columns.label[0].startswith(("label_", "label:"))
    return len(columns.label) > 1 or flag or options.separator is not None


def _is_flag(frame: pd.DataFrame, columns: Columns, options: IndexOptions, kind: Kind) -> bool:
    """Whether a single label column of a multi-label table holds 1 and 0."""
    if kind != "multilabel" or options.separator is not None:
        return False
    cells = {str(cell).strip().lower() for cell in frame[columns.label[0]]}
    return cells <= {*_CELLS, *_UNCERTAIN, *_BLANK}


def _flags(
    frame: pd.DataFrame, columns: tuple[str, ...], options: IndexOptions, kind: Kind, name: str
) -> Labels:
    """Read one column of 1, 0, -1 or blank a class."""
    classes = options.classes or tuple(re.sub(r"^label[_:]", "", c) for c in columns)
    if len(classes) != len(columns):
        raise UsageError(
            f"{len(classes)} classes for {len(columns)} columns of labels",
            remedy="give one name a column, or leave classes out",
        )
    targets = [_flag_column(list(frame[c]), options, f"{name}: column {c}") for c in columns]
    return Labels(np.stack(targets, axis=1), LabelSpace(classes, kind, options.positive))


def _flag_column(cells: list[str], options: IndexOptions, name: str) -> NDArray[np.float32]:
    texts = [str(cell).strip().lower() for cell in cells]
    meaning = dict(_CELLS)
    for marks, option in ((_UNCERTAIN, "uncertain"), (_BLANK, "blank")):
        said = getattr(options, option)
        if said is None:
            _refuse_marks(texts, marks, option, name)
        meaning |= dict.fromkeys(marks, _MEANING[said or "unknown"])
    _refuse_cells(texts, lambda text: text in meaning, name, "1, 0, -1 or a blank is wanted")
    return np.array([meaning[text] for text in texts], np.float32)


def _refuse_marks(texts: list[str], marks: Sequence[str], option: str, name: str) -> None:
    rows = [row for row, text in enumerate(texts, start=2) if text in marks]
    if rows:
        what = "-1" if option == "uncertain" else "blank"
        choices = "unknown|positive|negative" if option == "uncertain" else "unknown|negative"
        raise LabelError(
            f"{name} is {what} in {len(rows)} rows, the first is row {rows[0]}",
            remedy=f"say what that means: --{option} {choices}",
        )


def _refuse_cells(
    texts: Sequence[str], good: Callable[[str], bool], name: str, wanted: str
) -> None:
    for row, text in enumerate(texts, start=2):
        if not good(text):
            raise LabelError(f"{name}: row {row} holds {text!r}", remedy=wanted)


def _joined(cells: list[str], options: IndexOptions, separator: str, name: str) -> Labels:
    """Read several names in one cell."""
    if not separator.strip():
        raise UsageError(f"separator {separator!r} is blank", remedy="give the mark, such as '|'")
    if options.blank is None:
        _refuse_marks(cells, ("",), "blank", name)
    pieces = [{p.strip() for p in cell.split(separator)} - {""} for cell in cells]
    classes = options.classes or sorted_classes(set().union(*pieces))
    space = LabelSpace(classes, "multilabel")
    targets = np.zeros((len(cells), space.k), np.float32)
    for row, names in enumerate(pieces):
        targets[row, [space.index(n) for n in names]] = 1
        if not names and options.blank == "unknown":
            targets[row] = np.nan
    return Labels(targets, space)


def _one_class(cells: list[str], options: IndexOptions, kind: Kind, name: str) -> Labels:
    """Read one class name a cell; blank and -1 are unknown once the options say so."""
    unknown = _unknown_marks(cells, options, name)
    named = [cell for cell in cells if cell not in unknown]
    classes = options.classes or sorted_classes(named)
    if kind == "ordinal" and not options.classes and not _whole(classes):
        raise LabelError(
            f"{name}: the order of {some(list(classes), 8)} is not plain",
            remedy="give classes from the lowest grade to the highest",
        )
    space = LabelSpace(classes, kind, options.positive)
    codes = [-1 if cell in unknown else space.index(cell) for cell in cells]
    return Labels(space.one_hot(codes), space)


def _unknown_marks(cells: list[str], options: IndexOptions, name: str) -> set[str]:
    if "negative" in (options.blank, options.uncertain) or options.uncertain == "positive":
        raise UsageError(
            f"{name} holds one class a case: a blank or -1 cannot be positive or negative there",
            remedy="give --blank unknown or --uncertain unknown",
        )
    marks: set[str] = set()
    for all_marks, option in ((_BLANK, "blank"), (_UNCERTAIN, "uncertain")):
        these = tuple(mark for mark in all_marks if mark not in options.classes)
        if getattr(options, option) is None:
            _refuse_marks(cells, these, option, name)
        marks.update(these)
    return marks


def _whole(classes: Sequence[str]) -> bool:
    return all(re.fullmatch(r"-?\d{1,18}", name) for name in classes)
