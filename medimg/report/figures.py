"""Small SVG figures: numbers and text in, `Markup` out.

A figure holds no colour of its own: every shape carries a class, and the page's style sheet
gives it a colour for light, dark and print. Every text passes `Markup.format`, which escapes it.
Lengths are SVG user units, about one CSS pixel at the width where the page shows the figure.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from medimg.evaluation.result import ReliabilityBin, RocCurve

#: Seven hues solid, then the same seven dashed: so many curves share one plot.
CURVES_A_PLOT = 14
#: A figure wider than this does not fit beside another one.
HALF = 500
#: Below this many cases a reliability point is drawn hollow: its frequency is mostly chance.
FEW = 10


@dataclass(frozen=True)
class Figure:
    """One figure of the page; `legend` pairs the class of a line with its words."""

    title: str
    svg: Markup
    caption: str
    legend: Sequence[tuple[str, str]] = ()
    wide: bool = False


@dataclass(frozen=True)
class Frame:
    """A plotting area in SVG units, and the data ranges that it shows."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float] = (0, 1)
    y: tuple[float, float] = (0, 1)

    @property
    def bottom(self) -> float:
        """The SVG y of the lower edge."""
        return self.top + self.height

    def px(self, x: float) -> float:
        """Return the SVG x of a data x."""
        return round(self.left + self.width * (x - self.x[0]) / (self.x[1] - self.x[0]), 1)

    def py(self, y: float) -> float:
        """Return the SVG y (downwards) of a data y (upwards)."""
        return round(self.bottom - self.height * (y - self.y[0]) / (self.y[1] - self.y[0]), 1)


# ---------------------------------------------------------------- parts


def svg(
    key: str, size: tuple[float, float], title: str, desc: str, parts: Iterable[Markup]
) -> Markup:
    """Return a whole figure with its accessible name and description; `key` is unique a page."""
    return Markup(
        '<svg class="plot" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}" role="img"'
        ' aria-labelledby="{key}-title {key}-desc">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{desc}</desc>{parts}</svg>'
    ).format(w=size[0], h=size[1], key=key, title=title, desc=desc, parts=_join(parts))


def text(x: float, y: float, words: object, *, css: str = "", turn: int = 0) -> Markup:
    """Return words at a point, turned by `turn` degrees."""
    turned = Markup(' transform="rotate({} {:g} {:g})"').format(turn, x, y) if turn else ""
    return Markup('<text x="{:g}" y="{:g}" class="{}"{}>{}</text>').format(x, y, css, turned, words)


def line(frame: Frame, xs: Sequence[float], ys: Sequence[float | None], css: str) -> Markup:
    """Return a line through the points; a missing y breaks it, a lone point is a dot."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            runs.append([])
        else:
            runs[-1].append((frame.px(x), frame.py(y)))
    path = " ".join(_path(_thin(run)) for run in runs if run)
    return Markup('<path class="{}" d="{}"/>').format(css, path)


def circle(x: float, y: float, css: str, title: str = "", radius: float = 4) -> Markup:
    """Return a dot at a point; `title` shows when it is pointed at."""
    return Markup('<circle class="{}" cx="{:g}" cy="{:g}" r="{:g}">{}</circle>').format(
        css, x, y, radius, Markup("<title>{}</title>").format(title) if title else ""
    )


def rect(x: float, y: float, width: float, height: float, css: str, style: str = "") -> Markup:
    """Return a rectangle from its upper left corner."""
    styled = Markup(' style="{}"').format(style) if style else ""
    return Markup('<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}"{}/>').format(
        css, x, y, width, height, styled
    )


def axes(
    frame: Frame,
    xlabel: str,
    ylabel: str,
    xticks: Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8, 1),
    yticks: Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8, 1),
) -> Markup:
    """Return grid, ticks and labels."""
    right = frame.left + frame.width
    middle = (frame.left + frame.width / 2, frame.top + frame.height / 2)
    parts = [_rule(frame.left, frame.py(y), right, frame.py(y)) for y in yticks]
    parts += [_rule(frame.px(x), frame.top, frame.px(x), frame.bottom) for x in xticks]
    parts += [text(frame.left - 6, frame.py(y) + 4, f"{y:g}", css="end") for y in yticks]
    parts += [text(frame.px(x), frame.bottom + 15, f"{x:g}", css="mid") for x in xticks]
    parts += [text(middle[0], frame.bottom + 32, xlabel, css="mid name")]
    parts += [text(frame.left - 34, middle[1], ylabel, css="mid name", turn=-90)]
    return _join(parts)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round numbers (steps of 1, 2 or 5) between `low` and `high`."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * s for s in (1, 2, 5, 10, 20) if (high - low) / (power * s) <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def interval_mark(value: float, low: float | None, high: float | None) -> Markup:
    """Return a point and its interval on a scale from 0 to 1, to stand in a table's row."""
    frame = Frame(4, 2, 112, 10)
    parts = [_rule(frame.px(0), 7, frame.px(1), 7)]
    parts += [_rule(frame.px(t), 4, frame.px(t), 10) for t in (0, 0.5, 1)]
    if low is not None and high is not None:
        parts += [line(frame, (low, high), (0.5, 0.5), "reach")]
    parts += [circle(frame.px(value), 7, "dot", radius=3)]
    return Markup('<svg class="mark" viewBox="0 0 120 14" aria-hidden="true">{}</svg>').format(
        _join(parts)
    )


