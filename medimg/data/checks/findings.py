"""What an audit can find: the codes, one finding, and all of them together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from medimg.errors import LeakError

Severity = Literal["leak", "warning", "information"]


class Meaning(NamedTuple):
    """How much a code weighs, and what it says."""

    severity: Severity
    text: str


#: A leak stops a training; a warning never does; information is worth knowing and no fault.
CODES: dict[str, Meaning] = {
    "patient_in_several_splits": Meaning("leak", "cases of one patient stand in several splits"),
    "study_in_several_splits": Meaning("leak", "cases of one study stand in several splits"),
    "source_in_several_splits": Meaning("leak", "cases of one image stand in several splits"),
    "group_in_several_splits": Meaning(
        "leak", "cases that belong together stand in several splits"
    ),
    "pixels_in_several_splits": Meaning("leak", "the same pixels stand in several splits"),
    "pixels_under_several_labels": Meaning("leak", "the same pixels stand under different labels"),
    "duplicates_within_split": Meaning("warning", "the same pixels stand in one split twice"),
    "near_duplicates_across_splits": Meaning(
        "warning", "pictures of different splits that are probably copies"
    ),
    "near_duplicates_within_split": Meaning(
        "warning",
        "pictures of one split, of different or unknown patients, that are probably copies",
    ),
    "blank_pictures": Meaning("warning", "pictures of one single value, several times"),
    "metadata_predicts_label": Meaning("warning", "metadata alone predict the label"),
    "prevalence_differs_by_site": Meaning("warning", "how common a class is differs by site"),
    "class_absent_from_split": Meaning("warning", "a split holds no case of a class"),
    "source_listed_twice": Meaning("warning", "one image is listed as several cases"),
    "ids_alike": Meaning(
        "warning", "patient ids that differ in how they are written alone: taken as one"
    ),
    "file_missing": Meaning("warning", "the file of a case is not there"),
    "patient_in_several_classes": Meaning("information", "patients with cases of several classes"),
}
LEAKS = tuple(code for code, meaning in CODES.items() if meaning.severity == "leak")
#: Groups and cases that a message names; `audit.json` names them all.
_GROUPS, _CASES = 3, 4


@dataclass(frozen=True)
class Finding:
    """One thing found: its code, the cases that show it, and its figures.

    Parameters
    ----------
    code : str
        One of `CODES`.
    groups : tuple of tuple of str
        Case ids; those that belong together stand in one tuple.
    details : mapping
        Figures and names beside the cases; plain values, as JSON takes them.
    """

    code: str
    groups: tuple[tuple[str, ...], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """`leak`, `warning` or `information`."""
        return CODES[self.code].severity

    @property
    def text(self) -> str:
        """What the code says."""
        return CODES[self.code].text

    @property
    def cases(self) -> int:
        """How many cases show it."""
        return sum(map(len, self.groups))

    def __str__(self) -> str:
        words = [", ".join(self.details.get("words", ()))] if self.details.get("words") else []
        if self.groups:
            words.append(f"{len(self.groups)}: {named(self.groups)}")
        return f"{self.code}: {self.text}" + (f" ({'; '.join(words)})" if words else "")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "text": self.text,
            "groups": [list(group) for group in self.groups],
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class Audit:
    """What the checks found.

    Parameters
    ----------
    findings : tuple of Finding
        Leaks first, then warnings; at most one of a code.
    information : tuple of Finding
        What is worth knowing and no fault.
    not_checked : mapping of str to str
        What was not looked at, and why.
    metadata : sequence of mapping
        One row a column or joint of metadata that was tried as a predictor of the label.
    notes : sequence of str
        What has to be known to read the figures.
    """

    findings: tuple[Finding, ...] = ()
    information: tuple[Finding, ...] = ()
    not_checked: Mapping[str, str] = field(default_factory=dict)
    metadata: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that stop a training."""
        return tuple(f for f in self.findings if f.severity == "leak")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that do not."""
        return tuple(f for f in self.findings if f.severity == "warning")

    def require_clean(self, allow: Collection[str] = ()) -> None:
        """Raise `LeakError` with every leak whose code is not in `allow`."""
        leaks = [finding for finding in self.leaks if finding.code not in allow]
        if leaks:
            allowed = ", ".join(f"{leak.code}: why" for leak in leaks)
            raise LeakError(
                "\n".join(str(leak) for leak in leaks),
                remedy="split again by patient or leave copies out (split none); where it is "
                "known and accepted, allow it by its code with a reason: "
                f"audit: {{allow: {{{allowed}}}}}",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "format": "medimg.audit",
            "format_version": 1,
            "findings": [finding.to_dict() for finding in self.findings],
            "information": [finding.to_dict() for finding in self.information],
            "metadata": [dict(row) for row in self.metadata],
            "not_checked": dict(self.not_checked),
            "notes": list(self.notes),
        }


def named(groups: Sequence[Sequence[str]], most: int = _GROUPS) -> str:
    """Return the first groups in words: ``a = b; c = d = e; and 7 more``."""
    first = [" = ".join(group[:_CASES]) + " ..." * (len(group) > _CASES) for group in groups[:most]]
    more = [f"and {len(groups) - most:,} more"] if len(groups) > most else []
    return "; ".join([*first, *more])
