"""ROC curves, precision against recall, and what each threshold gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from medimg.evaluation.results.sections import Curve
from medimg.report.svg import Figure, Frame, axes, band, line, point, rule, series, svg
from medimg.report.thin import TOLERANCE

#: Seven hues solid, then the same seven dashed: so many curves share one plot.
CURVES_A_PLOT = 14
SQUARE = Frame(48, 10, 320, 320)
SIZE = (380, 372)
#: How far a line may move where many cross each other, in SVG units: less than its own width.
_OVERLAID = 0.8
BAND = "95% band, at each place by itself"


@dataclass(frozen=True)
class Mark:
    """A threshold: where it lies on a curve, and its words."""

    x: float
    y: float
    words: str


def roc_overlay(
    curves: Mapping[str, Curve], words: Mapping[str, str], caption: str
) -> list[Figure]:
    """Return ROC plots of at most `CURVES_A_PLOT` curves each; `words` are those of the legend."""
    names = list(curves)
    groups = [names[i : i + CURVES_A_PLOT] for i in range(0, len(names), CURVES_A_PLOT)]
    chance = line(SQUARE, (0, 1), (0, 1), "chance")
    axis = axes(SQUARE, "1 − specificity", "sensitivity")
    return [
        _overlay(f"roc-{i}", "ROC", {n: curves[n] for n in group}, words, caption, [axis, chance])
        for i, group in enumerate(groups)
    ]


def precision_recall_overlay(
    curves: Mapping[str, Curve], words: Mapping[str, str], caption: str
) -> list[Figure]:
    """Return plots of precision against recall, as many curves each as `roc_overlay` draws."""
    names = list(curves)
    groups = [names[i : i + CURVES_A_PLOT] for i in range(0, len(names), CURVES_A_PLOT)]
    axis = axes(SQUARE, "recall (sensitivity)", "precision (PPV)")
    title = "Precision and recall"
    return [
        _overlay(f"pr-{i}", title, {n: curves[n] for n in group}, words, caption, [axis])
        for i, group in enumerate(groups)
    ]


def _overlay(
    key: str,
    title: str,
    curves: Mapping[str, Curve],
    words: Mapping[str, str],
    caption: str,
    parts: list[Markup],
) -> Figure:
    drawn = [
        Markup("<g>{}<title>{}</title></g>").format(
            line(SQUARE, c.x, c.y, series(i), _OVERLAID if len(curves) > 3 else TOLERANCE), name
        )
        for i, (name, c) in enumerate(curves.items())
    ]
    desc = "; ".join(f"{name}: {words[name]}" for name in curves)
    legend = [(series(i), f"{name}: {words[name]}") for i, name in enumerate(curves)]
    return Figure(title, svg(key, SIZE, title, desc, [*parts, *drawn]), caption, legend)


def roc_plot(key: str, curve: Curve, words: str, marks: Sequence[Mark], caption: str) -> Figure:
    """Return one ROC curve with its band and the operating points."""
    parts = [axes(SQUARE, "1 − specificity", "sensitivity")]
    parts.append(line(SQUARE, (0, 1), (0, 1), "chance"))
    return _single(key, "ROC", curve, words, marks, caption, (parts, [("chance", "chance")]))


def precision_recall_plot(
    key: str, curve: Curve, prevalence: float, words: str, marks: Sequence[Mark], caption: str
) -> Figure:
    """Return precision against recall; by chance the precision is the prevalence."""
    parts = [axes(SQUARE, "recall (sensitivity)", "precision (PPV)")]
    parts.append(line(SQUARE, (0, 1), (prevalence, prevalence), "chance"))
    chance = [("chance", f"chance: the prevalence, {prevalence:.3f}")]
    return _single(key, "Precision and recall", curve, words, marks, caption, (parts, chance))


def _single(
    key: str,
    title: str,
    curve: Curve,
    words: str,
    marks: Sequence[Mark],
    caption: str,
    ground: tuple[list[Markup], list[tuple[str, str]]],
) -> Figure:
    parts, legend = ground
    shade = band(SQUARE, curve.x, curve.low, curve.high, "area s0")
    parts = [shade, *parts, line(SQUARE, curve.x, curve.y, "curve s0")]
    parts += [point(SQUARE, m.x, m.y, f"point s{i % 6 + 1}", m.words) for i, m in enumerate(marks)]
    legend = [("curve s0", words), *([("area s0", BAND)] if shade else []), *legend]
    legend += [(f"point s{i % 6 + 1}", m.words) for i, m in enumerate(marks)]
    desc = "; ".join([words, *(m.words for m in marks)])
    return Figure(title, svg(key, SIZE, title, desc, parts), caption, legend)


def sweep_plot(
    key: str, curves: Mapping[str, Curve], words: Mapping[str, str], marks: Sequence[Mark]
) -> Figure:
    """Return what every threshold would give; the frozen ones stand as upright lines."""
    frame, title = SQUARE, "What each threshold gives"
    shades = [band(frame, c.x, c.low, c.high, f"area s{i}") for i, c in enumerate(curves.values())]
    parts = [*shades, axes(frame, "threshold on the probability", "share")]
    parts += [line(frame, c.x, c.y, f"curve s{i}") for i, c in enumerate(curves.values())]
    parts += uprights(frame, marks)
    legend = [(f"curve s{i}", words[name]) for i, name in enumerate(curves)]
    legend += [("upright", "frozen thresholds")] if marks else []
    desc = f"{', '.join(words[name] for name in curves)} over thresholds from 0 to 1."
    caption = "To read, not to choose from: a threshold picked on these cases flatters itself."
    caption += " Shaded: 95% bands, at each threshold by itself." if any(shades) else ""
    return Figure(title, svg(key, SIZE, title, desc, parts), caption, legend)


def uprights(frame: Frame, marks: Sequence[Mark]) -> list[Markup]:
    """Return one upright line for each threshold x that lies in the frame."""
    inside = [m for m in marks if frame.x[0] <= m.x <= frame.x[1]]
    return [
        Markup("<g>{}<title>{}</title></g>").format(
            rule(frame.px(m.x), frame.top, frame.px(m.x), frame.bottom, "upright"), m.words
        )
        for m in inside
    ]
