"""The parts of the figures."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from medimg.evaluation.result import ReliabilityBin, RocCurve
from medimg.report import figures


def words(svg) -> list[str]:
    return [t.text for t in ElementTree.fromstring(str(svg)).iter("text")]


def test_no_figure_brings_a_colour_of_its_own():
    f = figures.confusion_plot(("a", "b"), ((3, 1), (0, 4)))
    roc = figures.roc_plots({"a": RocCurve((0, 0, 1), (0, 1, 1))}, {"a": "1"}, "")[0]
    for svg in (f.svg, roc.svg):
        assert not re.search(r"#[0-9a-f]{3}|rgb|fill=|stroke=", svg)


def test_confusion_shows_counts_and_row_per_cent():
    shown = words(figures.confusion_plot(("a", "b"), ((1999, 1), (0, 0))).svg)
    assert shown[2:] == [
        "a",
        "1,999",
        ">99%",
        "1",
        "<1%",
        "b",
        "0",
        "–",
        "0",
        "–",
        "predicted",
        "true",
    ]


def test_long_names_are_shortened_in_their_middle_and_stay_apart():
    names = ("squamous cell carcinoma, left", "squamous cell carcinoma, right", "血管" * 20)
    short = [figures.shorten(name) for name in names]
    assert len(set(short)) == 3 and all(figures.wide(s) <= 20 for s in short)
    assert figures.shorten("melanoma") == "melanoma"


def test_every_curve_of_many_classes_is_drawn_and_told_apart():
    curves = {f"c{i}": RocCurve((0, 0.1 * (i % 9), 1), (0, 0.9, 1)) for i in range(30)}
    drawn = figures.roc_plots(curves, dict.fromkeys(curves, "0.900"), "caption")
    assert [len(f.legend) for f in drawn] == [14, 14, 2]
    for f in drawn:
        assert len({css for css, _ in f.legend}) == len(f.legend)


def test_thinned_curve_keeps_its_corners():
    xs = [i / 1000 for i in range(1001)]
    frame = figures.Frame(0, 0, 100, 100)
    path = figures.line(frame, [0, *[0.0] * 5, *xs], [0, *xs[1:6], *[0.5] * 1001], "curve")
    assert 'd="M0 100L' in path and "L0 50L100 50" in path and path.count("L") < 10


def test_reliability_tells_few_cases_from_many():
    bins = [ReliabilityBin(0, 0.5, 0.2, 0.3, 1234), ReliabilityBin(0.5, 1, 0.8, 0.7, 3)]
    f = figures.reliability_plot(
        "r", "t", [*bins, ReliabilityBin(1, 1.5, None, None, 0)], "x", "y", ""
    )
    assert f.svg.count('class="dot few"') == 1 and f.svg.count('class="dot"') == 1
    assert {"1,234", "3", "0"} <= set(words(f.svg))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 20), (0, 3000), (0.61, 0.92), (-3, 4e-3)])
def test_ticks_are_few_and_inside(low, high):
    made = figures.ticks(low, high)
    assert 2 <= len(made) <= 6 and low <= made[0] and made[-1] <= high


def test_ticks_are_found_for_every_range() -> None:
    for low in (0.0, 0.3, -2.0):
        for exponent in range(-9, 6):
            for share in range(1, 100):
                found = figures.ticks(low, low + share * 10.0**exponent)
                assert 1 <= len(found) <= 6
