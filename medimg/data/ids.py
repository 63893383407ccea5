"""Ids: which spellings are one id, which words stand for none, and what names a study."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: The cells of one column.
Cells: TypeAlias = "Sequence[Any] | NDArray[Any] | pd.Series[Any]"
#: What tables and anonymizers write where there is no id.
PLACEHOLDERS = (
    *("na", "n/a", "nan", "none", "null", "<na>", "unknown", "?", "-"),
    *("anonymous", "anonymized", "anonymised", "anon"),
)
_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
#: What a table gives to the studies of one patient: words, then a number of at most three digits
#: (``study1``, ``2``, ``exam-03``, ``follow-up``), or a date. A pseudonym is longer than such a word.
_LOCAL = re.compile(
    r"([^\W\d_]{1,20}[\W_]+)*[^\W\d_]{0,20}[\W_]*[0-9]{0,3}"
    r"|(19|20)[0-9]{2}([-./]?[01]?[0-9]([-./]?[0-3]?[0-9])?)?"
)
#: Stands in no plain id. (numpy drops a NUL at the end of a text.)
_WITHIN = "\n"
_MINUS = "\N{MINUS SIGN}"


def plain_text(text: str) -> str:
    """Return a text in the one spelling that all of its ways to be written share.

    Without capitals, blanks around it, runs of blanks, zeros that lead its numbers, marks that
    do not show (Unicode's Cf and Cc) and the ``.0`` that pandas hangs on a whole number; all
    dashes are ``-`` and all digits ASCII; by compatibility composed (NFKC).
    """
    if not (text.isascii() and text.isprintable()):
        text = _unmarked(text)
    text = text.strip().casefold()
    if "  " in text:
        text = " ".join(text.split())
    if "0" in text:
        text = _LEADING_ZEROS.sub("", text)
        if text.endswith(".0") and text[:-2].isdecimal():
            text = text[:-2]
    return text


def plain_id(identifier: str) -> str:
    """Return an id in its one spelling (`plain_text`), or a blank where it is a word for none.

    ``P-007`` and `` p-7`` are one: better two people on one side of a split than one on both.
    ``NA`` or ``unknown`` is no patient that thousands of cases share.
    """
    text = plain_text(identifier)
    return "" if text in PLACEHOLDERS else text


def plain_ids(cells: Cells) -> NDArray[Any]:
    """Return the `plain_id` (N,) of each cell; cells may be numbers, None or NaN."""
    numbers, texts = spellings(cells)
    return np.array([plain_id(text) for text in texts], object)[numbers]


def study_ids(study: Cells, patient: Cells) -> NDArray[Any]:
    """Return what names the study of each case (N,), in plain spelling; blank where nothing does.

    An id that is unique in the world (a UID, an accession number, a pseudonym) names a study
    whoever it is said to be of. A number or a date within a patient (``study1``, ``2``,
    ``2020-01-31``) names one together with the patient, and none where that is not known; so
    does every id of a table in which a tenth of the studies, and two at least, are shared by
    patients.
    """
    studies, patients = plain_ids(study), plain_ids(patient)
    numbers, texts = spellings(studies)
    local = np.array([_LOCAL.fullmatch(text) is not None for text in texts])[numbers]
    local |= _shared_by_patients(studies[~local], patients[~local])
    within = np.where(patients == "", "", patients + _WITHIN + studies)
    return np.where(local & (studies != ""), within, studies)


def _shared_by_patients(studies: NDArray[Any], patients: NDArray[Any]) -> bool:
    """Whether so many studies are of several patients that their ids cannot be unique."""
    known = (studies != "") & (patients != "")
    pairs = pd.DataFrame({"study": studies[known], "patient": patients[known]}).drop_duplicates()
    patients_of = pairs["study"].value_counts()
    shared = int((patients_of > 1).sum())
    return shared >= max(2, 0.1 * len(patients_of))


def spellings(cells: Cells) -> tuple[NDArray[np.intp], list[str]]:
    """Return the number of each cell's text (N,) and the texts; None and NaN are the last, ``""``.

    A column of a million cells holds few texts: what is to be done to each is done once.
    """
    numbers, found = pd.factorize(np.asarray(cells, dtype=object), use_na_sentinel=True)
    return np.where(numbers < 0, len(found), numbers), [*map(str, found), ""]


def _unmarked(text: str) -> str:
    """Return a text with its digits, dashes and blanks in ASCII, without marks that do not show."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(map(_plain_letter, unicodedata.normalize("NFKC", folded)))


def _plain_letter(letter: str) -> str:
    kind = unicodedata.category(letter)
    if letter.isspace():
        return " "
    if kind in ("Cf", "Cc"):
        return ""
    if kind == "Pd" or letter == _MINUS:
        return "-"
    return str(unicodedata.decimal(letter)) if kind == "Nd" else letter
