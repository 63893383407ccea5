"""Files without labels, for prediction: each becomes a case, a refusal, or is passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from medimg.data.manifest import Manifest
from medimg.data.options import IndexOptions, index_options
from medimg.data.sources import arrays
from medimg.data.sources import folder as folders
from medimg.data.sources.dicom.index.ledger import CASE
from medimg.data.sources.dicom.index.listing import holds_dicom, index_dicom
from medimg.data.sources.formats import DICOM, READERS, sniff
from medimg.data.sources.guard import stamp
from medimg.errors import PixelError, Refusal, SourceNotFound, UsageError
from medimg.files import printable
from medimg.labels import LabelSpace
from medimg.privacy import load_key, pseudonym

Source = str | os.PathLike[str]
#: Options that scans without labels take.
TO_PREDICT = ("unit", "where")
_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")


class Unlabelled(NamedTuple):
    """Files for a prediction: each stands in exactly one of the three.

    Parameters
    ----------
    manifest : Manifest or None
        The cases; targets unknown. None where there are none.
    refusals : list of Refusal
        Files that cannot be taken; those of DICOM by pseudonym.
    passed : list of (name, what)
        Files that are no images and need not be, by source: hidden files other than DICOM,
        labels, DICOM objects without pixels.
    instances, identities : dict of lists of str
        Who the DICOM files are, those that were refused the latter; see `Indexed`. Empty where
        there are none.
    """

    manifest: Manifest | None
    refusals: list[Refusal]
    passed: list[tuple[str, str]]
    instances: dict[str, list[str]]
    identities: dict[str, list[str]]


def index_unlabelled(paths: Sequence[Source], space: LabelSpace, **options: Any) -> Unlabelled:
    """Turn files and folders into a manifest of unknown targets, for prediction.

    Every file becomes a case (npz and IDX files one a row, DICOM by `unit`), a refusal, or is
    listed as no image, by its content.

    Parameters
    ----------
    paths : sequence of path
        Folders are searched with all that is below them. A link below one that leads out of it
        is refused: what it points to was not given.
    space : LabelSpace
        The classes that will be predicted.
    **options
        For DICOM `unit` and `where`; see `IndexOptions`.

    Raises
    ------
    SourceNotFound
        None of the paths is there.
    """
    chosen = to_predict(index_options(options))
    root, names, links, refusals, passed = _collect(paths)
    stacks: list[arrays.Stack] = []
    dicom: list[str] = []
    odd: dict[str, PixelError] = {}
    for name in names:
        try:
            kind = _kind(root, name)
        except PixelError as error:
            odd[name] = error
            continue
        if kind in DICOM:
            dicom.append(name)
        elif kind == "idx-labels":
            passed.append((name, "labels"))
        else:
            try:
                stacks += _rows(root, name, kind)
            except PixelError as error:
                refusals.append(_refusal(name, error))
    scans = dicom or any(name.lower().endswith(_DICOM_ENDINGS) for name in [*odd, *links])
    if scans:
        dicom += odd  # among scans the name of no file is plain: it may be that of a patient
    else:
        refusals += [_refusal(name, error) for name, error in (odd | links).items()]
    parts = []
    if stacks:
        targets = np.full((sum(s.rows for s in stacks), space.k), np.nan, np.float32)
        parts.append(Manifest(arrays.stack_frame(stacks), targets, space, root))
    if not scans:
        return Unlabelled(_together(parts), refusals, passed, {}, {})
    found = index_dicom(root, chosen, space=space, files=dicom)
    parts += [found.manifest] if found.manifest is not None else []
    rows = zip(found.instances["source"], found.instances["role"], strict=True)
    passed += [(name, role) for name, role in rows if role != CASE]
    refusals += found.refusals
    refusals += [_by_pseudonym(name, error, found.identities) for name, error in links.items()]
    return Unlabelled(_together(parts), refusals, passed, found.instances, found.identities)


def _together(parts: Sequence[Manifest]) -> Manifest | None:
    """Return one manifest of cases below one root."""
    if len(parts) < 2:
        return parts[0] if parts else None
    frame = pd.concat([part.frame for part in parts], ignore_index=True).fillna("")
    targets = np.concatenate([part.targets for part in parts])
    files = {case_id: own for part in parts for case_id, own in part.files.items()}
    return Manifest(frame, targets, parts[0].space, parts[0].root, files)


def to_predict(options: IndexOptions) -> IndexOptions:
    """Return options for scans without labels; one that speaks of labels raises `UsageError`."""
    said = [k for k, v in options.model_dump().items() if v and k not in TO_PREDICT]
    if said:
        raise UsageError(
            f"option {said[0]} together with space", remedy="space takes scans without labels"
        )
    return options


def _collect(
    paths: Sequence[Source],
) -> tuple[Path, list[str], dict[str, PixelError], list[Refusal], list[tuple[str, str]]]:
    """Return the common folder, all files below it as names, and what is no such file.

    That is: links that lead out, paths that are not there, hidden files.
    """
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
    hidden: dict[str, None] = {}
    outside: list[str] = []
    for path in there:
        top = min((p for p in there if path.is_relative_to(p)), key=lambda p: len(p.parts))
        inside = folders.walk(path, _stays_in(top, outside)) if path.is_dir() else [""]
        for name in inside:
            is_hidden = any(part.startswith(".") for part in name.split("/") if name)
            is_hidden = is_hidden and not holds_dicom(path / name)
            (hidden if is_hidden else names)[(path / name).relative_to(root).as_posix()] = None
    passed = [(printable(name), "hidden") for name in hidden if name not in names]
    links = {os.path.relpath(p, root): _leads_out() for p in outside if Path(p) not in known}
    return root, list(names), links, refusals, passed


def _stays_in(folder: Path, outside: list[str]) -> Callable[[str], bool]:
    """Return what tells a link that stays in `folder`, and notes any other in `outside`."""
    inside = os.path.realpath(folder).rstrip("/") + "/"

    def stays(link: str) -> bool:
        if f"{os.path.realpath(link)}/".startswith(inside):
            return True
        outside.append(link)
        return False

    return stays


def _leads_out() -> PixelError:
    return PixelError(
        "not_permitted",
        "the file is a link that leads out of the folder",
        remedy="copy what it points to into the folder, or name that too",
    )


def _kind(root: Path, name: str) -> str:
    """Return the format of a file that may become cases, or raise why it cannot."""
    file = stamp(str(root / name))
    if printable(name) != name:
        raise PixelError("unsupported", f"{file.path!a} is no UTF-8 name", remedy="rename it")
    kind = sniff(file)
    if kind is None or kind not in (*READERS, *DICOM, "idx-labels"):
        raise PixelError(
            "unknown_format",
            f"{name} holds no image that medimg reads",
            remedy="leave it out, or export it as DICOM, PNG, TIFF or NIfTI",
        )
    return kind


def _rows(root: Path, name: str, kind: str) -> list[arrays.Stack]:
    """Return the rows of one file of images."""
    if kind in ("npz", "idx"):
        return arrays.unlabelled(name, kind, stamp(str(root / name)))
    return [arrays.Stack(name, 1, "", None, numbered=False)]


def _by_pseudonym(name: str, error: PixelError, identities: dict[str, list[str]]) -> Refusal:
    """Return a refusal among scans, and add the row that joins it to its source."""
    own = {"case_id": pseudonym(load_key(), "file", name), "source": printable(name)}
    for column, cells in identities.items():
        cells.append(own.get(column, ""))
    return _refusal(own["case_id"], error)


def _refusal(name: str, error: PixelError) -> Refusal:
    return Refusal(printable(name), "", "index", error.code, error.message, error.remedy)
