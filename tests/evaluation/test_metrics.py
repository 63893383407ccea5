"""The plain metrics against independent implementations and hand-worked cases."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from medimg.evaluation import metrics as m

TIGHT = {"abs": 1e-12, "rel": 0}


def simulated(n=300, k=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, size=n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    targets = np.eye(k)[labels]
    logits = np.round(rng.normal(size=(n, k)) + 1.3 * targets, 1)
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), targets, labels, rng


def simulated_labels(n=300, k=4, seed=0, unknown=0.0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, k)) < 0.25).astype(float)
    p = 1 / (1 + np.exp(-np.round(rng.normal(size=(n, k)) + 2 * targets - 1, 1)))
    targets[rng.random((n, k)) < unknown] = np.nan
    return p, targets, rng


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_decision_metrics_agree_with_sklearn(k, weighted):
    p, t, y, rng = simulated(k=k)
    w = rng.integers(0, 4, len(y)).astype(float) if weighted else None
    hat, macro = p.argmax(axis=1), {"average": "macro", "sample_weight": w}
    assert m.accuracy(p, t, w) == pytest.approx(sk.accuracy_score(y, hat, sample_weight=w), **TIGHT)
    assert m.recall_macro(p, t, w) == pytest.approx(
        sk.balanced_accuracy_score(y, hat, sample_weight=w), **TIGHT
    )
    assert m.recall_macro(p, t, w) == pytest.approx(sk.recall_score(y, hat, **macro), **TIGHT)
    assert m.precision_macro(p, t, w) == pytest.approx(sk.precision_score(y, hat, **macro), **TIGHT)
    assert m.f1_macro(p, t, w) == pytest.approx(sk.f1_score(y, hat, **macro), **TIGHT)
    np.testing.assert_allclose(
        m.confusion(m.most_probable(p), t, w),
        sk.confusion_matrix(y, hat, sample_weight=w),
        atol=1e-12,
    )


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_rank_and_probability_metrics_agree_with_sklearn(k, weighted):
    p, t, y, rng = simulated(k=k)
    w = rng.integers(0, 4, len(y)).astype(float) if weighted else None
    for c in range(k):
        assert m.auroc(p, t, w)[c] == pytest.approx(
            sk.roc_auc_score(t[:, c], p[:, c], sample_weight=w), **TIGHT
        )
        assert m.average_precision(p, t, w)[c] == pytest.approx(
            sk.average_precision_score(t[:, c], p[:, c], sample_weight=w), **TIGHT
        )
    if k > 2 and w is None:
        assert m.auroc_macro(p, t) == pytest.approx(
            sk.roc_auc_score(y, p, multi_class="ovr"), **TIGHT
        )
    assert m.nll(p, t, w) == pytest.approx(sk.log_loss(y, p, sample_weight=w), **TIGHT)
    if k == 2:
        assert m.brier(p, t, w) == pytest.approx(
            sk.brier_score_loss(y, p[:, 1], sample_weight=w), **TIGHT
        )
    else:
        each = np.square(p - t).sum(axis=1)
        assert m.brier(p, t, w) == pytest.approx(np.average(each, weights=w), **TIGHT)


def test_multilabel_metrics_agree_with_sklearn():
    p, t, _ = simulated_labels()
    hat, metrics = p > 0.5, m.MULTILABEL
    assert metrics["exact_match"](p, t, None) == pytest.approx(sk.accuracy_score(t, hat), **TIGHT)
    assert metrics["accuracy"](p, t, None) == pytest.approx(1 - sk.hamming_loss(t, hat), **TIGHT)
    for name, score in [
        ("recall_macro", sk.recall_score),
        ("precision_macro", sk.precision_score),
        ("f1_macro", sk.f1_score),
    ]:
        assert metrics[name](p, t, None) == pytest.approx(score(t, hat, average="macro"), **TIGHT)
    assert m.auroc_macro(p, t) == pytest.approx(sk.roc_auc_score(t, p), **TIGHT)
    assert m.average_precision_macro(p, t) == pytest.approx(
        sk.average_precision_score(t, p), **TIGHT
    )
    each = [sk.brier_score_loss(a, b) for a, b in zip(t.T, p.T, strict=True)]
    assert m.label_brier(p, t) == pytest.approx(np.mean(each), **TIGHT)
    each = [sk.log_loss(a, b) for a, b in zip(t.T, p.T, strict=True)]
    assert m.label_nll(p, t) == pytest.approx(np.mean(each), **TIGHT)


def test_quadratic_kappa_and_grade_error_agree_with_sklearn():
    p, t, y, _ = simulated(k=5)
    hat = p.argmax(axis=1)
    assert m.quadratic_kappa(p, t) == pytest.approx(
        sk.cohen_kappa_score(y, hat, weights="quadratic"), **TIGHT
    )
    assert m.grade_error(p, t) == pytest.approx(sk.mean_absolute_error(y, hat), **TIGHT)


def test_ece_agrees_with_torchmetrics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from torchmetrics.functional.classification import (
            binary_calibration_error,
            multiclass_calibration_error,
        )
    p, t, y, _ = simulated(n=2000, k=4)
    theirs = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), 4, n_bins=15)
    assert m.ece_top_label(p, t) == pytest.approx(float(theirs), abs=1e-6)
    p, t, y, _ = simulated(n=2000, k=2)
    theirs = binary_calibration_error(torch.tensor(p[:, 1]), torch.tensor(y), n_bins=15)
    assert m.ece_positive(p, t) == pytest.approx(float(theirs), abs=1e-6)


def test_ece_worked_by_hand():
    p1 = np.asarray([0.05, 0.05, 0.9, 0.9, 1.0])
    p, y = np.stack([1 - p1, p1], axis=1), np.asarray([0, 1, 1, 0, 1])
    # Bins [0, 1/15): 2 cases, .05 against .5; [13/15, 14/15): 2, .9 against .5; last: 1, right.
    assert m.ece_positive(p, np.eye(2)[y]) == pytest.approx(2 / 5 * 0.45 + 2 / 5 * 0.4)


def test_a_probability_of_one_falls_into_the_last_bin():
    bins = m.reliability([0.0, 1.0, 1 / 15], [0, 1, 1])
    assert bins.weight.tolist() == [1, 1, *[0] * 12, 1]


def test_auroc_and_average_precision_worked_by_hand_with_ties():
    score, y = np.asarray([0.9, 0.5, 0.5, 0.1]), np.asarray([1, 1, 0, 0])
    p, t = np.stack([1 - score, score], axis=1), np.eye(2)[y]
    # Pairs won: 1 of (.9, .5), 1 of (.9, .1), half of (.5, .5), 1 of (.5, .1).
    assert m.auroc(p, t)[1] == 3.5 / 4
    # Thresholds .9 (precision 1, recall 1/2) and .5 (precision 2/3, recall 1).
    assert m.average_precision(p, t)[1] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_auroc_is_exact_for_many_tied_cases():
    rng = np.random.default_rng(0)
    score, y = rng.integers(0, 100, 500_000), rng.random(500_000) < 0.02
    score = score + 10 * y
    positive, negative = (np.bincount(score[y == v], minlength=120) for v in (True, False))
    below = np.cumsum(negative) - negative
    pairs = int((positive * (2 * below + negative)).sum())
    exact = pairs / (2 * int(positive.sum()) * int(negative.sum()))
    p, t = np.stack([-score, score], 1).astype(np.float32), np.stack([~y, y], 1).astype(float)
    assert m.auroc(p, t)[1] == exact


def test_auroc_is_of_scores_not_of_decisions():
    rng = np.random.default_rng(0)
    y = (rng.random(20_000) < 0.02).astype(int)
    z = rng.normal(size=len(y)) + 1.67 * y
    p1 = 1 / (1 + np.exp(5.5 - 1.67 * z))
    p = np.stack([1 - p1, p1], axis=1)
    by_decision = sk.roc_auc_score(y, p.argmax(axis=1))
    assert m.auroc(p, np.eye(2)[y])[1] > 0.85
    assert by_decision < 0.6


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30
    )
)
@settings(max_examples=60, deadline=None)
def test_weights_equal_repetition(rows):
    level, label, weight = (np.asarray(v) for v in zip(*rows, strict=True))
    p = np.asarray([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.34, 0.33, 0.33]])[level]
    t = np.eye(3)[label]
    for metrics in (m.MULTICLASS, m.ORDINAL, m.MULTILABEL):
        for name, metric in metrics.items():
            weighted = metric(p, t, weight)
            repeated = metric(np.repeat(p, weight, 0), np.repeat(t, weight, 0), None)
            assert weighted == pytest.approx(repeated, nan_ok=True, abs=1e-12), name


@pytest.mark.parametrize("family", ["MULTICLASS", "ORDINAL", "MULTILABEL"])
def test_unknown_targets_are_left_out(family):
    p, t, _, rng = simulated()
    if family == "MULTILABEL":
        p, t, rng = simulated_labels()
    gone = rng.random(len(t)) < 0.3
    masked = t.copy()
    masked[gone] = np.nan
    for name, metric in getattr(m, family).items():
        assert metric(p, masked, None) == pytest.approx(
            metric(p[~gone], t[~gone], None), nan_ok=True
        ), name


def test_unknown_labels_are_left_out_cell_by_cell():
    p = np.asarray([[0.9, 0.2], [0.8, 0.7], [0.1, 0.6]])
    t = np.asarray([[1, np.nan], [0, 1], [np.nan, 0]])
    metrics = m.MULTILABEL
    assert metrics["accuracy"](p, t, None) == 2 / 4
    assert metrics["exact_match"](p, t, None) == 1 / 3
    assert metrics["brier"](p, t, None) == pytest.approx((0.01 + (0.64 + 0.09) / 2 + 0.36) / 3)
    assert metrics["auroc_macro"](p, t, None) == 1.0


def test_class_without_cases_is_left_out_of_the_mean_and_never_predicted_counts_as_zero():
    y, hat = np.asarray([0, 0, 1, 1]), np.asarray([0, 0, 0, 0])
    p, t = np.eye(3)[hat] * 0.4 + 0.2, np.eye(3)[y]
    assert m.recall_macro(p, t) == 0.5
    assert m.precision_macro(p, t) == pytest.approx(
        sk.precision_score(y, hat, average="macro", zero_division=0)
    )
    assert m.f1_macro(p, t) == pytest.approx(sk.f1_score(y, hat, average="macro"))


def test_one_class_alone_has_no_auroc():
    p, t = np.full((5, 2), 0.5), np.eye(2)[[1] * 5]
    assert np.isnan(m.auroc(p, t)).all()
    assert np.isnan(m.average_precision(p, t)).all()
    assert np.isnan(m.auroc_macro(p, t))


def test_all_negative_multilabel_accuracy_is_seen_through_by_its_neighbours():
    rng = np.random.default_rng(0)
    t = (rng.random((2000, 14)) < 0.053).astype(float)
    p = np.full((2000, 14), 0.01)
    metrics = m.MULTILABEL
    assert metrics["accuracy"](p, t, None) > 0.94
    assert metrics["exact_match"](p, t, None) < 0.5
    assert metrics["auroc_macro"](p, t, None) == 0.5
    assert metrics["balanced_accuracy"](p, t, None) == 0.5
