"""What an audit found, in words, in tables and with the pictures side by side: a page.

Nothing is checked or computed here. `view` gives the texts that the page, the section of a run's
report and the terminal share; they stand 10,000 groups, as `audit.json` alone names them all.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from medimg.data.checks.findings import Audit
from medimg.files import write_json, write_text
from medimg.report.environment import environment
from medimg.report.findings import Pair, Shown, cell, plural, shown_as
from medimg.report.svg import interval_mark

PAGE, AUDIT_JSON = "index.html", "audit.json"


@dataclass(frozen=True)
class Predictor:
    """One column, or joint of columns, of metadata as a predictor of the label.

    Where it was not tried, `verdict` says why.
    """

    name: str
    tried: bool
    auroc: str
    chance: str
    cases: str
    verdict: str
    mark: Markup = field(default=Markup(), compare=False)


@dataclass(frozen=True)
class AuditView:
    """All that a page says of an audit."""

    findings: Sequence[Shown]
    information: Sequence[Shown]
    predictors: Sequence[Predictor]
    not_checked: Mapping[str, str]
    notes: Sequence[str]

    @property
    def leaks(self) -> list[Shown]:
        """The leaks; those that were accepted first."""
        return [shown for shown in self.findings if shown.finding.severity == "leak"]

    @property
    def summary(self) -> str:
        """How many leaks and warnings there are, in words."""
        leaks = len(self.leaks)
        return f"{plural(leaks, 'leak')}, {plural(len(self.findings) - leaks, 'warning')}"


def view(
    audit: Audit,
    allowed: Mapping[str, str] | None = None,
    pairs: Mapping[str, Sequence[Pair]] | None = None,
) -> AuditView:
    """Return the texts of an audit.

    Parameters
    ----------
    audit : Audit
    allowed : mapping of str to str, optional
        The code of a known leak -> why it may pass; those come first.
    pairs : mapping of str to sequence of Pair, optional
        What `pair_pictures` returned.
    """
    allowed, pairs = allowed or {}, pairs or {}
    shown = [shown_as(f, allowed.get(f.code), pairs.get(f.code, ())) for f in audit.findings]
    order = {"leak": 0, "warning": 1, "information": 2}
    shown.sort(key=lambda s: (order[s.finding.severity], s.reason is None))
    return AuditView(
        findings=shown,
        information=[shown_as(finding, None, ()) for finding in audit.information],
        predictors=[_predictor(row) for row in sorted(audit.metadata, key=_telling_first)],
        not_checked=dict(audit.not_checked),
        notes=list(audit.notes),
    )


def write_audit(
    folder: str | os.PathLike[str],
    audit: Audit,
    *,
    title: str,
    lead: str,
    pairs: Mapping[str, Sequence[Pair]] | None = None,
) -> Path:
    """Write `index.html` and, last, `audit.json` into `folder`; return the page's path.

    Parameters
    ----------
    title, lead : str
        The heading of the page and the sentence under it.
    pairs : mapping of str to sequence of Pair, optional
        What `pair_pictures` returned.
    """
    folder = Path(folder)
    template = environment().get_template("audit_page.html.jinja")
    page = template.render(title=title, lead=lead, audit=view(audit, pairs=pairs))
    write_text(folder / PAGE, page)
    write_json(folder / AUDIT_JSON, as_json(audit))
    return folder / PAGE


def as_json(audit: Audit) -> dict[str, Any]:
    """Return an audit as JSON takes it: what is not finite becomes null."""
    plain: dict[str, Any] = _plain(audit.to_dict())
    return plain


def _predictor(row: Mapping[str, Any]) -> Predictor:
    auroc, low, high = (_finite(row.get(key)) for key in ("auroc", "low", "high"))
    ranged = low is not None and high is not None
    return Predictor(
        name=_name(row),
        tried=auroc is not None,
        auroc=cell(auroc),
        chance=f"{cell(low)}–{cell(high)}" if ranged else "–",
        cases=cell(row.get("cases")),
        verdict=_verdict(row),
        mark=Markup() if auroc is None else interval_mark(auroc, low, high),
    )


def _name(row: Mapping[str, Any]) -> str:
    """Return the column, or the name of a joint and its columns."""
    columns = ", ".join(map(str, row["columns"]))
    name = str(row.get("name") or columns)
    return name if name == columns else f"{name}: {columns}"


def _verdict(row: Mapping[str, Any]) -> str:
    auroc, low = (_finite(row.get(key)) for key in ("auroc", "low"))
    if auroc is None or not row.get("outside"):
        return str(row.get("reason") or "")
    return "below chance" if low is not None and auroc < low else "above chance"


def _telling_first(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    auroc = _finite(row.get("auroc"))
    known = -math.inf if auroc is None else auroc
    return _verdict(row) != "above chance", -known, _name(row)


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
