"""Whether probabilities mean what they say, before and after a calibrator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import CalibrationCheck, ReliabilityBin
from medimg.labels import LabelSpace
from medimg.report.figures.reliability import FEW, reliability_plot
from medimg.report.svg import Figure, shorten
from medimg.report.words import label, method_text, null_text, value_text

#: So many probabilities are shown open, the others when asked for.
OPEN = 2


@dataclass(frozen=True)
class Measure:
    """One measure: its estimates by side, how their intervals were made, and what to know."""

    name: str
    sides: Mapping[str, Estimate]
    method: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class CheckView:
    """One probability: its diagrams with their bins, and its measures by side."""

    of: str
    drawn: list[tuple[Figure, tuple[ReliabilityBin, ...]]]
    sides: tuple[str, ...]
    measures: list[Measure]


def calibration(e: Evaluation) -> list[CheckView]:
    """Return a view of each probability that was checked."""
    before = {check.of: check for check in e.uncalibrated}
    return [_view(e.space, i, check, before.get(check.of)) for i, check in enumerate(e.calibration)]


def _view(
    space: LabelSpace, i: int, after: CalibrationCheck, before: CalibrationCheck | None
) -> CheckView:
    sides = {"Value": after} if before is None else {"Before": before, "After": after}
    drawn = []
    for side, check in sides.items():
        title = "Reliability" if before is None else f"Reliability {side.lower()} calibration"
        key = f"reliability-{i}-{side.lower()}"
        words = _axes(space, check.of)
        if check.bins:
            plot = reliability_plot(key, title, check.bins, *words, _caption(check))
            drawn.append((plot, check.bins))
    measures = list(_measures({side: check.metrics for side, check in sides.items()}))
    return CheckView(after.of, drawn, tuple(sides), measures)


def _measures(sides: Mapping[str, Mapping[str, Estimate]]) -> Iterator[Measure]:
    """Yield a row for each measure; a reason that both sides share is said once."""
    for name in dict.fromkeys(name for metrics in sides.values() for name in metrics):
        found = {side: metrics[name] for side, metrics in sides.items() if name in metrics}
        methods = dict.fromkeys(method_text(e) for e in found.values() if e.low is not None)
        reasons = dict.fromkeys(e.reason for e in found.values() if e.reason)
        yield Measure(label(name), found, ", ".join(methods), tuple(reasons))


def _caption(check: CalibrationCheck) -> str:
    ece = check.metrics.get("ece")
    parts = [] if ece is None else [f"ECE {value_text(ece)}", null_text(ece)]
    words = ", ".join(part for part in parts if part)
    return f"{words}{'. ' if words else ''}Hollow points rest on fewer than {FEW} cases."


def _axes(space: LabelSpace, of: str) -> tuple[str, str]:
    if of in space.classes:
        short = shorten(of, 26)
        return f"probability given to {short}", f"share truly {short}"
    return f"probability given to the {shorten(of, 26)}", "share that came true"