# ---------------------------------------------------------------- figures


def learning_curve(
    key: str, title: str, history: Sequence[Mapping[str, Any]], series: Mapping[str, str]
) -> Figure | None:
    """Return the curves of `series` (key of a row to its words) over the epochs; None if empty."""
    epochs = [int(row["epoch"]) for row in history]
    curves = {name: [_finite(row.get(name)) for row in history] for name in series}
    curves = {name: ys for name, ys in curves.items() if any(y is not None for y in ys)}
    if not curves:
        return None
    kept = next((int(row["epoch"]) for row in history if row.get("best")), None)
    values = [y for ys in curves.values() for y in ys if y is not None]
    frame = Frame(52, 22, 340, 210, _span(epochs), _nice_range(values))
    parts = [axes(frame, "epoch", title.lower(), _whole(ticks(*frame.x)), ticks(*frame.y))]
    for i, ys in enumerate(curves.values()):
        parts.append(line(frame, epochs, ys, f"curve s{i}"))
    if kept is not None:
        parts.append(_kept_mark(frame, kept))
    mark = "" if kept is None else f"; epoch {kept} was kept"
    words = " and ".join(series[name] for name in curves)
    desc = f"{title}: {words} over {len(epochs)} epochs{mark}."
    legend = [(f"curve s{i}", series[name]) for i, name in enumerate(curves)]
    return Figure(title, svg(key, (400, 270), title, desc, parts), desc, legend)


def roc_plots(
    curves: Mapping[str, RocCurve], words: Mapping[str, str], caption: str
) -> list[Figure]:
    """Return ROC plots of at most `CURVES_A_PLOT` curves each; `words` are those of the legend."""
    names = list(curves)
    groups = [names[i : i + CURVES_A_PLOT] for i in range(0, len(names), CURVES_A_PLOT)]
    return [
        _roc_plot(f"roc-{i}", {name: curves[name] for name in group}, words, caption)
        for i, group in enumerate(groups)
    ]


def _roc_plot(
    key: str, curves: Mapping[str, RocCurve], words: Mapping[str, str], caption: str
) -> Figure:
    frame = Frame(48, 10, 320, 320)
    parts = [axes(frame, "1 − specificity", "sensitivity")]
    parts.append(line(frame, (0, 1), (0, 1), "chance"))
    for i, (name, curve) in enumerate(curves.items()):
        drawn = line(frame, curve.false_positive_rate, curve.true_positive_rate, _series(i))
        parts.append(Markup("<g>{}<title>{}</title></g>").format(drawn, name))
    desc = "; ".join(f"{name}: AUROC {words[name]}" for name in curves)
    legend = [(_series(i), f"{name}: {words[name]}") for i, name in enumerate(curves)]
    return Figure("ROC", svg(key, (380, 372), "ROC curves", desc, parts), caption, legend)


def reliability_plot(
    key: str, title: str, bins: Sequence[ReliabilityBin], xlabel: str, ylabel: str, caption: str
) -> Figure:
    """Return a reliability diagram over a histogram with the count of every bin."""
    frame, strip = Frame(48, 10, 320, 320), Frame(48, 376, 320, 46)
    seen = [b for b in bins if b.confidence is not None and b.frequency is not None]
    xs, ys = [b.confidence or 0.0 for b in seen], [b.frequency or 0.0 for b in seen]
    parts = [axes(frame, xlabel, ylabel), line(frame, (0, 1), (0, 1), "chance")]
    parts += [line(frame, (x, x), (x, y), "gap") for x, y in zip(xs, ys, strict=True)]
    for b, x, y in zip(seen, xs, ys, strict=True):
        css = "dot few" if b.count < FEW else "dot"
        parts.append(circle(frame.px(x), frame.py(y), css, f"{b.count:,} cases"))
    parts += [_counts(strip, bins)]
    desc = f"{len(seen)} of {len(bins)} bins hold cases; the table below the figure lists them."
    legend = [("chance", "perfect calibration"), ("gap", "distance from it")]
    return Figure(title, svg(key, (380, 442), title, desc, parts), caption, legend)


