"""Thresholds travel in the bundle, and the ledger of new scans holds what they decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medimg.calibrator import Calibrator
from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import PredictionsError, UsageError
from medimg.evaluation.thresholds.apart import require_apart
from medimg.evaluation.thresholds.choose import choose_points
from medimg.inference.bundle import ModelBundle
from medimg.inference.scan import predict_scans
from medimg.models.build import build_model
from medimg.predictions import Predictions
from medimg.tables import read_table
from medimg.testing import make_npz
from medimg.training.fit import fit
from medimg.training.options import FitOptions


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("data")
    return ImageStore.build(index(make_npz(folder / "x.npz")), Preprocess(), folder / "s")


@pytest.fixture(scope="module")
def bundle(store: ImageStore) -> ModelBundle:
    model = build_model("mlp", shape=store.shape, classes=2)
    trained, _ = fit(model, store, FitOptions(epochs=1, batch_size=8))
    return trained.with_calibrator(Calibrator("temperature", {"temperature": 1.7}, "x"))


def pointed(bundle: ModelBundle, store: ImageStore) -> ModelBundle:
    label = bundle.space.classes[1]
    rules = [f"{label}:youden", f"{label}:cost=2"]
    return bundle.with_points(choose_points(bundle.predict(store, "val"), rules))


def test_thresholds_travel_in_the_folder_and_are_no_part_of_the_identity(
    bundle: ModelBundle, store: ImageStore, tmp_path: Path
) -> None:
    with_points = pointed(bundle, store)
    assert with_points.bundle_id == bundle.bundle_id
    loaded = ModelBundle.load(with_points.save(tmp_path / "b"))
    assert [point.rule for point in loaded.thresholds] == ["youden", "cost=2"]
    assert loaded.thresholds == with_points.thresholds
    assert loaded.predict(store, "test").thresholds == with_points.thresholds


def test_predictions_of_one_model_share_an_id_before_and_after_it_is_calibrated(
    bundle: ModelBundle, store: ImageStore
) -> None:
    before = bundle.with_calibrator(None).predict(store, "val")
    after = bundle.predict(store, "test")
    assert before.bundle_id != after.bundle_id
    assert before.bundle_id == before.uncalibrated_id == after.uncalibrated_id


def test_another_calibrator_drops_the_thresholds(bundle: ModelBundle, store: ImageStore) -> None:
    assert pointed(bundle, store).with_calibrator(None).thresholds == ()


def test_thresholds_of_another_class_are_refused(bundle: ModelBundle, store: ImageStore) -> None:
    (point, _) = pointed(bundle, store).thresholds
    strange = type(point)("dog", point.rule, point.threshold, point.chosen_on, point.value)
    with pytest.raises(PredictionsError, match="dog"):
        bundle.with_points([strange])


def test_the_ledger_holds_what_the_store_path_decides(
    bundle: ModelBundle, store: ImageStore, tmp_path: Path
) -> None:
    with_points = pointed(bundle, store)
    path = store.manifest.root / "x.npz"
    done = predict_scans(with_points, path, tmp_path / "out", settle=0).predictions
    expected = with_points.predict(store).to_table()
    table = read_table(tmp_path / "out" / "predictions.csv")
    columns = [c for c in table if c.startswith("at:")]
    label = bundle.space.classes[1]
    assert columns == [f"at:youden:{label}", f"at:cost=2:{label}"]
    for column in columns:
        assert table[column].tolist() == [str(v) for v in expected[column]]
    assert done.thresholds == with_points.thresholds
    assert Predictions.load(tmp_path / "out" / "predictions.csv").thresholds == done.thresholds


def test_a_ledger_gone_on_with_gets_the_thresholds_that_the_bundle_has_now(
    bundle: ModelBundle, store: ImageStore, tmp_path: Path
) -> None:
    path = store.manifest.root / "x.npz"
    predict_scans(bundle, path, tmp_path / "out", settle=0)
    again = predict_scans(pointed(bundle, store), path, tmp_path / "out", settle=0)
    assert again.summary["predicted_before"] == again.summary["predicted"]
    assert len(again.predictions.thresholds) == 2


def test_the_cases_that_they_were_chosen_on_are_known_again_when_predicted_anew(
    bundle: ModelBundle, store: ImageStore, tmp_path: Path
) -> None:
    with_points = pointed(bundle, store)
    path = store.manifest.root / "x.npz"
    anew = predict_scans(with_points, path, tmp_path / "out", settle=0).predictions
    with pytest.raises(UsageError, match="chosen on cases that are scored here"):
        require_apart(None, anew)
    chosen_on = np.isin(anew.case_id, bundle.predict(store, "val").case_id)
    require_apart(None, anew.take(~chosen_on))
