"""Mistakes that are made elsewhere in the field, and not here."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from medimg.errors import MedimgError
from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.bootstrap import draw_weights
from medimg.evaluation.sample import Resampled, Sample


def tied(n, levels=1000, seed=0):
    """Return whole scores with heavy ties, targets, and the AUROC by whole numbers."""
    rng = np.random.default_rng(seed)
    target = rng.random(n) < 0.02
    score = rng.integers(0, levels, n) + levels // 3 * target
    cases, others = (np.bincount(score[target == v], minlength=2 * levels) for v in (True, False))
    twice = sum(
        int(a) * (2 * int(b) + int(c))
        for a, b, c in zip(cases, np.cumsum(others) - others, others, strict=True)
    )
    return score, target, twice, 2 * int(cases.sum()) * int(others.sum())


def float32_auroc(score, target):
    """Return the area as it comes out where sums run in single precision."""
    order = np.argsort(-score, kind="stable")
    true = np.cumsum(target[order], dtype=np.float32)
    false = np.cumsum(~target[order], dtype=np.float32)
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    steps = np.diff(false[last] / false[-1], prepend=np.float32(0))
    height = true[last] / true[-1]
    return float(np.sum(steps * (height + np.append(np.float32(0), height[:-1])) / 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auroc_is_exact_at_five_million_rows_with_heavy_ties(dtype):
    score, target, top, bottom = tied(5_000_000)
    area = m.auroc_of(*m.staircase(score.astype(dtype), target))
    assert area == top / bottom


def test_single_precision_sums_would_be_seen():
    score, target, top, bottom = tied(1_000_000)
    assert abs(float32_auroc(score, target) - top / bottom) > 1e-9


def test_auroc_is_of_scores_and_not_of_argmax():
    rng = np.random.default_rng(0)
    y = (rng.random(50_000) < 0.02).astype(int)
    z = rng.normal(size=len(y)) + 1.67 * y
    p1 = 1 / (1 + np.exp(5.3 - 1.67 * z))
    p = np.stack([1 - p1, p1], axis=1)
    assert m.TWO_CLASSES["auroc"](p, np.eye(2)[y]) == pytest.approx(0.881, abs=0.015)
    assert sk.roc_auc_score(y, p.argmax(axis=1)) < 0.6


def test_no_top_k_accuracy_is_given_where_every_case_is_right(make):
    p, t = np.full((6, 5), 0.2), np.eye(5)[[0, 1, 2, 3, 4, 4]]
    assert np.isnan(m.MULTICLASS["top_5_accuracy"](p, t))
    point = Sample.of(make(100, 5)).point()
    assert "top_3_accuracy" in point
    assert "top_5_accuracy" not in point
    assert not [name for name in Sample.of(make(100, 2)).point() if name.startswith("top_")]


def test_accuracy_stands_beside_what_knowing_nothing_gives(make):
    rng = np.random.default_rng(0)
    t = (rng.random((2000, 14)) < 0.053).astype(float)
    p = np.full((2000, 14), 0.01)
    accuracy = m.MULTILABEL["accuracy"](p, t)
    assert accuracy == pytest.approx(0.947, abs=0.003)
    assert m.MULTILABEL["no_information_rate"](p, t) == accuracy
    assert m.MULTILABEL["mcc"](p, t) == 0
    assert "no_information_rate" in Sample.of(make(100, 3)).point()


def test_resamples_are_drawn_from_all_cases_and_not_within_batches():
    weights = draw_weights(np.random.default_rng(0), 600, 2000)
    in_batch = weights.reshape(6, 100, -1).sum(axis=1)
    # Drawn within batches of 100 every sum would be 100.
    assert in_batch.var(axis=1) == pytest.approx(100 * 5 / 6, rel=0.2)


def test_an_area_is_not_the_mean_of_areas_of_batches(make):
    sample = Sample.of(make(400, 2, share=(0.9, 0.1)))
    parts = [slice(i, i + 40) for i in range(0, 400, 40)]
    each = [m.auroc(sample.ranking[s], sample.targets[s])[1] for s in parts]
    whole = sample.point()["auroc"][1, 0]
    assert whole == pytest.approx(sk.roc_auc_score(sample.targets[:, 1], sample.ranking[:, 1]))
    assert abs(np.nanmean(each) - whole) > 1e-3


def test_a_case_that_comes_twice_is_refused(make):
    whole = make(40, 2)
    with pytest.raises(MedimgError, match="case"):
        whole.take(np.append(np.arange(40), [38, 39]))


def test_case_counts_of_every_resample_are_those_of_the_set(make):
    sample = Sample.of(make(90, 3, images=3))
    weights = draw_weights(np.random.default_rng(0), sample.units.n, 50)
    table = Resampled(sample).outcomes @ weights
    assert (table.sum(axis=0) == 90).all()
