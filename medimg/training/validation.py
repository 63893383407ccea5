"""What val says of a network after an epoch: in float32, at the balance of the data.

N cases, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.calibrator import log_likelihood_terms, to_probabilities
from medimg.evaluation.metrics import MULTICLASS, MULTILABEL, ORDINAL, Metric
from medimg.labels import LabelSpace
from medimg.training.options import Monitor

#: What `fit.monitor` calls the metrics of `medimg.evaluation.metrics`.
_METRICS: Mapping[str, str] = {
    "val_accuracy": "accuracy",
    "val_auroc": "auroc_macro",
    "val_balanced_accuracy": "balanced_accuracy",
    "val_average_precision": "average_precision_macro",
    "val_f1": "f1_macro",
    "val_kappa": "kappa",
    "val_mcc": "mcc",
    "val_brier": "brier",
}
_ALWAYS = ("val_accuracy", "val_auroc")
_FAMILIES: Mapping[str, Mapping[str, Metric]] = {
    "multiclass": MULTICLASS,
    # Cohen's kappa of grades weighs a miss by the square of its distance, as is usual for them.
    "ordinal": {**ORDINAL, "kappa": ORDINAL["quadratic_kappa"]},
    "multilabel": MULTILABEL,
}


def validate(
    predict: Callable[[NDArray[np.intp]], NDArray[np.float32]],
    rows: NDArray[np.intp],
    targets: NDArray[np.float32],
    space: LabelSpace,
    monitor: Monitor | None,
) -> dict[str, Any]:
    """Return loss, accuracy, AUROC and the monitored metric; nothing where no case is known.

    Parameters
    ----------
    predict : function
        Rows of the store (N,) to logits float32 (N, K).
    rows : intp (N,)
        Of split val.
    targets : float32 (N, K)
        In {0, 1, NaN}.

    Returns
    -------
    dict
        A metric that is not defined, as an AUROC of one class alone, is None.
    """
    known = ~np.isnan(targets).all(axis=1)
    rows, targets = rows[known], targets[known]
    if not len(rows):
        return {}
    logits = predict(rows)
    probabilities = to_probabilities(logits, "logits", space)
    family = _FAMILIES[space.kind]
    names = [name for name in _METRICS if name in _ALWAYS or name == monitor]
    loss = float(np.nanmean(log_likelihood_terms(logits, targets, space)))
    return {"val_loss": loss} | {
        name: _finite(family[_METRICS[name]](probabilities, targets)) for name in names
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
