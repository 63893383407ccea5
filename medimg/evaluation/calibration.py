"""Fitting a calibrator: on cases of its own (`calib`), never on those that stopped or test it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.calibrator import Calibrator, log_likelihood_terms
from medimg.errors import PredictionsError, UsageError, nearest
from medimg.evaluation.metrics import Floats
from medimg.evaluation.sample import known_cases, one_split
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

METHODS = ("temperature",)

BOUNDS = (0.05, 20.0)
"""Reached where the scores are all but perfect, or say nothing."""


def fit_calibrator(predictions: Predictions, method: str = "temperature") -> Calibrator:
    """Return the calibrator that makes the known targets most likely.

    Parameters
    ----------
    predictions : Predictions
        Cases that neither trained nor stopped nor will test the model. A calibrator that they
        carry is ignored: the fit is on the raw logits (log p, for probabilities).
    method : {"temperature"}
        One number that divides all logits (Guo et al., ICML 2017), between 0.05 and 20. It
        stays 1 where no other one is better. Where every case is classified right, the most
        likely temperature is 0, and one later error would cost without bound: then the targets
        are smoothed by one case in n + 2 (Platt, Adv. Large Margin Classifiers, 1999).

    Raises
    ------
    UsageError
        An unknown method, or several splits at once.
    PredictionsError
        No known target, or targets of one class alone.
    """
    if method not in METHODS:
        raise UsageError(
            f"calibration method {method!r} is unknown{nearest(method, METHODS)}",
            remedy=f"one of {', '.join(METHODS)}",
        )
    one, name = one_split(predictions)
    known = known_cases(one, name)
    targets = known.targets.astype(np.float64)
    _require_two_answers(targets, known.space, name)
    temperature = _fit_temperature(known.logits, targets, known.space)
    return Calibrator(
        "temperature", {"temperature": temperature}, fitted_on=predictions.fingerprint
    )


def has_two_answers(targets: NDArray[np.floating[Any]], space: LabelSpace) -> bool:
    """Whether known targets (N, K) tell a sure score from an unsure one: they are not all alike."""
    present, absent = (targets == 1).any(axis=0), (targets == 0).any(axis=0)
    return bool(present.sum() > 1 if space.exclusive else present.any() and absent.any())


def _require_two_answers(targets: Floats, space: LabelSpace, split: str) -> None:
    if has_two_answers(targets, space):
        return
    present = (targets == 1).any(axis=0)
    only = space.classes[int(present.argmax())] if present.any() else "negative"
    raise PredictionsError(
        f"every known target of split {split!r} is {only!r}",
        remedy="calibrate on cases of at least two classes",
    )


def _fit_temperature(logits: Floats, targets: Floats, space: LabelSpace) -> float:
    from scipy.optimize import minimize_scalar

    if _all_right(logits, targets, space):
        targets = _smooth(targets, space)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(log_likelihood_terms(scaled, targets, space).mean())

    # In 1 / T the loss is convex, so that in log T there is one valley.
    found = minimize_scalar(
        loss, bounds=tuple(np.log(BOUNDS)), method="bounded", options={"xatol": 1e-7}
    )
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def _all_right(logits: Floats, targets: Floats, space: LabelSpace) -> bool:
    if space.exclusive:
        return bool((logits.argmax(axis=1) == targets.argmax(axis=1)).all())
    return bool(((logits > 0) == (targets == 1))[~np.isnan(targets)].all())


def _smooth(targets: Floats, space: LabelSpace) -> Floats:
    """Return targets (N, K) in which one case, or label, in n + 2 is taken to be wrong."""
    n = len(targets) if space.exclusive else np.count_nonzero(~np.isnan(targets))
    doubt = 1 / (n + 2)
    others = space.k - 1 if space.exclusive else 1
    return targets * (1 - doubt) + (1 - targets) * doubt / others
