"""Predictions: joined by id, declared and never guessed, the same after any shuffling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medimg.calibrator import Calibrator
from medimg.errors import DataError, LabelError, PredictionsError, SourceNotFound
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.tables import column_floats, column_text, parse_table
from medimg.testing import make_predictions

TWO = LabelSpace(("benign", "malignant"), positive="malignant")


def small(**changes: object) -> Predictions:
    values: dict[str, object] = {
        "case_id": ["b", "a"],
        "scores": np.array([[0.25, 0.75], [1.0, 0.0]], np.float32),
        "kind": "probabilities",
        "space": TWO,
    }
    return Predictions(**(values | changes))  # type: ignore[arg-type]


@given(
    hnp.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
)
def test_float32_survives_its_shortest_text(values: np.ndarray) -> None:
    assert np.array_equal(column_floats(column_text(values), "x"), values)


def test_a_file_gives_the_same_predictions_back(tmp_path: Path) -> None:
    for name in ("p.csv", "p.parquet"):
        for space in (TWO, LabelSpace(("x", "y", "no"), "multilabel")):
            before = make_predictions(50, space, patients=20, unknown=0.2)
            before = before.with_calibrator(Calibrator("temperature", {"temperature": 1.5}))
            before = replace(before, bundle_id="b", uncalibrated_id="a")
            before.save(tmp_path / name)
            after = Predictions.load(tmp_path / name)
            assert after.fingerprint == before.fingerprint
            assert after.calibrator == before.calibrator
            assert (after.bundle_id, after.uncalibrated_id) == ("b", "a")
            assert np.array_equal(after.probabilities, before.probabilities)


def test_the_order_of_the_rows_changes_nothing(tmp_path: Path) -> None:
    before = make_predictions(50, patients=20)
    before.save(tmp_path / "p.csv")
    header, *rows = (tmp_path / "p.csv").read_text().splitlines()
    (tmp_path / "p.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert Predictions.load(tmp_path / "p.csv").fingerprint == before.fingerprint


def test_ids_stay_text(tmp_path: Path) -> None:
    ids = ["007", "7", "123456789012345678901234567890123456"]
    scores = np.zeros((3, 2), np.float32)
    Predictions(ids, scores, "logits", TWO, patient_id=ids).save(tmp_path / "p.csv")
    after = Predictions.load(tmp_path / "p.csv")
    assert sorted(after.patient_id) == sorted(ids)


def test_a_foreign_table_says_what_its_scores_are(tmp_path: Path) -> None:
    path = tmp_path / "foreign.csv"
    path.write_text("case_id;target;p:a;p:b\nx;a;0.5;0.5\n", encoding="utf-8-sig")
    with pytest.raises(PredictionsError, match="--kind"):
        Predictions.load(path)
    loaded = Predictions.load(path, kind="probabilities")
    assert loaded.space == LabelSpace(("a", "b"))
    with pytest.raises(PredictionsError, match="logit:"):
        Predictions.load(path, kind="logits")
    path.write_text("case_id,p:a,p:b\nx,0.5,0.5\n")
    with pytest.raises(PredictionsError, match="--space"):
        Predictions.load(path, kind="probabilities")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"case_id": ["a", "a"]}, "twice"),
        ({"case_id": ["a", ""]}, "no case_id"),
        ({"scores": np.array([[0.5, 0.6], [1, 0]], np.float32)}, "sum to one"),
        ({"scores": np.array([[2.0, -1.0], [1, 0]], np.float32)}, "logits"),
        ({"scores": np.array([[np.nan, 0.5], [1, 0]], np.float32)}, "finite"),
        ({"scores": np.array([[np.inf, 0], [1, 0]]), "kind": "logits"}, "finite"),
        ({"scores": np.zeros((2, 3), np.float32)}, "shape"),
        ({"kind": "scores"}, "kind"),
        ({"patient_id": ["p"]}, "patient_id"),
        ({"metadata": pd.DataFrame({"target": [1, 2]})}, "rename"),
    ],
)
def test_what_breaks_the_rules_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        small(**changes)


def test_an_unknown_class_name_in_a_file_gets_its_nearest(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("case_id,target,p:benign,p:malignant\nx,malignnt,0.5,0.5\n")
    with pytest.raises(LabelError, match="did you mean malignant"):
        Predictions.load(path, kind="probabilities")


def test_a_split_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(PredictionsError, match="test"):
        make_predictions(5).select("val")


def test_a_case_without_target_is_not_known() -> None:
    predictions = small(targets=np.array([[0, 1], [np.nan, np.nan]]))
    assert predictions.case_id.tolist() == ["a", "b"]
    assert predictions.known.tolist() == [False, True]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "empty"),
        ("a,a\n1,2\n", "repeat"),
        ("a,b\n1\n", "row 2"),
        ("a,\n1,2\n", "blank"),
    ],
)
def test_a_broken_table_is_named(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_table(text, "t.csv")


def test_quoted_newlines_and_padded_headers_are_taken() -> None:
    frame = parse_table('a, b\n"x\ny",007\n', "t.csv")
    assert frame["a"].tolist() == ["x\ny"]
    assert frame["b"].tolist() == ["007"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="nowhere"):
        Predictions.load(tmp_path / "nowhere.csv", kind="logits")
    with pytest.raises(PredictionsError, match="table"):
        Predictions.load(tmp_path / "p.txt", kind="logits")
