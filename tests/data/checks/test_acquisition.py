"""Metadata that predict the label, and prevalence by site, beside what chance gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medimg.data.checks.acquisition import Predictors, predictors
from medimg.data.checks.bins import binned
from medimg.data.checks.permute import Blocks, likeness, null_range
from medimg.data.checks.ridge import within_fold_auroc
from medimg.data.checks.sites import prevalence
from medimg.data.groups import group_of
from medimg.data.index import index
from medimg.data.manifest import Manifest
from medimg.labels import LabelSpace

TWO = LabelSpace(("benign", "malignant"), positive="malignant")


def table(
    labels: NDArray[Any],
    patients: NDArray[Any],
    metadata: dict[str, Any],
    space: LabelSpace = TWO,
    split: str = "train",
) -> Manifest:
    """Return a manifest of class numbers (N,), or of targets (N, K)."""
    frame = pd.DataFrame({"case_id": [f"c{i:05d}" for i in range(len(labels))]}, dtype=object)
    frame["source"] = frame["case_id"] + ".png"
    frame["patient_id"] = [f"p{i}" for i in patients]
    frame["split"] = split
    for name, cells in metadata.items():
        frame[name] = np.array(cells).astype(str).astype(object)
    targets = labels if labels.ndim == 2 else space.one_hot(labels)
    return Manifest(frame, targets, space, Path())


def clustered(
    groups: NDArray[Any], values: int, alike: float, rng: np.random.Generator
) -> NDArray[Any]:
    """Return values (N,), in each case that of its group with this chance, else its own."""
    shared = rng.integers(values, size=groups.max() + 1)[groups]
    return np.where(rng.random(len(groups)) < alike, shared, rng.integers(values, size=len(groups)))


def tried(manifest: Manifest, seed: int = 0) -> Predictors:
    return predictors(manifest, groups=group_of(manifest), seed=seed)


def row(found: Predictors, name: str) -> dict[str, Any]:
    (one,) = (dict(r) for r in found.rows if r["name"].startswith(name))
    return one


# ---------------------------------------------------------------- bins


GROUPS = np.arange(40) // 2


@pytest.mark.parametrize(
    ("cells", "categories"),
    [
        ([str(i) for i in range(40)], 10),
        ([f"{i:03d}Y" for i in range(40)], 10),
        ([f"2024-01-{i % 28 + 1:02d}T10:00" for i in range(40)], 10),
        ([f"{i},5" for i in range(40)], 10),
        (["1", "1.0", "1e0", "2"] * 10, 2),
        (["a", " a", "b", ""] * 10, 3),
        (["40", "80", "", "n/a"] * 10, 4),
        ([str(i) for i in range(38)] + ["unknown"] * 2, 11),
    ],
)
def test_numbers_ages_and_dates_fall_into_ten_bins_and_words_into_their_own(
    cells: list[str], categories: int
) -> None:
    column = binned(np.array(cells, object), GROUPS)
    assert column.codes.shape == (40, 1)
    assert len(np.unique(column.codes)) == categories


def test_several_values_of_a_cell_are_columns_of_their_own() -> None:
    column = binned(np.array(["CT\\A", "CT\\B"] * 20, object), GROUPS)
    assert column.codes.shape == (40, 1), "the first value is the same everywhere"
    assert (column.codes[::2] != column.codes[1::2]).all()


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["0", "0.000", "+0"] * 14, "one value only"),
        ([""] * 42, "one value only"),
        ([f"name{i // 2}" for i in range(42)], "hardly a value is shared by two patients"),
    ],
)
def test_columns_that_can_tell_nothing_are_passed_over(cells: list[str], reason: str) -> None:
    assert binned(np.array(cells, object), np.arange(42) // 2).reason == reason


@pytest.mark.parametrize(
    "odd", ["1e999", "9" * 400, "nan", "inf", "\\" * 20, "\0", "٣", "é" * 1000, "-", "1,2,3"]
)
def test_odd_cells_are_words(odd: str) -> None:
    cells = np.array(([odd] * 4 + ["x"] * 4) * 5, object)
    column = binned(cells, np.arange(40))
    assert (column.codes[:4] == column.codes[0]).all()


def test_one_long_report_among_cells_takes_no_memory_of_its_own_a_row() -> None:
    cells = np.array(["x" * 10_000_000] + ["a", "b"] * 5000, object)
    assert len(np.unique(binned(cells, np.arange(10_001)).codes)) == 3


def test_cells_without_text_are_blank() -> None:
    cells = np.array([None, float("nan"), pd.NA, ""] * 5 + ["x"] * 20, object)
    assert len(np.unique(binned(cells, GROUPS).codes)) == 2


# ---------------------------------------------------------------- permutations


def test_permuted_labels_of_patients_of_one_size_are_those_of_another_patient() -> None:
    sizes = np.full(12, 3)
    blocks = Blocks(np.arange(36), sizes)
    donors = blocks.permuted(50, np.random.default_rng(0), 0.3)
    assert (donors[:, 0] == np.arange(36)).all()
    for column in donors.T:
        assert sorted(column) == list(range(36))
        owners = (column // 3).reshape(12, 3)
        assert (owners == owners[:, :1]).all()
        assert ((np.diff(column.reshape(12, 3), axis=1) % 3) == 1).all(), "in their order"


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_permuted_labels_are_as_alike_within_patients_as_the_true_ones(alike: float) -> None:
    rng = np.random.default_rng(1)
    sizes = np.r_[np.full(600, 1), np.full(60, 20)]
    blocks = Blocks(np.arange(sizes.sum()), sizes)
    labels = (clustered(blocks.groups, 10, np.sqrt(alike), rng) < 3).astype(np.float32)[:, None]
    measured = likeness(labels, blocks.groups)
    assert measured == pytest.approx(alike, abs=0.15)
    donors = blocks.permuted(40, rng, measured)
    again = [likeness(labels[donor], blocks.groups) for donor in donors.T[1:]]
    assert np.mean(again) == pytest.approx(measured, abs=0.1)


def test_likeness_of_a_case_worked_out_by_hand() -> None:
    # Pairs of one group differ in 1 of 2 groups: mean squared difference 1/2, of any two 1/2.
    labels = np.array([[0.0], [1.0], [1.0], [1.0], [0.0], [0.0]], np.float32)
    groups = np.array([0, 0, 1, 1, 2, 3])
    assert likeness(labels, groups) == pytest.approx(1 - 0.5 / (2 * 0.25))
    assert likeness(labels[2:], np.array([0, 0, 1, 1])) == 1
    assert likeness(labels, np.arange(6)) == 1


def test_a_draw_from_the_same_law_lies_above_the_range_one_time_in_forty() -> None:
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((4000, 201))
    above = np.mean([d[0] > null_range(d[1:])[1] for d in draws])
    assert above == pytest.approx(0.025, abs=0.008)


def test_folds_keep_patients_whole_and_hold_about_equally_many_cases() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.geometric(0.3, 200)
    blocks = Blocks(np.arange(sizes.sum()), sizes)
    for fold in blocks.folds(5, 5, rng):
        assert all(len(np.unique(fold[blocks.groups == g])) == 1 for g in range(200))
        counts = np.bincount(fold, minlength=5)
        assert np.ptp(counts) <= sizes.max() + 10


def test_large_sets_are_thinned_by_whole_patients() -> None:
    sizes = np.r_[np.full(1000, 5), 4000]
    blocks = Blocks(np.arange(sizes.sum()), sizes)
    small = blocks.sampled(1000, np.random.default_rng(0))
    assert 900 < len(small.rows) <= 1000
    assert set(small.sizes) <= {5, 50}


# ---------------------------------------------------------------- the model


@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_the_closed_form_is_the_plain_regression_and_auroc(unknown: float) -> None:
    """Against one ridge regression a fold by scikit-learn and every pair of cases counted."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(3)
    codes = np.column_stack([rng.integers(4, size=120), rng.integers(3, size=120)])
    labels = rng.integers(2, size=(120, 3)).astype(np.float32)
    labels[rng.random(labels.shape) < unknown] = np.nan
    folds = np.stack([rng.permutation(np.arange(120) % 5) for _ in range(2)]).astype(np.int8)
    found = within_fold_auroc(codes, labels, folds)
    design = np.hstack([np.eye(4)[codes[:, 0]], np.eye(3)[codes[:, 1]]])
    for k in range(3):
        right = pairs = 0.0
        for fold in (f == i for f in folds for i in range(5)):
            own = labels[:, k]
            mean = np.nanmean(own[~fold])
            model = Ridge(alpha=1.0).fit(design[~fold], np.nan_to_num(own[~fold] - mean))
            # The intercept moves all scores of a fold alike.
            score = np.round(model.predict(design[fold]), 7)
            difference = score[own[fold] == 1][:, None] - score[own[fold] == 0]
            right += (difference > 0).sum() + (difference == 0).sum() / 2
            pairs += difference.size
        assert found[k] == pytest.approx(right / pairs, abs=1e-6)


