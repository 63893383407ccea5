"""The tables of an index: where every file that was looked at went, and the manifest of cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from medimg.data.manifest import Manifest
from medimg.data.sources.dicom.headers.scan import Scan
from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.index.cases import Unit
from medimg.data.sources.dicom.index.join import Unmatched
from medimg.data.sources.dicom.index.labelled import Labelled
from medimg.data.sources.dicom.index.metadata import metadata
from medimg.errors import PixelError, Refusal
from medimg.privacy import load_key, pseudonym, pseudonyms

#: What a file is to an index, in `instances.csv`.
CASE, LOCALIZER, NO_IMAGE, NO_DICOM, LEFT_OUT, NO_LABEL = (
    *("case", "localizer", "no image", "not DICOM", "left out", "no label"),
)
Columns = dict[str, list[str]]


class Ledger:
    """Files on their way to one of the tables.

    Parameters
    ----------
    root : path
        Sources are relative to it.
    scan : Scan
    kept : sequence of bool (I,)
        Which instances meet the conditions.
    """

    def __init__(self, root: Path, scan: Scan, kept: Sequence[bool]) -> None:
        self._root, self._scan, self._key = root, scan, load_key()
        self.columns = scan.columns
        self.roles = [
            NO_IMAGE if kind != "image" else CASE if wanted else LEFT_OUT
            for kind, wanted in zip(scan.columns["kind"], kept, strict=True)
        ]
        self._refused: dict[int, PixelError] = {}
        self._ids = [""] * len(self.roles)
        self._positions = [""] * len(self.roles)

    def images(self) -> list[int]:
        """Return the instances that may become cases."""
        return [row for row, role in enumerate(self.roles) if role == CASE]

    def refuse(self, refused: Sequence[tuple[int, PixelError]]) -> None:
        """Note instances that become no case."""
        self._refused.update(refused)

    def mark(self, rows: Sequence[int], role: str) -> None:
        """Note what instances are."""
        for row in rows:
            self.roles[row] = role

    def file_id(self, source: str) -> str:
        """Return the keyed pseudonym of a file that is no case."""
        return pseudonym(self._key, "file", source)

    def manifest(self, cases: Labelled) -> Manifest:
        """Return the manifest of cases; their instances get its ids."""
        first = [unit.members[0] for unit in cases.units]
        sources = self.columns["source"]
        units = list(zip(first, cases.units, strict=True))
        # Names of files repeat from one export to the next, UIDs within one: both belong to an id.
        uids = self.columns["SOPInstanceUID"]
        ids = pseudonyms(
            self._key, [("case", sources[r], uids[r], u.suffix, u.frame) for r, u in units]
        )
        self._place(cases.units, ids)
        studies = self.columns["StudyInstanceUID"]
        frame = {
            "case_id": ids,
            "patient_id": patient_ids(self.columns, first),
            "study_id": [studies[row] for row in first],
            "source": [sources[row] for row in first],
            "frame": [unit.frame for unit in cases.units],
            **metadata(self.columns, [unit.members for unit in cases.units]),
            **cases.own,
        }
        files = {
            case_id: tuple(sources[member] for member in unit.members)
            for case_id, unit in zip(ids, cases.units, strict=True)
            if unit.volume
        }
        table = pd.DataFrame(frame, dtype=object)
        return Manifest(table, cases.targets, cases.space, self._root, files)

    def _place(self, units: Sequence[Unit], ids: Sequence[str]) -> None:
        """Write ids and places in volumes to instances; of several frames the first counts."""
        for case_id, unit in zip(reversed(ids), reversed(units), strict=True):
            for position, member in enumerate(unit.members):
                self._ids[member] = case_id
                self._positions[member] = str(position) if unit.volume else ""

    def instances(self) -> Columns:
        """Return one row a file that was not refused."""
        rows = [row for row in range(len(self.roles)) if row not in self._refused]
        others = self._scan.others
        table = {
            "case_id": self._ids,
            "position": self._positions,
            "source": self.columns["source"],
            "role": self.roles,
            **{name: self.columns[name] for name in COLUMNS},
        }
        if self._refused:
            table = {name: [column[row] for row in rows] for name, column in table.items()}
        ends = {"source": others, "role": [NO_DICOM] * len(others)}
        blank = [""] * len(others)
        return {name: column + ends.get(name, blank) for name, column in table.items()}

    def refusals(self) -> tuple[list[Refusal], Columns]:
        """Return the refused files by pseudonym, and the table that joins these to sources."""
        rows: list[tuple[str, int | None, PixelError]] = [
            (self.columns["source"][row], row, error) for row, error in self._refused.items()
        ]
        rows += [(source, None, error) for source, error in self._scan.refusals]
        refusals = []
        identities: Columns = {name: [] for name in ("case_id", "source", *COLUMNS)}
        for source, row, error in sorted(rows, key=lambda one: one[0]):
            case_id = self.file_id(source)
            refusals.append(Refusal.of(error, case_id, "", "index", self._root, source))
            identities["case_id"].append(case_id)
            identities["source"].append(source)
            for name in COLUMNS:
                identities[name].append("" if row is None else self.columns[name][row])
        return refusals, identities

    def unmatched(self, unmatched: Sequence[Unmatched]) -> Columns:
        """Return the rows of labels that label no case, as numbers: they may hold names."""
        return {
            "row": [str(one.row + 2) for one in unmatched],
            "reason": [one.reason for one in unmatched],
            "case_id": [
                "" if one.instance is None else self._id(one.instance) for one in unmatched
            ],
        }

    def _id(self, row: int) -> str:
        """Return the pseudonym of an instance: that of its case, or that of its file."""
        return self._ids[row] or self.file_id(self.columns["source"][row])


def patient_ids(columns: Mapping[str, Sequence[str]], rows: Sequence[int]) -> list[str]:
    """Return the patient of each instance of `rows`.

    PatientID is unique within its issuer alone (PS3.3 C.7.1.1): one that stands under several
    becomes ``ID^^^ISSUER``, as HL7 writes it. An issuer that is not given is no other issuer.
    """
    ids, issuers = columns["PatientID"], columns["IssuerOfPatientID"]
    known: dict[str, set[str]] = {}
    for row in rows:
        known.setdefault(ids[row], set()).add(issuers[row])
    several = {patient for patient, own in known.items() if len(own - {""}) > 1 and patient}
    if not several:
        return [ids[row] for row in rows]
    return [
        f"{ids[row]}^^^{issuers[row]}" if ids[row] in several and issuers[row] else ids[row]
        for row in rows
    ]
