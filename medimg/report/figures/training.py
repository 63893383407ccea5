"""The curves of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from medimg.report.svg import Figure, Frame, axes, line, svg, text, ticks


def learning_curve(
    key: str, title: str, history: Sequence[Mapping[str, Any]], words: Mapping[str, str]
) -> Figure | None:
    """Return the curves of `words` (key of a row to its words) over the epochs; None if empty."""
    epochs = [int(row["epoch"]) for row in history]
    curves = {name: [_finite(row.get(name)) for row in history] for name in words}
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
    desc = (
        f"{title}: {' and '.join(words[name] for name in curves)} over {len(epochs)} epochs{mark}."
    )
    legend = [(f"curve s{i}", words[name]) for i, name in enumerate(curves)]
    return Figure(title, svg(key, (400, 270), title, desc, parts), desc, legend)


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
