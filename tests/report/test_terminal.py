"""The table in the terminal, and where the output is none."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from medimg.report.terminal import print_table
from medimg.report.words import interval_text, label, value_text


def printed(evaluation, width=100, stream=None, **options) -> str:
    out = stream or io.StringIO()
    print_table(evaluation, Console(file=out, width=width, **options))
    return out.getvalue() if stream is None else ""


@pytest.mark.parametrize("classes", [("benign", "malignant"), tuple("0123456789")])
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_table_stays_within_its_columns(make, classes, width):
    text = printed(make(classes=classes, patients=200, parts=True), width)
    assert max(map(len, text.splitlines())) <= min(width, 100)


def test_every_number_has_its_interval_method_unit_and_n(make):
    evaluation = make(positive="malignant", patients=300)
    lines = printed(evaluation).splitlines()
    told = {n: e for n, e in evaluation.metrics.items() if not n.endswith("_macro")}
    for name, e in told.items():
        line = next(x for x in lines if x.strip().startswith(f"{label(name)}  "))
        assert value_text(e) in line and interval_text(e) in line
        assert "patient" in line and "400" in line and "300" in line
        assert ("Wilson" if e.method == "wilson" else "") in line


def test_numbers_of_classes_stand_where_no_target_condition_says_them_already(make):
    evaluation = make(classes=("a", "b", "c"), patients=300)
    text = printed(evaluation)
    for row in evaluation.per_class.values():
        assert all(interval_text(e) in text for e in row.values())
    assert "macro" not in printed(make(positive="malignant", patients=300))


def test_ece_stands_with_what_is_expected_of_it_and_its_p(make):
    text = printed(make(positive="malignant", patients=300))
    rows = text[text.index(" ECE  ") :].splitlines()[:3]
    assert "none [1]" in rows[0]
    assert [row.strip() for row in rows[1:]] == ["expected 0.021", "p = 0.304"]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_number_is_broken(make, width):
    evaluation = make(classes=("a", "b", "c"), patients=300)
    wide = replace(evaluation.per_class["a"]["f1"], value=10.5224, low=5.4453, high=1234.5678)
    evaluation.per_class["a"]["lr_positive"] = wide
    text = printed(evaluation, width)
    estimates = [*evaluation.metrics.values()]
    estimates += [e for row in evaluation.per_class.values() for e in row.values()]
    ends = [part for e in estimates for part in interval_text(e).split("–") if part]
    for number in [*ends, *map(value_text, estimates)]:
        assert number in text, number


def test_the_matthews_correlation_of_a_class_is_called_so(make):
    evaluation = make(classes=("a", "b", "c"))
    for row in evaluation.per_class.values():
        row["class_mcc"] = row.pop("mcc")
    text = printed(evaluation)
    assert "MCC" in text and "mcc" not in text


def test_runs_are_not_called_conditional_on_one_training(make):
    text = " ".join(printed(make(positive="malignant", parts=True)).split())
    assert "and that of the training" in text and "not the randomness" not in text


def test_other_prevalences_and_sets_are_told_in_short(make):
    text = " ".join(printed(make(positive="malignant", patients=300, parts=True)).split())
    assert "at a prevalence of 0.05, malignant: youden: PPV 0.613 (" in text
    assert "less the first hospital (1,234 cases):" in text
    assert (
        "figures of the cases that differ from the first hospital: 1 of 1: Prevalence +0.085"
        in text
    )


def test_points_groups_and_sets_are_told_in_short(make):
    text = " ".join(printed(make(positive="malignant", patients=300, parts=True)).split())
    assert "operating point" in text and "youden" in text and "3.346" in text
    assert "worst group by sex: AUROC: M 0.8" in text
    assert "sets (lac by class, 0.9 promised): sets that hold the truth 0.913 (0.885–0.941)" in text


def test_each_reason_is_written_once_and_marked(make):
    text = printed(make(classes=("a", "b", "c"), missing="f1_macro"))
    row = next(x for x in text.splitlines() if "F1, macro" in x)
    assert "–   none [1]" in row and "[1] no case of this class" in text
    assert text.count("no case of this class") == 1
    assert "plug-in ECE is biased" in text


def test_default_output_is_plain_where_it_is_no_terminal(make, capsys):
    print_table(make())
    text = capsys.readouterr().out
    assert "\x1b" not in text and "AUROC" in text and "Research software" in text


def test_names_bring_no_markup_and_no_control_codes(make):
    text = printed(make(classes=("[red]a[/red]", "b\x1b[31m\x07")))
    assert "[red]a[/red]" in text and "\x1b" not in text and "\x07" not in text


def test_ascii_output_does_not_fail(make):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    printed(make(classes=("naïve", "血管"), patients=10), stream=stream)
    stream.flush()
    assert b"na?ve" in raw.getvalue() and b"0.6" in raw.getvalue()


def test_report_needs_no_torch_and_no_plots():
    code = "import sys, medimg.report.write, medimg.report.terminal as t; "
    code += (
        "bad = {'torch', 'matplotlib', 'pandas', 'sklearn'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
