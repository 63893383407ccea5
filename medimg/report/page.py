"""The page: an evaluation and what is known of its run in, HTML out.

Nothing is computed here. The order of the sections is that of `page.html.jinja`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medimg.evaluation.results.evaluation import Evaluation
from medimg.report.checklists import Checklist
from medimg.report.environment import environment
from medimg.report.figures.training import learning_curve
from medimg.report.pictures import Example, png_uri
from medimg.report.sections.calibration import OPEN, calibration
from medimg.report.sections.discrimination import discrimination
from medimg.report.sections.groups import runs, shift_rows, subgroups
from medimg.report.sections.use import abstention, conformal, decision, prevalence
from medimg.report.svg import Figure
from medimg.report.words import headline_names, in_reading_order

if TYPE_CHECKING:
    from medimg.report.audit import AuditView

LOSSES = {"train_loss": "training", "val_loss": "validation"}
VALIDATION = {"val_auroc": "AUROC", "val_accuracy": "accuracy"}


def render(
    evaluation: Evaluation,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    examples: Sequence[Example] = (),
    title: str = "medimg report",
    notes: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    audit: AuditView | None = None,
    appendix: Sequence[Checklist] = (),
) -> str:
    """Return the HTML of the whole page; the same input gives the same text.

    `links`: folders beside the page with a report of their own -> what it is of. `appendix` is
    what `checklists.fill` returned.
    """
    patient = evaluation.by_patient
    page = environment().get_template("page.html.jinja")
    return page.render(
        title=title,
        notes=[*notes, *evaluation.notes],
        links=links or {},
        audit=audit,
        e=evaluation,
        headline=[(name, evaluation.metrics[name]) for name in headline_names(evaluation)],
        metrics=in_reading_order(evaluation),
        told=discrimination(evaluation),
        checks=calibration(evaluation),
        open_checks=OPEN,
        decision=decision(evaluation),
        prevalence=prevalence(evaluation),
        subgroups=subgroups(evaluation),
        conformal=conformal(evaluation),
        abstention=abstention(evaluation.abstention),
        patient_metrics=None if patient is None else in_reading_order(patient),
        runs=runs(evaluation),
        shift=_shift(evaluation),
        training=_training(history),
        validated=any(row.get("val_loss") is not None for row in history),
        examples=[(example, png_uri(example.image)) for example in examples],
        provenance=list(flatten(evaluation.provenance)),
        appendix=appendix,
    )


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield the leaves of nested mappings as dotted names and texts."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(str(v) for v in value)
        else:
            yield f"{prefix}{name}", "–" if value is None else str(value)


def _training(history: Sequence[Mapping[str, Any]]) -> list[Figure]:
    if not history:
        return []
    drawn = (
        learning_curve("loss", "Loss", history, LOSSES),
        learning_curve("validation", "Validation metric", history, VALIDATION),
    )
    return [figure for figure in drawn if figure is not None]


def _shift(evaluation: Evaluation) -> list[tuple[str, list[Any]]]:
    if evaluation.shift is None:
        return []
    tables = {"Cases": evaluation.shift.rows, "Metrics": evaluation.shift.metrics}
    return [(name, shift_rows(rows)) for name, rows in tables.items() if rows]