def confusion_plot(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Figure:
    """Return counts (K, K) as a heat map: rows true, columns predicted, shaded by row share."""
    short = [shorten(name) for name in classes]
    cell = max(42, min(110, 300 // len(classes)))
    longest = 6.4 * max(wide(name) for name in short)
    flat = longest <= cell
    left, top = 30 + longest, 38 if flat else 30 + longest
    size = (left + cell * len(classes) + 8, top + cell * len(classes) + 8)
    parts = [_column_name(left + cell * (j + 0.5), top, n, flat) for j, n in enumerate(short)]
    for i, row in enumerate(counts):
        y = top + cell * i
        parts.append(text(left - 8, y + cell / 2 + 4, short[i], css="end label"))
        parts += [_cell(left + cell * j, y, cell, n, sum(row)) for j, n in enumerate(row)]
    parts.append(text(left + cell * len(classes) / 2, 13, "predicted", css="mid name"))
    parts.append(text(13, top + cell * len(classes) / 2, "true", css="mid name", turn=-90))
    desc = f"Counts of {len(classes)} classes; the table below the figure lists them."
    drawn = svg("confusion", size, "Confusion matrix", desc, parts)
    caption = "Counts, and below them per cent of the row: of the cases truly of a class, the share predicted so."
    return Figure("Confusion matrix", drawn, caption, wide=size[0] > HALF)


# ---------------------------------------------------------------- words


def wide(words: str) -> int:
    """Return the width of a text in letters; an East Asian wide letter counts two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words)


def shorten(words: str, most: int = 20) -> str:
    """Return a text of at most `most` letters' width, its middle left out where it is longer."""
    if wide(words) <= most:
        return words
    sides = range(len(words), -1, -1)
    head = next(words[:i] for i in sides if wide(words[:i]) <= most // 2)
    tail = next(words[-i:] for i in sides if i and wide(words[-i:]) <= (most - 1) // 2)
    return f"{head.rstrip()}…{tail.lstrip()}"


def share(part: int, whole: int) -> str:
    """Return ``part / whole`` in per cent; what is neither none nor all never reads so."""
    if whole == 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.5:
        return "<1%"
    return ">99%" if 99.5 <= percent < 100 else f"{percent:.0f}%"


# ---------------------------------------------------------------- small parts


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _series(i: int) -> str:
    return f"curve s{i % 7}" + (" dashed" if i % CURVES_A_PLOT >= 7 else "")


def _rule(x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<path class="grid" d="M{:g} {:g}L{:g} {:g}"/>').format(x1, y1, x2, y2)


def _path(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:  # a line to itself with round caps shows as a dot
        points = [points[0], points[0]]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Drop points that change nothing at a tenth of a unit: repeats, and the middle of a run."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and point == kept[-1]:
            continue
        if len(kept) > 1 and any(kept[-2][a] == kept[-1][a] == point[a] for a in (0, 1)):
            kept.pop()
        kept.append(point)
    return kept


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _span(epochs: Sequence[int]) -> tuple[float, float]:
    return (min(epochs), max(epochs)) if len(set(epochs)) > 1 else (epochs[0] - 1, epochs[0] + 1)


def _whole(values: Sequence[float]) -> list[float]:
    return [v for v in values if v == int(v)]


def _nice_range(values: Sequence[float]) -> tuple[float, float]:
    """Return a range with room; it starts at 0 where the values come near it."""
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05
    return (0 if 0 <= low < 0.5 * high else low - room), high + room


def _kept_mark(frame: Frame, epoch: int) -> Markup:
    x = frame.px(epoch)
    css = "end kept" if x > frame.left + frame.width / 2 else "kept"
    rule = Markup('<path class="kept" d="M{:g} {:g}V{:g}"/>').format(x, frame.top, frame.bottom)
    return rule + text(x, frame.top - 7, f"kept: epoch {epoch}", css=css)


def _counts(strip: Frame, bins: Sequence[ReliabilityBin]) -> Markup:
    """Return one bar a bin, its count written upwards above it."""
    most = max((b.count for b in bins), default=0) or 1
    parts = []
    for b in bins:
        x, width = strip.px(b.low), max(strip.px(b.high) - strip.px(b.low) - 2, 1)
        height = round(strip.height * b.count / most, 1)
        parts.append(rect(x + 1, strip.bottom - height, width, height, "bar"))
        inside = height > strip.height / 2
        y = strip.bottom - height + (4 if inside else -4)
        css = "count on end" if inside else "count"
        parts.append(text(x + width / 2 + 4, y, f"{b.count:,}", css=css, turn=-90))
    parts.append(_rule(strip.left, strip.bottom, strip.left + strip.width, strip.bottom))
    parts.append(text(strip.left - 6, strip.bottom - 2, "cases", css="end"))
    return _join(parts)


def _column_name(x: float, top: float, name: str, flat: bool) -> Markup:
    if flat:
        return text(x, top - 8, name, css="mid label")
    return text(x + 4, top - 8, name, css="label", turn=-90)


def _cell(x: float, y: float, side: float, count: int, whole: int) -> Markup:
    part = count / whole if whole else 0
    on = " on" if part > 0.6 else ""
    middle = x + side / 2
    return (
        rect(x, y, side, side, "cell", f"--share:{part:.3f}")
        + text(middle, y + side / 2 - 1, f"{count:,}", css=f"mid count{on}")
        + text(middle, y + side / 2 + 12, share(count, whole), css=f"mid percent{on}")
    )
