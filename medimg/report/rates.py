"""What a sweep over learning rates found, as a page and a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medimg.files import write_text
from medimg.report.environment import environment
from medimg.report.figures.rates import rate_curve

PAGE, TABLE = "index.html", "lr_find.csv"


def write_rates(
    folder: str | os.PathLike[str],
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    *,
    suggestion: float | None,
    reason: str,
    title: str,
) -> Path:
    """Write `lr_find.csv` (rate, loss, smoothed) and, last, `index.html`; return the latter.

    Parameters
    ----------
    rates, losses, smoothed : sequence of float
        One of each a step.
    suggestion : float, optional
    reason : str
        Why it is suggested, or why none is.
    title : str
        What was trained.
    """
    folder = Path(folder)
    table = pd.DataFrame({"rate": rates, "loss": losses, "smoothed": smoothed})
    write_text(folder / TABLE, table.to_csv(index=False, lineterminator="\n"))
    page = environment().get_template("rates.html.jinja")
    html = page.render(
        title=title,
        suggestion=suggestion,
        reason=reason,
        curve=rate_curve(rates, losses, smoothed, suggestion) if rates else None,
    )
    write_text(folder / PAGE, html)
    return folder / PAGE
