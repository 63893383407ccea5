"""Forest plots: one row a group, its name and numbers above its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from medimg.evaluation.results.estimate import Estimate
from medimg.report.svg import Figure, Frame, circle, line, rect, rule, shorten, svg, text, ticks
from medimg.report.words import interval_text, value_text

_ROW = 40


@dataclass(frozen=True)
class ForestRow:
    """One group: its name, what it rests on in words, its number, and a range to compare with."""

    name: str
    note: str
    estimate: Estimate
    band: tuple[float, float] | None = None


def forest_plot(
    key: str,
    title: str,
    rows: Sequence[ForestRow],
    *,
    reference: tuple[float, str] | None = None,
    band: str = "",
    caption: str = "",
) -> Figure:
    """Return points and intervals of groups under each other on one scale.

    Parameters
    ----------
    reference : (value, words), optional
        An upright line to compare with.
    band : str
        What the shaded ranges of the rows are.
    """
    marks = [reference[0]] if reference else []
    marks += [end for row in rows for end in row.band or ()]
    frame = Frame(12, 6, 356, _ROW * len(rows), _scale(rows, marks))
    parts = [_shade(frame, i, row.band) for i, row in enumerate(rows) if row.band]
    parts += [text(frame.px(t), frame.bottom + 15, f"{t:g}", css="mid") for t in ticks(*frame.x)]
    for i, row in enumerate(rows):
        parts += _row(frame, frame.top + _ROW * i, row, reference[0] if reference else None)
    legend = [("upright", reference[1])] if reference else []
    legend += [("area shade", band)] if band else []
    desc = "; ".join(f"{r.name}: {value_text(r.estimate)}" for r in rows)
    drawn = svg(key, (380, frame.bottom + 22), title, desc, parts)
    return Figure(title, drawn, caption, legend)


def _row(frame: Frame, top: float, row: ForestRow, reference: float | None) -> list[Markup]:
    e, y = row.estimate, top + 26
    numbers = f"{value_text(e)}{f' ({interval_text(e)})' if interval_text(e) else ''}"
    name = shorten(row.name, 24) + (f" (n {row.note})" if row.note else "")
    parts = [
        text(frame.left, top + 12, name, css="label"),
        text(frame.right, top + 12, numbers, css="end label"),
    ]
    uprights = [(t, "grid") for t in ticks(*frame.x)]
    uprights += [] if reference is None else [(reference, "upright")]
    parts += [rule(frame.px(x), y - 8, frame.px(x), y + 8, css) for x, css in uprights]
    unit = Frame(frame.left, y - 1, frame.width, 2, frame.x)
    if e.low is not None and e.high is not None:
        parts.append(line(unit, (e.low, e.high), (0.5, 0.5), "reach"))
    if e.value is not None:
        css = "dot few" if e.low is None else "dot"
        parts.append(circle(frame.px(e.value), y, css, e.reason or ""))
    return parts


def _scale(rows: Sequence[ForestRow], marks: Sequence[float]) -> tuple[float, float]:
    """Return a range that holds everything; it ends at 0 and 1 where the numbers stay inside."""
    ends = [v for r in rows for v in (r.estimate.value, r.estimate.low, r.estimate.high)]
    values = [v for v in ends if v is not None] + list(marks)
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.05
    floor, ceiling = (0.0 if low >= 0 else low - room), (1.0 if high <= 1 else high + room)
    return max(low - room, floor), min(high + room, ceiling)


def _shade(frame: Frame, i: int, band: tuple[float, float]) -> Markup:
    left, right = frame.px(band[0]), frame.px(band[1])
    top = frame.top + _ROW * i + 18
    return rect(left, top, max(round(right - left, 1), 1), 16, "area shade")
