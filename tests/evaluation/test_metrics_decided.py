"""Metrics of decisions against scikit-learn and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from medimg.evaluation import metrics as m

TIGHT = {"abs": 1e-12, "rel": 1e-12}


def simulated(n=300, k=4, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, size=n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    targets = np.eye(k)[labels]
    p = np.exp(rng.normal(size=(n, k)) + 1.3 * targets)
    weights = rng.integers(0, 4, n).astype(float) if weighted else None
    return p / p.sum(axis=1, keepdims=True), targets, labels, weights


def binary(tn, fp, fn, tp):
    """Return probabilities and targets with these outcomes."""
    decided = np.repeat([0, 1, 0, 1], [tn, fp, fn, tp])
    true = np.repeat([0, 0, 1, 1], [tn, fp, fn, tp])
    return 0.1 + 0.8 * np.eye(2)[decided], np.eye(2)[true]


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_mcc_and_kappa_agree_with_sklearn(k, weighted):
    p, t, y, w = simulated(k=k, weighted=weighted)
    hat = p.argmax(axis=1)
    assert m.mcc(p, t, w) == pytest.approx(sk.matthews_corrcoef(y, hat, sample_weight=w), **TIGHT)
    assert m.kappa(p, t, w) == pytest.approx(sk.cohen_kappa_score(y, hat, sample_weight=w), **TIGHT)
    counts = m.count(m.most_probable(p), t, w)
    for c in range(k):
        one = y == c, hat == c
        assert m.class_mcc_of(counts)[c] == pytest.approx(
            sk.matthews_corrcoef(*one, sample_weight=w), **TIGHT
        )
        assert m.class_kappa_of(counts)[c] == pytest.approx(
            sk.cohen_kappa_score(*one, sample_weight=w), **TIGHT
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_of_the_condition_agree_with_sklearn(weighted):
    p, t, y, w = simulated(k=2, weighted=weighted)
    hat, weight = p.argmax(axis=1), {"sample_weight": w}
    positive, negative = sk.class_likelihood_ratios(y, hat, **weight)
    expected = {
        "lr_positive": positive,
        "lr_negative": negative,
        "sensitivity": sk.recall_score(y, hat, **weight),
        "specificity": sk.recall_score(y, hat, pos_label=0, **weight),
        "ppv": sk.precision_score(y, hat, **weight),
        "npv": sk.precision_score(y, hat, pos_label=0, **weight),
        "f1": sk.f1_score(y, hat, **weight),
        "balanced_accuracy": sk.balanced_accuracy_score(y, hat, **weight),
        "prevalence": np.average(y, weights=w),
        "auroc": sk.roc_auc_score(y, p[:, 1], **weight),
        "average_precision": sk.average_precision_score(y, p[:, 1], **weight),
    }
    for name, value in expected.items():
        assert m.TWO_CLASSES[name](p, t, w) == pytest.approx(value, **TIGHT), name


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_top_k_accuracy_agrees_with_sklearn(k, weighted):
    p, t, y, w = simulated(k=7, weighted=weighted)
    theirs = sk.top_k_accuracy_score(y, p, k=k, sample_weight=w)
    assert m.MULTICLASS[f"top_{k}_accuracy"](p, t, w) == pytest.approx(theirs, **TIGHT)


def test_top_one_is_the_accuracy_even_where_probabilities_are_equal():
    rng = np.random.default_rng(0)
    p = rng.integers(1, 3, size=(400, 4)).astype(float)
    p /= p.sum(axis=1, keepdims=True)
    t = np.eye(4)[rng.integers(0, 4, 400)]
    assert m.top_k_accuracy(p, t, k=1) == m.accuracy(p, t)
    flat = np.full((4, 4), 0.25)
    assert [m.top_k_accuracy(flat, np.eye(4), k=k) for k in (1, 2, 3)] == [0.25, 0.5, 0.75]


def test_multilabel_agreement_is_the_mean_over_labels():
    rng = np.random.default_rng(0)
    t = (rng.random((200, 3)) < 0.3).astype(float)
    p = 1 / (1 + np.exp(-(rng.normal(size=t.shape) + 2 * t - 1)))
    pairs = list(zip(t.T, (p > 0.5).T, strict=True))
    expected = np.mean([sk.matthews_corrcoef(a, b) for a, b in pairs])
    assert m.MULTILABEL["mcc"](p, t) == pytest.approx(expected, **TIGHT)
    expected = np.mean([sk.cohen_kappa_score(a, b) for a, b in pairs])
    assert m.MULTILABEL["kappa"](p, t) == pytest.approx(expected, **TIGHT)
    counts = m.count(m.over_half(p), t)
    assert m.PER_LABEL["npv"](p, t) == pytest.approx(m.npv_of(counts))
    unknown = t.copy()
    unknown[:50, 0] = np.nan
    assert m.PER_LABEL["class_mcc"](p, unknown)[0] == pytest.approx(
        sk.matthews_corrcoef(t[50:, 0], p[50:, 0] > 0.5), **TIGHT
    )


def test_metrics_of_decisions_worked_by_hand():
    p, t = binary(tn=80, fp=10, fn=2, tp=8)
    values = {name: metric(p, t) for name, metric in m.TWO_CLASSES.items()}
    assert values["sensitivity"] == 8 / 10
    assert values["specificity"] == 80 / 90
    assert values["ppv"] == 8 / 18
    assert values["npv"] == 80 / 82
    assert values["prevalence"] == 0.1
    assert values["lr_positive"] == pytest.approx((8 / 10) / (10 / 90))
    assert values["lr_negative"] == pytest.approx((2 / 10) / (80 / 90))
    assert values["mcc"] == pytest.approx((8 * 80 - 10 * 2) / np.sqrt(18 * 10 * 90 * 82))
    # .88 agree; by chance .1 * .18 + .9 * .82 = .756 would.
    assert values["kappa"] == pytest.approx((0.88 - 0.756) / (1 - 0.756))
    assert values["accuracy"] == 0.88
    assert values["no_information_rate"] == 0.9


def test_likelihood_ratio_without_false_alarms_is_not_defined():
    p, t = binary(tn=5, fp=0, fn=1, tp=4)
    assert np.isnan(m.TWO_CLASSES["lr_positive"](p, t))
    assert m.TWO_CLASSES["lr_negative"](p, t) == pytest.approx(0.2)


def test_deciding_alike_for_all_correlates_with_nothing():
    p, t = binary(tn=5, fp=0, fn=3, tp=0)
    assert (m.mcc(p, t), m.kappa(p, t)) == (0, 0)
    one_class = binary(tn=5, fp=2, fn=0, tp=0)
    assert np.isnan(m.mcc(*one_class))
    assert m.kappa(*one_class) == 0
    assert np.isnan(m.kappa(*binary(tn=5, fp=0, fn=0, tp=0)))


def test_a_class_without_cases_changes_no_agreement():
    p, t, y, _ = simulated(k=3)
    wider = np.column_stack([p, np.zeros(len(p))])
    targets = np.column_stack([t, np.zeros(len(t))])
    hat = p.argmax(axis=1)
    assert m.mcc(wider, targets) == pytest.approx(sk.matthews_corrcoef(y, hat), **TIGHT)
    assert m.kappa(wider, targets) == pytest.approx(sk.cohen_kappa_score(y, hat), **TIGHT)
    assert m.recall_macro(wider, targets) == pytest.approx(
        sk.balanced_accuracy_score(y, hat), **TIGHT
    )
