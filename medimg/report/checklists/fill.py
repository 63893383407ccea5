"""`fill`: the guidelines with what a run knows, and the table that an author goes on with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medimg.data.checks.findings import Audit
from medimg.evaluation.results.evaluation import Evaluation
from medimg.report.checklists.claim import CLAIM
from medimg.report.checklists.items import Checklist, Guideline, Known, filled
from medimg.report.checklists.stard_ai import STARD_AI
from medimg.report.checklists.tripod_ai import TRIPOD_AI
from medimg.report.tables import csv_text

GUIDELINES: tuple[Guideline, ...] = (CLAIM, STARD_AI, TRIPOD_AI)

_COLUMNS = ("guideline", "item", "section", "topic", "answer")


def fill(
    evaluation: Evaluation,
    audit: Audit | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> tuple[Checklist, ...]:
    """Return each guideline with the answers that the run knows.

    For the parameters see `Known`. The same input gives the same text.
    """
    known = Known(evaluation, audit, history, notes)
    return tuple(_checklist(guideline, known) for guideline in GUIDELINES)


def _checklist(guideline: Guideline, known: Known) -> Checklist:
    items = (
        filled(topic, section, known)
        for section, topics in guideline.sections.items()
        for topic in topics
    )
    return Checklist(guideline.name, guideline.citation, tuple(items))


def as_csv(checklists: Iterable[Checklist]) -> str:
    """Return all items as CSV text, one row each, for authors to go on with."""
    return csv_text(
        _COLUMNS,
        [
            (checklist.name, item.number, item.section, item.topic, item.shown)
            for checklist in checklists
            for item in checklist.items
        ],
    )
