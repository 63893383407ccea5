"""The curve of a sweep over learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from medimg.report.svg import Figure, Frame, join, line, rule, svg, text, ticks


def rate_curve(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
) -> Figure:
    """Return the loss over the learning rate, the latter on a logarithmic axis.

    Parameters
    ----------
    rates : sequence of float
        Rising, above 0.
    losses, smoothed : sequence of float
        One of each a rate. What diverges beyond the smoothed curve's start is cut off.
    suggestion : float, optional
        Marked where there is one.
    """
    decades = [math.log10(rate) for rate in rates]
    low = min(smoothed)
    start = smoothed[0]
    top = max(start, min(max(smoothed), start + (start - low))) + 0.15 * (start - low or 0.1)
    frame = Frame(52, 22, 340, 210, (decades[0], max(decades[-1], decades[0] + 1)), (0, top))
    parts = [_axes(frame)]
    for i, values in enumerate((losses, smoothed)):
        shown = [value if value <= top else None for value in values]
        parts.append(line(frame, decades, shown, f"curve s{(6, 0)[i]}"))
    said = "no rate is suggested"
    if suggestion is not None:
        said = f"{suggestion:g} is suggested"
        parts.append(_mark(frame, suggestion))
    desc = f"Training loss over {len(rates)} steps at rates from {rates[0]:g} to {rates[-1]:.2g}; {said}."
    title = "Loss at rising learning rates"
    legend = [("curve s6", "each batch"), ("curve s0", "averaged over neighbouring rates")]
    return Figure(title, svg("rates", (400, 270), title, desc, parts), desc, legend)


def _axes(frame: Frame) -> Markup:
    """Return grid, ticks and labels; a tick of the logarithmic axis reads as a rate."""
    parts: list[Markup] = []
    for y in ticks(*frame.y):
        parts.append(rule(frame.left, frame.py(y), frame.right, frame.py(y)))
        parts.append(text(frame.left - 6, frame.py(y) + 4, f"{y:g}", css="end"))
    for power in range(math.ceil(frame.x[0]), math.floor(frame.x[1]) + 1):
        parts.append(rule(frame.px(power), frame.top, frame.px(power), frame.bottom))
        parts.append(text(frame.px(power), frame.bottom + 15, f"{10.0**power:g}", css="mid"))
    middle = frame.top + frame.height / 2
    parts.append(
        text(frame.left + frame.width / 2, frame.bottom + 32, "learning rate", css="mid name")
    )
    parts.append(text(frame.left - 34, middle, "training loss", css="mid name", turn=-90))
    return join(parts)


def _mark(frame: Frame, suggestion: float) -> Markup:
    x = frame.px(math.log10(suggestion))
    css = "end kept" if x > frame.left + frame.width / 2 else "kept"
    mark = Markup('<path class="kept" d="M{:g} {:g}V{:g}"/>').format(x, frame.top, frame.bottom)
    return mark + text(x, frame.top - 7, f"suggested: {suggestion:g}", css=css)
