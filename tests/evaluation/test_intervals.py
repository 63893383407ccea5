"""The units, and the bootstrap against a plain loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import t

from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.bootstrap import (
    FISHER,
    LOG,
    LOGIT,
    bootstrap,
    draw_weights,
    spread_interval,
)
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import Lacking, Resampled, Sample, known_cases, resample

FAMILY = {"multiclass": m.MULTICLASS, "ordinal": m.ORDINAL, "multilabel": m.MULTILABEL}


def test_draws_are_multinomial_over_the_units():
    weights = draw_weights(np.random.default_rng(0), 50, 4000)
    assert (weights.sum(axis=0) == 50).all()
    assert weights.mean() == 1
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.03)


def test_blank_patient_ids_are_patients_of_their_own():
    case, patient = np.asarray(list("abcd"), object), np.asarray(["p", "", "p", ""], object)
    units = Units.of(case, patient)
    assert (units.n, units.kind, units.independent) == (3, "patient", False)
    assert units.of_case[0] == units.of_case[2]
    assert Units.of(case, None).kind == "case"
    assert Units.of(case, np.asarray([""] * 4, object)).kind == "case"


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
@pytest.mark.parametrize("images", [0, 3])
def test_fast_bootstrap_equals_repeating_the_cases_of_drawn_patients(make, kind, images):
    predictions = known_cases(make(240, 3, kind=kind, images=images, unknown=0.1), "test")
    sample = Sample.of(predictions)
    weights = draw_weights(np.random.default_rng(1), sample.units.n, 8)
    fast = Resampled(sample)(weights)
    for r in range(8):
        rows = np.repeat(np.arange(len(predictions)), weights[sample.units.of_case, r].astype(int))
        p, t = sample.probabilities[rows], sample.targets[rows]
        for name, metric in FAMILY[kind].items():
            if name in fast:
                assert fast[name][r] == pytest.approx(metric(p, t, None), abs=1e-12), name
        np.testing.assert_allclose(fast["auroc"][:, r], m.auroc(p, t), atol=1e-12)
        np.testing.assert_allclose(
            fast["average_precision"][:, r], m.average_precision(p, t), atol=1e-12
        )
        decide = m.most_probable if sample.space.exclusive else m.over_half
        counts = m.count(decide(p), t)
        np.testing.assert_allclose(fast["npv"][:, r], m.npv_of(counts), atol=1e-12)
        np.testing.assert_allclose(fast["f1"][:, r], m.f1_of(counts), atol=1e-12)


@pytest.mark.parametrize("kind", ["multiclass", "ordinal", "multilabel"])
def test_fast_path_with_weights_of_one_equals_the_plain_metrics(make, kind):
    sample = Sample.of(known_cases(make(150, 4, kind=kind, unknown=0.2), "test"))
    fast, plain = Resampled(sample)(np.ones((sample.units.n, 1))), sample.point()
    assert set(fast) == set(plain)
    for name in plain:
        np.testing.assert_allclose(fast[name], plain[name], atol=1e-12, err_msg=name)


def test_resamples_that_lack_a_class_are_redrawn_and_counted(make):
    sample = Sample.of(make(60, 2, share=(0.8, 0.2), seed=3))
    assert 10 <= (sample.targets[:, 1] == 1).sum() <= 14

    def always(weights):  # any resample with few cases of the rare class
        return sample.targets[:, 1] @ weights < 8

    lacking = Lacking(sample)
    weights = draw_weights(np.random.default_rng(0), 60, 50)
    assert not lacking(weights).any()
    weights[:, 7] = sample.targets[:, 0]
    assert np.flatnonzero(lacking(weights)).tolist() == [7]
    draws, redrawn = bootstrap(
        lambda w: {"rare": sample.targets[:, 1] @ w}, 60, resamples=300, seed=0, lacking=always
    )
    assert redrawn > 0
    assert len(draws["rare"]) == 300
    assert draws["rare"].min() >= 8


def test_bootstrap_repeats_itself_and_differs_by_seed():
    def statistic(weights):
        return {"mean": np.arange(100) @ weights / 100}

    one, two, other = (
        bootstrap(statistic, 100, resamples=200, seed=seed)[0]["mean"] for seed in (0, 0, 1)
    )
    assert (one == two).all()
    assert (one != other).any()


def test_memory_does_not_grow_with_the_resamples():
    widths = []

    def statistic(weights):
        widths.append(weights.size)
        return {"n": weights.sum(axis=0)}

    draws, _ = bootstrap(statistic, 50_000, resamples=100, seed=0)
    assert len(draws["n"]) == 100
    assert max(widths) <= 2**19


def test_what_is_drawn_does_not_depend_on_how_much_is_held_at_once():
    def statistic(weights):
        return {"sum": np.arange(60) @ weights}

    def lacking(weights):
        return weights[0] == 0

    one, other = (
        bootstrap(statistic, 60, resamples=300, seed=0, lacking=lacking, rows=rows)
        for rows in (0, 2**16)
    )
    assert one[1] == other[1] > 0
    np.testing.assert_array_equal(one[0]["sum"], other[0]["sum"])


@pytest.mark.parametrize("resamples", [500, 4000])
def test_memory_does_not_grow_where_few_patients_have_many_cases(make, resamples):
    import tracemalloc

    sample = Sample.of(make(20_000, 2, images=200))
    scores = np.random.default_rng(0).normal(size=(20_000, 1))
    sample = replace(sample, odds=scores)  # no score is tied
    tracemalloc.start()
    resample(sample, EvaluateOptions(resamples=resamples), ["auroc", "average_precision"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * 2**20


def test_draws_without_spread_give_no_interval():
    assert spread_interval(0.5, np.full(500, 0.5), LOGIT, 50) is None
    assert spread_interval(0.5, np.full(500, np.nan), LOGIT, 50) is None


@pytest.mark.parametrize(
    ("scale", "value", "to"),
    [(LOGIT, 0.9, logit), (FISHER, -0.4, np.arctanh), (LOG, 0.2, np.log)],
)
def test_spread_becomes_an_interval_on_the_metrics_own_scale(scale, value, to):
    draws = np.asarray([value - 0.01, value + 0.01, np.nan])
    low, high = spread_interval(value, draws, scale, 16)
    slope = (to(value + 1e-6) - to(value - 1e-6)) / 2e-6
    reach = t.ppf(0.975, 15) * 0.01 * slope
    assert (to(low), to(high)) == pytest.approx((to(value) - reach, to(value) + reach))


@pytest.mark.parametrize(("scale", "value"), [(LOGIT, 1.0), (LOGIT, 0.0), (FISHER, 1.0), (LOG, 0)])
def test_value_at_the_end_of_its_scale_gets_no_interval(scale, value):
    assert spread_interval(value, np.linspace(0.8, 1, 50), scale, 50) is None


def covers(make_units, runs=120):
    """Return how often the interval of a mean of clustered values covers 0."""
    rng, hits = np.random.default_rng(0), 0
    for seed in range(runs):
        values = (rng.normal(size=60)[:, None] + 0.8 * rng.normal(size=(60, 5))).ravel()
        units = make_units()
        sums = np.bincount(units, values)
        n = np.bincount(units)

        def mean(weights, sums=sums, n=n):
            return {"mean": sums @ weights / (n @ weights)}

        draws, _ = bootstrap(mean, len(sums), resamples=400, seed=seed)
        low, high = np.percentile(draws["mean"], (2.5, 97.5))
        hits += low <= 0 <= high
    return hits / runs


def test_resampling_patients_covers_and_resampling_images_does_not():
    assert covers(lambda: np.repeat(np.arange(60), 5)) > 0.88
    assert covers(lambda: np.arange(300)) < 0.8
