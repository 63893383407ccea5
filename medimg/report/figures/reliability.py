"""Reliability diagrams (Murphy and Winkler, Appl. Stat. 26 (1977) 41)."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from medimg.evaluation.results.sections import ReliabilityBin
from medimg.report.svg import Figure, Frame, axes, circle, join, line, rect, rule, svg, text

#: Below this many cases a reliability point is drawn hollow: its frequency is mostly chance.
FEW = 10


def reliability_plot(
    key: str, title: str, bins: Sequence[ReliabilityBin], xlabel: str, ylabel: str, caption: str
) -> Figure:
    """Return a reliability diagram over a histogram with the count of every bin."""
    frame, strip = Frame(48, 10, 320, 320), Frame(48, 376, 320, 46)
    seen = [b for b in bins if b.confidence is not None and b.frequency is not None]
    xs, ys = [b.confidence or 0.0 for b in seen], [b.frequency or 0.0 for b in seen]
    parts = [_consistency(frame, b) for b in bins]
    parts += [axes(frame, xlabel, ylabel), line(frame, (0, 1), (0, 1), "chance")]
    parts += [line(frame, (x, x), (x, y), "gap") for x, y in zip(xs, ys, strict=True)]
    for b, x, y in zip(seen, xs, ys, strict=True):
        css = "dot few" if b.count < FEW else "dot"
        parts.append(circle(frame.px(x), frame.py(y), css, f"{b.count:,} cases"))
    parts += [_counts(strip, bins)]
    desc = f"{len(seen)} of {len(bins)} bins hold cases; the table below the figure lists them."
    legend = [("chance", "perfect calibration"), ("gap", "distance from it")]
    if any(b.band_low is not None for b in bins):
        legend.append(("area shade", "95% of points of a perfectly calibrated model lie here"))
    return Figure(title, svg(key, (380, 442), title, desc, parts), caption, legend)


def _consistency(frame: Frame, b: ReliabilityBin) -> Markup:
    """Return where the point of a bin lies by chance if the model is perfectly calibrated."""
    if b.band_low is None or b.band_high is None:
        return Markup()
    left, top = frame.px(b.low), frame.py(b.band_high)
    width = max(round(frame.px(b.high) - left, 1), 1)
    return rect(left, top, width, max(round(frame.py(b.band_low) - top, 1), 1), "area shade")


def _counts(strip: Frame, bins: Sequence[ReliabilityBin]) -> Markup:
    """Return one bar a bin, its count written upwards above it."""
    most = max((b.count for b in bins), default=0) or 1
    parts = []
    for b in bins:
        x, width = strip.px(b.low), max(strip.px(b.high) - strip.px(b.low) - 2, 1)
        height = round(strip.height * b.count / most, 1)
        parts.append(rect(x + 1, strip.bottom - height, width, height, "bar"))
        if width < 8:  # no room for letters: the bin's point and the table tell the count
            continue
        inside = height > strip.height / 2
        y = strip.bottom - height + (4 if inside else -4)
        css = "count on end" if inside else "count"
        parts.append(text(x + width / 2 + 4, y, f"{b.count:,}", css=css, turn=-90))
    parts.append(rule(strip.left, strip.bottom, strip.right, strip.bottom))
    parts.append(text(strip.left - 6, strip.bottom - 2, "cases", css="end"))
    return join(parts)
