"""Frozen thresholds: they travel with predictions and bundles, and decide the same everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medimg.calibrator import Calibrator
from medimg.errors import PredictionsError
from medimg.labels import LabelSpace
from medimg.operating import ChosenOn, OperatingPoint, check_points
from medimg.predictions import Predictions
from medimg.tables import read_table
from medimg.testing import make_predictions

TWO = LabelSpace(("benign", "malignant"), positive="malignant")
LABELS = LabelSpace(("x", "y", "no"), "multilabel")
ON = ChosenOn("0" * 64, "calib", 78, 60, 0.27, ("ab", "cd"))


def point(label: str = "malignant", rule: str = "youden", threshold: float = 0.3) -> OperatingPoint:
    return OperatingPoint(label, rule, threshold, ON, 0.6)


def test_a_case_at_the_threshold_is_called_so() -> None:
    probabilities = np.array([[0.7, 0.3], [0.71, 0.29], [0.0, 1.0]])
    assert point().flags(probabilities, TWO).tolist() == [True, False, True]


def test_a_point_survives_json() -> None:
    assert OperatingPoint.from_dict(json.loads(json.dumps(point().to_dict()))) == point()


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(PredictionsError, match="youden"):
        point(threshold=threshold)


def test_points_of_other_classes_and_repeated_ones_are_refused() -> None:
    with pytest.raises(PredictionsError, match="did you mean malignant"):
        check_points([point("malignan")], TWO)
    with pytest.raises(PredictionsError, match="two operating points youden"):
        check_points([point(), point(threshold=0.4)], TWO)


def test_columns_name_rule_and_label_where_it_is_no_target_condition() -> None:
    assert point().column(TWO) == "at:youden"
    assert point("benign").column(TWO) == "at:youden:benign"
    assert point("malignant").column(replace(TWO, positive=None)) == "at:youden:malignant"
    assert point("x", "cost=5").column(LABELS) == "at:cost=5:x"


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
@pytest.mark.parametrize("space", [TWO, LABELS])
def test_a_table_gives_its_thresholds_and_no_metadata_of_them_back(
    tmp_path: Path, name: str, space: LabelSpace
) -> None:
    points = (point(space.classes[-1]), point(space.classes[0], "cost=5", 0.8))
    calibrator = Calibrator("temperature", {"temperature": 1.5})
    before = make_predictions(50, space).with_calibrator(calibrator).with_points(points)
    before.save(tmp_path / name)
    after = Predictions.load(tmp_path / name)
    assert after.thresholds == points
    assert after.fingerprint == before.fingerprint
    assert not len(after.metadata.columns)
    table = read_table(tmp_path / name)
    for one in points:
        expected = one.flags(before.probabilities, space)
        assert 0 < expected.sum() < 50
        assert table[one.column(space)].tolist() == ["1" if yes else "0" for yes in expected]


def test_another_calibrator_drops_the_thresholds() -> None:
    predictions = make_predictions(5).with_points([point()])
    assert predictions.with_calibrator(None).thresholds == (point(),)
    other = predictions.with_calibrator(Calibrator("temperature", {"temperature": 2.0}))
    assert other.thresholds == ()


def test_thresholds_are_not_taken_up_for_scores_of_another_kind(tmp_path: Path) -> None:
    make_predictions(5).with_points([point()]).save(tmp_path / "p.csv")
    assert Predictions.load(tmp_path / "p.csv", kind="probabilities").thresholds == ()


def test_a_part_of_the_cases_keeps_the_thresholds() -> None:
    predictions = make_predictions(9).with_points([point()])
    assert predictions.take(np.arange(3)).thresholds == (point(),)
    assert predictions.select("test").thresholds == (point(),)
