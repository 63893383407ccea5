"""`Calibrator` and the only softmax and sigmoid outside the losses: logits to probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax

from medimg.errors import PredictionsError
from medimg.labels import LabelSpace

ScoreKind = Literal["logits", "probabilities"]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Calibrator:
    """The numbers of a fitted calibration and how to apply them.

    Parameters
    ----------
    method : {"temperature"}
        Temperature scaling divides the logits by `parameters["temperature"]` (Guo et al.,
        ICML 2017).
    parameters : mapping of str to float
        What was fitted.
    fitted_on : str
        The fingerprint of the predictions that it was fitted on.
    """

    method: Literal["temperature"]
    parameters: Mapping[str, float] = field(default_factory=dict)
    fitted_on: str = ""

    def __post_init__(self) -> None:
        if self.method != "temperature":
            raise PredictionsError(
                f"calibration method {self.method!r} is unknown", remedy="use temperature"
            )
        temperature = self.parameters.get("temperature")
        if temperature is None or not 0 < temperature < np.inf:
            raise PredictionsError(
                f"temperature {temperature} is no positive number", remedy="calibrate again"
            )

    def apply(self, logits: Floats) -> NDArray[np.float64]:
        """Return calibrated logits float64 (N, K) of logits (N, K)."""
        return np.asarray(logits, np.float64) / self.parameters["temperature"]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "method": self.method,
            "parameters": dict(self.parameters),
            "fitted_on": self.fitted_on,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Calibrator:
        """Return the calibrator of a JSON form."""
        return cls(value["method"], dict(value["parameters"]), value.get("fitted_on", ""))


def to_logits(scores: Floats, kind: ScoreKind, space: LabelSpace) -> NDArray[np.float64]:
    """Return logits float64 (N, K): `scores` themselves, or the logarithm of probabilities.

    For exclusive classes log p is a logit (softmax gives p back); for `multilabel` it is
    log(p / (1 - p)). Probabilities of exactly 0 and 1 are moved inwards by 1e-12.
    """
    values = np.asarray(scores, np.float64)
    if kind == "logits":
        return values
    if space.exclusive:
        return np.log(np.maximum(values, 1e-12))
    inner = np.clip(values, 1e-12, 1 - 1e-12)
    return np.log(inner) - np.log1p(-inner)


def to_probabilities(
    scores: Floats, kind: ScoreKind, space: LabelSpace, calibrator: Calibrator | None = None
) -> NDArray[np.float64]:
    """Return probabilities float64 (N, K) of scores (N, K).

    Softmax for exclusive classes, sigmoid a class for `multilabel`; a calibrator works on the
    logits before.
    """
    if calibrator is None and kind == "probabilities":
        return np.asarray(scores, np.float64)
    logits = to_logits(scores, kind, space)
    if calibrator is not None:
        logits = calibrator.apply(logits)
    return np.asarray(softmax(logits, axis=1) if space.exclusive else expit(logits))


def log_likelihood_terms(logits: Floats, targets: Floats, space: LabelSpace) -> NDArray[np.float64]:
    """Return the negative log-likelihood (N,) of each case; NaN where nothing is known.

    Worked out on the logits, so that no probability is rounded to zero first. Multi-label
    cases give the mean over their known labels.
    """
    logits = np.asarray(logits, np.float64)
    known = ~np.isnan(targets)
    filled = np.where(known, targets, 0)
    if space.exclusive:
        terms = -(filled * log_softmax(logits, axis=1)).sum(axis=1)
        return np.where(known.all(axis=1), terms, np.nan)
    each = np.logaddexp(0, logits) - filled * logits
    counts = known.sum(axis=1)
    return np.where(counts > 0, (each * known).sum(axis=1) / np.maximum(counts, 1), np.nan)
