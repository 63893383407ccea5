"""Small SVG figures: numbers and text in, `Markup` out.

A figure holds no colour of its own: every shape carries a class, and the page's style sheet
gives it a colour for light, dark and print. Every text passes `Markup.format`, which escapes it.
Lengths are SVG user units, about one CSS pixel at the width where the page shows the figure.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from medimg.report.thin import TOLERANCE, Point, thin

FIFTHS = (0, 0.2, 0.4, 0.6, 0.8, 1)


@dataclass(frozen=True)
class Figure:
    """One figure of the page; `legend` pairs the class of a shape with its words."""

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

    @property
    def right(self) -> float:
        """The SVG x of the right edge."""
        return self.left + self.width

    def px(self, x: float) -> float:
        """Return the SVG x of a data x."""
        return round(self.left + self.width * (x - self.x[0]) / (self.x[1] - self.x[0]), 1)

    def py(self, y: float) -> float:
        """Return the SVG y (downwards) of a data y (upwards)."""
        return round(self.bottom - self.height * (y - self.y[0]) / (self.y[1] - self.y[0]), 1)


def svg(
    key: str, size: tuple[float, float], title: str, desc: str, parts: Iterable[Markup]
) -> Markup:
    """Return a whole figure with its accessible name and description; `key` is unique a page."""
    return Markup(
        '<svg class="plot" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}" role="img"'
        ' aria-labelledby="{key}-title {key}-desc">'
        '<title id="{key}-title">{title}</title><desc id="{key}-desc">{desc}</desc>{parts}</svg>'
    ).format(w=size[0], h=size[1], key=key, title=title, desc=desc, parts=join(parts))


def join(parts: Iterable[Markup]) -> Markup:
    """Return parts in one piece."""
    return Markup("").join(parts)


def text(x: float, y: float, words: object, *, css: str = "", turn: int = 0) -> Markup:
    """Return words at a point, turned by `turn` degrees."""
    turned = Markup(' transform="rotate({} {:g} {:g})"').format(turn, x, y) if turn else ""
    return Markup('<text x="{:g}" y="{:g}" class="{}"{}>{}</text>').format(x, y, css, turned, words)


def line(
    frame: Frame,
    xs: Sequence[float],
    ys: Sequence[float | None],
    css: str,
    tolerance: float = TOLERANCE,
) -> Markup:
    """Return a line through the points, moved by no more than `tolerance`.

    A missing y breaks it, a lone point is a dot.
    """
    runs: list[list[Point]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            runs.append([])
        else:
            runs[-1].append((frame.px(x), frame.py(y)))
    path = " ".join(_path(thin(run, tolerance)) for run in runs if run)
    return Markup('<path class="{}" d="{}"/>').format(css, path)


def band(
    frame: Frame,
    xs: Sequence[float],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    css: str,
) -> Markup:
    """Return the area between two lines; empty where there are none, broken where one is missing.

    What lies outside the frame is cut off.
    """
    pieces: list[tuple[list[Point], list[Point]]] = [([], [])]
    for x, low, high in zip(xs, lows, highs, strict=False):
        if low is None or high is None:
            pieces.append(([], []))
            continue
        for side, y in zip(pieces[-1], (low, high), strict=True):
            side.append((frame.px(x), frame.py(min(max(y, frame.y[0]), frame.y[1]))))
    drawn = [_path(thin(low) + thin(high)[::-1]) + "Z" for low, high in pieces if len(low) > 1]
    return Markup('<path class="{}" d="{}"/>').format(css, " ".join(drawn)) if drawn else Markup()


def point(frame: Frame, x: float, y: float, css: str, title: str = "") -> Markup:
    """Return a mark on a curve; `title` shows when it is pointed at."""
    return Markup('<path class="{}" d="M{:g} {:g}h0">{}</path>').format(
        css, frame.px(x), frame.py(y), Markup("<title>{}</title>").format(title) if title else ""
    )


def circle(x: float, y: float, css: str, title: str = "", radius: float = 4) -> Markup:
    """Return a dot at a place in SVG units; `title` shows when it is pointed at."""
    return Markup('<circle class="{}" cx="{:g}" cy="{:g}" r="{:g}">{}</circle>').format(
        css, x, y, radius, Markup("<title>{}</title>").format(title) if title else ""
    )


def rect(x: float, y: float, width: float, height: float, css: str, style: str = "") -> Markup:
    """Return a rectangle from its upper left corner."""
    styled = Markup(' style="{}"').format(style) if style else ""
    return Markup('<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}"{}/>').format(
        css, x, y, width, height, styled
    )


def rule(x1: float, y1: float, x2: float, y2: float, css: str = "grid") -> Markup:
    """Return a straight line in SVG units."""
    return Markup('<path class="{}" d="M{:g} {:g}L{:g} {:g}"/>').format(css, x1, y1, x2, y2)


def axes(
    frame: Frame,
    xlabel: str,
    ylabel: str,
    xticks: Sequence[float] = FIFTHS,
    yticks: Sequence[float] = FIFTHS,
) -> Markup:
    """Return grid, ticks and labels."""
    middle = (frame.left + frame.width / 2, frame.top + frame.height / 2)
    parts = [rule(frame.left, frame.py(y), frame.right, frame.py(y)) for y in yticks]
    parts += [rule(frame.px(x), frame.top, frame.px(x), frame.bottom) for x in xticks]
    parts += [text(frame.left - 6, frame.py(y) + 4, f"{y:g}", css="end") for y in yticks]
    parts += [text(frame.px(x), frame.bottom + 15, f"{x:g}", css="mid") for x in xticks]
    parts += [text(middle[0], frame.bottom + 32, xlabel, css="mid name")]
    parts += [text(frame.left - 34, middle[1], ylabel, css="mid name", turn=-90)]
    return join(parts)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round numbers (steps of 1, 2 or 5) between `low` and `high`."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * s for s in (1, 2, 5, 10, 20) if (high - low) / (power * s) <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def interval_mark(value: float, low: float | None, high: float | None) -> Markup:
    """Return a point and its interval on a scale from 0 to 1, to stand in a table's row."""
    frame = Frame(4, 2, 112, 10)
    parts = [rule(frame.px(0), 7, frame.px(1), 7)]
    parts += [rule(frame.px(t), 4, frame.px(t), 10) for t in (0, 0.5, 1)]
    if low is not None and high is not None:
        parts += [line(frame, (low, high), (0.5, 0.5), "reach")]
    parts += [circle(frame.px(value), 7, "dot", radius=3)]
    return Markup('<svg class="mark" viewBox="0 0 120 14" aria-hidden="true">{}</svg>').format(
        join(parts)
    )


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


def series(i: int) -> str:
    """Return the class of the i-th line: seven hues solid, then the same dashed, then again."""
    return f"curve s{i % 7}" + (" dashed" if i % 14 >= 7 else "")


def _path(points: Sequence[Point]) -> str:
    if len(points) == 1:  # a line to itself with round caps shows as a dot
        points = [points[0], points[0]]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
