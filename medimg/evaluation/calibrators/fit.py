"""Fitting a calibrator: on cases of its own (`calib`), never on those that stopped or test it."""

from __future__ import annotations

import numpy as np

from medimg.calibrator import Calibrator
from medimg.errors import PredictionsError, UsageError, nearest
from medimg.evaluation.calibrators.choose import METHODS, candidates, has_two_answers, trials
from medimg.evaluation.metrics import Floats
from medimg.evaluation.sample import known_cases, one_split
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

AUTO = "auto"


def fit_calibrator(predictions: Predictions, method: str = AUTO) -> Calibrator:
    """Return the calibrator that makes the known targets most likely.

    Parameters
    ----------
    predictions : Predictions
        Cases that neither trained nor stopped nor will test the model. A calibrator that they
        carry is ignored: the fit is on the raw logits (log p, for probabilities).
    method : str
        One of `METHODS`; `Calibrator` says what they do. ``auto`` tries those that suit the
        classes on folds by patient and takes the one with the greatest likelihood out of fold,
        unless it gains less than one standard error (by patient) over the raw output: then, and
        where there are too few patients for folds, the raw output stays (``identity``). With
        fewer than 50 cases of some class only temperature and Platt scaling are tried: what has
        more numbers would fit the chance of so few. What was tried stands in `tried`.

    Raises
    ------
    UsageError
        An unknown method, one that is not for such classes, or several splits at once.
    PredictionsError
        No known target, or targets of one class alone.
    """
    require_method(method, predictions.space)
    one, name = one_split(predictions)
    known = known_cases(one, name)
    targets = known.targets.astype(np.float64)
    _require_two_answers(targets, known.space, name)
    names = candidates(targets, known.space) if method == AUTO else [method]
    tries = trials(known, names) if method == AUTO or len(METHODS[method].strengths) > 1 else []
    best = max(tries, key=lambda trial: trial.gain, default=None)
    tried = {t.method: (t.gain, t.error) for t in tries} if method == AUTO else {}
    if method == AUTO and (best is None or best.gain <= best.error):
        return Calibrator("identity", {}, predictions.fingerprint, tried)
    chosen = method if best is None else best.method
    strength = METHODS[chosen].strengths[-1] if best is None else best.strength
    numbers = METHODS[chosen].fit(known.logits, targets, known.space, strength)
    return Calibrator(chosen, numbers, predictions.fingerprint, tried)


def require_method(method: str, space: LabelSpace) -> None:
    """Refuse a method that is unknown or is not for such classes.

    Raises
    ------
    UsageError
        Names it, and those that there are.
    """
    here = (AUTO, *(name for name, m in METHODS.items() if m.suits(space)))
    if method in here:
        return
    if method not in METHODS:
        what = f"is unknown{nearest(method, (AUTO, *METHODS))}"
    elif METHODS[method].takes == "several":
        what = "is for three or more classes that exclude each other"
    else:
        what = "is for two classes, or for labels that do not exclude each other"
    raise UsageError(f"calibration method {method!r} {what}", remedy=f"one of {', '.join(here)}")


def _require_two_answers(targets: Floats, space: LabelSpace, split: str) -> None:
    if has_two_answers(targets, space):
        return
    present = (targets == 1).any(axis=0)
    only = space.classes[int(present.argmax())] if present.any() else "negative"
    raise PredictionsError(
        f"every known target of split {split!r} is {only!r}",
        remedy="calibrate on cases of at least two classes",
    )
