"""How often: scores by true class, and sizes of prediction sets."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from medimg.evaluation.results.sections import Histogram
from medimg.report.figures.curves import Mark, uprights
from medimg.report.svg import Figure, Frame, axes, join, rect, svg, text, ticks

_SIZE = (380, 272)


def score_histogram(key: str, found: Histogram, marks: Sequence[Mark]) -> Figure:
    """Return which share of each true class got which probability."""
    shares = {
        name: [n / max(sum(counts), 1) for n in counts] for name, counts in found.counts.items()
    }
    top = max((y for ys in shares.values() for y in ys), default=0.0) or 1.0
    frame = Frame(48, 10, 320, 220, y=(0, 1.08 * top))
    parts = [_steps(frame, found.edges, ys, i) for i, ys in enumerate(shares.values())]
    parts.append(axes(frame, "probability given", "share of the class", yticks=ticks(*frame.y)))
    parts += uprights(frame, marks)
    legend = [
        (f"area line s{i % 7}", f"truly {name}: {sum(counts):,} cases")
        for i, (name, counts) in enumerate(found.counts.items())
    ]
    title = "Probabilities by true class"
    desc = f"Histograms of {', '.join(found.counts)}."
    caption = "The less the areas overlap, the better the classes are told apart."
    return Figure(title, svg(key, _SIZE, title, desc, parts), caption, legend)


def _steps(frame: Frame, edges: Sequence[float], shares: Sequence[float], i: int) -> Markup:
    path = [f"M{frame.px(edges[0]):g} {frame.bottom:g}"]
    path += [
        f"V{frame.py(y):g}H{frame.px(right):g}" for y, right in zip(shares, edges[1:], strict=True)
    ]
    path.append(f"V{frame.bottom:g}Z")
    return Markup('<path class="area line s{}" d="{}"/>').format(i % 7, "".join(path))


def size_bars(key: str, sizes: Sequence[int]) -> Figure:
    """Return how many prediction sets hold 0, 1, 2, ... classes."""
    whole, top = sum(sizes) or 1, max(sizes, default=0) or 1
    frame = Frame(48, 18, 320, 210, (-0.5, len(sizes) - 0.5), (0, 1.08 * top / whole))
    step = -(-len(sizes) // 16)
    parts = [axes(frame, "classes in the set", "share of cases", (), ticks(*frame.y))]
    wide = frame.width / len(sizes)
    for size, n in enumerate(sizes):
        x, y = frame.px(size - 0.5) + 0.1 * wide, frame.py(n / whole)
        parts.append(rect(round(x, 1), y, round(0.8 * wide, 1), round(frame.bottom - y, 1), "bar"))
        if size % step == 0:
            parts.append(text(frame.px(size), frame.bottom + 15, size, css="mid"))
            parts.append(text(frame.px(size), y - 4, f"{n:,}", css="mid count"))
    title = "How large the sets are"
    desc = "; ".join(f"{n:,} of {size}" for size, n in enumerate(sizes) if n)
    return Figure(title, svg(key, _SIZE, title, desc, [join(parts)]), "Above each bar its cases.")
