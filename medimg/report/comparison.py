"""A comparison of models in the terminal and as a folder: `write_comparison`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medimg.evaluation.results.comparison import Comparison, Contrast
from medimg.files import read_json, write_json, write_text
from medimg.report.environment import environment
from medimg.report.figures.curves import roc_overlay
from medimg.report.figures.forest import ForestRow, forest_plot
from medimg.report.grid import Grid, GridRow, grid
from medimg.report.page import flatten
from medimg.report.svg import Figure
from medimg.report.words import cases_text, interval_text, label, p_text, short_text, value_text

if TYPE_CHECKING:
    from rich.console import Console

PAGE, JSON, TABLE = "index.html", "comparison.json", "comparison.csv"
#: Differences that are drawn; of the others the numbers stand in the table.
_DRAWN = ("auroc", "auroc_macro", "accuracy", "balanced_accuracy", "brier", "ece")


def write_comparison(
    folder: str | os.PathLike[str], comparison: Comparison, *, title: str = "medimg comparison"
) -> Path:
    """Write `comparison.json`, `comparison.csv` and, last, `index.html` into `folder`.

    The page is made of what was read back from `comparison.json`.

    Returns
    -------
    Path
        The path of `index.html`: one file that needs no other and no network.
    """
    folder = Path(folder)
    (folder / PAGE).unlink(missing_ok=True)
    write_json(folder / JSON, comparison.to_dict())
    read = Comparison.from_dict(read_json(folder / JSON))
    write_text(folder / TABLE, read.to_frame().to_csv(index=False, lineterminator="\n"))
    write_text(folder / PAGE, _page(read, title))
    return folder / PAGE


def _page(c: Comparison, title: str) -> str:
    curves = {model.name: model.roc for model in c.models if model.roc is not None}
    words = {m.name: short_text(m.metrics["auroc"]) for m in c.models if "auroc" in m.metrics}
    page = environment().get_template("comparison.html.jinja")
    return page.render(
        title=title,
        c=c,
        primary=label(_primary(c)),
        several=any(model.n_runs > 1 for model in c.models),
        forests=_forests(c),
        grid=_models(c),
        roc=roc_overlay(curves, words, "Of several runs the first.") if curves else [],
        provenance=list(flatten(c.provenance)),
    )


def _primary(c: Comparison) -> str:
    made: Mapping[str, Any] = c.provenance.get("comparison", {})
    return str(made.get("metric", ""))


def _named(name: str, runs: int) -> str:
    return name if runs == 1 else f"{name} (mean of {runs} runs)"


def _models(c: Comparison) -> Grid | None:
    """Return the metrics of the models beside each other, one row a metric, as the differences."""
    of_models = [name for model in c.models for name in model.metrics]
    names = dict.fromkeys([*(one.metric for one in c.contrasts), *of_models])
    rows = [
        GridRow(
            label(name),
            {_named(m.name, m.n_runs): m.metrics[name] for m in c.models if name in m.metrics},
        )
        for name in names
    ]
    return grid("Metric", rows, words=str)


def _forests(c: Comparison) -> list[Figure]:
    """Return one figure a model: its differences from the reference."""
    found = []
    for i, model in enumerate(c.models[1:]):
        mine = [one for one in c.contrasts if one.model == model.name and one.metric in _DRAWN]
        rows = [ForestRow(label(one.metric), "", one.difference) for one in mine]
        if rows:
            name = f"{model.name} less {c.models[0].name}"
            none = (0.0, "no difference")
            found.append(forest_plot(f"difference-{i}", name, rows, reference=none))
    return found


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print each difference with its interval, p-value and what it shows, by model."""
    from rich.console import Console

    out = console or Console(soft_wrap=True, highlight=False, markup=False)
    for line in _lines(comparison):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _lines(c: Comparison) -> Iterable[str]:
    yield f"{c.split}: {cases_text(c.n, c.n_patients)}; reference: {c.models[0].name}"
    for model in c.models[1:]:
        yield ""
        yield f"{_named(model.name, model.n_runs)} less {c.models[0].name}"
        mine = [one for one in c.contrasts if one.model == model.name]
        width = max((len(label(one.metric)) for one in mine), default=0)
        yield from (_line(one, width) for one in mine)
        yield from _reasons(mine)
    yield ""
    yield from c.notes


def _line(one: Contrast, width: int) -> str:
    difference = one.difference
    p = "" if difference.p is None else p_text(difference.p)
    ends = interval_text(difference) or "no interval"
    name = label(one.metric).ljust(width)
    return f"  {name}  {value_text(difference):>7}  {ends:<18}  {p:<9}  {one.verdict}"


def _reasons(contrasts: Sequence[Contrast]) -> Iterable[str]:
    reasons = dict.fromkeys(one.difference.reason for one in contrasts if one.difference.reason)
    return (f"  no interval: {reason}" for reason in reasons)
