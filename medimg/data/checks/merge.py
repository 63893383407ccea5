"""Several audits of the same cases as one: of the folds, of a table and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from medimg.data.checks.findings import CODES, Audit, Finding


def merge(audits: Sequence[Audit]) -> Audit:
    """Return all that several audits of the same cases found; at most one finding of a code.

    Of the details those stay that all agree on. What one of them looked at was checked.
    """
    if len(audits) == 1:
        return audits[0]
    unchecked = set.intersection(*(set(a.not_checked) for a in audits))
    return Audit(
        findings=_merged(chain.from_iterable(a.findings for a in audits)),
        information=_merged(chain.from_iterable(a.information for a in audits)),
        not_checked={k: v for k, v in audits[-1].not_checked.items() if k in unchecked},
        metadata=next((a.metadata for a in audits if a.metadata), ()),
        notes=tuple(dict.fromkeys(chain.from_iterable(a.notes for a in audits))),
    )


def _merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return tuple(
        Finding(
            code,
            tuple(sorted({group for one in by_code[code] for group in one.groups})),
            _agreed([one.details for one in by_code[code]]),
        )
        for code in CODES
        if code in by_code
    )


def _agreed(details: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the details that all have alike, and the words of all."""
    same = {k: v for k, v in details[0].items() if all(k in d and d[k] == v for d in details)}
    words = dict.fromkeys(word for d in details for word in d.get("words", ()))
    return same | ({"words": list(words)} if words else {})
