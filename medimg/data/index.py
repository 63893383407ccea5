"""`index`: any source that medimg reads, turned into a `Manifest`."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.fetch import find_data
from medimg.data.manifest import COLUMNS, Manifest, is_taken
from medimg.data.options import IndexOptions, index_options
from medimg.data.sources import arrays, table
from medimg.data.sources import folder as folders
from medimg.data.sources.dicom.index.ledger import NO_LABEL
from medimg.data.sources.dicom.index.listing import Indexed, holds_dicom, index_dicom
from medimg.data.sources.formats import DICOM, READERS, sniff, source_path
from medimg.data.sources.guard import stamp
from medimg.data.unlabelled import TO_PREDICT, Source, to_predict
from medimg.data.unlabelled import Unlabelled as Unlabelled
from medimg.data.unlabelled import index_unlabelled as index_unlabelled
from medimg.errors import (
    DataError,
    LabelError,
    NothingReadable,
    SourceNotFound,
    UsageError,
)
from medimg.labels import LabelSpace
from medimg.tables import read_table

_TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".parquet")
_LABELS_OWN = ("kind", "classes", "positive")
#: Options that speak of DICOM alone.
_OF_DICOM = ("unit", "where", "key", "key_date", "within", "all_studies", "label_from_name")
#: Files of a table that are looked at before it counts as one of something else than DICOM.
_LOOKED_AT = 20
_log = logging.getLogger("medimg.index")


class _Extra(NamedTuple):
    """What an index of DICOM takes beside the options."""

    known: Mapping[str, Sequence[str]] | None
    skip: Sequence[Path]


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
        subfolder a class, also below train, val and test; a folder, zip archive, DICOMDIR or
        file of DICOM; a CSV or Parquet table of paths and labels; a folder or files of a table
        given as `labels`; a manifest. A relative path is looked for as `find_data` does.
    labels : path, optional
        The table of labels beside a folder or files.
    space : LabelSpace, optional
        Take the source without labels (for prediction): every target is unknown. Files that
        cannot be taken are logged; `index_unlabelled` returns them.
    **options
        The fields of `IndexOptions`; `label` and `where` may be one text or several.

    Raises
    ------
    SourceNotFound, UsageError, DataError, LabelError
        By the name of the file, column or class, with the way out.
    """
    if space is not None:
        if labels is not None:
            options["labels"] = os.fspath(labels)
        return _without_labels(source, space, index_options(options))
    found = list_cases(source, labels, **options)
    left = NO_LABEL in found.instances.get("role", ()) or (found.unmatched or {}).get("row")
    for note in found.notes if left else ():
        _log.warning("%s", note)
    if found.refusals:
        codes = dict(Counter(refusal.code for refusal in found.refusals))
        _log.warning("%d files refused: %s", len(found.refusals), codes)
    return found.require()


def list_cases(
    source: Source | Sequence[Source],
    labels: Source | None = None,
    *,
    known: Mapping[str, Sequence[str]] | None = None,
    skip: Sequence[Path] = (),
    **options: Any,
) -> Indexed:
    """Turn a source into a manifest, as `index` does, and account for each file of DICOM.

    Parameters
    ----------
    known : mapping of columns, optional
        Instances and identities of an earlier index of the source: of DICOM, files that have
        not changed are not read again.
    skip : sequence of path
        Tables that are not listed among the files of DICOM: those that are written of them.

    Returns
    -------
    Indexed
        The tables are empty for other formats.
    """
    if labels is not None:
        options["labels"] = os.fspath(labels)
    chosen = index_options(options)
    if isinstance(source, str | os.PathLike):
        place = find_data(os.fspath(source))
        found = _index_folder if place.is_dir() else _index_file
        return found(place, chosen, _Extra(known, skip))
    if chosen.labels is None:
        raise UsageError("files without labels", remedy="give a table: labels=TABLE")
    files = [find_data(os.fspath(path)).absolute() for path in source]
    base = Path(os.path.commonpath([file.parent for file in files]))
    table_of = find_data(chosen.labels, [base])
    if any(holds_dicom(file) for file in files):
        names = [file.relative_to(base).as_posix() for file in files]
        return index_dicom(base, chosen, labels=table_of, files=names, known=known, skip=skip)
    return _plain(_index_table(table_of, base, chosen, only=files))


def _plain(manifest: Manifest) -> Indexed:
    """Return what an index of another format than DICOM found."""
    return Indexed(manifest, [], {}, {})


def _refuse_options(options: IndexOptions, where: Path, what: str) -> None:
    """Refuse options that have no meaning for a source, rather than forget them."""
    said = [k for k, v in options.model_dump().items() if v and k not in _LABELS_OWN]
    if said:
        raise UsageError(
            f"option {said[0]} has no meaning for {where}, {what}",
            remedy=f"leave it out; such a source takes {', '.join(_LABELS_OWN)}",
        )


