"""`write_report`: the numbers, the curves and the page in one folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medimg.data.checks.findings import Audit
from medimg.evaluation.result import Evaluation, RocCurve
from medimg.files import write_json, write_text
from medimg.report.audit import AUDIT_JSON, as_json, view
from medimg.report.findings import Pair
from medimg.report.page import Example, render

__all__ = ["Example", "write_report"]

PAGE = "index.html"


def write_report(
    folder: str | os.PathLike[str],
    evaluation: Evaluation,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    examples: Sequence[Example] = (),
    title: str = "medimg report",
    notes: Sequence[str] = (),
    before: Evaluation | None = None,
    audit: Audit | None = None,
    allowed: Mapping[str, str] | None = None,
    pairs: Mapping[str, Sequence[Pair]] | None = None,
) -> Path:
    """Write `metrics.json`, `roc.csv`, `audit.json` and, last, `index.html` into `folder`.

    Parameters
    ----------
    folder : path
        Made where it is absent; a report that it holds is replaced.
    evaluation : Evaluation
        What `evaluate` returned. Every number of the report is one of its numbers.
    history : sequence of mappings
        One row an epoch: ``epoch``, ``train_loss``, ``val_loss`` and, where there are any,
        ``val_accuracy``, ``val_auroc``; the kept epoch has ``best: True``.
    examples : sequence of Example
        Pictures to show, in this order.
    title : str
        The heading of the page.
    notes : sequence of str
        Sentences printed first, such as where the calibration cases came from.
    before : Evaluation, optional
        The same predictions evaluated without their calibrator.
    audit : Audit, optional
        What was found in the data; leaks stand before every number.
    allowed : mapping of str to str, optional
        The code of a known leak -> why it may pass.
    pairs : mapping of str to sequence of Pair, optional
        What `pair_pictures` returned of that audit.

    Returns
    -------
    Path
        The path of `index.html`: one file that needs no other and no network.

    Raises
    ------
    UsageError
        `before` is of other cases or classes, or a file could not be written.
    """
    folder = Path(folder)
    page = render(
        evaluation,
        history=history,
        examples=examples,
        title=title,
        notes=notes,
        before=before,
        audit=None if audit is None else view(audit, allowed, pairs),
    )
    for name in (PAGE, AUDIT_JSON):  # the page marks a finished report
        (folder / name).unlink(missing_ok=True)
    if audit is not None:
        write_json(folder / AUDIT_JSON, as_json(audit))
    write_json(folder / "metrics.json", evaluation.to_dict())
    write_text(folder / "roc.csv", _roc_csv(evaluation.roc))
    write_text(folder / PAGE, page)
    return folder / PAGE


def _roc_csv(curves: Mapping[str, RocCurve]) -> str:
    """Return the points of every curve: class, false_positive_rate, true_positive_rate."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("class", "false_positive_rate", "true_positive_rate"))
    for name, curve in curves.items():
        points = zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)
        writer.writerows((name, float(x), float(y)) for x, y in points)
    return text.getvalue()
