"""Which study of a patient a label is of, where the table names the patient alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

from medimg.data.sources.dicom.index.match import NONE, Match
from medimg.errors import LabelError

_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?")
Columns = Mapping[str, Sequence[str]]


def refuse_namesakes(match: Match, columns: Columns, what: str, name: str) -> None:
    """Refuse an id under which several issuers or, of an accession, several patients stand.

    Instances that are no case count too: a label may be theirs.

    Parameters
    ----------
    what : str
        The element that the ids are of.

    Raises
    ------
    LabelError
        With how many ids these are.
    """
    for element in ("IssuerOfPatientID", "PatientID"):
        if element == what:
            continue
        count = sum(n > 1 for n in _distinct(match, columns[element]))
        if count:
            raise LabelError(
                f"{name}: {count} values of {what} stand under several {element}",
                remedy="join by StudyInstanceUID, or index the files of each in a folder of "
                "their own",
            )


def refuse_several_studies(match: Match, columns: Columns, name: str) -> None:
    """Refuse patients of several studies: nobody said which of them a label is of.

    Studies without a case count too: a label may be theirs.

    Raises
    ------
    LabelError
        With how many patients these are.
    """
    counts = [n for n in _distinct(match, columns["StudyInstanceUID"]) if n > 1]
    if counts:
        raise LabelError(
            f"{name}: {len(counts)} patients have several studies (up to {max(counts)})",
            remedy="say which one a label is of: --key-date COLUMN --within 30d; or that it "
            "holds for all of them: --all-studies",
        )


def _distinct(match: Match, column: Sequence[str]) -> list[int]:
    """Return how many values the instances of each thing that a row means have."""
    named = set(match.rows)
    values: dict[int, set[str]] = {}
    for number, value in zip(match.instances, column, strict=True):
        if number >= 0 and number in named:
            values.setdefault(number, set()).add(value)
    return [len(found) for found in values.values()]


def nearest_studies(
    match: Match, columns: Columns, cells: Sequence[str], days: int, name: str
) -> tuple[Match, dict[int, str]]:
    """Narrow rows that mean patients to the study that lies nearest to their date.

    A study without a case may be that one: its label is of no other study.

    Parameters
    ----------
    match : Match
        Of patients.
    cells : sequence of str (R,)
        The date of each row, as 2024-01-31 or 20240131.
    days : int
        How far a study may lie from it at most.

    Returns
    -------
    Match, of studies; and row -> why it means none

    Raises
    ------
    LabelError
        A cell that is no date.
    """
    studies = _studies(match, columns)
    instances = [NONE] * len(match.instances)
    dated: dict[int, list[tuple[date, int]]] = {}
    for study, ((patient, _), (members, when)) in enumerate(studies.items()):
        for instance in members:
            instances[instance] = study
        if when is not None:
            dated.setdefault(patient, []).append((when, study))
    rows, reasons = [], {}
    for row, (patient, cell) in enumerate(zip(match.rows, cells, strict=True)):
        study, reason = NONE, ""
        if patient >= 0:
            study, reason = _nearest(dated.get(patient, []), _date(cell, row, name), days)
        rows.append(study)
        if reason:
            reasons[row] = reason
    return Match(rows, instances), reasons


def _nearest(studies: Sequence[tuple[date, int]], when: date | None, days: int) -> tuple[int, str]:
    """Return the nearest study, or why there is none."""
    if when is None:
        return NONE, "no date"
    apart = sorted((abs((day - when).days), study) for day, study in studies)
    if not apart or apart[0][0] > days:
        return NONE, f"no study of the patient within {days} days"
    if len(apart) > 1 and apart[0][0] == apart[1][0]:
        return NONE, "two studies of the patient lie equally near"
    return apart[0][1], ""


def _studies(
    match: Match, columns: Columns
) -> dict[tuple[int, str], tuple[list[int], date | None]]:
    """Return (patient, study) -> its instances and its date; None where they disagree on it."""
    members: dict[tuple[int, str], list[int]] = {}
    for instance, patient in enumerate(match.instances):
        if patient >= 0:
            key = (patient, columns["StudyInstanceUID"][instance])
            members.setdefault(key, []).append(instance)
    found = {}
    for key, own in members.items():
        days = {columns["StudyDate"][instance] for instance in own} - {""}
        found[key] = (own, parse_date(days.pop()) if len(days) == 1 else None)
    return found


def _date(cell: str, row: int, name: str) -> date | None:
    if not cell.strip():
        return None
    found = parse_date(cell)
    if found is None:
        raise LabelError(
            f"{name}: row {row + 2} holds no date", remedy="write dates as 2024-01-31 or 20240131"
        )
    return found


def parse_date(text: str) -> date | None:
    """Return the day of ``2024-01-31`` or ``20240131``, a time behind it aside; else None."""
    parts = _DATE.fullmatch(text.strip())
    try:
        return date(*map(int, parts.groups())) if parts else None
    except ValueError:
        return None
