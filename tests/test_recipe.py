"""The whole flow: one config, one folder, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import medimg as mi
import medimg.flow.calibrating as calibrating
from medimg.config import make_config
from medimg.errors import (
    DataError,
    FolderExists,
    LeakError,
    PredictionsError,
    SourceNotFound,
    UsageError,
)
from medimg.evaluation.thresholds.choose import choose_points
from medimg.predictions import Predictions
from medimg.testing import make_image_folder, make_npz, make_predictions, make_table
from medimg.training.checkpoint import Checkpoint


def config_for(source: Path, cache: Path, **sections: Any) -> mi.RunConfig:
    values: dict[str, Any] = {
        "title": "toy",
        "data": {"source": str(source), "cache": str(cache)},
        "model": {"name": "mlp", "hidden": [8]},
        "fit": {"epochs": 3, "batch_size": 16, "lr": 0.01},
        "evaluate": {"resamples": 100},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return make_config(values)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    return make_npz(tmp_path / "x.npz", n={"train": 120, "test": 60})


def test_a_run_leaves_everything_that_a_reader_needs(npz: Path, tmp_path: Path) -> None:
    done = mi.run(config_for(npz, tmp_path / "c"), tmp_path / "run")
    there = {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*")}
    assert there >= {
        *("config.yaml", "manifest.csv", "manifest.json", "log.jsonl", "errors.csv"),
        *("bundle/bundle.json", "bundle/weights.safetensors", "predictions/test.csv"),
        *("report/metrics.json", "report/index.html", "provenance.json", "run.json"),
    }
    metrics = json.loads((tmp_path / "run/report/metrics.json").read_text())
    assert metrics["schema_version"] == 2
    assert metrics["n"] == 60
    assert metrics["split"] == "test"
    assert metrics["calibrated"] is True
    assert metrics["metrics"]["accuracy"]["method"] == "wilson"
    rows = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [r["event"] for r in rows] == ["start", "epoch", "epoch", "epoch", "end", "scored"]
    assert rows[-2]["training_seconds"] > 0
    assert done.evaluation.metrics["accuracy"].value == metrics["metrics"]["accuracy"]["value"]


def test_the_same_command_into_two_folders_gives_equal_bytes(npz: Path, tmp_path: Path) -> None:
    for name in "ab":
        mi.run(config_for(npz, tmp_path / f"cache-{name}"), tmp_path / name)
    for file in ("predictions/test.csv", "bundle/weights.safetensors", "report/metrics.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_numbers_can_be_had_again_from_the_predictions_alone(npz: Path, tmp_path: Path) -> None:
    done = mi.run(config_for(npz, tmp_path / "c"), tmp_path / "run")
    loaded = Predictions.load(tmp_path / "run/predictions/test.csv")
    again = mi.evaluate(loaded, mi.EvaluateOptions(resamples=100))
    assert again.metrics == done.evaluation.metrics


def test_a_finished_run_is_refused_unless_overwritten(npz: Path, tmp_path: Path) -> None:
    config = config_for(npz, tmp_path / "c")
    mi.run(config, tmp_path / "run")
    for resume in (False, True):
        with pytest.raises(FolderExists, match="finished"):
            mi.run(config, tmp_path / "run", resume=resume)
    mi.run(config, tmp_path / "run", overwrite=True)


def test_a_run_begun_and_not_finished_goes_on_to_the_same_bytes(
    npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(npz, tmp_path / "c", fit={"epochs": 5, "checkpoint_seconds": 0})
    mi.run(config, tmp_path / "whole")
    real = Checkpoint.save

    def save_and_die(self: Any, state: Any) -> None:
        real(self, state)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        mi.run(config, tmp_path / "run")
    monkeypatch.setattr(Checkpoint, "save", real)
    with pytest.raises(FolderExists, match="--resume"):
        mi.run(config, tmp_path / "run")
    with (tmp_path / "run/log.jsonl").open("a") as log:
        log.write('{"event": "ep')  # a power cut
    mi.run(config, tmp_path / "run", resume=True)
    for file in ("predictions/test.csv", "bundle/weights.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "run" / file).read_bytes()


def test_a_leak_stops_the_run_unless_it_is_allowed_with_a_reason(npz: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(npz))
    arrays["test_images"][0] = arrays["train_images"][0]
    np.savez(npz, **arrays)
    with pytest.raises(LeakError, match="pixels_in_several_splits"):
        mi.run(config_for(npz, tmp_path / "c"), tmp_path / "run")
    allow = {"allow": {"pixels_in_several_splits": "known & accepted"}}
    mi.run(config_for(npz, tmp_path / "c", audit=allow), tmp_path / "run")  # nothing was trained
    page = (tmp_path / "run/report/index.html").read_text()
    assert "known &amp; accepted" in page
    first = json.loads((tmp_path / "run/run.json").read_text())["read_first"]
    assert first[0].startswith("Known and accepted: pixels_in_several_splits")
    assert first[0].endswith("Reason: known & accepted")


def test_a_leak_that_is_allowed_and_not_there_is_told(npz: Path, tmp_path: Path) -> None:
    allow = {"allow": {"study_in_several_splits": "two scans a visit"}}
    done = mi.run(config_for(npz, tmp_path / "c", audit=allow), tmp_path / "run")
    assert any("study_in_several_splits" in line and "none" in line for line in done.first)
    assert "there is none" in (tmp_path / "run/report/index.html").read_text()


def test_patients_of_a_table_appear_by_pseudonym_outside_the_manifest(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=120, patients=60, size=(8, 8))
    text = table.read_text().replace(",0", ",JOHN^DOE^0")
    table.write_text(text)
    config = config_for(table, tmp_path / "c", preprocess={"size": [8, 8]})
    done = mi.run(config, tmp_path / "run")
    assert done.evaluation.n_patients is not None
    assert "JOHN" in (tmp_path / "run/manifest.csv").read_text()
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and path.name != "manifest.csv":
            assert b"JOHN" not in path.read_bytes(), path


def test_refused_cases_are_listed_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "f", per_class=60, size=(8, 8))
    (folder / "benign" / "7.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    done = mi.run(config_for(folder, tmp_path / "c"), tmp_path / "run")
    assert [r.case_id for r in done.refusals] == ["benign/7.png"]
    assert "benign/7.png" in (tmp_path / "run/errors.csv").read_text()


def test_without_calib_the_model_is_not_calibrated_and_says_so(npz: Path, tmp_path: Path) -> None:
    config = config_for(npz, tmp_path / "c", split={"calib": 0, "train": 0.8})
    done = mi.run(config, tmp_path / "run")
    assert not done.evaluation.calibrated
    assert done.bundle.calibrator is None


def test_calib_gives_the_bundle_its_calibrator_and_its_thresholds(
    npz: Path, tmp_path: Path
) -> None:
    rules = {"operating_points": ["1:youden", "1:sensitivity=.9"]}
    for method in ("auto", "platt", "none"):
        out = tmp_path / method
        config = config_for(npz, tmp_path / "c", calibration={"method": method}, evaluate=rules)
        mi.run(config, out)
        bundle = mi.ModelBundle.load(out / "bundle")
        calib = Predictions.load(out / "predictions/calib.csv")
        test = Predictions.load(out / "predictions/test.csv")
        assert calib.calibrator is None
        assert test.calibrator == bundle.calibrator
        if method == "none":
            assert bundle.calibrator is None
        else:
            assert bundle.calibrator == mi.fit_calibrator(calib, method)
        assert [point.rule for point in bundle.thresholds] == ["youden", "sensitivity=0.9"]
        assert test.thresholds == bundle.thresholds
        calibrated = calib.with_calibrator(bundle.calibrator)
        assert bundle.thresholds == choose_points(calibrated, rules["operating_points"])
        page = (out / "report/index.html").read_text()
        said = {"platt": "(platt)", "none": "Probabilities are not calibrated"}
        assert said.get(method, "Probabilities are ") in page


def test_a_threshold_that_calib_does_not_reach_is_told_and_stops_nothing(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=160, size=(8, 8))
    config = config_for(
        table,
        tmp_path / "c",
        data={"positive": "malignant"},
        preprocess={"size": [8, 8]},
        evaluate={"operating_points": ["youden", "sensitivity=1"]},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrating, "choose_points", _only_youden)
        done = mi.run(config, tmp_path / "run")
    assert [point.rule for point in done.bundle.thresholds] == ["youden"]
    assert "No operating point sensitivity=1" in (tmp_path / "run/report/index.html").read_text()


def _only_youden(predictions: Predictions, rules: tuple[str, ...]) -> Any:
    if rules != ("youden",):
        raise PredictionsError(f"operating point {rules[0]} is not reached", remedy="ask for less")
    return choose_points(predictions, rules)


@pytest.mark.parametrize(
    "sections, message",
    [
        ({"calibration": {"method": "dirichlet"}}, "'dirichlet' is for three or more classes"),
        ({"evaluate": {"operating_points": ["yuden"]}}, "did you mean youden"),
        ({"evaluate": {"operating_points": ["normol:youden"]}}, "names none of the classes"),
    ],
)
def test_what_these_classes_do_not_have_is_refused_before_the_training(
    npz: Path, tmp_path: Path, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        mi.run(config_for(npz, tmp_path / "c", **sections), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    config = make_config({"data": {"source": "medmnist/bloodmnist.npz"}})
    with pytest.raises(SourceNotFound, match="medimg fetch bloodmnist"):
        mi.run(config, tmp_path / "run")


def test_of_several_sources_the_first_that_is_there_is_taken(npz: Path, tmp_path: Path) -> None:
    config = config_for(npz, tmp_path / "c", data={"source": ["nowhere.npz", str(npz)]})
    assert mi.run(config, tmp_path / "run").evaluation.n == 60


def test_the_config_in_the_run_folder_makes_the_run_again(npz: Path, tmp_path: Path) -> None:
    first = mi.run(config_for(npz, tmp_path / "c"), tmp_path / "a")
    second = mi.run(tmp_path / "a" / "config.yaml", tmp_path / "b")
    assert first.bundle.bundle_id == second.bundle.bundle_id
    assert yaml.safe_load((tmp_path / "a/config.yaml").read_text())["fit"]["epochs"] == 3


def test_options_that_the_data_contradict_are_named(npz: Path, tmp_path: Path) -> None:
    config = config_for(npz, tmp_path / "c", fit={"class_weights": [1, 2, 3]})
    with pytest.raises(UsageError, match="3 numbers for 2"):
        mi.run(config, tmp_path / "run")


def test_a_wrong_source_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        mi.run(config_for(tmp_path / "nowhere.npz", tmp_path / "c"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_ids_that_differ_in_zeros_alone_are_one_person(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=120, patients=60, size=(8, 8))
    header, *lines = table.read_text().splitlines()
    lines = [f"{line},{'test' if row % 3 == 0 else 'train'}" for row, line in enumerate(lines)]
    lines[0] = lines[0].replace(",000,", ",1,")
    table.write_text("\n".join([header + ",split", *lines]) + "\n")
    config = config_for(table, tmp_path / "c", preprocess={"size": [8, 8]})
    with pytest.raises(LeakError, match="patient_in_several_splits"):
        mi.run(config, tmp_path / "run")
    allow = {"allow": {"patient_in_several_splits": "1 and 001 are two people"}}
    config = config_for(table, tmp_path / "c", preprocess={"size": [8, 8]}, audit=allow)
    mi.run(config, tmp_path / "run", overwrite=True)
    assert "1 and 001 are two people" in (tmp_path / "run/report/index.html").read_text()


def test_what_would_fail_after_the_training_fails_before_it(tmp_path: Path) -> None:
    path = make_npz(tmp_path / "x.npz", n={"train": 8, "val": 8})
    config = config_for(path, tmp_path / "c", split={"test": 0, "train": 0.8})
    with pytest.raises(DataError, match="split test has 0 cases"):
        mi.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_config_alone(npz: Path, tmp_path: Path) -> None:
    config = config_for(npz, tmp_path / "c")
    mi.run(config, tmp_path / "run")
    (tmp_path / "run/run.json").unlink()
    other = config_for(npz, tmp_path / "c", model={"activation": "tanh"})
    with pytest.raises(UsageError, match="another config"):
        mi.run(other, tmp_path / "run", resume=True)
    mi.run(config, tmp_path / "run", resume=True)


def test_nothing_readable_leaves_the_reasons_behind(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "f", per_class=60, size=(8, 8))
    for path in folder.rglob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="none of 120"):
        mi.run(config_for(folder, tmp_path / "c"), tmp_path / "run")
    assert len((tmp_path / "run/errors.csv").read_text().splitlines()) == 121


def test_the_report_says_what_was_held_out(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=120, patients=60, size=(8, 8))
    header, *lines = table.read_text().splitlines()
    rows = [f"{line},{'B' if i % 60 < 15 else 'A'}" for i, line in enumerate(lines)]
    table.write_text("\n".join([header + ",hospital", *rows]) + "\n")
    options = {"split": {"hold_out": ["hospital=B"]}, "preprocess": {"size": [8, 8]}}
    mi.run(config_for(table, tmp_path / "c", **options), tmp_path / "run")
    page = (tmp_path / "run/report/index.html").read_text()
    assert "made by patient_id, hospital=B held out as test" in page


def test_the_report_says_that_no_ids_came_where_none_did(npz: Path, tmp_path: Path) -> None:
    mi.run(config_for(npz, tmp_path / "c"), tmp_path / "run")
    page = (tmp_path / "run/report/index.html").read_text()
    assert "made by case (no ids came)" in page and "made by patient_id" not in page


def test_a_patient_of_test_does_not_shape_the_prediction_sets() -> None:
    calib = make_predictions(30, patients=10, split="calib")
    test = make_predictions(12, patients=4, seed=1)
    own = calibrating.apart(calib, test)
    assert own is not None and len(own) == 18
    assert not set(own.patient_id) & set(test.patient_id)  # type: ignore[arg-type]
    assert calibrating.apart(calib, calib) is None
    assert calibrating.apart(make_predictions(5), test) is not None
