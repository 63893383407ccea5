"""What one would do with the model: decide, restate, answer with sets, or refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import Abstention, ConformalResult
from medimg.report.figures.bars import size_bars
from medimg.report.figures.benefit import coverage_plot, decision_plot, risk_coverage_plot
from medimg.report.figures.forest import ForestRow, forest_plot
from medimg.report.grid import Grid, GridRow, grid, grid_of
from medimg.report.svg import Figure
from medimg.report.words import label, number

#: Short name of a conformal method -> the words for it.
CONFORMAL = {
    "lac": "LAC (least ambiguous classifier)",
    "aps": "APS (adaptive prediction sets)",
    "raps": "RAPS (regularised adaptive sets)",
    "risk": "Conformal risk control",
}


def decision(e: Evaluation) -> list[Figure]:
    """Return one decision curve a class."""
    return [decision_plot(f"decision-{i}", curve) for i, curve in enumerate(e.decision)]


def prevalence(e: Evaluation) -> Grid | None:
    """Return PPV and NPV at other prevalences."""
    rows = [
        GridRow(
            f"{r.label}: {r.rule}, prevalence {number(r.prevalence)}",
            r.metrics,
            f"threshold {number(r.threshold)} there",
        )
        for r in e.prevalence
    ]
    return grid("At a prevalence of", rows)


@dataclass(frozen=True)
class ConformalView:
    """One kind of prediction sets: what it promises, what it kept, and its figures."""

    name: str
    promise: str
    fitted: str
    whole: str
    note: str
    measures: Grid | None
    groups: Grid | None
    figures: list[Figure]


def conformal(e: Evaluation) -> list[ConformalView]:
    """Return a view of each kind of prediction sets."""
    return [_conformal(i, result) for i, result in enumerate(e.conformal)]


def _conformal(i: int, r: ConformalResult) -> ConformalView:
    by = f", by {r.by}" if r.by else ""
    return ConformalView(
        name=f"{CONFORMAL.get(r.method, r.method)}{by}",
        promise=f"{100 * (1 - r.alpha):g}%",
        fitted=r.calibrated_on,
        whole=", ".join(r.whole),
        note=r.note,
        measures=grid_of("Sets", {"all cases": r.metrics}),
        groups=grid("Of", [
            *(GridRow(f"truly {name}", m) for name, m in r.per_class.items()),
            *(GridRow(name, m) for name, m in r.per_group.items()),
        ]),
        figures=_conformal_figures(i, r),
    )  # fmt: skip


def _conformal_figures(i: int, r: ConformalResult) -> list[Figure]:
    rows = list(_kept(r))
    wanted = (1 - r.alpha, f"promised: {1 - r.alpha:g}")
    words = "where 95% of the shares of a correct method lie"
    shown = words if any(row.band for row in rows) else ""
    drawn = [forest_plot(f"coverage-{i}", label("coverage"), rows, reference=wanted, band=shown)]
    drawn += [size_bars(f"sizes-{i}", r.sizes)] if r.sizes else []
    return [*drawn, *([coverage_plot(f"promise-{i}", r.curve, words)] if r.curve else [])]


def _kept(r: ConformalResult) -> Iterator[ForestRow]:
    """Yield how often sets hold the truth, of all cases and of each class and group.

    `bounds` are those of patients where each counts once.
    """
    once = r.metrics.get("coverage_by_patient")
    if "coverage" in r.metrics:
        e = r.metrics["coverage"]
        yield ForestRow("all cases", f"{e.n:,}", e, r.bounds if once is None else None)
    if once is not None:
        yield ForestRow("each patient once", f"{once.n_patients or once.n:,}", once, r.bounds)
    for words, groups in (("truly ", r.per_class), ("", r.per_group)):
        for name, metrics in groups.items():
            if "coverage" in metrics:
                e = metrics["coverage"]
                yield ForestRow(f"{words}{name}", f"{e.n:,}", e, r.group_bounds.get(name))


@dataclass(frozen=True)
class AbstentionView:
    """The risk-coverage curve with its area, and who is refused."""

    confidence: str
    figure: Figure
    measures: Grid | None
    refused: Grid | None


def abstention(found: Abstention | None) -> AbstentionView | None:
    """Return a view of abstention, where there is any."""
    if found is None:
        return None
    rows = [
        GridRow(
            f"{100 * r.coverage:g}% answered",
            {"error": r.error, **{f"refused of {c}": e for c, e in r.share_of_class.items()}},
            f"really {100 * r.answered:.1f}%, confidence from {number(r.threshold)}",
        )
        for r in found.refused
    ]
    return AbstentionView(
        confidence=found.confidence,
        figure=risk_coverage_plot("risk", found),
        measures=grid_of("Over all coverages", {"area": found.metrics}),
        refused=grid("Share", rows, words=lambda name: name[:1].upper() + name[1:]),
    )
