"""`write_report`: the numbers, the tables and the page in one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medimg.data.checks.findings import Audit
from medimg.evaluation.results.evaluation import Evaluation
from medimg.files import read_json, write_json, write_text
from medimg.report.audit import AUDIT_JSON, as_json, view
from medimg.report.checklists import as_csv, fill
from medimg.report.findings import Pair
from medimg.report.page import render
from medimg.report.pictures import Example
from medimg.report.tables import TABLES, tables

__all__ = ["Example", "write_report"]

PAGE, METRICS, CHECKLISTS = "index.html", "metrics.json", "checklists.csv"


def write_report(
    folder: str | os.PathLike[str],
    evaluation: Evaluation,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    examples: Sequence[Example] = (),
    title: str = "medimg report",
    notes: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    audit: Audit | None = None,
    allowed: Mapping[str, str] | None = None,
    pairs: Mapping[str, Sequence[Pair]] | None = None,
) -> Path:
    """Write `metrics.json`, its tables, `audit.json` and, last, `index.html` into `folder`.

    Page and tables are made of what was read back from `metrics.json`: there is no other source
    of their numbers.

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
    links : mapping of str to str, optional
        Folders in `folder` with a report of their own, such as of each run -> what it is of.
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
        A file could not be written.
    """
    folder = Path(folder)
    for name in (PAGE, AUDIT_JSON, CHECKLISTS, *TABLES):  # the page marks a finished report
        (folder / name).unlink(missing_ok=True)
    write_json(folder / METRICS, evaluation.to_dict())
    read = Evaluation.from_dict(read_json(folder / METRICS))
    checklists = fill(read, audit, history, notes)
    page = render(
        read,
        history=history,
        examples=examples,
        title=title,
        notes=notes,
        links=links,
        audit=None if audit is None else view(audit, allowed, pairs),
        appendix=checklists,
    )
    write_text(folder / CHECKLISTS, as_csv(checklists))
    for name, table in tables(read).items():
        write_text(folder / name, table)
    if audit is not None:
        write_json(folder / AUDIT_JSON, as_json(audit))
    write_text(folder / PAGE, page)
    return folder / PAGE
