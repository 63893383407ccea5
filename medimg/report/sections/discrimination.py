"""How well the classes are told apart: curves, thresholds and the table of classes."""

from __future__ import annotations

from dataclasses import dataclass

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import OperatingResult, ScoreCurves
from medimg.report.figures.bars import score_histogram
from medimg.report.figures.confusion import MOST_CLASSES, confusion_plot
from medimg.report.figures.curves import (
    Mark,
    precision_recall_overlay,
    precision_recall_plot,
    roc_overlay,
    roc_plot,
    sweep_plot,
)
from medimg.report.grid import Grid, GridRow, grid, grid_of
from medimg.report.svg import Figure
from medimg.report.words import label, method_text, number, per_class_names, short_text

#: What the table of classes shows; its other columns are folded away.
FIRST = ("auroc", "average_precision", "recall", "specificity", "precision", "npv", "f1")
_AUROC, _AP = "auroc", "average_precision"


@dataclass(frozen=True)
class Folded:
    """Figures of one class, shown when asked for where there are many."""

    name: str
    figures: list[Figure]


@dataclass(frozen=True)
class Discrimination:
    """All that the sections of discrimination, of classes and of thresholds show."""

    figures: list[Figure]
    confusion: Figure | None
    folded: list[Folded]
    classes: Grid | None
    more: Grid | None
    operating: Grid | None


def discrimination(e: Evaluation) -> Discrimination:
    """Return figures and grids of an evaluation."""
    single = {name: _of_class(e, i, name) for i, name in enumerate(e.curves)}
    alone = len(single) == 1
    rest = [name for name in per_class_names(e) if name not in FIRST]
    drawn = e.space.exclusive and e.confusion and e.space.k <= MOST_CLASSES
    return Discrimination(
        figures=next(iter(single.values())) if alone else _overlays(e),
        confusion=confusion_plot(e.space.classes, e.confusion) if drawn else None,
        folded=[] if alone else [Folded(name, drawn) for name, drawn in single.items()],
        classes=grid_of("Class", e.per_class, FIRST),
        more=grid_of("Class", e.per_class, rest),
        operating=_operating(e),
    )


def _overlays(e: Evaluation) -> list[Figure]:
    """Return the curves of all classes in as few plots as can be read."""
    drawn = []
    for name, of, draw in (
        (_AUROC, "roc", roc_overlay),
        (_AP, "precision_recall", precision_recall_overlay),
    ):
        found = {c: _of(e, c, name) for c in e.curves}
        words = {c: f"no {label(name)}" if v is None else short_text(v) for c, v in found.items()}
        methods = sorted({method_text(v) for v in found.values() if v and v.low is not None})
        caption = f"Each class against the rest; {label(name)}"
        caption += f" with its 95% interval ({'; '.join(methods)})." if methods else "."
        drawn += draw({c: getattr(curves, of) for c, curves in e.curves.items()}, words, caption)
    return drawn


def _of_class(e: Evaluation, i: int, name: str) -> list[Figure]:
    curves, points = e.curves[name], [o for o in e.operating if o.label == name]
    auroc, ap = _words(e, name, _AUROC), _words(e, name, _AP)
    roc, pr = [_on_roc(o) for o in points], [_on_pr(o) for o in points]
    at = [Mark(o.threshold, 0, f"{o.rule}: threshold {number(o.threshold)}") for o in points]
    return [
        roc_plot(
            f"roc-c{i}", curves.roc, auroc, [m for m in roc if m], f"{name} against the rest."
        ),
        precision_recall_plot(
            f"pr-c{i}",
            curves.precision_recall,
            curves.prevalence,
            ap,
            [m for m in pr if m],
            "Precision falls with the prevalence: it is no property of the model alone.",
        ),
        *_over_thresholds(i, curves, at),
    ]


def _over_thresholds(i: int, curves: ScoreCurves, at: list[Mark]) -> list[Figure]:
    words = {name: label(name) for name in curves.sweep}
    drawn = [sweep_plot(f"sweep-c{i}", curves.sweep, words, at)] if curves.sweep else []
    return [*drawn, score_histogram(f"scores-c{i}", curves.histogram, at)]


def _words(e: Evaluation, name: str, metric: str) -> str:
    found = _of(e, name, metric)
    if found is None:
        return name
    method = f", {method_text(found)}" if found.low is not None else ""
    return f"{label(metric)} {short_text(found)}{method}"


def _of(e: Evaluation, name: str, metric: str) -> Estimate | None:
    """Return a metric of a class; that of a target condition may stand among all metrics."""
    of_class = e.per_class.get(name, {}).get(metric)
    return of_class or e.metrics.get(metric)


def _on_roc(o: OperatingResult) -> Mark | None:
    found, right = _value(o, "sensitivity"), _value(o, "specificity")
    if found is None or right is None:
        return None
    return Mark(1 - right, found, f"{o.rule}: sensitivity {found:.3f}, specificity {right:.3f}")


def _on_pr(o: OperatingResult) -> Mark | None:
    found, ppv = _value(o, "sensitivity"), _value(o, "ppv")
    if found is None or ppv is None:
        return None
    return Mark(found, ppv, f"{o.rule}: sensitivity {found:.3f}, PPV {ppv:.3f}")


def _value(o: OperatingResult, name: str) -> float | None:
    return o.metrics[name].value if name in o.metrics else None


def _operating(e: Evaluation) -> Grid | None:
    rows = []
    for o in e.operating:
        counts = ", ".join(f"{n:,} {label(name).lower()}" for name, n in o.counts.items())
        note = f"threshold {number(o.threshold)}; chosen on {o.chosen_on}; {counts}"
        rows.append(GridRow(f"{o.label}: {o.rule}", o.metrics, note))
    return grid("Operating point", rows)
