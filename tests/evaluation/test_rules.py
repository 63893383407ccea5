"""Thresholds by rule: each against trying them all, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimg.errors import UsageError
from medimg.evaluation.thresholds.rules import Cuts, Rule, cut_scores, parse_rule, rules_for
from medimg.labels import LabelSpace

TWO = LabelSpace(("benign", "malignant"), positive="malignant")
GRADES = LabelSpace(("none", "mild", "severe"), "ordinal")
LABELS = LabelSpace(("x", "y"), "multilabel")

#: By hand: two with the label, at .6 and .2, and three without.
SCORES, TARGET = np.array([0.1, 0.2, 0.3, 0.4, 0.6]), np.array([0, 1, 0, 0, 1])


def picked(text: str, scores: np.ndarray = SCORES, target: np.ndarray = TARGET) -> tuple | None:
    cuts = cut_scores(scores, target)
    found = parse_rule(text).pick(cuts)
    return None if found is None else (float(cuts.threshold[found[0]]), found[1])


@pytest.mark.parametrize(
    "rule, threshold, value",
    [
        ("youden", 0.5, 0.5),  # sensitivity 1/2, specificity 1
        ("sensitivity=.5", 0.5, 0.5),
        ("sensitivity=.6", 0.15, 1.0),
        ("specificity=.6", 0.35, 2 / 3),
        ("specificity=1", 0.5, 1.0),
        ("cost=1", 0.5, 1 / 5),  # one missed
        ("cost=5", 0.15, 2 / 5),  # two false alarms
        ("cost=0.1", 0.5, 0.1 / 5),
    ],
)
def test_each_rule_finds_the_threshold_that_is_found_by_hand(
    rule: str, threshold: float, value: float
) -> None:
    assert picked(rule) == pytest.approx((threshold, value))


def tried(cuts: Cuts, scores: np.ndarray, target: np.ndarray, rule: Rule) -> float:
    """Return the best that any threshold reaches, by trying every one."""
    found = []
    for t in cuts.threshold:
        called = scores >= t
        if rule.name != "cost" and (called.all() or not called.any()):
            continue
        sensitivity, specificity = called[target == 1].mean(), 1 - called[target == 0].mean()
        missed, alarms = (~called & (target == 1)).sum(), (called & (target == 0)).sum()
        if rule.name == "youden":
            found.append(sensitivity + specificity - 1)
        elif rule.name == "cost":
            found.append(-(rule.value * missed + alarms) / len(scores))
        elif rule.name == "sensitivity" and sensitivity >= rule.value - 1e-9:
            found.append(t)
        elif rule.name == "specificity" and specificity >= rule.value - 1e-9:
            found.append(-t)
    return max(found, default=np.nan)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]), st.booleans()), min_size=2),
    st.sampled_from(["youden", "sensitivity=.8", "specificity=.7", "cost=3", "cost=.5"]),
)
def test_each_rule_finds_the_best_of_all_thresholds(
    cases: list[tuple[float, bool]], text: str
) -> None:
    scores = np.array([score for score, _ in cases])
    target = np.array([float(yes) for _, yes in cases])
    if len(set(target)) < 2:
        return
    rule, cuts = parse_rule(text), cut_scores(scores, target)
    found = rule.pick(cuts)
    best = tried(cuts, scores, target, rule)
    if found is None:
        assert np.isnan(best)
        return
    at, value = found
    threshold = cuts.threshold[at]
    called = scores >= threshold
    assert int((called & (target == 1)).sum()) == cuts.true[at]
    assert int((called & (target == 0)).sum()) == cuts.false[at]
    reached = {"sensitivity": threshold, "specificity": -threshold, "cost": -value}
    assert reached.get(rule.name, value) == pytest.approx(best)


def test_a_threshold_lies_midway_so_that_rounding_moves_no_case() -> None:
    cuts = cut_scores(SCORES, TARGET)
    assert cuts.threshold.tolist() == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.5, 0.8])
    for noise in (-1e-6, 1e-6):
        assert [(SCORES + noise >= t).sum() for t in cuts.threshold] == [5, 4, 3, 2, 1, 0]


def test_scores_that_are_neighbours_in_float_are_parted_still() -> None:
    scores = np.array([0.5, np.nextafter(0.5, 1), 1.0])
    cuts = cut_scores(scores, np.array([0, 1, 1]))
    assert [(scores >= t).sum() for t in cuts.threshold] == [3, 2, 1]


def test_a_sensitivity_that_only_calling_all_so_reaches_is_not_reached() -> None:
    assert picked("sensitivity=1", SCORES, np.array([1, 0, 0, 0, 1])) is None
    assert picked("youden", np.full(4, 0.3), np.array([0, 1, 0, 1])) is None


def test_unknown_targets_have_no_part() -> None:
    scores, target = np.append(SCORES, 0.55), np.append(TARGET, np.nan)
    assert picked("youden", scores, target) == picked("youden")


@pytest.mark.parametrize(
    "text, name, value, label",
    [
        ("youden", "youden", None, None),
        ("sensitivity=.95", "sensitivity=0.95", 0.95, None),
        (" malignant:cost=5 ", "cost=5", 5.0, "malignant"),
        ("grade: 3=b:specificity=0.90", "specificity=0.9", 0.9, "grade: 3=b"),
    ],
)
def test_a_rule_is_read_and_written_one_way(
    text: str, name: str, value: float | None, label: str | None
) -> None:
    rule = parse_rule(text)
    assert (str(rule), rule.value, rule.label) == (name, value, label)


@pytest.mark.parametrize(
    "text, message",
    [
        ("yuden", "did you mean youden"),
        ("youden=3", "unknown"),
        ("sensitivity", "unknown"),
        ("sensitivity=95", "no sensitivity"),
        ("specificity=nan", "no specificity"),
        ("cost=0", "no cost"),
        ("cost=-1", "no cost"),
        (":youden", "unknown"),
        ("", "unknown"),
    ],
)
def test_what_is_no_rule_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_rule(text)


def test_a_rule_is_for_the_conditions_that_there_are() -> None:
    youden = parse_rule("youden")
    assert youden.labels(TWO) == ("malignant",)
    assert youden.labels(LABELS) == ("x", "y")
    assert parse_rule("severe:youden").labels(GRADES) == ("severe",)
    with pytest.raises(UsageError, match="severe:youden"):
        youden.labels(GRADES)
    with pytest.raises(UsageError, match="did you mean severe"):
        parse_rule("sever:youden").labels(GRADES)


def test_the_default_alone_is_passed_over_where_no_class_is_a_condition() -> None:
    default = ("youden",)
    assert rules_for(default, GRADES, default) == ()
    assert rules_for(default, TWO, default) == default
    assert rules_for(("cost=5",), GRADES, default) == ("cost=5",)