def _refuse_dicom_options(options: IndexOptions, where: Path) -> None:
    said = [name for name in _OF_DICOM if getattr(options, name)]
    if said:
        raise UsageError(
            f"option {said[0]} has no meaning for {where}, which is no DICOM",
            remedy="leave it out; a table names its files in the column --path",
        )


def _without_labels(
    source: Source | Sequence[Source], space: LabelSpace, options: IndexOptions
) -> Manifest:
    given = to_predict(options).model_dump(include=set(TO_PREDICT))
    one = isinstance(source, str | os.PathLike)
    found = index_unlabelled([source] if one else source, space, **given)  # type: ignore[list-item, arg-type]
    if found.passed:
        kinds = dict(Counter(what for _, what in found.passed))
        _log.warning("%d files passed over: %s", len(found.passed), kinds)
    if found.manifest is None:
        raise NothingReadable(found.refusals)
    if found.refusals:
        names = folders.some([r.case_id for r in found.refusals])
        _log.warning("%d files refused: %s", len(found.refusals), names)
    return found.manifest


def _index_folder(place: Path, options: IndexOptions, extra: _Extra) -> Indexed:
    if holds_dicom(place):
        labels = None if options.labels is None else find_data(options.labels, [place])
        return index_dicom(place, options, labels=labels, **extra._asdict())
    if options.labels is not None:
        return _plain(_index_table(find_data(options.labels, [place]), place, options))
    images = arrays.idx_images(place)
    if images:
        _refuse_options(options, place, "a folder of IDX files")
        return _plain(arrays.index_idx(place, images, options))
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
    targets = space.one_hot([space.index(n) for n in names])
    return _plain(Manifest(frame, targets, space, place))


def _index_file(place: Path, options: IndexOptions, extra: _Extra) -> Indexed:
    kind = sniff(stamp(str(place)))
    if kind in DICOM and holds_dicom(place):
        whole = place.name.upper() == "DICOMDIR"  # it stands for the folder that it lies in
        files = None if whole else [place.name]
        labels = None if options.labels is None else find_data(options.labels, [place.parent])
        return index_dicom(place.parent, options, labels=labels, files=files, **extra._asdict())
    if kind == "npz":
        _refuse_options(options, place, "an npz")
        return _plain(arrays.index_npz(place, options))
    if kind == "idx":
        _refuse_options(options, place, "an IDX file")
        return _plain(arrays.index_idx(place.parent, [place.name], options))
    if kind == "parquet" or (kind is None and place.suffix.lower() in _TABLE_ENDINGS):
        if options.labels is not None:
            raise UsageError(
                f"{place} is a table, and so is labels={options.labels}",
                remedy="give the table alone, or the folder of the images and the table",
            )
        return _index_alone(place, options, extra)
    if kind in READERS and options.labels is not None:
        return list_cases([place], **options.model_dump())
    raise DataError(
        f"{place} brings no labels" if kind in READERS else f"{place} is nothing to be indexed",
        remedy="give an npz, IDX files, DICOM, a folder of classes or a table; for prediction, "
        "index_unlabelled takes files without labels",
    )


def _index_alone(path: Path, options: IndexOptions, extra: _Extra) -> Indexed:
    """Index a table that names its files; those of DICOM by their headers."""
    frame = read_table(path)
    column = table.one_column(frame, "path", options.path, str(path), optional=True)
    if column is None or not len(frame) or is_manifest_table(frame, path):
        return _plain(_index_table(path, path.parent, options))
    root, sources = table.resolve_paths(list(frame[column]), path.parent, str(path))
    there = [s for s in dict.fromkeys(sources) if source_path(root, s)[0].is_file()]
    if not any(holds_dicom(source_path(root, source)[0]) for source in there[:_LOOKED_AT]):
        return _plain(_index_table(path, path.parent, options))
    chosen = options.model_copy(update={"path": None, "key": f"{column}=file"})
    return index_dicom(root, chosen, labels=path, files=there, **extra._asdict())


def _index_table(
    path: Path, base: Path, options: IndexOptions, only: Sequence[Path] | None = None
) -> Manifest:
    frame = read_table(path)
    if is_manifest_table(frame, path):
        return _load_manifest(path, options)
    _refuse_dicom_options(options, path)
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


def is_manifest_table(frame: pd.DataFrame, path: Path) -> bool:
    """Whether a table is a manifest: it has the columns and the sidecar of one."""
    return {"case_id", "source"} <= set(frame) and path.with_suffix(".json").is_file()


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
