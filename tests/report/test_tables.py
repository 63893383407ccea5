"""The tidy tables: every number, one row each, nothing lost on the way to a data frame."""

from __future__ import annotations

import io
from dataclasses import asdict

import pandas as pd
import pytest

from medimg.evaluation.results.evaluation import Evaluation
from medimg.report.tables import ESTIMATE, TABLES, tables
from medimg.report.write import write_report

TASK = {"classes": ("benign", "malignant"), "positive": "malignant", "patients": 300}


def read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


@pytest.fixture
def made(make) -> dict[str, pd.DataFrame]:
    return {name: read(text) for name, text in tables(make(**TASK, parts=True)).items()}


def test_tables_without_rows_are_left_out(make):
    bare = {"confusion", "curves", "histograms", "calibration", "reliability"}
    assert set(tables(make())) == {f"{n}.csv" for n in bare | {"metrics", "per_class"}}
    assert set(tables(make(**TASK, parts=True))) == set(TABLES)


def test_written_tables_are_those_of_the_evaluation(make, tmp_path):
    write_report(tmp_path, make(**TASK, parts=True))
    read_back = Evaluation.from_dict(make(**TASK, parts=True).to_dict())
    for name, text in tables(read_back).items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text


def test_metrics_are_kept_to_the_last_digit(make):
    e = make(classes=("a, b", 'c"d'), patients=300, parts=True)
    frame = read(tables(e)["metrics.csv"]).set_index("metric")
    for name, estimate in e.metrics.items():
        row = frame.loc[name]
        for field, value in asdict(estimate).items():
            assert (pd.isna(row[field]) and value is None) or row[field] == value
    assert set(read(tables(e)["per_class.csv"])["class"]) == {"a, b", 'c"d'}


def test_every_table_of_estimates_ends_in_the_same_columns(made):
    holding = {
        n for n, (columns, _) in TABLES.items() if "method" in columns and n[:9] != "conformal"
    }
    for name in holding:
        assert tuple(made[name].columns[-len(ESTIMATE) :]) == ESTIMATE


def test_every_point_of_every_curve_is_there(make, made):
    curves = make(**TASK).curves["malignant"]
    frame = made["curves.csv"]
    roc = frame[frame["curve"] == "roc"]
    assert tuple(roc["x"]) == curves.roc.x and tuple(roc["low"]) == curves.roc.low
    assert len(frame[frame["curve"] == "threshold_sensitivity"]) == 101
    counts = made["histograms.csv"].groupby("true")["count"].sum()
    assert dict(counts) == {k: sum(v) for k, v in curves.histogram.counts.items()}


def test_confusion_names_what_is_true_and_what_was_predicted(make):
    frame = read(tables(make(classes=("a", "b", "c")))["confusion.csv"])
    assert tuple(frame["count"]) == sum(make(classes=("a", "b", "c")).confusion, ())
    labels = read(tables(make(classes=("x", "y"), kind="multilabel"))["confusion.csv"])
    assert list(zip(labels["true"], labels["predicted"], strict=True))[:4] == [
        ("not x", "not x"), ("not x", "x"), ("x", "not x"), ("x", "x")
    ]  # fmt: skip


def test_counts_and_metrics_of_an_operating_point_share_its_rows(made):
    frame = made["operating.csv"]
    youden = frame[frame["rule"] == "youden"].set_index("metric")
    assert (
        youden.loc["count_true_positives", "value"] == 87
        and youden.loc["sensitivity", "value"] == 0.87
    )
    assert set(frame["threshold"]) == {0.4132, 0.1277}


def test_runs_and_shift_name_what_their_numbers_are_of(made):
    runs = made["runs.csv"]
    one = runs[runs["metric"] == runs["metric"][0]].set_index("of")
    assert one.loc["run 1", "value"] == 0.8117 and one.loc["mean", "sd_runs"] == 0.0112
    shift = made["shift.csv"]
    assert list(shift["what"]) == ["cases", "cases", "metric"]
    assert shift["here"][0] == 0.412 and shift["value"][0] == 0.085


def test_gaps_stand_beside_the_values_of_their_group(made):
    frame = made["subgroups.csv"]
    assert set(frame["what"]) == {"value", "gap to the rest"}
    assert len(frame) == 2 * 2 * 2 * frame["metric"].nunique()
