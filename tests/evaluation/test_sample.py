"""Resampled metrics against the plain ones of repeated cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medimg.evaluation import metrics as m
from medimg.evaluation.estimates.estimates import Estimates
from medimg.evaluation.intervals.bootstrap import bootstrap, draw_weights
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import MOST_PAIRED, Resampled, Sample, known_cases, resample
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

KINDS = {
    "two classes": {"k": 2, "share": (0.8, 0.2)},
    "three classes": {"k": 3},
    "six classes": {"k": 6},
    "grades": {"k": 6, "kind": "ordinal"},
    "labels": {"k": 3, "kind": "multilabel"},
    "two labels": {"k": 2, "kind": "multilabel"},
}


def plain(sample, rows):
    """Return every metric of some cases by the plain functions."""
    p, t = sample.probabilities[rows], sample.targets[rows]
    family = {"ordinal": m.ORDINAL, "multilabel": m.MULTILABEL}.get(sample.space.kind, m.MULTICLASS)
    family = m.TWO_CLASSES if sample.two_classes else family
    each = m.PER_CLASS if sample.space.exclusive else m.PER_LABEL
    of_all = {name: metric(p, t) for name, metric in family.items()}
    of_class = {name: metric(sample.ranking[rows], t) for name, metric in each.items()}
    return of_all, {**of_class, **{n: f(p, t) for n, f in each.items() if n in m.COUNTED}}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(("images", "tied"), [(0, False), (3, False), (3, True)])
def test_every_resampled_metric_equals_that_of_repeated_cases(make, kind, images, tied):
    made = make(180, images=images, unknown=0.1, **KINDS[kind])
    sample = Sample.of(known_cases(made, "test"))
    if tied:
        p, terms = np.round(sample.probabilities, 1), m.nll_terms
        if not sample.space.exclusive:
            terms = m.label_nll_terms
        sample = replace(sample, probabilities=p, nll=terms(p, sample.targets), odds=None)
        assert all(len(np.unique(column)) <= 11 for column in sample.ranking.T)
    weights = draw_weights(np.random.default_rng(1), sample.units.n, 6)
    fast = Resampled(sample)(weights)
    for r in range(6):
        rows = np.repeat(
            np.arange(len(sample.targets)), weights[sample.units.of_case, r].astype(int)
        )
        of_all, of_class = plain(sample, rows)
        for name, value in of_class.items():
            np.testing.assert_allclose(
                fast[name][:, r], value, rtol=1e-12, atol=1e-12, err_msg=name
            )
        for name, value in of_all.items():
            if name in fast and fast[name].ndim == 1:
                assert fast[name][r] == pytest.approx(value, abs=1e-12, rel=1e-12), name


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_point_has_every_name_of_its_family(make, kind):
    sample = Sample.of(make(150, **KINDS[kind]))
    of_all, of_class = plain(sample, np.arange(150))
    aliases = {"sensitivity": "recall", "ppv": "precision"}
    missing = {aliases.get(n, n) for n in (*of_all, *of_class)} - set(sample.point())
    assert missing <= {"top_2_accuracy", "top_3_accuracy", "top_5_accuracy"}
    assert all(np.isnan(of_all[name]) for name in missing)


@pytest.mark.parametrize("kind", list(KINDS))
def test_whole_weights_give_the_point(make, kind):
    sample = Sample.of(known_cases(make(150, unknown=0.1, **KINDS[kind]), "test"))
    fast, point = Resampled(sample)(np.ones((sample.units.n, 1))), sample.point()
    assert set(fast) == set(point)
    for name in point:
        np.testing.assert_allclose(fast[name], point[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", list(KINDS))
def test_asking_for_one_name_gives_the_same_numbers(make, kind):
    sample = Sample.of(make(90, images=3, **KINDS[kind]))
    weights = draw_weights(np.random.default_rng(0), sample.units.n, 3)
    for name, values in Resampled(sample)(weights).items():
        alone = Resampled(sample, [name])(weights)
        assert list(alone) == [name]
        np.testing.assert_array_equal(alone[name], values)


def test_no_pair_of_very_many_classes_is_resampled_and_the_reason_is_given():
    k = MOST_PAIRED + 1
    space, rng = LabelSpace(tuple(f"class {i:02d}" for i in range(k))), np.random.default_rng(0)
    y = np.repeat(np.arange(k), 12)
    scores = rng.normal(size=(len(y), k)) + 2 * np.eye(k)[y]
    ids = [f"{i:05d}" for i in range(len(y))]
    sample = Sample.of(Predictions(ids, scores, "logits", space, space.one_hot(y)))
    draws = resample(sample, EvaluateOptions(resamples=100))[0]
    assert "auroc_ovo" not in draws
    found = Estimates(sample, sample.point(), draws).metrics()["auroc_ovo"]
    assert found.value == pytest.approx(
        roc_auc_score(y, sample.probabilities, multi_class="ovo"), abs=1e-12
    )
    assert found.low is None
    assert "not resampled" in found.reason


def test_where_no_case_is_drawn_no_mean_is_defined(make):
    sample = Sample.of(make(60, 2))
    found = Resampled(sample)(np.zeros((60, 1)))
    assert all(np.isnan(found[name]).all() for name in ("brier", "nll"))


def test_resamples_without_one_kind_of_case_are_not_defined(make):
    sample = Sample.of(make(60, 2))
    weights = np.stack([sample.targets[:, 0], sample.targets[:, 1], np.ones(60)], axis=1)
    found = Resampled(sample)(weights)
    for name in m.RANKED:
        assert np.isnan(found[name][:, :2]).all(), name
        assert np.isfinite(found[name][:, 2]).all(), name


def test_a_class_without_cases_is_left_out_of_every_mean(make):
    sample = Sample.of(make(120, 4, share=(0.4, 0.3, 0.3, 0)))
    found = Resampled(sample)(draw_weights(np.random.default_rng(0), 120, 20))
    assert np.isnan(found["auroc"][3]).all()
    for name in ("auroc_macro", "auroc_weighted", "auroc_ovo", "average_precision_micro", "mcc"):
        assert np.isfinite(found[name]).all(), name


@pytest.mark.parametrize("resamples", [200, 20_000])
def test_memory_is_bounded_whatever_the_number_of_resamples(make, resamples):
    import tracemalloc

    sample = Sample.of(make(2000, 2))
    resampled = Resampled(sample, ["auroc"])
    tracemalloc.start()
    draws, _ = bootstrap(resampled, sample.units.n, resamples=resamples, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert draws["auroc"].shape == (2, resamples)
    # The weights of a chunk, the sums of one class, and twice the draws themselves.
    assert peak < 40 * 2**20 + 4 * draws["auroc"].nbytes
