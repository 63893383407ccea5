"""How two sets differ: people, scores, metrics, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medimg.errors import PredictionsError, UsageError
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import resample
from medimg.evaluation.shift.shift import shift
from medimg.evaluation.shift.sides import mean_of
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

FEW = EvaluateOptions(resamples=200)
ILL = LabelSpace(("well", "ill"), positive="ill")


def draw(seed, n=200, *, prevalence=0.3, offset=0.0, images=1, name="c"):
    """Return predictions of n patients; `offset` is added to every logit of `ill`."""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.random(n) < prevalence, images).astype(int)
    own = np.repeat(rng.normal(size=n), images)
    z = 1.8 * (y - 0.5) + np.sqrt(0.6) * own + np.sqrt(0.4) * rng.normal(size=n * images)
    return Predictions(
        [f"{name}{i:05d}" for i in range(len(y))],
        np.stack([0 * z, 1.8 * z - 0.85 + offset], axis=1),
        "logits",
        ILL,
        ILL.one_hot(y),
        patient_id=[f"{name}{i // images:05d}" for i in range(len(y))],
        split=["test"] * len(y),
    )


def others(p):
    """Return predictions whose cases and patients are others by name."""
    names = (np.asarray([f"other {i}" for i in ids]) for ids in (p.case_id, p.patient_id))
    case, patient = names
    return replace(p, case_id=case, patient_id=patient)


def rows(found):
    return {row.what: row for row in (*found.rows, *found.metrics)}


@pytest.mark.parametrize(("kind", "k"), [("multiclass", 2), ("ordinal", 3), ("multilabel", 3)])
def test_every_metric_of_both_sides_stands_beside_its_difference(make, kind, k):
    positive = "b" if k == 2 else None
    one = make(200, k, kind=kind, positive=positive, images=1, unknown=0.05)
    two = others(make(300, k, kind=kind, positive=positive, images=1, seed=1, gain=0.5))
    found = shift(one, two, FEW)
    assert shift(one, two, FEW, evaluate(one, FEW).metrics).metrics
    here, there = evaluate(one, FEW).metrics, evaluate(two, FEW).metrics
    assert found.metrics
    for row in found.metrics:
        assert row.here == pytest.approx(here[row.what].value, abs=1e-12)
        assert row.reference == pytest.approx(there[row.what].value, abs=1e-12)
        assert row.difference.value == pytest.approx(row.here - row.reference)
        if row.difference.low is not None:
            assert row.difference.low < row.difference.value < row.difference.high
    assert (found.reference, found.n_reference) == ("test", 300)
    json.dumps(asdict(found), allow_nan=False)


def test_counts_shares_and_probabilities_are_those_of_each_side():
    one, two = draw(0, 100, images=2), draw(1, 250, name="d", offset=1.0)
    found = rows(shift(one, two, FEW))
    assert (found["cases"].here, found["cases"].reference) == (200, 250)
    assert (found["patients"].here, found["patients"].reference) == (100, 250)
    assert found["cases"].difference.reason == "a count"
    p = found["probability of ill, mean"]
    assert p.here == pytest.approx(one.probabilities[:, 1].mean())
    assert p.reference == pytest.approx(two.probabilities[:, 1].mean())
    spread = found["probability of ill, standard deviation"]
    assert spread.here == pytest.approx(one.probabilities[:, 1].std())
    large = found["prevalence less mean probability of ill"]
    assert large.here == pytest.approx((one.targets - one.probabilities)[:, 1].mean())
    assert large.difference.value == pytest.approx(large.here - large.reference)
    assert found["prevalence of ill"].here == pytest.approx(one.targets[:, 1].mean())
    distance = found["probability of ill, KS distance"].difference
    expected = stats.ks_2samp(one.probabilities[:, 1], two.probabilities[:, 1]).statistic
    assert distance.value == pytest.approx(expected)
    assert (distance.method, distance.low) == ("permutation", None)


def test_a_set_that_differs_is_told_and_one_of_the_same_people_is_not():
    same = rows(shift(draw(0), draw(1, name="d"), FEW))
    other = rows(shift(draw(0, offset=1.5), draw(1, name="d"), FEW))
    more = rows(shift(draw(0, prevalence=0.6), draw(1, name="d"), FEW))
    for what in ("probability of ill, KS distance", "probability of ill, stability index"):
        assert same[what].difference.p > 0.05
        assert other[what].difference.p < 0.01
        assert other[what].difference.value > 2 * other[what].difference.expected
    assert more["prevalence of ill"].difference.low > 0
    assert other["prevalence less mean probability of ill"].difference.high < 0


def test_columns_that_both_have_are_compared_without_telling_their_values():
    rng = np.random.default_rng(0)

    def with_columns(p, older, site):
        n = len(p)
        frame = {
            "age": [str(a) for a in rng.integers(20, 80, n) + older],
            "sex": list(rng.choice(["F", "M"], n)),
            "ward": [site] * n,
            "path": [f"{site}/{i}.png" for i in range(n)],
            site: ["x"] * n,
        }
        return replace(p, metadata=pd.DataFrame(frame))

    one = with_columns(draw(0), 15, "north")
    two = with_columns(draw(1, name="d"), 0, "south")
    result = shift(one, two, FEW)
    found = rows(result)
    assert found["ward, total variation"].difference.value == 1
    assert found["sex, total variation"].difference.p > 0.05
    age = found["age, standardised difference"].difference
    assert 0.5 < age.value < 1.3
    assert age.p < 0.01
    assert (found["age, standardised difference"].here, age.low) == (None, None)
    assert "path" in result.note
    assert "north" not in json.dumps(asdict(result))


def test_a_column_that_is_blank_on_one_side_is_no_difference_of_means():
    ages = pd.DataFrame({"age": [str(v) for v in range(200)]})
    one = replace(draw(0), metadata=ages)
    two = replace(draw(1, name="d"), metadata=ages.assign(age=""))
    found = shift(one, two, FEW)
    assert not [row for row in found.rows if row.what.startswith("age")]
    assert "none on one side: age" in found.note


def test_what_else_differs_is_noted():
    one = draw(0)
    assert shift(one, draw(1, name="d"), FEW).note == ""
    other = replace(draw(1, name="d"), bundle_id="another")
    assert "different bundles" in shift(one, other, FEW).note


def test_cases_and_patients_that_stand_on_both_sides_are_refused():
    one, two = draw(0), draw(1, name="d")
    with pytest.raises(UsageError, match=r"1 cases stand both .* the first 'c00000'"):
        shift(one, replace(two, case_id=np.r_[["c00000"], two.case_id[1:]]), FEW)
    with pytest.raises(UsageError, match="2 patients have cases both") as error:
        shift(one, replace(two, patient_id=np.r_[one.patient_id[:2], two.patient_id[2:]]), FEW)
    assert one.patient_id[0] not in str(error.value)


def test_columns_that_medimg_writes_are_no_case_mix():
    own = pd.DataFrame({"seen": ["no"] * 200, "fold": ["1"] * 200, "sex": ["F", "M"] * 100})
    one, two = (replace(draw(i, name="cd"[i]), metadata=own) for i in (0, 1))
    compared = [row.what for row in shift(one, two, FEW).rows if "total variation" in row.what]
    assert compared == ["sex, total variation"]


def test_known_metrics_are_not_resampled_again(monkeypatch):
    sizes = []

    def counted(sample, *args):
        sizes.append(len(sample.targets))
        return resample(sample, *args)

    monkeypatch.setattr("medimg.evaluation.shift.shift.resample", counted)
    monkeypatch.setattr("medimg.evaluation.evaluate.resample", counted)
    evaluate(draw(0, 100), FEW, reference=draw(1, 90, name="d"))
    assert sizes == [100, 90]


def test_other_classes_are_refused_by_name():
    one = draw(0)
    space = LabelSpace(("well", "ill"), positive="well")
    other = Predictions(one.case_id, one.scores, "logits", space, one.targets)
    with pytest.raises(UsageError, match=r"target condition ill; the reference is of .* well"):
        shift(one, other, FEW)
    space = LabelSpace(("ill", "well"), positive="ill")
    with pytest.raises(UsageError, match="classes ill, well"):
        shift(one, Predictions(one.case_id, one.scores, "logits", space, one.targets), FEW)


def test_a_reference_that_cannot_be_judged_is_refused():
    one = draw(0)
    with pytest.raises(UsageError, match="several splits"):
        shift(one, replace(one, split=["val", "test"] * 100), FEW)
    with pytest.raises(PredictionsError, match="none of 200 cases"):
        shift(one, replace(one, targets=np.full((200, 2), np.nan)), FEW)


def test_fewer_than_ten_patients_get_values_without_intervals():
    found = rows(shift(draw(0, 8, images=10), draw(1, name="d"), FEW))
    for what, row in found.items():
        assert (row.difference.low, row.difference.p) == (None, None), what
        assert row.difference.reason, what


def test_no_order_of_the_rows_changes_a_number():
    one, two = draw(0, images=2), draw(1, name="d")
    order = np.random.default_rng(0).permutation(len(two))
    assert shift(one, two, FEW) == shift(one, two.take(order), FEW)


def test_mean_of_clusters_by_hand():
    units = Units(np.repeat(np.arange(12), 2), 12, "patient")
    values = np.repeat(np.arange(12.0), 2)
    found = mean_of(values, units)
    # Pairs that are alike count once: Student's interval of twelve values.
    low, high = stats.t.interval(0.95, 11, 5.5, stats.sem(np.arange(12)))
    assert (found.low, found.high) == pytest.approx((low, high))
    holes = np.where(np.arange(24) % 2 == 0, values, np.nan)
    assert mean_of(holes, units).low == pytest.approx(low)
    assert mean_of(np.ones(24), units).reason == "every value is the same"


COVERED = (
    *("prevalence of ill", "probability of ill, mean", "prevalence less mean probability of ill"),
    *("accuracy", "sensitivity", "specificity", "auroc", "brier"),
)


def covered(runs, images, n, resamples=200):
    """Return how often the difference of two draws of one population covers 0, where it may."""
    hits = {name: [] for name in COVERED}
    options = EvaluateOptions(resamples=resamples)
    for seed in range(runs):
        sides = [draw(2 * seed + i, n, images=images, name="cd"[i]) for i in (0, 1)]
        found = rows(shift(*sides, options))
        for name, hit in hits.items():
            e = found[name].difference
            if e.low is not None:
                hit.append(e.low <= 0 <= e.high)
    return {name: np.mean(hit) for name, hit in hits.items() if hit}


def test_differences_cover_in_a_small_simulation():
    assert min(covered(30, images=2, n=80, resamples=100).values()) >= 0.8


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("n", "images"), [(54, 1), (156, 1), (156, 5)])
def test_differences_cover(n, images):
    found = covered(500, images, n)
    assert all(0.92 <= share <= 0.99 for share in found.values()), found
