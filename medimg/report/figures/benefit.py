"""Decision curves, and what refusing the least sure cases wins."""

from __future__ import annotations

from collections.abc import Sequence

from medimg.evaluation.results.sections import Abstention, Curve, DecisionCurve
from medimg.report.figures.curves import SIZE, SQUARE
from medimg.report.svg import FIFTHS, Figure, Frame, axes, band, line, svg, ticks

#: How far below zero a net benefit is shown, as a share of the best one.
_BELOW = 0.25


def decision_plot(key: str, found: DecisionCurve) -> Figure:
    """Return the net benefit of the model beside treating all and treating none."""
    frame = _decision_frame(found)
    model, everyone = found.model, found.treat_all
    shade = band(frame, model.x, model.low, model.high, "area s0")
    parts = [shade, axes(frame, "threshold probability", "net benefit", yticks=ticks(*frame.y))]
    parts += [line(frame, frame.x, (0, 0), "chance")]
    parts += [line(frame, *_above(everyone.x, everyone.y, frame.y[0]), "curve s6 dashed")]
    parts += [line(frame, *_above(model.x, model.y, frame.y[0]), "curve s0")]
    title = f"Net benefit: {found.label}"
    legend = [("curve s0", "act on the model"), ("curve s6 dashed", "act on everyone")]
    legend += [("chance", "act on no one"), *([("area s0", "95% band")] if shade else [])]
    desc = f"Net benefit for {found.label} over threshold probabilities."
    return Figure(title, svg(key, SIZE, title, desc, parts), found.note, legend)


def risk_coverage_plot(key: str, found: Abstention) -> Figure:
    """Return the error of what is answered over the share that is answered."""
    curve = found.curve
    top = max([y for y in (*curve.y, *curve.high) if y is not None], default=1.0) or 1.0
    frame = _square((0, min(1.0, 1.1 * top)))
    shade = band(frame, curve.x, curve.low, curve.high, "area s0")
    parts = [shade, axes(frame, "share answered", "share wrong of it", yticks=ticks(*frame.y))]
    parts += [line(frame, curve.x, curve.y, "curve s0")]
    title = "Error that is left"
    legend = [("curve s0", "error of the cases that are answered")]
    legend += [("area s0", "95% band")] if shade else []
    caption = f"Refused first: the lowest {found.confidence}."
    return Figure(title, svg(key, SIZE, title, caption, parts), caption, legend)


def _decision_frame(found: DecisionCurve) -> Frame:
    ys = [y for y in (*found.model.y, *found.model.high, *found.treat_all.y) if y is not None]
    top = max([*ys, 0.01])
    left, right = min(found.model.x, default=0.0), max(found.model.x, default=1.0)
    return _square((-_BELOW * top, 1.08 * top), (left, right) if right > left else (0, 1))


def _square(y: tuple[float, float], x: tuple[float, float] = (0, 1)) -> Frame:
    return Frame(SQUARE.left, SQUARE.top, SQUARE.width, SQUARE.height, x, y)


def _above(
    xs: Sequence[float], ys: Sequence[float | None], floor: float
) -> tuple[list[float], list[float | None]]:
    """Return a line without what lies below `floor`, cut where it crosses it."""
    out: list[tuple[float, float | None]] = []
    before: tuple[float, float] | None = None
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            out.append((x, None))
            before = None
            continue
        if before is not None and (before[1] < floor) != (y < floor):
            across = before[0] + (x - before[0]) * (floor - before[1]) / (y - before[1])
            out.append((across, floor))
        out.append((x, None if y < floor else y))
        before = (x, y)
    return [x for x, _ in out], [y for _, y in out]


def coverage_plot(key: str, curve: Curve, words: str) -> Figure:
    """Return the share of sets that hold the truth over the share that was promised.

    `words` say what the band is.
    """
    shade = band(SQUARE, curve.x, curve.low, curve.high, "area shade")
    parts = [shade, axes(SQUARE, "share promised", "share that holds the truth", FIFTHS)]
    parts += [line(SQUARE, (0, 1), (0, 1), "chance"), line(SQUARE, curve.x, curve.y, "curve s0")]
    title = "Coverage, promised and kept"
    legend = [("curve s0", "these cases"), ("chance", "promise kept exactly")]
    legend += [("area shade", words)] if shade else []
    return Figure(title, svg(key, SIZE, title, title, parts), "", legend)