def test_a_perfect_predictor_scores_one_and_noise_lies_in_the_range() -> None:
    rng = np.random.default_rng(0)
    patients = np.arange(120) // 2
    y = clustered(patients, 2, 1, rng)
    found = tried(table(y, patients, {"scanner": y, "noise": rng.integers(4, size=120)}))
    assert row(found, "scanner")["auroc"] == 1
    assert row(found, "scanner")["outside"]
    noise = row(found, "noise")
    assert noise["low"] < noise["auroc"] < noise["high"]
    assert found.finding is not None
    assert [r["columns"] for r in found.finding.details["predictors"]] == ["scanner"]


def test_a_predictor_is_found_where_each_patient_has_both_classes_in_turn() -> None:
    """Whole label sequences passed on unshifted would all be the same, and nothing be found."""
    y = np.arange(80) % 2
    found = tried(table(y, np.arange(80) // 2, {"phase": np.where(y, "venous", "native")}))
    assert row(found, "phase")["auroc"] == 1
    assert row(found, "phase")["high"] < 0.8


def test_a_predictor_is_found_where_ill_patients_have_more_cases() -> None:
    """Labels exchanged among patients of equally many cases alone would never change."""
    patients = np.r_[np.repeat(np.arange(30), 5), np.arange(30, 130)]
    y = (patients < 30).astype(int)
    found = tried(table(y, patients, {"hospital": np.where(y, "A", "B")}))
    assert row(found, "hospital")["outside"]


def test_interactions_aside_joint_columns_say_more_than_each() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(4, size=(2, 600))
    y = (a + b + rng.normal(0, 0.5, 600) > 3).astype(int)
    found = tried(table(y, np.arange(600), {"Window Center": a, "window_width": b}))
    joint = row(found, "window (2 columns)")
    assert joint["auroc"] > max(row(found, "Window C")["auroc"], row(found, "window_")["auroc"])
    assert [r["name"] for r in found.rows if r["name"].startswith("acq")] == [], "the same columns"


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
def test_every_kind_of_label_space_is_looked_at_class_by_class(kind: Any) -> None:
    rng = np.random.default_rng(0)
    space = LabelSpace(("a", "b", "c", "rare"), kind)
    y = rng.integers(3, size=300)
    targets = np.eye(4, dtype=np.float32)[y]
    if kind == "multilabel":
        targets[rng.random(targets.shape) < 0.1] = np.nan
    else:
        targets[::10] = np.nan
    found = tried(table(targets, np.arange(300), {"site": y == 1}, space))
    site = row(found, "site")
    assert site["outside"]
    assert set(site["classes"]) == {"a", "b", "c"}
    assert site["classes"]["b"] == 1
    assert any("rare" in note for note in found.notes)


def test_neither_the_order_of_rows_nor_case_ids_nor_numbers_of_groups_matter() -> None:
    rng = np.random.default_rng(0)
    patients = rng.integers(40, size=150)
    y = clustered(patients, 2, 0.8, rng)
    first = table(y, patients, {"KVP": clustered(patients, 5, 0.8, rng), "site": y})
    order = rng.permutation(150)
    frame = first.frame.iloc[order].reset_index(drop=True)
    frame["case_id"] = [f"z{i}" for i in rng.permutation(150)]
    second = Manifest(frame, first.targets[order], TWO, Path())
    names, numbers = np.unique(second.frame["patient_id"].astype(str), return_inverse=True)
    other = rng.permutation(len(names))[numbers]
    assert predictors(second, groups=other).rows == tried(first).rows
    assert prevalence(second, groups=other) == prevalence(first, groups=group_of(first))
    assert tried(first, seed=1).rows != tried(first).rows


@pytest.mark.parametrize(
    ("labels", "patients", "metadata", "words"),
    [
        (np.arange(60) % 2, np.zeros(60, int), {"site": "A"}, "1 patients"),
        (np.zeros(60, int), np.arange(60), {"site": "A"}, "no class"),
        (np.full(60, -1), np.arange(60), {"site": "A"}, "0 patients"),
        (np.arange(60) % 2, np.arange(60), {}, "there are none"),
    ],
)
def test_where_nothing_can_be_said_the_notes_say_why(
    labels: Any, patients: Any, metadata: Any, words: str
) -> None:
    found = tried(table(labels, patients, metadata))
    assert found.rows == ()
    assert found.finding is None
    assert any(words in note for note in found.notes)


def test_cases_of_split_none_take_no_part() -> None:
    found = tried(
        table(np.arange(60) % 2, np.arange(60), {"site": np.arange(60) % 2}, split="none")
    )
    assert found.rows == ()


def test_no_value_of_a_column_leaves_but_its_name() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    who = np.where(y, "SECRET^ANNA", "SECRET^BERTA")
    found = tried(table(y, np.arange(200), {"operator": who, "note": [f"SECRET{i}" for i in y]}))
    assert found.finding is not None
    assert "SECRET" not in str((found, found.finding.to_dict()))


# ---------------------------------------------------------------- sites


def test_prevalence_by_site_is_named_with_its_shares() -> None:
    rng = np.random.default_rng(0)
    site = np.repeat(["A", "B", "C"], [100, 100, 5])
    y = (rng.random(205) < np.where(site == "A", 0.2, 0.8)).astype(int)
    manifest = table(y, np.arange(205), {"site": site, "InstitutionName": site, "scanner": "x"})
    found = prevalence(manifest, groups=group_of(manifest))
    assert found is not None
    assert found.code == "prevalence_differs_by_site"
    rows = found.details["site"]
    assert [(r["value"], r["cases"]) for r in rows] == [("A", 100), ("B", 100)]
    assert rows[0]["share of malignant"] == pytest.approx(y[:100].mean(), abs=1e-4)
    hidden = found.details["InstitutionName"]
    assert [r["value"] for r in hidden] == ["InstitutionName 1", "InstitutionName 2"]
    assert "scanner" not in found.details


def test_equal_prevalence_is_no_finding_though_patients_have_many_cases() -> None:
    """Twelve patients of 50 cases: case by case, sites would differ in most such tables."""
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        patients = np.repeat(np.arange(16), 50)
        y, site = (clustered(patients, 2, alike, rng) for alike in (0.9, 1.0))
        manifest = table(y, patients, {"site": site})
        found += prevalence(manifest, groups=group_of(manifest)) is not None
    assert found <= 4


# ---------------------------------------------------------------- calibration, and real data

SIZES = {
    "one": lambda rng: np.ones(120, int),
    "geometric": lambda rng: rng.geometric(0.25, 60),
    "giants": lambda rng: np.r_[np.ones(100, int), np.full(10, 30)],
}


def false_alarms(sizes: str, alike: tuple[float, float], tables: int) -> float:
    """Return the share of tables in which independent metadata lie above the range."""
    above = 0
    for seed in range(tables):
        rng = np.random.default_rng([seed, 5])
        patients = np.repeat(np.arange(len(s := SIZES[sizes](rng))), s)
        y = (clustered(patients, 10, alike[0], rng) < 4).astype(int)
        found = tried(table(y, patients, {"tag": clustered(patients, 6, alike[1], rng)}), seed)
        above += found.finding is not None
    return above / tables


def test_metadata_that_go_together_within_patients_are_no_finding_by_chance() -> None:
    assert false_alarms("geometric", (0.8, 0.9), 60) <= 5 / 60


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("alike", [(1.0, 1.0), (0.7, 0.9), (0.0, 1.0)])
def test_false_alarms_are_at_most_one_in_twenty(sizes: str, alike: tuple[float, float]) -> None:
    assert false_alarms(sizes, alike, 400) <= 0.05


@pytest.mark.data
def test_the_window_of_ct_contrast_predicts_its_label(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "ct_contrast"
    manifest = index(
        folder, labels=folder / "overview.csv", key="dicom_name=file", label=["Contrast"]
    )
    found = tried(manifest)
    window = row(found, "window (2")
    assert window["columns"] == ["WindowCenter", "WindowWidth"]
    assert window["auroc"] == pytest.approx(0.77, abs=0.02)
    assert window["auroc"] > window["high"] + 0.05
    above = {r["name"] for r in found.rows if r.get("outside") and r["auroc"] > r["high"]}
    assert {"WindowCenter", "WindowWidth", "ConvolutionKernel", "SliceThickness"} <= above
    for name in ("id", "index", "raw_input_path"):
        assert row(found, name)["auroc"] == 1
    within = {r["name"] for r in found.rows if not r.get("outside", True)}
    assert {"PatientAge", "PatientSex", "KVP", "Exposure", "XRayTubeCurrent"} <= within
    passed = {r["name"]: r["reason"] for r in found.rows if r["auroc"] is None}
    assert passed["Modality"] == passed["GantryDetectorTilt"] == "one value only"
    assert "tiff_name" in passed
