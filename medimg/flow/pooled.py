"""The predictions of several folds as one table, and what differs between the folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.calibrator import Calibrator
from medimg.evaluation.results.evaluation import Evaluation
from medimg.files import fingerprint
from medimg.predictions import Predictions

#: The name of the predictions of all folds, and of their split.
OUT_OF_FOLD = "out_of_fold"


def pool(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several folds as one table, with a column `fold`.

    Each part's own calibrator is in its scores already, as the parts do not share one; where
    they had one, ``identity`` says that none is left to apply.
    """
    scores = [p.scores if p.calibrator is None else p.calibrated_logits for p in parts]
    calibrated = all(p.calibrator is not None for p in parts)
    made = fingerprint([p.fingerprint for p in parts])
    n = sum(map(len, parts))
    return Predictions(
        case_id=np.concatenate([p.case_id for p in parts]),
        scores=np.concatenate(scores).astype(np.float32),
        kind="logits",
        space=parts[0].space,
        targets=np.concatenate([p.targets for p in parts]),
        patient_id=_patients(parts),
        split=np.full(n, OUT_OF_FOLD, object),
        calibrator=Calibrator("identity", {}, made) if calibrated else None,
        metadata=pd.concat([p.metadata.assign(fold=str(k)) for k, p in enumerate(parts, 1)]),
    )


def _patients(parts: Sequence[Predictions]) -> NDArray[Any] | None:
    if all(p.patient_id is None for p in parts):
        return None
    blank = [np.full(len(p), "", object) if p.patient_id is None else p.patient_id for p in parts]
    return np.concatenate(blank)


def spread_of(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Return one row a metric: its value in each fold, their mean and standard deviation.

    A metric that some fold does not have is left out of the mean of that row. A mean over
    classes is not the same thing in a fold that lacks one of them: where folds differ so, the row
    has no mean, and `note` says which fold lacks what.
    """
    rows = []
    for name in evaluations[0].metrics:
        found = [e.metrics[name].value if name in e.metrics else None for e in evaluations]
        known = [value for value in found if value is not None]
        lacking = [_lacking(e, name) for e in evaluations]
        alike = len(set(lacking)) == 1
        rows.append(
            {
                "metric": name,
                "mean": float(np.mean(known)) if known and alike else None,
                "sd": float(np.std(known, ddof=1)) if len(known) > 1 and alike else None,
            }
            | {f"fold-{number}": value for number, value in enumerate(found, start=1)}
            | {"note": "" if alike else _differs(lacking)}
        )
    return pd.DataFrame(rows)


def _lacking(evaluation: Evaluation, name: str) -> tuple[str, ...]:
    """Return the classes that a mean over classes leaves out, as it is not defined in them.

    The precision of a class that has cases and is never predicted counts as 0 in the mean.
    """
    if name != "balanced_accuracy" and not name.endswith("_macro"):
        return ()
    of = "recall" if name == "balanced_accuracy" else name.removesuffix("_macro")
    needed = (of, "recall") if of == "precision" else (of,)
    return tuple(
        c
        for c, row in evaluation.per_class.items()
        if all(metric in row and row[metric].value is None for metric in needed)
    )


def _differs(lacking: Sequence[tuple[str, ...]]) -> str:
    said = [f"fold {k} without {', '.join(names)}" for k, names in enumerate(lacking, 1) if names]
    return "over different classes: " + "; ".join(said)
