"""Training over folds: each case once, by what never saw it, and the same bytes after a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import medimg as mi
import medimg.crossval as crossval
import medimg.flow.steps as steps
import medimg.training.fit as fit_module
from medimg.config import make_config
from medimg.crossval import FoldedRun, run_folds
from medimg.data.folds import make_folds
from medimg.errors import DataError, FolderExists, LeakError, ManifestError, UsageError
from medimg.evaluation.thresholds.choose import choose_points
from medimg.flow.checks import require_sound_folds
from medimg.flow.pooled import pool, spread_of
from medimg.testing import make_image_folder, make_manifest, make_predictions, make_table

TEMPERATURE = {"method": "temperature"}


def config_for(source: Path, cache: Path, **sections: Any) -> mi.RunConfig:
    values: dict[str, Any] = {
        "title": "toy",
        "data": {"source": str(source), "cache": str(cache)},
        "preprocess": {"size": [8, 8]},
        "model": {"name": "mlp", "hidden": [8]},
        "fit": {"epochs": 3, "batch_size": 16, "lr": 0.01},
        "evaluate": {"resamples": 100},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return make_config(values)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return make_table(tmp_path / "a table", n=90, patients=45, size=(8, 8))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> FoldedRun:
    place = tmp_path_factory.mktemp("folds")
    source = make_table(place / "a table", n=90, patients=45, size=(8, 8))
    config = config_for(source, place / "c", calibration=TEMPERATURE)
    return run_folds(config, place / "run", 3)


def test_training_over_folds_leaves_a_complete_run_for_each(done: FoldedRun) -> None:
    there = {p.relative_to(done.folder).as_posix() for p in done.folder.rglob("*")}
    own = {"config.yaml", "manifest.csv", "errors.csv", "provenance.json", "run.json"}
    own |= {"report/index.html", "report/metrics.json", "report/audit.json"}
    each = own | {"bundle/bundle.json", "log.jsonl", "history.json", "predictions/test.csv"}
    assert there >= own | {"predictions/out_of_fold.csv", "report/folds.csv", "folds.csv"}
    for number in (1, 2, 3):
        assert there >= {f"fold-{number}/{name}" for name in each}
    assert "fold-4" not in there


def test_each_case_is_predicted_once_by_the_model_that_did_not_learn_it(done: FoldedRun) -> None:
    manifest = mi.Manifest.load(done.folder / "manifest.csv")
    assert done.predictions.case_id.tolist() == manifest.case_id.tolist()
    for number, run in enumerate(done.runs, start=1):
        tested = manifest.fold(number).rows("test")
        assert (done.predictions.metadata["fold"][tested] == str(number)).all()
        own = mi.Predictions.load(run.folder / "predictions" / "test.csv")
        assert own.case_id.tolist() == manifest.case_id[tested].tolist()
        np.testing.assert_allclose(
            own.probabilities, done.predictions.probabilities[tested], atol=1e-6
        )
        seen = set(own.metadata["seen"]) | set(done.predictions.metadata["seen"])
        assert seen == {"no"}


def test_no_case_is_scored_by_a_calibrator_that_saw_it(done: FoldedRun) -> None:
    own = [mi.Predictions.load(run.folder / "predictions" / "test.csv") for run in done.runs]
    raw = [predictions.with_calibrator(None) for predictions in own]
    for k, run in enumerate(done.runs):
        others = pool([*raw[:k], *raw[k + 1 :]])
        assert not set(others.case_id) & set(own[k].case_id)
        assert own[k].calibrator == mi.fit_calibrator(others, "temperature")
        bundle = mi.ModelBundle.load(run.folder / "bundle")
        assert bundle.calibrator == own[k].calibrator
        assert bundle.bundle_id == own[k].bundle_id == run.bundle.bundle_id
    assert len({p.calibrator.parameters["temperature"] for p in own if p.calibrator}) == 3


def test_the_numbers_can_be_had_again_from_the_predictions_out_of_fold(done: FoldedRun) -> None:
    loaded = mi.Predictions.load(done.folder / "predictions" / "out_of_fold.csv")
    again = mi.evaluate(loaded, mi.EvaluateOptions(resamples=100))
    assert again.metrics == done.evaluation.metrics
    assert again.calibrated
    assert again.split == "out_of_fold"
    assert again.n == 90
    assert again.n_patients == 45


def test_the_spread_between_folds_stands_beside(done: FoldedRun) -> None:
    table = pd.read_csv(done.folder / "report" / "folds.csv").set_index("metric")
    values = [run.evaluation.metrics["auroc"].value for run in done.runs]
    assert table.loc["auroc", ["fold-1", "fold-2", "fold-3"]].tolist() == values
    assert table.loc["auroc", "mean"] == pytest.approx(np.mean(values))
    assert table.loc["auroc", "sd"] == pytest.approx(np.std(values, ddof=1))
    page = (done.folder / "report" / "index.html").read_text()
    assert "AUROC, macro by fold: " in page
    assert "calibrated by cross-fitting" in page


def test_a_metric_that_a_fold_does_not_have_is_left_out_of_the_mean(done: FoldedRun) -> None:
    first, second, _ = (run.evaluation for run in done.runs)
    lacking = replace(second.metrics["auroc"], value=None, low=None, high=None, reason="one class")
    second = replace(second, metrics={**second.metrics, "auroc": lacking})
    row = spread_of([first, second]).set_index("metric").loc["auroc"]
    assert row["mean"] == first.metrics["auroc"].value
    assert pd.isna(row["sd"])
    assert pd.isna(row["fold-2"])


def test_means_over_different_classes_are_not_averaged(done: FoldedRun) -> None:
    first, second, _ = (run.evaluation for run in done.runs)
    space = second.space.classes
    rare = {
        **second.per_class[space[1]],
        "auroc": replace(
            second.per_class[space[1]]["auroc"], value=None, low=None, high=None, reason="no case"
        ),
    }
    second = replace(second, per_class={**second.per_class, space[1]: rare})
    row = spread_of([first, second]).set_index("metric").loc["auroc_macro"]
    assert pd.isna(row["mean"])
    assert pd.isna(row["sd"])
    assert row["note"] == f"over different classes: fold 2 without {space[1]}"
    assert row["fold-2"] == second.metrics["auroc_macro"].value


def test_a_class_that_is_never_predicted_counts_as_nought_and_is_not_lacking(
    done: FoldedRun,
) -> None:
    first, second, _ = (run.evaluation for run in done.runs)
    name = second.space.classes[0]
    never = replace(
        second.per_class[name]["precision"], value=None, low=None, high=None, reason="never"
    )
    second = replace(
        second, per_class={**second.per_class, name: {**second.per_class[name], "precision": never}}
    )
    row = spread_of([first, second]).set_index("metric").loc["precision_macro"]
    assert row["note"] == ""
    assert pd.notna(row["mean"])


def test_the_hash_of_the_split_goes_into_run_bundle_and_report(done: FoldedRun) -> None:
    manifest = mi.Manifest.load(done.folder / "manifest.csv")
    places = {manifest.split_fingerprint: done.folder}
    places |= {manifest.fold(k).split_fingerprint: done.folder / f"fold-{k}" for k in (1, 2, 3)}
    assert len(places) == 4
    for expected, folder in places.items():
        assert json.loads((folder / "run.json").read_text())["split"] == expected
        report = json.loads((folder / "report" / "metrics.json").read_text())
        assert report["provenance"]["split"] == expected
        assert json.loads((folder / "manifest.json").read_text())["split_fingerprint"] == expected
        if folder != done.folder:
            assert mi.ModelBundle.load(folder / "bundle").fingerprints["split"] == expected


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("place", ["mid-fold", "between folds", "before the report", "bundle"])
def test_a_killed_training_over_folds_goes_on_to_the_same_bytes(
    done: FoldedRun,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    config = config_for(
        table, tmp_path / "c", calibration=TEMPERATURE, fit={"checkpoint_seconds": 0}
    )
    with monkeypatch.context() as patch:
        _kill_at(place, patch)
        with pytest.raises(Killed):
            run_folds(config, tmp_path / "run", 3)
    with pytest.raises(FolderExists, match="--resume"):
        run_folds(config, tmp_path / "run", 3)
    trained: list[Path] = []
    real = fit_module.fit

    def counted(*args: Any, **options: Any) -> Any:
        trained.append(options["checkpoint"].folder)
        return real(*args, **options)

    monkeypatch.setattr(steps, "fit", counted)
    run_folds(config, tmp_path / "run", 3, resume=True)
    assert len(trained) == {"mid-fold": 2, "between folds": 2}.get(place, place == "bundle")
    files = ["predictions/out_of_fold.csv", "report/folds.csv", "folds.csv", "report/metrics.csv"]
    files += [f"fold-{k}/bundle/weights.safetensors" for k in (1, 2, 3)]
    files += [f"fold-{k}/predictions/test.csv" for k in (1, 2, 3)]
    for file in files:
        assert (done.folder / file).read_bytes() == (tmp_path / "run" / file).read_bytes()
    with pytest.raises(FolderExists, match="finished"):
        run_folds(config, tmp_path / "run", 3, resume=True)


def _kill_at(place: str, patch: pytest.MonkeyPatch) -> None:
    """Let the run die in fold 2 of 3, before it, or when all folds are trained."""

    def die(*args: Any, **options: Any) -> Any:
        raise Killed

    if place == "mid-fold":
        real = fit_module.Checkpoint.save

        def save(self: Any, state: Any) -> None:
            real(self, state)
            if state["epoch"] == 2 and self.folder.parent.name == "fold-2":
                raise Killed

        patch.setattr(fit_module.Checkpoint, "save", save)
    elif place == "between folds":
        real_fold = crossval._train_fold
        patch.setattr(crossval, "_train_fold", lambda *a: real_fold(*a) if a[2] == 1 else die())
    elif place == "bundle":  # the calibrated bundle is being written over the one without
        real_save = mi.ModelBundle.save

        def save_half(self: Any, folder: Any, **options: Any) -> Any:
            saved = real_save(self, folder, **options)
            if self.calibrator is not None:
                (saved / "bundle.json").unlink()
                raise Killed
            return saved

        patch.setattr(mi.ModelBundle, "save", save_half)
    else:
        patch.setattr(crossval, "report", die)


def test_a_run_goes_on_with_its_own_folds_config_and_data_alone(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(table, tmp_path / "c")
    with monkeypatch.context() as patch:
        _kill_at("before the report", patch)
        with pytest.raises(Killed):
            run_folds(config, tmp_path / "run", 3)
    with pytest.raises(UsageError, match="begun with 3 folds, not 4"):
        run_folds(config, tmp_path / "run", 4, resume=True)
    with pytest.raises(UsageError, match="begun with 3 folds, not none"):
        mi.run(config, tmp_path / "run", resume=True)
    other = config_for(table, tmp_path / "c", fit={"epochs": 4})
    with pytest.raises(UsageError, match="another config"):
        run_folds(other, tmp_path / "run", 3, resume=True)
    text = table.read_text()
    table.write_text(text[: text.rstrip().rindex("\n") + 1])
    with pytest.raises(UsageError, match="other cases, splits or pixels"):
        run_folds(config, tmp_path / "run", 3, resume=True)
    table.write_text(text)
    run_folds(config, tmp_path / "run", 3, resume=True)


def test_folds_that_a_manifest_brings_are_trained_in_that_number_alone(
    table: Path, tmp_path: Path
) -> None:
    manifest = make_folds(mi.index(table), 3, seed=7)
    manifest.save(tmp_path / "m with folds.csv")
    config = config_for(tmp_path / "m with folds.csv", tmp_path / "c")
    with pytest.raises(UsageError, match="--folds 3"):
        mi.run(config, tmp_path / "run")
    with pytest.raises(UsageError, match="3 folds in the manifest, 4 asked for"):
        run_folds(config, tmp_path / "run", 4)
    assert not (tmp_path / "run").exists()
    done = run_folds(config, tmp_path / "run", 3)
    assert mi.Manifest.load(tmp_path / "run/manifest.csv").fingerprint == manifest.fingerprint
    assert len(done.predictions) == 90


@pytest.mark.parametrize("k", [1, -2, 46, 1000])
def test_a_wrong_number_of_folds_leaves_no_folder_behind(
    table: Path, tmp_path: Path, k: int
) -> None:
    with pytest.raises(UsageError, match="from 2 to 45"):
        run_folds(config_for(table, tmp_path / "c"), tmp_path / "run", k)
    assert not (tmp_path / "run").exists()


def test_one_patient_alone_is_refused(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=20, patients=1, size=(8, 8))
    with pytest.raises(UsageError, match="2 folds of 1 groups"):
        run_folds(config_for(table, tmp_path / "c"), tmp_path / "run", 2)


def test_a_patient_in_test_and_train_of_a_fold_stops_the_run_before_anything_is_read(
    table: Path, tmp_path: Path
) -> None:
    manifest = make_folds(mi.index(table), 3)
    assert manifest.folds is not None
    folds = manifest.folds.copy()
    folds[0] = ["train" if split == "test" else "test" for split in folds[0]]
    replace(manifest, folds=folds).save(tmp_path / "m.csv")
    config = config_for(tmp_path / "m.csv", tmp_path / "c")
    with pytest.raises(LeakError, match=f"patient_in_several_splits.*{manifest.case_id[0]}"):
        run_folds(config, tmp_path / "run", 3)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "c").exists()


def test_a_picture_in_several_folds_stops_the_run_unless_it_is_allowed(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=60, size=(8, 8))
    folder = table.parent
    names = [line.split(",")[0] for line in table.read_text().splitlines()[1:]]
    config = config_for(table, tmp_path / "c")
    parts = make_folds(mi.index(table), 3)
    assert parts.folds is not None
    tested = (parts.folds == "test").argmax(axis=1)
    label = parts.targets.argmax(axis=1)
    first = 0
    other = next(r for r in range(60) if tested[r] != tested[0] and label[r] == label[0])
    paths = {parts.case_id[row]: row for row in (first, other)}
    assert {str(name) for name in paths} <= set(names)
    source, copy = (folder / parts.frame["source"][row] for row in (first, other))
    copy.write_bytes(source.read_bytes())
    with pytest.raises(LeakError, match=f"{parts.case_id[first]} = {parts.case_id[other]}"):
        run_folds(config, tmp_path / "run", 3)
    assert not list((tmp_path / "run").glob("fold-*"))
    allow = {"allow": {"pixels_in_several_splits": "a copy that is known"}}
    config = config_for(table, tmp_path / "c", audit=allow)
    run_folds(config, tmp_path / "run", 3, overwrite=True)
    assert "a copy that is known" in (tmp_path / "run/report/index.html").read_text()


def test_what_would_fail_in_a_later_fold_fails_before_the_first(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "f", per_class=30, size=(8, 8))
    one, *others = sorted((folder / "benign").glob("*.png"))
    for path in others:
        path.unlink()
    config = config_for(folder, tmp_path / "c")
    with pytest.raises(DataError, match=r"split train of fold \d has .* of 1 classes"):
        run_folds(config, tmp_path / "run", 3)
    assert not (tmp_path / "run").exists()
    one.rename(one.with_name("again.png"))
    monitored = config_for(
        make_table(tmp_path / "t", n=40, size=(8, 8)),
        tmp_path / "c",
        fit={"monitor": "val_auroc"},
        split={"val": 0, "train": 0.8},
    )
    with pytest.raises(DataError, match="split val of fold 1 has 0 cases"):
        run_folds(monitored, tmp_path / "run", 3)


def test_refused_cases_are_listed_and_the_folds_go_on(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "f", per_class=30, size=(8, 8))
    (folder / "benign" / "7.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    done = run_folds(config_for(folder, tmp_path / "c"), tmp_path / "run", 2)
    assert [r.case_id for r in done.refusals] == ["benign/7.png"]
    assert len(done.predictions) == len(set(done.predictions.case_id)) > 50
    assert "benign/7.png" not in done.predictions.case_id
    for place in ("", "fold-1/", "fold-2/"):
        assert "benign/7.png" in (tmp_path / f"run/{place}errors.csv").read_text()


def test_without_a_method_nothing_is_calibrated_and_it_is_said(table: Path, tmp_path: Path) -> None:
    config = config_for(table, tmp_path / "c", calibration={"method": "none"})
    done = run_folds(config, tmp_path / "run", 2)
    assert not done.evaluation.calibrated
    assert done.predictions.calibrator is None
    assert all(run.bundle.calibrator is None for run in done.runs)
    assert "not calibrated" in (tmp_path / "run/report/index.html").read_text()


def test_each_fold_has_thresholds_that_were_chosen_on_the_others(
    table: Path, tmp_path: Path
) -> None:
    config = config_for(table, tmp_path / "c", data={"positive": "malignant"})
    done = run_folds(config, tmp_path / "run", 2)
    tests = [mi.Predictions.load(run.folder / "predictions/test.csv") for run in done.runs]
    for own, other, run in zip(tests, tests[::-1], done.runs, strict=True):
        others = pool([other.with_calibrator(None)])
        assert run.bundle.calibrator == mi.fit_calibrator(others)
        calibrated = others.with_calibrator(run.bundle.calibrator)
        assert own.thresholds == run.bundle.thresholds == choose_points(calibrated, ["youden"])
    assert done.predictions.thresholds == ()


def test_cases_held_out_and_folds_exclude_each_other(table: Path, tmp_path: Path) -> None:
    config = config_for(table, tmp_path / "c", split={"hold_out": ["site=A"]})
    with pytest.raises(UsageError, match="held out"):
        run_folds(config, tmp_path / "run", 3)


def test_patients_appear_by_pseudonym_outside_the_manifests(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=60, patients=30, size=(8, 8))
    table.write_text(table.read_text().replace(",0", ",JOHN^DOE^0"))
    run_folds(config_for(table, tmp_path / "c"), tmp_path / "run", 2)
    assert "JOHN" in (tmp_path / "run/fold-2/manifest.csv").read_text()
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file() and path.name != "manifest.csv":
            assert b"JOHN" not in path.read_bytes(), path


def test_pooled_parts_may_know_patients_or_not() -> None:
    first = make_predictions(20, patients=5)
    second = make_predictions(50).take(np.arange(20, 50))
    pooled = pool([first, second])
    assert pooled.patient_id is not None
    assert (pooled.patient_id[20:] == "").all()
    assert pool([first]).patient_id is not None
    assert pool([second]).patient_id is None


def brought(manifest: mi.Manifest, folds: list[list[str]], folder: Path) -> mi.RunConfig:
    """Save a manifest with these folds; return the config of a training over them."""
    folder.mkdir(exist_ok=True)
    replace(manifest, folds=np.array(folds, object)).save(folder / "m.csv")
    return config_for(folder / "m.csv", folder / "c")


def test_brought_folds_test_each_case_and_group_once(table: Path, tmp_path: Path) -> None:
    sound = make_folds(mi.index(table), 3)
    assert sound.folds is not None
    patient = sound.frame["patient_id"].to_numpy()
    mine = patient == patient[0]
    fold = int((sound.folds[0] == "test").argmax())
    elsewhere = np.array(["none"] * 3, object)
    elsewhere[(fold + 1) % 3] = "test"
    twice, never, parted = (sound.folds.copy() for _ in range(3))
    twice[mine, (fold + 1) % 3] = "test"
    never[mine] = "train"
    parted[mine] = "none"
    parted[np.flatnonzero(mine)[0], fold] = "test"
    parted[np.flatnonzero(mine)[1:]] = elsewhere
    first, n = sound.case_id[0], int(mine.sum())
    for folds, said in (
        (twice, f"{n} cases are tested in several folds, the first '{first}'"),
        (never, f"{n} cases take part in the folds and are never tested, the first '{first}'"),
        (parted, rf"{n} cases are of groups \(patient_id\) that are .* the first '{first}'"),
    ):
        config = brought(sound, folds.tolist(), tmp_path / "b")
        with pytest.raises(ManifestError, match=said):
            run_folds(config, tmp_path / "run", 3)
        assert not (tmp_path / "run").exists()


def test_a_case_may_be_none_where_it_is_not_tested_and_is_on_record_where_it_calibrated(
    table: Path, tmp_path: Path
) -> None:
    manifest = mi.index(table)
    names = sorted({*manifest.frame["patient_id"]})
    kind = {name: number % 3 for number, name in enumerate(names)}
    rows = [["test", "train"], ["train", "test"], ["none", "test"]]
    folds = [rows[kind[name]] for name in manifest.frame["patient_id"]]
    config = brought(manifest, folds, tmp_path / "b")
    done = run_folds(config, tmp_path / "run", 2)
    assert set(done.predictions.metadata["seen"]) == {"no"}
    store = mi.ImageStore.build(
        mi.Manifest.load(tmp_path / "b" / "m.csv"), done.runs[0].bundle.preprocess, tmp_path / "s"
    )
    seen = done.runs[0].bundle.predict(store).metadata["seen"]
    told = {rows.index(own): word for own, word in zip(folds, seen, strict=True)}
    assert told == {0: "no", 1: "train", 2: "calib"}
    assert set(seen) == set(told.values())
    loaded = mi.ModelBundle.load(tmp_path / "run" / "fold-1" / "bundle")
    assert loaded.members == done.runs[0].bundle.members


def test_a_fold_that_could_not_be_calibrated_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    table = make_table(tmp_path / "t", n=60, patients=30, size=(8, 8))
    manifest = mi.index(table)
    space = mi.LabelSpace(("left", "right"), "multilabel")
    fold = np.unique(manifest.frame["patient_id"], return_inverse=True)[1] % 2
    targets = np.full((60, 2), np.nan, np.float32)
    targets[fold == 1, 0] = 1  # only findings are known of those that the second fold tests
    targets[fold == 0, 0] = np.arange((fold == 0).sum()) % 2
    folds = [["train", "test"] if number else ["test", "train"] for number in fold]
    two = replace(manifest, targets=targets, space=space)
    config = brought(two, folds, tmp_path / "b")
    with pytest.raises(DataError, match=r"fold 1 could not be calibrated: .* are all alike"):
        run_folds(config, tmp_path / "run", 2)
    assert not (tmp_path / "run").exists()
    off = config_for(tmp_path / "b/m.csv", tmp_path / "c", calibration={"method": "none"})
    assert not run_folds(off, tmp_path / "run", 2).evaluation.calibrated


def test_a_group_that_is_chained_through_a_case_of_no_fold_is_not_tested_twice() -> None:
    cases = make_manifest(4)
    columns = {"patient_id": ["p", "p", "", "q"], "lesion": ["", "L", "L", ""]}
    for name, cells in columns.items():
        cases = cases.with_column(name, np.array(cells, object))
    folds = [["test", "train"], ["none", "none"], ["train", "test"], ["train", "test"]]
    brought = replace(cases, folds=np.array(folds, object))
    require_sound_folds(brought, ("patient_id",), "own")
    with pytest.raises(ManifestError, match="2 cases are of groups"):
        require_sound_folds(brought, ("patient_id", "lesion"), "own")
