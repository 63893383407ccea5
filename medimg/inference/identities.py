"""`identities.csv`: which scan a pseudonym of the results stands for, for who may know it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from medimg.data.manifest import Manifest
from medimg.inference.found import Found
from medimg.tables import read_table, write_table

IDENTITIES_CSV = "identities.csv"
#: Its columns, and which column of a manifest stands in where no instance names the element.
_COLUMNS = {
    "case_id": "case_id",
    "source": "source",
    "PatientID": "patient_id",
    "AccessionNumber": "",
    "StudyInstanceUID": "study_id",
    "SeriesInstanceUID": "",
    "SOPInstanceUID": "",
}


def write_identities(folder: Path, found: Found, kept: Collection[str]) -> None:
    """Write one row (mode 0600) for each case whose id does not name its source.

    Parameters
    ----------
    found : Found
        With the ids as they are; the elements of a case are those of its first file.
    kept : collection of str
        Cases of earlier runs, whose rows stay as they are.
    """
    path = folder / IDENTITIES_CSV
    tables = []
    if path.is_file():
        earlier = read_table(path)
        tables.append(earlier[earlier["case_id"].isin(set(kept))])
    tables.append(found.refused)
    if found.manifest is not None:
        tables.append(_named(found.manifest, found.instances))
    rows = {
        str(row["case_id"]): [row.get(column) or "" for column in _COLUMNS]
        for table in tables
        for row in table.to_dict("records")
    }
    if not rows:
        path.unlink(missing_ok=True)
        return
    cells = zip(*(rows[case_id] for case_id in sorted(rows)), strict=True)
    write_table(path, dict(zip(_COLUMNS, cells, strict=True)), mode=0o600)


def _named(manifest: Manifest, instances: pd.DataFrame | None) -> pd.DataFrame:
    """Return the identities of the cases that go by a pseudonym."""
    pairs = zip(manifest.case_id, manifest.frame["source"], strict=True)
    frame = manifest.frame[[not case_id.startswith(source) for case_id, source in pairs]]
    found = frame[[c for c in _COLUMNS.values() if c]]
    found = found.set_axis([name for name, column in _COLUMNS.items() if column], axis=1)
    if instances is None:
        return found
    names = [c for c in _COLUMNS if c in instances and c not in ("case_id", "source")]
    elements = instances.drop_duplicates("source").set_index("source")
    elements = elements[names].reindex(found["source"]).fillna("")
    return found.assign(**{c: elements[c].to_numpy() for c in names})
