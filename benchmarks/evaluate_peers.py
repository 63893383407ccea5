"""What `bench_evaluate.py` compares with: plain loops over resamples, one case a row.

N cases, K labels. Each takes probabilities (N, K), targets (N, K) and the rows of each resample,
and returns figures (R, ...) in the order of its docstring.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Floats = NDArray[np.float64]
Rows = Iterable[NDArray[np.int64]]


def sklearn_binary(p: Floats, t: Floats, resamples: Rows) -> Floats:
    """Return AUROC, accuracy and recall (R, 3)."""
    y, score = t[:, 1].astype(int), p[:, 1]
    out = []
    for rows in resamples:
        hat = score[rows] > 0.5
        out.append(
            (
                sk.roc_auc_score(y[rows], score[rows]),
                sk.accuracy_score(y[rows], hat),
                sk.recall_score(y[rows], hat),
            )
        )
    return np.asarray(out)


def torchmetrics_binary(p: Floats, t: Floats, resamples: Rows) -> Floats:
    """Return AUROC, accuracy and recall (R, 3)."""
    torch, tm = _torchmetrics()
    score, y = torch.tensor(p[:, 1]), torch.tensor(t[:, 1].astype(int))
    out = []
    for rows in resamples:
        a, b = score[rows], y[rows]
        three = tm.binary_auroc(a, b), tm.binary_accuracy(a, b), tm.binary_recall(a, b)
        out.append([float(v) for v in three])
    return np.asarray(out)


def sklearn_labels(p: Floats, t: Floats, resamples: Rows) -> Floats:
    """Return AUROC, average precision, sensitivity, Brier score and ECE (R, 5, K)."""
    out = []
    for rows in resamples:
        y, score = t[rows].astype(int), p[rows]
        briers = [sk.brier_score_loss(a, b) for a, b in zip(y.T, score.T, strict=True)]
        errors = [_ece(b, a) for a, b in zip(y.T, score.T, strict=True)]
        out.append(
            (
                sk.roc_auc_score(y, score, average=None),
                sk.average_precision_score(y, score, average=None),
                sk.recall_score(y, score > 0.5, average=None),
                briers,
                errors,
            )
        )
    return np.asarray(out)


def torchmetrics_labels(p: Floats, t: Floats, resamples: Rows) -> Floats:
    """Return AUROC, average precision, sensitivity, Brier score and ECE (R, 5, K)."""
    torch, tm = _torchmetrics()
    score, y, k = torch.tensor(p), torch.tensor(t.astype(int)), p.shape[1]
    out = []
    for rows in resamples:
        a, b = score[rows], y[rows]
        briers = ((a - b) ** 2).mean(dim=0)
        pairs = zip(a.T.contiguous(), b.T.contiguous(), strict=True)
        errors = [tm.binary_calibration_error(*pair, n_bins=15) for pair in pairs]
        of_label = {"num_labels": k, "average": None}
        five = (
            tm.multilabel_auroc(a, b, **of_label),
            tm.multilabel_average_precision(a, b, **of_label),
            tm.multilabel_recall(a, b, **of_label),
            briers,
            torch.stack(errors),
        )
        out.append([v.numpy() for v in five])
    return np.asarray(out)


def _ece(confidence: Floats, hit: NDArray[Any]) -> float:
    place = np.clip((confidence * 15).astype(int), 0, 14)
    gaps = np.bincount(place, confidence - hit, 15)
    return float(np.abs(gaps).sum() / len(hit))


def _torchmetrics() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from torchmetrics.functional import classification
    return torch, classification
