"""A folder of DICOM to a manifest, and to the tables that account for every file below it."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medimg.data.manifest import Manifest
from medimg.data.options import IndexOptions
from medimg.data.sources.dicom.headers.found import Stamps
from medimg.data.sources.dicom.headers.head import is_dicom
from medimg.data.sources.dicom.headers.scan import scan
from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.index import labelled, where
from medimg.data.sources.dicom.index.cases import Unit, make_units
from medimg.data.sources.dicom.index.labelled import Labelled
from medimg.data.sources.dicom.index.ledger import LEFT_OUT, LOCALIZER, NO_LABEL, Columns, Ledger
from medimg.data.sources.dicom.pool import shared_pool
from medimg.data.sources.formats import DICOM, sniff
from medimg.data.sources.guard import stamp
from medimg.errors import DataError, NothingReadable, PixelError, Refusal
from medimg.labels import LabelSpace

#: Endings of files that are not asked whether they are DICOM, when a folder is looked at.
_OTHERS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".csv", ".tsv", ".txt", ".json"),
    *(".yaml", ".yml", ".md", ".html", ".pdf", ".npz", ".npy", ".nii", ".gz", ".parquet", ".py"),
)
#: Members of an archive that are looked at before it counts as one of something else.
_LOOKED_AT = 20


class Indexed(NamedTuple):
    """What an index found: every file stands in exactly one of `instances` and `identities`.

    Parameters
    ----------
    manifest : Manifest or None
        None where no file became a case.
    refusals : list of Refusal
        One a file that was refused, by pseudonym; none of other formats than DICOM.
    instances : dict of lists of str
        One row a file: case_id, position in its volume, source, role, the kept elements.
    identities : dict of lists of str
        One row a refused file: case_id, source, the kept elements as far as they were read.
    unmatched : dict of lists of str, or None
        The rows of the labels that label no case, by number; None without such a table.
    notes : tuple of str
        What to tell: counts, never an id or a name.
    digest : str
        The `stamp_digest` of the folder as it was read; blank of files and other formats.
    problem : DataError or None
        Why there is no manifest, where the files are not to blame.
    """

    manifest: Manifest | None
    refusals: list[Refusal]
    instances: Columns
    identities: Columns
    unmatched: Columns | None = None
    notes: tuple[str, ...] = ()
    digest: str = ""
    problem: DataError | None = None

    def require(self) -> Manifest:
        """Return the manifest.

        Raises
        ------
        DataError
            No file became a case, or there are no labels.
        """
        if self.manifest is not None:
            return self.manifest
        if self.problem is not None:
            raise self.problem
        roles = Counter(self.instances.get("role", ()))
        if self.refusals and not roles[NO_LABEL] + roles[LEFT_OUT]:
            raise NothingReadable(self.refusals)
        raise DataError(
            "no file is a case: " + (count(roles) or "none is there"),
            remedy="check the folder, --where and the table of labels",
        )


def index_dicom(
    root: Path,
    options: IndexOptions,
    *,
    labels: Path | None = None,
    space: LabelSpace | None = None,
    files: Sequence[str] | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
    skip: Sequence[Path] = (),
) -> Indexed:
    """Index the DICOM below a folder by its headers.

    Parameters
    ----------
    root : path
        Sources are relative to it.
    labels : path, optional
        A table of labels; else the classes are in the names of folders, or of files as
        `options.label_from_name` says.
    space : LabelSpace, optional
        Take every case, its target unknown (for prediction).
    files : sequence of str, optional
        These sources alone, in place of all that is below `root`.
    known : mapping of columns, optional
        Instances and identities of an earlier index: unchanged files are not read again.
    skip : sequence of path
        Tables that are not listed among the files: those that the index itself writes.

    Raises
    ------
    UsageError
        A condition, key or option that is wrong.
    DataError, LabelError
        There are no labels, or they do not fit.
    """
    conditions = [where.parse(text, ("source", *COLUMNS)) for text in options.where]
    labelled.check_options(options, labels)
    root = root.absolute()  # the workers stand elsewhere
    own = {os.path.relpath(path.absolute(), root) for path in skip}
    stamps = Stamps(own)
    found = scan(root, shared_pool(), files=files, known=known, stamps=stamps)
    found = found._replace(others=[source for source in found.others if source not in own])
    ledger = Ledger(root, found, where.keep(found.columns, conditions))
    made = make_units(found.columns, ledger.images(), options.unit or "image")
    ledger.refuse(made.refused)
    ledger.mark(made.localizers, LOCALIZER)
    cases, problem = None, _left_out(found.columns, conditions)
    if made.units and space is not None:
        cases = labelled.unlabelled(made.units, space)
    elif made.units:
        try:
            cases = labelled.label(made.units, found.columns, options, root, labels)
        except labelled.NoLabels as error:
            problem = error
        ledger.mark(_without_label(made.units, cases), NO_LABEL)
    manifest = ledger.manifest(cases) if cases and cases.units else None
    refusals, identities = ledger.refusals()
    unmatched = None if cases is None or cases.unmatched is None else cases.unmatched
    return Indexed(
        manifest,
        refusals,
        ledger.instances(),
        identities,
        None if unmatched is None else ledger.unmatched(unmatched),
        () if cases is None else cases.notes,
        "" if files is not None else stamps.digest(),
        problem,
    )


def _left_out(
    columns: Mapping[str, Sequence[str]], conditions: Sequence[where.Condition]
) -> DataError | None:
    """Return the error of conditions that leave out all images."""
    images = [row for row, kind in enumerate(columns["kind"]) if kind == "image"]
    blame = where.to_blame(columns, conditions, images)
    if not blame:
        return None
    return DataError(
        f"no file is a case: {blame} ({len(images):,} left out)",
        remedy="correct it, or leave it out",
    )


def _without_label(units: Sequence[Unit], cases: Labelled | None) -> list[int]:
    """Return the instances of the units that became no case."""
    kept = {member for unit in cases.units for member in unit.members} if cases else set()
    return sorted({member for unit in units for member in unit.members} - kept)


def holds_dicom(place: Path) -> bool:
    """Whether a file is DICOM or an archive of it, or a folder holds one; asks no names.

    Looks at one file after the other until one is; those whose ending promises something else
    are passed over.
    """
    if not place.is_dir():
        return _is_one(str(place))
    for parent, folders, files in os.walk(place):
        folders.sort()
        if any(_is_one(f"{parent}/{n}") for n in files if not n.lower().endswith(_OTHERS)):
            return True
    return False


def _is_one(path: str) -> bool:
    try:
        kind = sniff(stamp(path))
    except PixelError:
        return False
    return _archive_holds_dicom(path) if kind == "zip" else kind in DICOM


def _archive_holds_dicom(path: str) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.file_size]
            for member in members[:_LOOKED_AT]:
                with archive.open(member) as handle:
                    if is_dicom(handle.read(560)):
                        return True
    except Exception:  # zipfile raises half a dozen types on damaged archives
        return False
    return False


def count(things: Mapping[str, int]) -> str:
    """Return counts in words, the most frequent first: ``12 case, 3 no image``."""
    ordered = sorted(things.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number:,} {name}" for name, number in ordered if number)
