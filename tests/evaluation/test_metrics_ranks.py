"""Metrics of ranks against scikit-learn, torchmetrics and cases worked by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from medimg.evaluation import metrics as m

TIGHT = {"abs": 1e-12, "rel": 1e-12}


def simulated(n=300, k=4, seed=0, weighted=False, digits=1):
    """Return exclusive classes with tied scores."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, size=n, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    targets = np.eye(k)[labels]
    p = np.exp(rng.normal(size=(n, k)) + 1.3 * targets)
    p = np.round(p / p.sum(axis=1, keepdims=True), digits) + 0.02
    weights = rng.integers(0, 4, n).astype(float) if weighted else None
    return p / p.sum(axis=1, keepdims=True), targets, labels, weights


def labels_of(n=300, k=5, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    t = (rng.random((n, k)) < 0.2).astype(float)
    p = np.round(1 / (1 + np.exp(-(rng.normal(size=(n, k)) + 2 * t - 1))), 1)
    return p, t, rng.integers(0, 4, n).astype(float) if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("average", ["micro", "weighted", "macro"])
def test_averages_agree_with_sklearn(kind, average, weighted):
    if kind == "multiclass":
        p, t, _, w = simulated(weighted=weighted)
    else:
        p, t, w = labels_of(weighted=weighted)
    how = {"average": average, "sample_weight": w}
    metrics = m.MULTICLASS if kind == "multiclass" else m.MULTILABEL
    assert metrics[f"auroc_{average}"](p, t, w) == pytest.approx(
        sk.roc_auc_score(t, p, **how), **TIGHT
    )
    assert metrics[f"average_precision_{average}"](p, t, w) == pytest.approx(
        sk.average_precision_score(t, p, **how), **TIGHT
    )


@pytest.mark.parametrize("digits", [1, 6])
def test_one_against_one_agrees_with_sklearn(digits):
    p, t, y, _ = simulated(digits=digits)
    theirs = sk.roc_auc_score(y, p, multi_class="ovo")
    assert m.auroc_ovo(p, t) == pytest.approx(theirs, **TIGHT)
    weights = np.random.default_rng(0).integers(0, 3, len(y))
    rows = np.repeat(np.arange(len(y)), weights)
    theirs = sk.roc_auc_score(y[rows], p[rows], multi_class="ovo")
    assert m.auroc_ovo(p, t, weights) == pytest.approx(theirs, **TIGHT)


def test_one_against_one_leaves_out_a_class_without_cases():
    p, t, y, _ = simulated(k=4)
    rows = y != 3
    theirs = np.mean(
        [
            (
                sk.roc_auc_score(y[pair] == i, p[pair, i])
                + sk.roc_auc_score(y[pair] == j, p[pair, j])
            )
            / 2
            for i, j in [(0, 1), (0, 2), (1, 2)]
            for pair in [np.isin(y, (i, j))]
        ]
    )
    assert m.auroc_ovo(p[rows], t[rows]) == pytest.approx(theirs, **TIGHT)
    assert np.isnan(m.auroc_ovo(p[y == 0], t[y == 0]))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [1, 6])
def test_partial_auroc_agrees_with_sklearn(weighted, digits):
    p, t, _, w = simulated(weighted=weighted, digits=digits)
    for c in range(t.shape[1]):
        theirs = sk.roc_auc_score(t[:, c], p[:, c], sample_weight=w, max_fpr=m.MAX_FPR)
        assert m.auroc_partial(p, t, w)[c] == pytest.approx(theirs, **TIGHT)


def test_rank_metrics_agree_with_torchmetrics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from torchmetrics.functional import classification as tm

        p, t, y, _ = simulated(k=2, n=1000, digits=2)
        score, true = torch.tensor(p[:, 1]), torch.tensor(y)
        sensitivity, _ = tm.binary_sensitivity_at_specificity(score, true, m.WANTED)
        specificity, _ = tm.binary_specificity_at_sensitivity(score, true, m.WANTED)
        multi, targets, labels, _ = simulated(k=4, n=1000, digits=6)
        ours = torch.tensor(multi), torch.tensor(labels)
        mcc = tm.multiclass_matthews_corrcoef(*ours, num_classes=4)
        kappa = tm.multiclass_cohen_kappa(*ours, num_classes=4)
        top = tm.multiclass_accuracy(*ours, num_classes=4, average="micro", top_k=2)
        auroc = tm.multiclass_auroc(*ours, num_classes=4, average="weighted")
    found = {name: metric(p, t) for name, metric in m.TWO_CLASSES.items()}
    assert found["sensitivity_at_specificity"] == pytest.approx(float(sensitivity), abs=1e-6)
    assert found["specificity_at_sensitivity"] == pytest.approx(float(specificity), abs=1e-6)
    assert m.mcc(multi, targets) == pytest.approx(float(mcc), abs=1e-6)
    assert m.kappa(multi, targets) == pytest.approx(float(kappa), abs=1e-6)
    assert m.top_k_accuracy(multi, targets, k=2) == pytest.approx(float(top), abs=1e-6)
    assert m.auroc_weighted(multi, targets) == pytest.approx(float(auroc), abs=1e-6)


