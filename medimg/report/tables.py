"""Tidy tables of an evaluation: one row a number, one file a part.

Every table of estimates ends in the columns `ESTIMATE`; a missing number is blank.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import CalibrationCheck, Curve, Metrics

ESTIMATE = tuple(field.name for field in fields(Estimate))
_BAND = ("x", "y", "low", "high")

Cell = str | float | int | None
Row = Sequence[Cell]


def tables(evaluation: Evaluation) -> dict[str, str]:
    """Return the name and the CSV text of every table that has rows."""
    made = {name: (columns, list(rows(evaluation))) for name, (columns, rows) in TABLES.items()}
    return {name: csv_text(columns, rows) for name, (columns, rows) in made.items() if rows}


def csv_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Return a table as CSV: UTF-8, one line a row, blank where there is nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _estimates(metrics: Metrics, *before: Cell) -> Iterator[Row]:
    for name, estimate in metrics.items():
        yield (*before, name, *asdict(estimate).values())


def _curve(curve: Curve, *before: Cell) -> Iterator[Row]:
    empty = (None,) * len(curve.x)
    points = zip(curve.x, curve.y, curve.low or empty, curve.high or empty, strict=True)
    yield from ((*before, *point) for point in points)


def _metrics(e: Evaluation) -> Iterator[Row]:
    yield from _estimates(e.metrics)


def _per_class(e: Evaluation) -> Iterator[Row]:
    for name, metrics in e.per_class.items():
        yield from _estimates(metrics, name)


def _by_patient(e: Evaluation) -> Iterator[Row]:
    if e.by_patient is not None:
        yield from _estimates(e.by_patient.metrics, "")
        yield from _per_class(e.by_patient)


def _confusion(e: Evaluation) -> Iterator[Row]:
    if e.space.exclusive:
        for true, row in zip(e.space.classes, e.confusion, strict=False):
            yield from ((true, c, n) for c, n in zip(e.space.classes, row, strict=True))
        return
    cells = ((0, 0), (0, 1), (1, 0), (1, 1))
    for name, row in zip(e.space.classes, e.confusion, strict=False):
        words = (f"not {name}", name)
        yield from ((words[t], words[p], n) for (t, p), n in zip(cells, row, strict=True))


def _curves(e: Evaluation) -> Iterator[Row]:
    for name, curves in e.curves.items():
        yield from _curve(curves.roc, name, "roc")
        yield from _curve(curves.precision_recall, name, "precision_recall")
        for metric, curve in curves.sweep.items():
            yield from _curve(curve, name, f"threshold_{metric}")


def _histograms(e: Evaluation) -> Iterator[Row]:
    for name, curves in e.curves.items():
        edges = curves.histogram.edges
        for true, counts in curves.histogram.counts.items():
            bins = zip(edges, edges[1:], counts, strict=False)
            yield from ((name, true, low, high, n) for low, high, n in bins)


def _checks(e: Evaluation) -> Iterator[tuple[str, CalibrationCheck]]:
    stage = "after" if e.uncalibrated else "as given"
    yield from (("before", check) for check in e.uncalibrated)
    yield from ((stage, check) for check in e.calibration)


def _calibration(e: Evaluation) -> Iterator[Row]:
    for stage, check in _checks(e):
        yield from _estimates(check.metrics, check.of, stage)


def _reliability(e: Evaluation) -> Iterator[Row]:
    for stage, check in _checks(e):
        yield from ((check.of, stage, *asdict(b).values()) for b in check.bins)


def _operating(e: Evaluation) -> Iterator[Row]:
    blank = (None,) * (len(ESTIMATE) - 1)
    for o in e.operating:
        of = (o.label, o.rule, o.threshold, o.chosen_on)
        yield from ((*of, f"count_{name}", n, *blank) for name, n in o.counts.items())
        yield from _estimates(o.metrics, *of)


def _decision(e: Evaluation) -> Iterator[Row]:
    for d in e.decision:
        yield from _curve(d.model, d.label, "model")
        yield from _curve(d.treat_all, d.label, "treat all")


def _prevalence(e: Evaluation) -> Iterator[Row]:
    for r in e.prevalence:
        yield from _estimates(r.metrics, r.label, r.rule, r.prevalence, r.threshold)


def _subgroups(e: Evaluation) -> Iterator[Row]:
    for s in e.subgroups:
        for g in s.groups:
            yield from _estimates(g.metrics, s.column, g.name, "value")
            yield from _estimates(g.gaps, s.column, g.name, "gap to the rest")


def _conformal(e: Evaluation) -> Iterator[Row]:
    for c in e.conformal:
        of = (c.method, c.by, c.alpha)
        yield from _estimates(c.metrics, *of, "")
        for kind, groups in (("class", c.per_class), ("group", c.per_group)):
            for name, metrics in groups.items():
                yield from _estimates(metrics, *of, f"{kind}: {name}")


def _abstention(e: Evaluation) -> Iterator[Row]:
    if e.abstention is not None:
        yield from _estimates(e.abstention.metrics, None, None)
        for r in e.abstention.refused:
            refused = {f"refused: {name}": v for name, v in r.share_of_class.items()}
            yield from _estimates({"error": r.error} | refused, r.coverage, r.threshold)


def _risk(e: Evaluation) -> Iterator[Row]:
    if e.abstention is not None:
        yield from _curve(e.abstention.curve)


def _runs(e: Evaluation) -> Iterator[Row]:
    for r in e.runs:
        spread = (r.sd_runs, r.sd_sample, r.share_runs)
        yield (r.metric, "mean", *spread, *asdict(r.mean).values())
        rest = (None,) * (len(spread) + len(ESTIMATE) - 1)
        for i, value in enumerate(r.values):
            yield (r.metric, f"run {i + 1}", *rest[:3], value, *rest[3:])


def _shift(e: Evaluation) -> Iterator[Row]:
    if e.shift is not None:
        for kind, rows in (("cases", e.shift.rows), ("metric", e.shift.metrics)):
            for r in rows:
                yield (kind, r.what, r.here, r.reference, *asdict(r.difference).values())


#: File -> its columns, and the rows of an evaluation.
TABLES: dict[str, tuple[Sequence[str], Callable[[Evaluation], Iterator[Row]]]] = {
    "metrics.csv": (("metric", *ESTIMATE), _metrics),
    "per_class.csv": (("class", "metric", *ESTIMATE), _per_class),
    "confusion.csv": (("true", "predicted", "count"), _confusion),
    "curves.csv": (("class", "curve", *_BAND), _curves),
    "histograms.csv": (("class", "true", "low", "high", "count"), _histograms),
    "calibration.csv": (("of", "stage", "metric", *ESTIMATE), _calibration),
    "reliability.csv": (
        ("of", "stage", "low", "high", "confidence", "frequency", "count", "band_low", "band_high"),
        _reliability,
    ),
    "operating.csv": (
        ("label", "rule", "threshold", "chosen_on", "metric", *ESTIMATE),
        _operating,
    ),
    "decision.csv": (("label", "strategy", *_BAND), _decision),
    "prevalence.csv": (
        ("label", "rule", "prevalence", "threshold", "metric", *ESTIMATE),
        _prevalence,
    ),
    "subgroups.csv": (("column", "group", "what", "metric", *ESTIMATE), _subgroups),
    "conformal.csv": (("sets", "by", "alpha", "of", "metric", *ESTIMATE), _conformal),
    "abstention.csv": (("coverage", "threshold", "metric", *ESTIMATE), _abstention),
    "risk_coverage.csv": (_BAND, _risk),
    "by_patient.csv": (("class", "metric", *ESTIMATE), _by_patient),
    "runs.csv": (("metric", "of", "sd_runs", "sd_sample", "share_runs", *ESTIMATE), _runs),
    "shift.csv": (("what", "figure", "here", "reference", *ESTIMATE), _shift),
}
