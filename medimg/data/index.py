"""`index`: any source that medimg reads, turned into a `Manifest`."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from medimg.data.fetch import find_data
from medimg.data.manifest import COLUMNS, Manifest, is_taken
from medimg.data.options import IndexOptions
from medimg.data.sources import arrays, table
from medimg.data.sources import folder as folders
from medimg.data.sources.formats import READERS, sniff, source_path
from medimg.data.sources.guard import stamp
from medimg.errors import (
    DataError,
    LabelError,
    PixelError,
    Refusal,
    SourceNotFound,
    UsageError,
    nearest,
)
from medimg.labels import LabelSpace
from medimg.tables import read_table

Source = str | os.PathLike[str]
_TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".parquet")
_LABELS_OWN = ("kind", "classes", "positive")
_log = logging.getLogger("medimg.index")


def index(
    source: Source | Sequence[Source],
    labels: Source | None = None,
    *,
    space: LabelSpace | None = None,
    **options: Any,
) -> Manifest:
    """Turn a source into a manifest; pictures are not decoded.

    Parameters
    ----------
    source : path, or paths with `labels`
        A MedMNIST-like npz; an IDX images file or a folder of them; a folder with one
        subfolder a class, also below train, val and test; a CSV or Parquet table of paths and
        labels; a folder or files of a table given as `labels`; a manifest. A relative path is
        looked for as `find_data` does.
    labels : path, optional
        The table of labels beside a folder or files.
    space : LabelSpace, optional
        Take the source without labels (for prediction): every target is unknown. Files that
        cannot be taken are logged; `index_unlabelled` returns them.
    **options
        The fields of `IndexOptions`; `label` may be one column or several.

    Raises
    ------
    SourceNotFound, UsageError, DataError, LabelError
        By the name of the file, column or class, with the way out.
    """
    if labels is not None:
        options["labels"] = os.fspath(labels)
    chosen = _options(options)
    if space is not None:
        return _without_labels(source, space, chosen)
    if isinstance(source, str | os.PathLike):
        place = find_data(os.fspath(source))
        return _index_folder(place, chosen) if place.is_dir() else _index_file(place, chosen)
    if chosen.labels is None:
        raise UsageError("files without labels", remedy="give a table: labels=TABLE")
    files = [find_data(os.fspath(path)).absolute() for path in source]
    base = Path(os.path.commonpath([file.parent for file in files]))
    return _index_table(find_data(chosen.labels, [base]), base, chosen, only=files)


def index_unlabelled(paths: Sequence[Source], space: LabelSpace) -> tuple[Manifest, list[Refusal]]:
    """Turn files and folders into a manifest of unknown targets, for prediction.

    Every file becomes a case (npz and IDX files one a row) or a refusal, by its content.
    Hidden files below a folder, and IDX files of labels, are passed over and logged.

    Parameters
    ----------
    paths : sequence of path
        Folders are searched with all that is below them.
    space : LabelSpace
        The classes that will be predicted.

    Raises
    ------
    SourceNotFound
        None of the paths is there.
    DataError
        Nothing can be read: every file was refused.
    """
    root, names, refusals = _collect(paths)
    stacks: list[arrays.Stack] = []
    for name in names:
        try:
            stacks += _unlabelled_rows(root, name)
        except PixelError as error:
            refusals.append(_refusal(name, error))
    if not stacks:
        first = refusals[0] if refusals else None
        raise DataError(
            f"none of {len(refusals)} files can be read"
            + (f"; {first.case_id}: {first.message}" if first else f" in {root}"),
            remedy="give MedMNIST npz, IDX, PNG, JPEG, TIFF, BMP or NIfTI files",
        )
    targets = np.full((sum(s.rows for s in stacks), space.k), np.nan, np.float32)
    return Manifest(arrays.stack_frame(stacks), targets, space, root), refusals


def _options(given: dict[str, Any]) -> IndexOptions:
    if isinstance(given.get("label"), str):
        given["label"] = (given["label"],)
    unknown = sorted(set(given) - set(IndexOptions.model_fields))
    if unknown:
        raise UsageError(
            f"index has no option {unknown[0]!r}{nearest(unknown[0], IndexOptions.model_fields)}",
            remedy=f"one of {', '.join(IndexOptions.model_fields)}",
        )
    try:
        return IndexOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"index option {first['loc'][0]}: {first['msg']}, not {first['input']!r}",
            remedy=str(IndexOptions.model_fields[str(first["loc"][0])].description),
        ) from error


def _refuse_options(options: IndexOptions, where: Path, what: str) -> None:
    """Refuse options that have no meaning for a source, rather than forget them."""
    said = [k for k, v in options.model_dump().items() if v and k not in _LABELS_OWN]
    if said:
        raise UsageError(
            f"option {said[0]} has no meaning for {where}, {what}",
            remedy=f"leave it out; such a source takes {', '.join(_LABELS_OWN)}",
        )


def _without_labels(
    source: Source | Sequence[Source], space: LabelSpace, options: IndexOptions
) -> Manifest:
    said = [key for key, value in options.model_dump().items() if value]
    if said:
        raise UsageError(
            f"option {said[0]} together with space", remedy="space takes scans without labels"
        )
    one = isinstance(source, str | os.PathLike)
    manifest, refusals = index_unlabelled([source] if one else source, space)  # type: ignore[list-item, arg-type]
    if refusals:
        names = folders.some([r.case_id for r in refusals])
        _log.warning("%d files refused: %s", len(refusals), names)
    return manifest


def _index_folder(place: Path, options: IndexOptions) -> Manifest:
    if options.labels is not None:
        return _index_table(find_data(options.labels, [place]), place, options)
    images = arrays.idx_images(place)
    if images:
        _refuse_options(options, place, "a folder of IDX files")
        return arrays.index_idx(place, images, options)
    _refuse_options(options, place, "a folder of classes")
    rows = folders.rows(place)
    names = [label for _, label, _ in rows]
    classes = options.classes or table.sorted_classes(names)
    space = LabelSpace(classes, options.kind or "multiclass", options.positive)
    if not space.exclusive:
        raise UsageError(
            f"kind multilabel for {place}, a folder of classes",
            remedy="a file lies in one folder alone; give a table (--labels) with several labels",
        )
    frame = pd.DataFrame({"source": [r[0] for r in rows], "split": [r[2] for r in rows]})
    frame["case_id"] = frame["source"]
    return Manifest(frame, space.one_hot([space.index(n) for n in names]), space, place)


def _index_file(place: Path, options: IndexOptions) -> Manifest:
    kind = sniff(stamp(str(place)))
    if kind == "npz":
        _refuse_options(options, place, "an npz")
        return arrays.index_npz(place, options)
    if kind == "idx":
        _refuse_options(options, place, "an IDX file")
        return arrays.index_idx(place.parent, [place.name], options)
    if kind == "parquet" or (kind is None and place.suffix.lower() in _TABLE_ENDINGS):
        if options.labels is not None:
            raise UsageError(
                f"{place} is a table, and so is labels={options.labels}",
                remedy="give the table alone, or the folder of the images and the table",
            )
        return _index_table(place, place.parent, options)
    if kind in READERS and options.labels is not None:
        return index([place], **options.model_dump())
    raise DataError(
        f"{place} brings no labels" if kind in READERS else f"{place} is nothing to be indexed",
        remedy="give an npz, IDX files, a folder of classes or a table; for prediction, "
        "index_unlabelled takes files without labels",
    )


def _index_table(
    path: Path, base: Path, options: IndexOptions, only: Sequence[Path] | None = None
) -> Manifest:
    frame = read_table(path)
    if {"case_id", "source"} <= set(frame) and path.with_suffix(".json").is_file():
        return _load_manifest(path, options)
    if not len(frame):
        raise DataError(f"{path} has a header and no rows", remedy="give a row for every image")
    columns = table.find_columns(frame, options, str(path))
    root, sources = table.resolve_paths(list(frame[columns.path]), base, str(path))
    targets, space = table.read_labels(frame, columns, options, str(path))
    rows = _table_rows(frame, columns, sources, str(path))
    keep = table.fold(rows, targets, str(path))
    rows, targets = rows.iloc[keep], targets[keep]
    if only is not None:
        chosen = _chosen(rows, root, only, path)
        rows, targets = rows[chosen], targets[chosen]
    _compare_with_disk(rows, root, base if options.labels else None, path)
    return Manifest(rows, targets, space, root)


def _load_manifest(path: Path, options: IndexOptions) -> Manifest:
    said = [key for key, value in options.model_dump().items() if value]
    if said:
        raise UsageError(
            f"option {said[0]} has no meaning for {path}, a manifest",
            remedy="leave it out, or index the source of the manifest again",
        )
    return Manifest.load(path)


def _table_rows(
    frame: pd.DataFrame, columns: table.Columns, sources: list[str], name: str
) -> pd.DataFrame:
    """Return the columns of a manifest, and the rest of the table as metadata."""
    blank = [""] * len(frame)
    own: dict[str, Any] = {"source": sources}
    for meaning in ("patient_id", "study_id", "frame"):
        column = getattr(columns, meaning)
        own[meaning] = blank if column is None else [c.strip() for c in frame[column]]
    own["split"] = (
        blank if columns.split is None else table.read_splits(list(frame[columns.split]), name)
    )
    own["case_id"] = [
        s + (f"@{f}" if f else "") for s, f in zip(sources, own["frame"], strict=True)
    ]
    used = {columns.path, *columns.label, *columns[2:]}
    rest = [c for c in frame.columns if c not in used and not is_taken(c)]
    left = [c for c in frame.columns if c not in used and is_taken(c)]
    if left:
        _log.warning("%s: columns left out, for their names mean something else: %s", name, left)
    clash = [c for c in rest if c in COLUMNS]
    if clash:
        raise UsageError(
            f"{name}: column {clash[0]!r} has a meaning of its own in a manifest",
            remedy="rename it, or name it in the options",
        )
    return pd.DataFrame(own | {c: frame[c].to_numpy() for c in rest}, dtype=object)


def _chosen(rows: pd.DataFrame, root: Path, only: Sequence[Path], path: Path) -> NDArray[np.bool_]:
    wanted = {os.path.relpath(file, root) for file in only}
    chosen = np.array([source.partition("#")[0] in wanted for source in rows["source"]])
    missing = sorted(wanted - {s.partition("#")[0] for s in rows["source"]})
    if missing:
        raise LabelError(
            f"{path} has no row for {len(missing)} of the files: {folders.some(missing)}",
            remedy="add them to the table, or leave the files out",
        )
    return chosen


def _compare_with_disk(rows: pd.DataFrame, root: Path, beside: Path | None, table: Path) -> None:
    """Raise where no listed file is there; log those that are missing or not listed.

    A listed file that is missing stays: reading it gives a row of `errors.csv`.
    """
    listed = {source: source_path(root, source)[0] for source in dict.fromkeys(rows["source"])}
    missing = [source for source, file in listed.items() if not file.exists()]
    if len(missing) == len(listed):
        raise SourceNotFound(
            f"{table} lists {len(missing)} files, and none is in {root}: {folders.some(missing)}",
            remedy="paths are relative to the table, or to the folder given with it; check that "
            "they end as the files do (.png)",
        )
    if missing:
        names = folders.some(missing)
        _log.warning("%s: %d listed files are not there: %s", table, len(missing), names)
    if beside is not None:
        known = {file.resolve() for file in listed.values()}
        found = folders.find(beside).images
        extra = [n for n in found if (beside / n).resolve() not in known]
        if extra:
            some = folders.some(extra)
            _log.warning("%s: %d images have no row in %s: %s", beside, len(extra), table, some)


def _collect(paths: Sequence[Source]) -> tuple[Path, list[str], list[Refusal]]:
    """Return the common folder, all files below it as names, and what is not there."""
    full = [Path(os.path.normpath(Path(path).expanduser().absolute())) for path in paths]
    there = [path for path in full if os.path.lexists(path)]
    if not there:
        raise SourceNotFound(
            f"{folders.some([str(p) for p in full]) or 'no path'} is not there",
            remedy="check the paths",
        )
    root = Path(os.path.commonpath([p if p.is_dir() else p.parent for p in there]))
    refusals = []
    known = set(there)
    for path in full:
        if path not in known:
            error = PixelError("not_found", f"{path} is not there", remedy="check the path")
            refusals.append(_refusal(os.path.relpath(path, root), error))
    names: dict[str, None] = {}
    hidden: list[str] = []
    for path in there:
        inside = folders.walk(path) if path.is_dir() else [""]
        for name in inside:
            if any(part.startswith(".") for part in name.split("/") if name):
                hidden.append(name)
            else:
                names[(path / name).relative_to(root).as_posix()] = None
    if hidden:
        _log.warning("%d hidden files passed over: %s", len(hidden), folders.some(hidden))
    return root, list(names), refusals


def _unlabelled_rows(root: Path, name: str) -> list[arrays.Stack]:
    """Return the rows of one file, or raise what is wrong with it."""
    file = stamp(str(root / name))
    if folders.printable(name) != name:
        raise PixelError("unsupported", f"{file.path!a} is no UTF-8 name", remedy="rename it")
    kind = sniff(file)
    if kind == "idx-labels":
        _log.warning("%s holds labels, no images: passed over", name)
        return []
    if kind in ("npz", "idx"):
        return arrays.unlabelled(name, kind, file)
    if kind in READERS:
        return [arrays.Stack(name, 1, "", None, numbered=False)]
    if kind == "dicom":
        raise PixelError("unsupported", f"{name}: DICOM is not read yet", remedy="export it as PNG")
    raise PixelError(
        "unknown_format",
        f"{name} holds no image that medimg reads",
        remedy="leave it out, or export it as PNG, TIFF or NIfTI",
    )


def _refusal(name: str, error: PixelError) -> Refusal:
    return Refusal(folders.printable(name), "", "index", error.code, error.message, error.remedy)