def test_partial_auroc_worked_by_hand():
    # 20 others: 2 of them may be passed. One case above all, one below one other, one below all.
    score = np.asarray([9.0, 7.0, 0.0, 8.0, *np.linspace(1, 2, 19)])
    target = np.asarray([1, 1, 1] + [0] * 20)
    # Heights 1/3 over the first twentieth and 2/3 over the second.
    area = (1 / 3 + 2 / 3) / 20
    expected = (1 + (area - 0.005) / (0.1 - 0.005)) / 2
    assert m.auroc_partial_of(*m.staircase(score, target)) == pytest.approx(expected)


def test_partial_auroc_is_a_half_by_chance_and_one_at_best():
    steps = np.linspace(0, 1, 101)
    assert m.auroc_partial_of(steps, steps) == pytest.approx(0.5)
    assert m.auroc_partial_of(np.asarray([0.0, 0.0, 5.0]), np.asarray([0.0, 3.0, 3.0])) == 1


def test_readings_off_the_roc_are_reached_and_not_interpolated():
    # Points: (false, true) = (0, 1), (1, 1), (1, 2), (20, 2) of 20 others and 2 cases.
    score = np.asarray([9.0, 7.0, 8.0, *[1.0] * 19])
    target = np.asarray([1, 1] + [0] * 20)
    steps = m.staircase(score, target)
    # One of 20 is a specificity of exactly .95, which floats miss by a hair.
    assert m.sensitivity_at_specificity_of(*steps) == 1
    assert m.specificity_at_sensitivity_of(*steps) == 0.95
    # Tied with an other, the second case comes in only with a specificity of .9.
    score[1], score[3] = 8.0, 8.0
    steps = m.staircase(score, target)
    assert m.sensitivity_at_specificity_of(*steps) == 0.5
    assert m.specificity_at_sensitivity_of(*steps) == 0.9


@pytest.mark.parametrize("seed", range(20))
def test_readings_off_the_roc_equal_a_walk_over_all_thresholds(seed):
    rng = np.random.default_rng(seed)
    target = rng.random(80) < 0.4
    score = rng.integers(0, 12, 80) + 4 * target
    sensitivity, specificity = [0.0], [1.0]
    for threshold in np.unique(score):
        sensitivity.append((score[target] >= threshold).mean())
        specificity.append((score[~target] < threshold).mean())
    pairs = list(zip(sensitivity, specificity, strict=True))
    steps = m.staircase(score, target)
    assert m.sensitivity_at_specificity_of(*steps) == pytest.approx(
        max(a for a, b in pairs if b >= 0.95), **TIGHT
    )
    assert m.specificity_at_sensitivity_of(*steps) == pytest.approx(
        max(b for a, b in pairs if a >= 0.95), **TIGHT
    )


def test_no_threshold_with_few_false_alarms_means_no_sensitivity():
    steps = m.staircase(np.zeros(30), np.repeat([0, 1], 15))
    assert m.sensitivity_at_specificity_of(*steps) == 0
    assert m.specificity_at_sensitivity_of(*steps) == 0


@pytest.mark.parametrize("name", list(m.RANKED))
def test_ranks_of_one_class_alone_are_not_defined(name):
    for target in (np.zeros(4), np.ones(4), np.full(4, np.nan)):
        assert np.isnan(m.RANKED[name](*m.staircase(np.arange(4.0), target)))


def test_unknown_labels_are_left_out_of_the_pooled_ranks():
    p, t, _ = labels_of()
    t[np.random.default_rng(1).random(t.shape) < 0.3] = np.nan
    known = ~np.isnan(t)
    assert m.auroc_micro(p, t) == pytest.approx(sk.roc_auc_score(t[known], p[known]), **TIGHT)
    each = [sk.roc_auc_score(a[k], b[k]) for a, b, k in zip(t.T, p.T, known.T, strict=True)]
    assert m.auroc_weighted(p, t) == pytest.approx(
        np.average(each, weights=np.nansum(t, axis=0)), **TIGHT
    )


def test_a_label_that_every_case_has_weighs_nothing_in_the_weighted_mean():
    p, t, _ = labels_of(k=3)
    t[:, 2] = 1
    expected = sk.roc_auc_score(t[:, :2], p[:, :2], average="weighted")
    assert m.auroc_weighted(p, t) == pytest.approx(expected, **TIGHT)
