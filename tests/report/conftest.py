"""Evaluations made by hand: the numbers are plausible, the intervals rough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from medimg.evaluation.result import Estimate, Evaluation, ReliabilityBin, RocCurve
from medimg.labels import LabelSpace
from medimg.report.write import Example

MACRO = ("accuracy", "balanced_accuracy", "recall_macro", "specificity_macro", "precision_macro")
REST = ("f1_macro", "auroc_macro", "average_precision_macro", "brier", "nll", "ece")
BINARY = ("auroc", "sensitivity", "specificity", "ppv", "npv", "ece_top_label")
WILSON = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "recall")


def estimate(name: str, value: float | None, n: int, patients: int | None = None) -> Estimate:
    unit = "case" if patients is None else "patient"
    if value is None:
        return Estimate(None, None, None, n, patients, "none", unit, "no case of this class")
    if name.startswith("ece"):
        reason = "plug-in ECE is biased; no interval is honest"
        return Estimate(value, None, None, n, patients, "none", unit, reason)
    half = 1.96 * (max(value * (1 - value), 0.001) / n) ** 0.5
    method = "wilson" if name in WILSON else "bootstrap"
    low, high = max(value - half, 0), value + half if name == "nll" else min(value + half, 1)
    return Estimate(value, low, high, n, patients, method, unit)


def bins(p: np.ndarray, y: np.ndarray, count: int = 15) -> tuple[ReliabilityBin, ...]:
    which = np.minimum((p * count).astype(int), count - 1)
    rows = []
    for i in range(count):
        inside, low, high = which == i, i / count, (i + 1) / count
        if inside.any():
            found = (float(p[inside].mean()), float(y[inside].mean()))
            rows.append(ReliabilityBin(low, high, *found, int(inside.sum())))
        else:
            rows.append(ReliabilityBin(low, high, None, None, 0))
    return tuple(rows)


def scores(space: LabelSpace, n: int, sharp: float) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and targets (N, K)."""
    random = np.random.default_rng(space.k)
    signal = random.normal(size=(n, space.k)) * 2
    if space.exclusive:
        truth = np.eye(space.k)[np.argmax(signal + random.gumbel(size=signal.shape), axis=1)]
        raised = np.exp(signal * sharp)
        return raised / raised.sum(axis=1, keepdims=True), truth
    truth = (random.random(signal.shape) < 1 / (1 + np.exp(-signal))).astype(float)
    return 1 / (1 + np.exp(-signal * sharp)), truth


def confusion(space: LabelSpace, p: np.ndarray, y: np.ndarray) -> tuple[tuple[int, ...], ...]:
    if space.exclusive:
        table = confusion_matrix(y.argmax(1), p.argmax(1), labels=range(space.k))
    else:
        table = [confusion_matrix(y[:, k], p[:, k] > 0.5).ravel() for k in range(space.k)]
    return tuple(tuple(int(n) for n in row) for row in table)


def curve(p: np.ndarray, y: np.ndarray) -> RocCurve:
    x, t, _ = roc_curve(y, p)
    return RocCurve(tuple(map(float, x)), tuple(map(float, t)))


def evaluation(
    classes: tuple[str, ...] = ("benign", "malignant"),
    kind: Any = "multiclass",
    positive: str | None = None,
    n: int = 400,
    patients: int | None = None,
    sharp: float = 1.0,
    missing: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> Evaluation:
    space = LabelSpace(classes, kind, positive)
    p, y = scores(space, n, sharp)
    auroc = {c: float(roc_auc_score(y[:, k], p[:, k])) for k, c in enumerate(classes)}
    values = dict(zip(MACRO + REST, np.linspace(0.71, 0.93, 11), strict=True))
    values |= {"auroc_macro": float(np.mean(list(auroc.values()))), "brier": 0.14, "nll": 1.2}
    values |= {"ece": abs(sharp - 1) / 9 + 0.0004}
    if positive is not None:
        values |= dict(zip(BINARY, (auroc[positive], 0.86, 0.79, 0.71, 0.9, 0.03), strict=True))
    metrics = {m: estimate(m, float(v), n, patients) for m, v in values.items()}
    if missing is not None:
        metrics[missing] = estimate(missing, None, n, patients)
    per_class = {
        c: {
            m: estimate(m, v, int(y[:, k].sum()) if m == "recall" else n, patients)
            for m, v in (("recall", 0.8), ("specificity", 0.9), ("precision", 0.7), ("f1", 0.75),
                         ("auroc", auroc[c]), ("average_precision", 0.66))
        }
        for k, c in enumerate(classes)
    }  # fmt: skip
    if missing is not None:
        per_class[classes[0]]["auroc"] = estimate("auroc", None, n, patients)
    at = space.index(positive) if positive else 1
    top = (p[:, at], y[:, at]) if space.k == 2 else (p.max(1), y.argmax(1) == p.argmax(1))
    shown = [positive] if positive else classes
    return Evaluation(
        n=n,
        n_patients=patients,
        split="test",
        space=space,
        calibrated=sharp == 1,
        metrics=metrics,
        per_class=per_class,
        confusion=confusion(space, p, y),
        reliability=bins(*(top if space.exclusive else (p.ravel(), y.ravel()))),
        roc={c: curve(p[:, classes.index(c)], y[:, classes.index(c)]) for c in shown},
        provenance=provenance if provenance is not None else {
            "medimg": "0.1.0", "python": "3.11.9", "seed": 0,
            "predictions": {"fingerprint": "3f" * 32, "resamples": 2000},
        },
    )  # fmt: skip


@pytest.fixture
def make() -> Callable[..., Evaluation]:
    return evaluation


@pytest.fixture
def history() -> list[dict[str, Any]]:
    return [
        {
            "epoch": e,
            "train_loss": 0.1 + 1.9 * 0.75**e,
            "val_loss": 0.3 + 1.6 * 0.72**e + 0.012 * max(e - 8, 0),
            "lr": 1e-3,
            "val_auroc": 0.9 - 0.3 * 0.7**e,
            "val_accuracy": 0.84 - 0.3 * 0.75**e,
            "best": e == 9,
        }
        for e in range(1, 21)
    ]


@pytest.fixture
def examples() -> list[Example]:
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:28j, -1:1:28j]
    made = []
    for i in range(8):
        blob = 200 * np.exp(-4 * ((x - 0.1 * i + 0.3) ** 2 + (y * (1 + i / 4)) ** 2))
        image = np.clip(blob + random.normal(20, 9, blob.shape), 0, 255).astype(np.uint8)
        target = "malignant" if i % 2 else "benign"
        predicted = target if i % 4 < 2 else "benign"
        picture = np.repeat(image[:, :, None], 3, axis=2) if i == 7 else image
        made.append(Example(picture, f"breast.npz#test@{i}", target, predicted, 0.97 - 0.05 * i))
    return made
