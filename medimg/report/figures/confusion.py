"""The confusion matrix as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from medimg.report.svg import Figure, rect, share, shorten, svg, text, wide

#: A figure wider than this does not fit beside another one.
HALF = 500
MOST_CLASSES = 30
"""Of more, no cell could be read; `confusion.csv` holds the counts."""


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
