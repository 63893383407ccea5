"""A bundle travels as one folder, predicts the same elsewhere, and vouches for its bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medimg.calibrator import Calibrator
from medimg.data.index import index
from medimg.data.preprocess import Preprocess
from medimg.data.store import ImageStore
from medimg.errors import BundleError, DataError, FolderExists, PredictionsError, UsageError
from medimg.inference.bundle import ModelBundle
from medimg.inference.forward import pick_device
from medimg.inference.scan import predict_scans
from medimg.models.build import build_model
from medimg.predictions import Predictions
from medimg.testing import make_image_folder, make_npz, make_table
from medimg.training.fit import fit
from medimg.training.options import FitOptions

ONE_EPOCH = FitOptions(epochs=1, batch_size=8, class_weights="balanced")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    folder = tmp_path_factory.mktemp("data")
    return ImageStore.build(index(make_npz(folder / "x.npz")), Preprocess(), folder / "s")


@pytest.fixture(scope="module", params=["mlp", "cnn"])
def bundle(request: pytest.FixtureRequest, store: ImageStore) -> ModelBundle:
    model = build_model(request.param, shape=store.shape, classes=2)
    trained, _ = fit(model, store, ONE_EPOCH)
    return trained.with_calibrator(Calibrator("temperature", {"temperature": 1.7}, "x"))


def test_a_bundle_moved_elsewhere_predicts_the_same(
    bundle: ModelBundle, store: ImageStore, tmp_path: Path
) -> None:
    bundle.save(tmp_path / "here" / "b")
    shutil.move(tmp_path / "here", tmp_path / "there with blank")
    moved = ModelBundle.load(tmp_path / "there with blank" / "b")
    first, second = bundle.predict(store, "test"), moved.predict(store, "test")
    assert np.array_equal(first.scores, second.scores)
    assert first.fingerprint == second.fingerprint
    assert moved.bundle_id == bundle.bundle_id
    assert first.calibrator == bundle.calibrator


def test_saving_twice_gives_the_same_weights_file(bundle: ModelBundle, tmp_path: Path) -> None:
    for name in "ab":
        bundle.save(tmp_path / name)
    first, second = ((tmp_path / n / "weights.safetensors").read_bytes() for n in "ab")
    assert first == second


@pytest.mark.parametrize("name", ["weights.safetensors", "bundle.json"])
def test_a_flipped_bit_is_refused_by_name(bundle: ModelBundle, tmp_path: Path, name: str) -> None:
    bundle.save(tmp_path / "b")
    path = tmp_path / "b" / name
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 60):
        data = bytearray(whole)
        data[place] ^= 1 << int(place % 8)
        path.write_bytes(data)
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            ModelBundle.load(tmp_path / "b")


def test_a_bundle_without_its_marker_is_unfinished(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "b")
    (tmp_path / "b" / "bundle.json").unlink()
    with pytest.raises(BundleError, match="no finished bundle"):
        ModelBundle.load(tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(BundleError, match="no finished bundle"):
        ModelBundle.load(tmp_path / "c")


def test_the_card_may_be_edited(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "b")
    (tmp_path / "b" / "card.md").write_text("my own words")
    ModelBundle.load(tmp_path / "b")


def test_a_bundle_is_not_overwritten_unasked(bundle: ModelBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "b")
    with pytest.raises(FolderExists):
        bundle.save(tmp_path / "b")
    bundle.save(tmp_path / "b", overwrite=True)


def test_the_calibrator_is_part_of_the_identity(bundle: ModelBundle) -> None:
    assert bundle.with_calibrator(None).bundle_id != bundle.bundle_id


def test_a_module_of_ones_own_is_given_again(store: ImageStore, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    trained, _ = fit(module, store, ONE_EPOCH)
    trained.save(tmp_path / "b")
    with pytest.raises(BundleError, match="model=module"):
        ModelBundle.load(tmp_path / "b")
    with pytest.raises(BundleError, match="does not fit"):
        ModelBundle.load(tmp_path / "b", model=nn.Linear(3, 2))
    again = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    loaded = ModelBundle.load(tmp_path / "b", model=again)
    assert np.array_equal(loaded.predict(store).scores, trained.predict(store).scores)


def test_a_store_of_another_preprocessing_or_other_classes_is_refused(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    manifest = index(make_npz(tmp_path / "x.npz"))
    other = ImageStore.build(manifest, Preprocess(size=(9, 9)), tmp_path / "s")
    with pytest.raises(BundleError, match="preprocessing"):
        bundle.predict(other)
    manifest = index(make_npz(tmp_path / "y.npz", classes=3))
    other = ImageStore.build(manifest, Preprocess(), tmp_path / "t")
    with pytest.raises(BundleError, match="classes"):
        bundle.predict(other)


def test_a_split_without_cases_is_named(bundle: ModelBundle, store: ImageStore) -> None:
    with pytest.raises(PredictionsError, match="calib"):
        bundle.predict(store, "calib")


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(UsageError, match="gpu7"):
        pick_device("gpu7")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no CUDA"):
            pick_device("cuda")


def test_a_corrupt_image_amid_a_folder_costs_its_own_row_alone(
    tmp_path: Path, store: ImageStore
) -> None:
    folder = make_image_folder(tmp_path / "a b", per_class=6, size=(8, 8))
    train = ImageStore.build(index(store.manifest.root / "x.npz"), Preprocess(), tmp_path / "s")
    model, _ = fit(build_model("cnn", shape=(1, 8, 8), classes=2), train, ONE_EPOCH)
    whole = predict_scans(model, folder, tmp_path / "whole", settle=0).predictions
    broken = folder / "benign" / "3.png"
    broken.write_bytes(broken.read_bytes()[:50])
    part = predict_scans(model, folder, tmp_path / "part", settle=0)
    assert [r.case_id for r in part.refusals] == ["benign/3.png"]
    rest = whole.take(whole.case_id != "benign/3.png")
    assert part.predictions.case_id.tolist() == rest.case_id.tolist()
    assert np.allclose(part.predictions.scores, rest.scores, atol=1e-5)
    ledger = Predictions.load(tmp_path / "part" / "predictions.csv")
    assert ledger.fingerprint == part.predictions.fingerprint
    about = json.loads((tmp_path / "part" / "run.json").read_text())
    assert (about["found"], about["predicted"]) == (12, 11)
    assert sum(about["refused"].values()) == 1


def test_streaming_gives_what_the_store_gives(bundle: ModelBundle, store: ImageStore) -> None:
    path = store.manifest.root / "x.npz"
    streamed = predict_scans(
        bundle, path, path.parent / f"out-{bundle.spec.name}", settle=0
    ).predictions
    stored = bundle.predict(store)
    assert streamed.case_id.tolist() == stored.case_id.tolist()
    assert np.array_equal(streamed.scores, stored.scores)


def test_a_manifest_keeps_its_targets_and_hides_its_patients(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    table = make_table(tmp_path, classes=("0", "1"), patients=5, size=(8, 8))
    manifest = index(table)
    manifest.save(tmp_path / "m.csv")
    done = predict_scans(bundle, tmp_path / "m.csv", tmp_path / "out", settle=0).predictions
    assert np.array_equal(done.targets, manifest.targets)
    assert done.patient_id is not None
    assert not set(done.patient_id) & set(manifest.frame["patient_id"])
    shown = predict_scans(
        bundle, tmp_path / "m.csv", tmp_path / "out2", keep_ids=True, settle=0
    ).predictions
    assert shown.patient_id is not None
    assert set(shown.patient_id) == set(manifest.frame["patient_id"])


def test_a_folder_without_anything_to_predict_is_an_error(
    bundle: ModelBundle, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        predict_scans(bundle, tmp_path / "empty", tmp_path / "out", settle=0)


def test_a_network_of_another_output_is_refused_by_name(store: ImageStore) -> None:
    for outputs in (1, 3):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
        with pytest.raises(UsageError, match=r"\(B, K\)"):
            fit(module, store, FitOptions(epochs=1, batch_size=8, loss="mse"))
