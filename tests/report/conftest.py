"""Evaluations made by hand: the numbers are plausible, the intervals rough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_auc_score, roc_curve

from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.evaluation import Evaluation
from medimg.evaluation.results.sections import (
    Abstention,
    CalibrationCheck,
    ConformalResult,
    Curve,
    DecisionCurve,
    Group,
    Histogram,
    OperatingResult,
    PrevalenceRow,
    Refused,
    ReliabilityBin,
    RunRow,
    ScoreCurves,
    Shift,
    ShiftRow,
    Subgroups,
)
from medimg.labels import LabelSpace
from medimg.report.write import Example

MACRO = ("accuracy", "balanced_accuracy", "recall_macro", "specificity_macro", "precision_macro")
REST = ("f1_macro", "auroc_macro", "average_precision_macro", "brier", "nll", "ece")
BINARY = ("auroc", "sensitivity", "specificity", "ppv", "npv", "ece_top_label")
WILSON = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "recall", "coverage")
SIGNED = ("nll", "slope", "intercept", "lr_positive", "size", "prevalence gap")


def estimate(
    name: str, value: float | None, n: int, patients: int | None = None, **more: Any
) -> Estimate:
    unit = "case" if patients is None else "patient"
    if value is None:
        return Estimate(None, None, None, n, patients, "none", unit, "no case of this class")
    if name.startswith("ece"):
        reason = "plug-in ECE is biased; no interval is honest"
        return Estimate(value, None, None, n, patients, "none", unit, reason, 0.021, 0.304)
    half = 1.96 * (max(value * (1 - value), 0.001) / n) ** 0.5
    method = "wilson" if name in WILSON else "bootstrap"
    free = name in SIGNED or name.startswith("gap")
    low, high = (value - half, value + half) if free else (max(value - half, 0), value + half)
    return Estimate(value, low, high if free else min(high, 1), n, patients, method, unit, **more)


def bins(p: np.ndarray, y: np.ndarray, count: int = 15) -> tuple[ReliabilityBin, ...]:
    which = np.minimum((p * count).astype(int), count - 1)
    rows = []
    for i in range(count):
        inside, low, high = which == i, i / count, (i + 1) / count
        if inside.any():
            n, mean = int(inside.sum()), float(p[inside].mean())
            reach = 2 * (mean * (1 - mean) / n) ** 0.5
            band = (max(mean - reach, 0), min(mean + reach, 1))
            rows.append(ReliabilityBin(low, high, mean, float(y[inside].mean()), n, *band))
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


def banded(x: np.ndarray, y: np.ndarray, reach: float = 0.05) -> Curve:
    ends = (np.clip(y - reach, 0, 1), np.clip(y + reach, 0, 1))
    return Curve(*(tuple(map(float, v)) for v in (x, y, *ends)))


def score_curves(p: np.ndarray, y: np.ndarray) -> ScoreCurves:
    x, t, _ = roc_curve(y, p)
    precision, recall, _ = precision_recall_curve(y, p)
    at = np.linspace(0, 1, 101)
    flagged = p[:, None] >= at
    edges = np.linspace(0, 1, 21)
    counts = {n: np.histogram(p[y == v], edges)[0] for n, v in (("with", 1), ("without", 0))}
    return ScoreCurves(
        prevalence=float(y.mean()),
        roc=banded(x, t),
        precision_recall=banded(recall[::-1], precision[::-1]),
        sweep={
            "sensitivity": banded(at, flagged[y == 1].mean(0)),
            "specificity": banded(at, 1 - flagged[y == 0].mean(0)),
        },
        histogram=Histogram(
            tuple(map(float, edges)), {n: tuple(map(int, v)) for n, v in counts.items()}
        ),
    )


def checks(space: LabelSpace, p: np.ndarray, y: np.ndarray) -> tuple[CalibrationCheck, ...]:
    """Return a check of each class (of two, of the target alone) and of the predicted class."""
    shown = range(space.k) if space.k != 2 else [space.positive_index or 1]
    pairs = {space.classes[k]: (p[:, k], y[:, k]) for k in shown}
    if space.exclusive:
        pairs["predicted class"] = (p.max(1), y.argmax(1) == p.argmax(1))
    return tuple(
        CalibrationCheck(
            of,
            {
                "ece": estimate("ece", abs(float(a.mean() - b.mean())) + 0.0123, len(a)),
                "slope": estimate("slope", 0.97, len(a)),
                "brier": estimate("brier", float(((a - b) ** 2).mean()), len(a)),
            },
            bins(a, b),
        )
        for of, (a, b) in pairs.items()
    )


def evaluation(
    classes: tuple[str, ...] = ("benign", "malignant"),
    kind: Any = "multiclass",
    positive: str | None = None,
    n: int = 400,
    patients: int | None = None,
    missing: str | None = None,
    provenance: dict[str, Any] | None = None,
    parts: bool = False,
) -> Evaluation:
    """Return an evaluation; with `parts` nothing of it is empty."""
    space = LabelSpace(classes, kind, positive)
    p, y = scores(space, n, 1.0)
    auroc = {c: float(roc_auc_score(y[:, k], p[:, k])) for k, c in enumerate(classes)}
    values = dict(zip(MACRO + REST, np.linspace(0.71, 0.93, 11), strict=True))
    values |= {"auroc_macro": float(np.mean(list(auroc.values()))), "brier": 0.14, "nll": 1.2}
    values |= {"ece": 0.0004}
    if positive is not None:
        values |= dict(zip(BINARY, (auroc[positive], 0.86, 0.79, 0.71, 0.9, 0.03), strict=True))
    metrics = {m: estimate(m, float(v), n, patients) for m, v in values.items()}
    if missing is not None:
        metrics[missing] = estimate(missing, None, n, patients)
    per_class = {
        c: {
            m: estimate(m, v, int(y[:, k].sum()) if m == "recall" else n, patients)
            for m, v in (("recall", 0.8), ("specificity", 0.9), ("precision", 0.7), ("f1", 0.75),
                         ("auroc", auroc[c]), ("average_precision", 0.66), ("mcc", 0.512))
        }
        for k, c in enumerate(classes)
    }  # fmt: skip
    if missing is not None:
        per_class[classes[0]]["auroc"] = estimate("auroc", None, n, patients)
    shown = [positive] if positive else classes
    made = Evaluation(
        n=n,
        n_patients=patients,
        split="test",
        space=space,
        calibrated=parts,
        metrics=metrics,
        per_class=per_class,
        confusion=confusion(space, p, y),
        calibration=checks(space, p, y),
        curves={c: score_curves(p[:, classes.index(c)], y[:, classes.index(c)]) for c in shown},
        provenance=provenance if provenance is not None else {
            "medimg": "0.1.0", "python": "3.11.9", "seed": 0,
            "predictions": {"fingerprint": "3f" * 32, "resamples": 2000},
        },
    )  # fmt: skip
    if not parts:
        return made
    sharp = scores(space, n, 2.0)
    return Evaluation(**{**vars(made), **every_part(made), "uncalibrated": checks(space, *sharp)})


def every_part(e: Evaluation) -> Mapping[str, Any]:
    """Return what `evaluation` leaves empty, for the same classes and cases."""
    shown = list(e.curves)
    at = {"sensitivity": 0.87, "specificity": 0.74, "ppv": 0.613, "npv": 0.931}
    at_ = {m: estimate(m, v, e.n, e.n_patients) for m, v in at.items()}
    here = banded(np.linspace(0.01, 0.99, 50), np.linspace(0.4, 0.01, 50), 0.02)
    everyone = Curve(here.x, tuple(0.4 - x / (1 - x) * 0.6 for x in here.x))
    rows = (
        ShiftRow("prevalence", 0.412, 0.327, estimate("prevalence gap", 0.085, e.n)),
        ShiftRow("distance of scores", None, None, estimate("auroc", None, e.n)),
    )
    return {
        "operating": tuple(
            OperatingResult(
                c, rule, threshold, "calib (120 cases of 90 patients)",
                {"true_positives": 87, "false_positives": 55, "false_negatives": 13, "true_negatives": 157},
                at_ | {"lr_positive": estimate("lr_positive", 3.3462, e.n, e.n_patients)},
            )
            for c in shown
            for rule, threshold in (("youden", 0.4132), ("sensitivity=0.95", 0.1277))
        ),
        "decision": tuple(DecisionCurve(c, here, everyone, "Where one would act.") for c in shown),
        "prevalence": tuple(
            PrevalenceRow(c, "youden", 0.05, 0.061, {"ppv": at_["ppv"], "npv": at_["npv"]})
            for c in shown
        ),
        "abstention": abstention(e),
        "subgroups": (subgroups(e, "sex", ("F", "M")), subgroups(e, "age", ("to 40", "41 to 57"))),
        "conformal": (conformal(e),),
        "runs": tuple(
            RunRow(m, x, (0.8117, None, 0.8339), 0.0112, 0.0213, 0.217)
            for m, x in list(e.metrics.items())[:3]
        ),
        "shift": Shift("the first hospital", 1234, rows, rows[:1], "Scored once each."),
        "by_patient": Evaluation(**{**vars(e), "calibration": (), "curves": {}, "notes": ("2 left out.",)}),
        "notes": ("One label has no case.",),
    }  # fmt: skip


def abstention(e: Evaluation) -> Abstention:
    refused = tuple(
        Refused(c, c + 0.002, 0.5 + c / 9, estimate("accuracy", 0.2 * c, e.n, e.n_patients),
                {k: estimate("recall", 1 - c, e.n, e.n_patients) for k in e.space.classes})
        for c in (0.9, 0.5)
    )  # fmt: skip
    curve = banded(np.linspace(0.01, 1, 100), np.linspace(0.02, 0.2, 100), 0.02)
    areas = {"aurc": estimate("aurc", 0.061, e.n, e.n_patients, expected=0.2, p=None)}
    return Abstention("probability of the class that is decided for", curve, areas, refused)


def subgroups(e: Evaluation, column: str, names: tuple[str, ...]) -> Subgroups:
    drawn = ("auroc", "auroc_macro", "sensitivity", "accuracy", "f1_macro")
    found = {m: x.value - 0.01 for m, x in e.metrics.items() if m in drawn and x.value is not None}
    groups = tuple(
        Group(
            name, e.n // 2, e.n_patients,
            {m: estimate(m, v - i / 50, e.n // 2, e.n_patients) for m, v in found.items()},
            {m: estimate(f"gap {m}", i / 50 - 0.013, e.n, e.n_patients, expected=0.0, p=0.0371)
             for m in found},
        )
        for i, name in enumerate(names)
    )  # fmt: skip
    return Subgroups(column, groups, 2, 11, dict.fromkeys(found, names[-1]), "Cut at quantiles.")


def conformal(e: Evaluation) -> ConformalResult:
    cover = {"coverage": estimate("coverage", 0.913, e.n, e.n_patients)}
    k = e.space.k
    return ConformalResult(
        "lac", "class", 0.1, "calib: 120 cases of 90 patients", 90, "patient",
        dict.fromkeys(e.space.classes, 0.8) | {e.space.classes[0]: None}, e.space.classes[:1],
        cover | {"size": estimate("size", 1.21, e.n, e.n_patients)},
        dict.fromkeys(e.space.classes, cover), {}, (0.861, 0.948),
        tuple(range(k, -1, -1)), {e.space.classes[-1]: (0.84, 0.96)},
        banded(np.linspace(0.5, 0.99, 20), np.linspace(0.52, 0.98, 20)), "One case a patient.",
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
