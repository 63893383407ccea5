"""The figures: what they show of the numbers that they are given."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import (
    Abstention,
    Curve,
    DecisionCurve,
    Histogram,
    ReliabilityBin,
)
from medimg.report.figures.bars import score_histogram, size_bars
from medimg.report.figures.benefit import decision_plot, risk_coverage_plot
from medimg.report.figures.confusion import confusion_plot
from medimg.report.figures.curves import (
    Mark,
    precision_recall_plot,
    roc_overlay,
    roc_plot,
    sweep_plot,
)
from medimg.report.figures.forest import ForestRow, forest_plot
from medimg.report.figures.reliability import reliability_plot

BANDED = Curve((0, 0.5, 1), (0, 0.8, 1), (0, 0.7, 1), (0, 0.9, 1))
MARKS = [Mark(0.3, 0.6, "youden: sensitivity 0.600"), Mark(0.9, 0.9, "cost")]


def words(figure) -> list[str]:
    return [t.text for t in ElementTree.fromstring(str(figure.svg)).iter("text")]


def paths(figure, css: str) -> list[str]:
    found = ElementTree.fromstring(str(figure.svg)).iter("path")
    return [p.get("d") for p in found if p.get("class") == css]


def test_no_figure_brings_a_colour_of_its_own(make):
    curves = next(iter(make(positive="malignant", parts=True).curves.values()))
    drawn = [
        confusion_plot(("a", "b"), ((3, 1), (0, 4))),
        *roc_overlay({"a": Curve((0, 0, 1), (0, 1, 1))}, {"a": "1"}, ""),
        roc_plot("r", BANDED, "", MARKS, ""),
        precision_recall_plot("p", BANDED, 0.2, "", MARKS, ""),
        sweep_plot("s", curves.sweep, dict.fromkeys(curves.sweep, "x"), MARKS),
        score_histogram("h", curves.histogram, MARKS),
        size_bars("n", (1, 2, 3)),
        forest_plot("f", "t", [row(0.5, 0.4, 0.6)], reference=(0.5, "all")),
    ]
    for f in drawn:
        assert not re.search(r"#[0-9a-f]{3}|rgb|fill=|stroke=", f.svg)


def test_confusion_shows_counts_and_row_per_cent():
    shown = words(confusion_plot(("a", "b"), ((1999, 1), (0, 0))))
    counts = ["1,999", ">99%", "1", "<1%", "b", "0", "–", "0", "–"]
    assert shown[2:] == ["a", *counts, "predicted", "true"]


def test_every_curve_of_many_classes_is_drawn_and_told_apart():
    curves = {f"c{i}": Curve((0, 0.1 * (i % 9), 1), (0, 0.9, 1)) for i in range(30)}
    drawn = roc_overlay(curves, dict.fromkeys(curves, "0.900"), "caption")
    assert [len(f.legend) for f in drawn] == [14, 14, 2]
    for f in drawn:
        assert len({css for css, _ in f.legend}) == len(f.legend)


def test_operating_points_and_band_stand_on_the_roc_curve():
    f = roc_plot("r", BANDED, "AUROC 0.9", MARKS, "")
    assert paths(f, "point s1") == ["M144 138h0"]
    assert len(paths(f, "area s0")) == 1
    assert [w for _, w in f.legend if w.startswith("youden")] == ["youden: sensitivity 0.600"]
    bare = roc_plot("r", replace(BANDED, low=(), high=()), "", (), "")
    assert not paths(bare, "area s0") and len(bare.legend) == 2


def test_thresholds_are_upright_lines_of_the_sweep_and_the_histogram():
    sweep = sweep_plot("s", {"sensitivity": BANDED}, {"sensitivity": "Sensitivity"}, MARKS)
    histogram = Histogram((0, 0.5, 1), {"with": (1, 3), "without": (4, 0)})
    bars = score_histogram("h", histogram, MARKS)
    for f in (sweep, bars):
        assert [d.split()[0] for d in paths(f, "upright")] == ["M144", "M336"]


def test_histogram_shows_the_share_of_each_class():
    f = score_histogram("h", Histogram((0, 0.5, 1), {"with": (1, 3), "none": (0, 0)}), ())
    top = 230 - 220 * 0.75 / (1.08 * 0.75)
    assert f"V{top:.4g}H368" in paths(f, "area line s0")[0]
    assert [w for _, w in f.legend] == ["truly with: 4 cases", "truly none: 0 cases"]


def test_reliability_tells_few_cases_from_many_and_shows_what_chance_gives():
    bins = [
        ReliabilityBin(0, 0.5, 0.2, 0.3, 1234, 0.1, 0.4),
        ReliabilityBin(0.5, 1, 0.8, 0.7, 3),
        ReliabilityBin(1, 1.5, None, None, 0),
    ]
    f = reliability_plot("r", "t", bins, "x", "y", "")
    assert f.svg.count('class="dot few"') == 1 and f.svg.count('class="dot"') == 1
    assert {"1,234", "3", "0"} <= set(words(f))
    assert 'class="area shade" x="48" y="202" width="160" height="96"' in f.svg
    assert "area shade" in {css for css, _ in f.legend}
    bare = reliability_plot("r", "t", bins[1:], "x", "y", "")
    assert "area shade" not in bare.svg and len(bare.legend) == 2


def test_net_benefit_of_treating_all_leaves_the_plot_where_it_falls_below():
    falling = Curve((0.1, 0.5, 0.9), (0.4, 0.0, -8.0))
    f = decision_plot("d", DecisionCurve("ill", Curve((0.1, 0.5, 0.9), (0.4, 0.3, 0.1)), falling))
    (treat_all,) = paths(f, "curve s6 dashed")
    ends = [float(n) for n in re.findall(r"[0-9.]+", treat_all)]
    assert max(ends[1::2]) <= 330.1 and ends[-1] > 329
    assert {"act on everyone", "act on no one"} <= {w for _, w in f.legend}


def test_error_of_nobody_is_drawn():
    f = risk_coverage_plot("r", Abstention("confidence", Curve((0.5, 1), (0.0, 0.0)), {}, ()))
    assert len(paths(f, "curve s0")) == 1 and "confidence" in f.caption


def row(value: float | None, low: float | None = None, high: float | None = None, **more):
    reason = None if value is not None else "no case"
    e = Estimate(value, low, high, 10, None, "none", "case", reason)
    return ForestRow("women", "10", e, **more)


def test_forest_shows_every_group_on_one_scale():
    rows = [row(0.8, 0.7, 0.9, band=(0.75, 0.85)), row(0.6), row(None)]
    f = forest_plot("f", "t", rows, reference=(0.75, "all cases"), band="by chance")
    assert "women (n 10)" in words(f) and "0.800 (0.700–0.900)" in words(f) and "–" in words(f)
    assert f.svg.count("<circle") == 2 and f.svg.count('class="dot few"') == 1
    assert len(paths(f, "reach")) == 1 and len(paths(f, "upright")) == 3
    assert [w for _, w in f.legend] == ["all cases", "by chance"]


def test_bars_of_many_set_sizes_are_numbered_sparsely():
    f = size_bars("s", tuple(range(40)))
    assert f.svg.count('class="bar"') == 40 and len(words(f)) < 50
    assert "780" not in words(f)
