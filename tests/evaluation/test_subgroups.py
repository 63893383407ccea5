"""Subgroups: their metrics, their gaps, and what is kept back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from medimg.errors import UsageError
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.intervals.proportions import wilson
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import Resampled, Sample
from medimg.evaluation.subgroups.parts import against_rest
from medimg.evaluation.subgroups.subgroups import subgroups
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

ILL = LabelSpace(("well", "ill"), positive="ill")


def options(*columns, resamples=200, seed=0):
    return EvaluateOptions(subgroups=columns, resamples=resamples, seed=seed)


def binary(rng, group, *, images=1, prevalence=0.3, gain=1.8):
    """Return predictions of one patient an entry of `group`; its value is added to the gain."""
    group = np.repeat(group, images)
    y = np.repeat(rng.random(len(group) // images) < prevalence, images).astype(int)
    own = np.repeat(rng.normal(size=len(group) // images), images)
    noise = np.sqrt(0.6) * own + np.sqrt(0.4) * rng.normal(size=len(group))
    z = (gain + group) * (y - 0.5) + noise
    return Predictions(
        [f"{i:05d}" for i in range(len(y))],
        np.stack([0 * z, 1.8 * z - 0.8], axis=1),
        "logits",
        ILL,
        ILL.one_hot(y),
        patient_id=[f"p{i // images:05d}" for i in range(len(y))],
    )


def of(predictions, cells, **more):
    frame = pd.DataFrame({"site": cells})
    return subgroups(Sample.of(predictions), frame, options("site", **more))[0]


@pytest.mark.parametrize(("kind", "k"), [("multiclass", 2), ("ordinal", 3), ("multilabel", 3)])
def test_each_group_has_the_values_of_an_evaluation_of_its_cases_alone(make, kind, k):
    p = make(400, k, kind=kind, positive="b" if k == 2 else None, images=2, unknown=0.05)
    p = p.take(p.known)
    cells = np.where(np.arange(len(p)) % 3 == 0, "A", "B")
    found = of(p, cells)
    assert [g.name for g in found.groups] == ["A", "B"]
    for group in found.groups:
        alone = evaluate(p.take(cells == group.name), options())
        assert (group.n, group.n_patients) == (alone.n, alone.n_patients)
        for name, estimate in group.metrics.items():
            expected = alone.metrics[name]
            assert estimate.value == pytest.approx(expected.value, abs=1e-12), name
            assert (estimate.low is None) == (expected.low is None), name
            if estimate.method == "wilson":
                assert (estimate.low, estimate.high) == (expected.low, expected.high)


def test_gap_is_the_group_less_all_others_by_hand():
    y = [1, 1, 1, 1, 0] * 8 + [1, 0, 0, 0, 0] * 16
    right = [True] * 36 + [False] * 4 + [True] * 60 + [False] * 20
    p1 = np.where(np.asarray(y, bool) == np.asarray(right), 0.9, 0.1)
    p = Predictions(
        [f"{i:03d}" for i in range(120)],
        np.stack([1 - p1, p1], axis=1),
        "probabilities",
        ILL,
        ILL.one_hot(y),
    )
    found = of(p, ["A"] * 40 + ["B"] * 80)
    one, two = (group.gaps["accuracy"] for group in found.groups)
    assert (one.value, two.value) == pytest.approx((0.15, -0.15))
    low, high = wilson(36, 40), wilson(60, 80)
    below = np.hypot(0.9 - low[0], high[1] - 0.75)
    # Two groups are one comparison: the common critical value is about that of one.
    assert one.value - one.low == pytest.approx(below, rel=0.15)
    assert (one.n, one.method, one.unit, one.expected) == (40, "max-t", "case", 0.0)
    assert found.worst["accuracy"] == "B"


def test_a_group_that_is_worse_is_found_and_named():
    rng = np.random.default_rng(0)
    site = np.repeat([0.0, 0.0, -1.8], 150)
    p = binary(rng, site)
    found = of(p, np.repeat(["A", "B", "C"], 150))
    assert found.worst["auroc"] == found.worst["brier"] == "C"
    gaps = {g.name: g.gaps for g in found.groups}
    assert gaps["C"]["auroc"].high < 0 < gaps["C"]["brier"].low
    assert gaps["C"]["auroc"].p < 0.02
    assert "prevalence" not in found.worst
    assert "f1_macro" not in found.groups[0].metrics


def test_small_groups_and_what_would_tell_of_them_are_kept_back():
    p = binary(np.random.default_rng(0), np.zeros(60))
    found = of(p, ["A"] * 55 + ["Mary's ward"] * 5)
    assert [g.name for g in found.groups] == ["A"]
    assert (found.suppressed, found.suppressed_cases) == (1, 5)
    assert found.groups[0].gaps == {}
    assert "Mary" not in json.dumps(asdict(found))


def test_a_group_with_few_ill_patients_has_values_without_intervals():
    rng = np.random.default_rng(0)
    p = binary(rng, np.zeros(200))
    y = p.targets[:, 1] == 1
    cells = np.where(y & (np.cumsum(y) <= 5) | ~y & (np.arange(200) < 60), "few", "many")
    few = next(g for g in of(p, cells).groups if g.name == "few")
    assert few.metrics["auroc"].value is not None
    assert few.metrics["auroc"].low is None
    assert few.gaps["auroc"].low is None
    assert few.gaps["auroc"].reason.startswith("in the group: fewer than ten patients")
    assert few.gaps["auroc"].p is None


def test_a_patient_in_two_groups_stays_one():
    rng = np.random.default_rng(0)
    p = binary(rng, np.zeros(100), images=4)
    cells = np.where(np.arange(400) % 4 < 2, "left", "right")
    left, right = of(p, cells).groups
    assert (left.n_patients, right.n_patients) == (100, 100)
    apart = of(p, np.repeat(["left", "right"], 200)).groups[0]
    # Both sides share the patients, so that their difference knows more than that of strangers.
    widths = [g.gaps["accuracy"].high - g.gaps["accuracy"].low for g in (left, apart)]
    assert widths[0] < 0.8 * widths[1]


def test_no_order_of_the_rows_changes_a_number(shuffled):
    rng = np.random.default_rng(0)
    p = binary(rng, np.zeros(90), images=2)
    cells = np.asarray([f"site {i % 3}" for i in range(180)], object)
    other = shuffled(replace(p, metadata=pd.DataFrame({"site": cells})))
    again = subgroups(Sample.of(other), other.metadata, options("site"))[0]
    assert again == of(p, cells)
    assert again != of(p, cells, seed=1)


def test_nothing_global_and_no_nan_is_left(make):
    p = make(120, 3, images=1)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = of(p, ["A", "B", ""] * 40)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    json.dumps(asdict(found), allow_nan=False)


def test_resamples_in_which_a_group_has_lost_a_class_are_drawn_again_and_counted(monkeypatch):
    rng = np.random.default_rng(0)
    p = binary(rng, np.zeros(120), prevalence=0.5)
    y = p.targets[:, 1] == 1
    few = y & (np.cumsum(y) <= 4) | ~y & (np.arange(120) < 60)
    found = {}
    monkeypatch.setattr("medimg.evaluation.sample.sums.MIN_UNITS", 4)
    monkeypatch.setattr(
        "medimg.evaluation.subgroups.parts.GroupAgainstRest.of",
        lambda parts, drawn, names: found.setdefault(len(found), drawn),
    )
    masks = {"few": few, "many": ~few}
    _, redrawn = against_rest(Sample.of(p), masks, ["auroc", "sensitivity"], options())
    assert 0 < redrawn < 20
    assert all(np.isfinite(each["auroc"]).all() for drawn in found.values() for each in drawn)


def test_a_redrawn_resample_stands_in_the_note(monkeypatch):
    monkeypatch.setattr(
        "medimg.evaluation.subgroups.subgroups.against_rest",
        lambda *args: (against_rest(*args)[0], 3),
    )
    p = binary(np.random.default_rng(0), np.zeros(60))
    assert of(p, ["A", "B"] * 30).note.startswith("3 resamples in which a group had lost a class")


def test_only_what_is_shown_is_resampled(monkeypatch):
    asked = []

    class Seen(Resampled):
        def __init__(self, sample, names=None):
            asked.append(set(names))
            super().__init__(sample, names)

    monkeypatch.setattr("medimg.evaluation.subgroups.parts.Resampled", Seen)
    of(binary(np.random.default_rng(0), np.zeros(60)), ["A", "B"] * 30)
    assert len(asked) == 4
    assert not any({"mcc", "nll", "auroc_partial"} & names for names in asked)


def test_one_class_in_a_group_gives_nulls_with_reasons():
    rng = np.random.default_rng(0)
    p = binary(rng, np.zeros(200))
    cells = np.where(p.targets[:, 1] == 1, "ill alone", "well alone")
    found = of(p, cells)
    for group in found.groups:
        assert group.metrics["auroc"].value is None
        assert group.gaps["auroc"].value is None
        assert group.gaps["auroc"].reason
    json.dumps(asdict(found), allow_nan=False)


def test_without_a_target_condition_its_metrics_are_null_in_every_group(make):
    found = of(make(120, 2), ["A", "B"] * 60)
    for group in found.groups:
        assert (group.metrics["ppv"].value, group.gaps["ppv"].value) == (None, None)
        assert "no target condition" in group.gaps["ppv"].reason
        assert group.gaps["auroc"].low < group.gaps["auroc"].value < group.gaps["auroc"].high


def test_a_column_that_is_not_there_is_refused(make):
    p = make(50, 3)
    with pytest.raises(UsageError, match="no column 'sex'"):
        subgroups(Sample.of(p), pd.DataFrame({"age": ["1"] * 50}), options("sex"))
    assert subgroups(Sample.of(p), pd.DataFrame({"age": ["1"] * 50}), options()) == ()


def hold_together(sites, patients, images, runs, metrics):
    """Return how often all gaps of a metric that have an interval cover their true value, 0."""
    hits = {name: [] for name in metrics}
    for seed in range(runs):
        p = binary(np.random.default_rng(seed), np.zeros(sites * patients), images=images)
        cells = np.repeat([f"site {i}" for i in range(sites)], patients * images)
        groups = of(p, cells, seed=seed).groups
        for name, hit in hits.items():
            gaps = [g.gaps[name] for g in groups if g.gaps[name].low is not None]
            if gaps:
                hit.append(all(e.low <= 0 <= e.high for e in gaps))
    return {name: np.mean(hit) for name, hit in hits.items() if hit}


def test_gaps_hold_together_in_a_small_simulation():
    found = hold_together(4, 50, 1, runs=25, metrics=("accuracy", "sensitivity"))
    assert min(found.values()) >= 0.8


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("sites", "patients", "images"), [(4, 40, 1), (4, 100, 1), (3, 60, 5)])
def test_gaps_hold_together(sites, patients, images):
    names = ("accuracy", "sensitivity", "specificity", "auroc", "brier")
    found = hold_together(sites, patients, images, runs=400, metrics=names)
    assert all(share >= 0.9 for share in found.values()), found
