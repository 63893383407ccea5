"""`Calibrator` and the only softmax and sigmoid outside the losses: logits to probabilities.

N cases, K classes. M log odds: one for two classes that exclude each other, else one a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logsumexp, softmax

from medimg.errors import PredictionsError, nearest
from medimg.labels import LabelSpace

ScoreKind = Literal["logits", "probabilities"]
Floats = NDArray[np.floating[Any]]
Float64s = NDArray[np.float64]
Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Calibrator:
    """The numbers of a fitted calibration and how to apply them.

    Parameters
    ----------
    method : str
        ``identity`` leaves the logits as they are: others were tried and gained nothing.
        ``temperature`` divides them by one number (Guo et al., ICML 2017).
        ``platt`` takes log odds x to a x + b (Platt, Adv. Large Margin Classifiers, 1999) and
        ``beta`` to a log p - b log(1 - p) + c (Kull et al., AISTATS 2017), both for two classes
        or each label; ``isotonic`` takes them to a rising line through fitted points
        (Zadrozny and Elkan, KDD 2002), of more exclusive classes each against the rest.
        ``vector`` (Guo et al.) and ``dirichlet`` (Kull et al., NeurIPS 2019) multiply the log
        probabilities of three or more classes by a diagonal or a whole matrix and add a bias.
    parameters : mapping of str to numbers
        What was fitted: a number, or (nested) tuples of numbers.
    fitted_on : str
        The fingerprint of the predictions that it was fitted on.
    tried : mapping of str to (float, float)
        Where it was chosen among several: what each method gained over the raw output, in nats
        a case out of fold, and the standard error of that.

    Raises
    ------
    PredictionsError
        An unknown method, or parameters that are not its own.
    """

    method: str
    parameters: Numbers = field(default_factory=dict)
    fitted_on: str = ""
    tried: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("parameters", "tried"):
            values = {key: _frozen(value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, values)
        if self.method not in _METHODS:
            raise PredictionsError(
                f"calibration method {self.method!r} is unknown{nearest(self.method, _METHODS)}",
                remedy=f"one of {', '.join(_METHODS)}",
            )
        if self.method == "temperature":
            _check_temperature(self.parameters.get("temperature"))
        names = _METHODS[self.method][1]
        if set(self.parameters) != set(names) or not _finite(tuple(self.parameters.values())):
            raise PredictionsError(
                f"{self.method} has the parameters {dict(self.parameters)}",
                remedy=f"calibrate again: {', '.join(names) or 'none'} are wanted, as numbers",
            )

    def apply(self, logits: Floats) -> NDArray[np.float64]:
        """Return calibrated logits float64 (N, K) of logits (N, K); finite for finite ones."""
        apply, _ = _METHODS[self.method]
        try:
            return apply(np.asarray(logits, np.float64), self.parameters)
        except ValueError:
            raise PredictionsError(
                f"a {self.method} calibrator of other classes than these {logits.shape[1]}",
                remedy="calibrate on predictions of this very model",
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        form: dict[str, Any] = {
            "method": self.method,
            "parameters": _thawed(self.parameters),
            "fitted_on": self.fitted_on,
        }
        return form | ({"tried": _thawed(self.tried)} if self.tried else {})

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Calibrator:
        """Return the calibrator of a JSON form."""
        tried = value.get("tried", {})
        return cls(value["method"], value["parameters"], value.get("fitted_on", ""), tried)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(each) for key, each in value.items()}
    return [_thawed(each) for each in value] if isinstance(value, tuple) else value


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_finite, value))
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _check_temperature(temperature: Any) -> None:
    if temperature is None or not 0 < temperature < np.inf:
        raise PredictionsError(
            f"temperature {temperature} is no positive number", remedy="calibrate again"
        )


def _identity(logits: Float64s, numbers: Numbers) -> Float64s:
    return logits


def _temperature(logits: Float64s, numbers: Numbers) -> Float64s:
    return np.asarray(logits / numbers["temperature"])


def _matrix(logits: Float64s, numbers: Numbers) -> Float64s:
    weight, bias = (np.asarray(numbers[name]) for name in ("weight", "bias"))
    log_p = log_probabilities(logits)
    return np.asarray((log_p @ weight.T if weight.ndim == 2 else log_p * weight) + bias)


def _line(odds: Float64s, numbers: Numbers) -> Float64s:
    slope, offset = _each(odds, numbers, "slope", "offset")
    return slope * odds + offset


def _beta(odds: Float64s, numbers: Numbers) -> Float64s:
    a, b, c = _each(odds, numbers, "a", "b", "c")
    return np.asarray(a * -np.logaddexp(0, -odds) + b * np.logaddexp(0, odds) + c)


def _each(odds: Float64s, numbers: Numbers, *names: str) -> list[Float64s]:
    """Return parameters (M,) by name; other than M of them raise `ValueError`."""
    return [np.asarray(numbers[name], np.float64).reshape(odds.shape[1]) for name in names]


def _isotonic(odds: Float64s, numbers: Numbers) -> Float64s:
    """Interpolate between the points of each map; one without points changes nothing."""
    maps = zip(odds.T, numbers["points"], numbers["values"], strict=True)
    return np.stack([_through(x, points, p) if points else x for x, points, p in maps], axis=1)


def _through(odds: Float64s, points: tuple[float, ...], values: tuple[float, ...]) -> Float64s:
    p = np.interp(odds, points, values)
    return np.asarray(np.log(p) - np.log1p(-p))


Change = Callable[[Float64s, Numbers], Float64s]


def _of_odds(change: Change) -> Change:
    """Return how logits change where their log odds change so."""

    def apply(logits: Float64s, numbers: Numbers) -> Float64s:
        odds = change(log_odds(logits, exclusive=numbers["exclusive"]), numbers)
        if not numbers["exclusive"]:
            return odds
        if odds.shape[1] == 1:
            return np.concatenate([np.zeros_like(odds), odds], axis=1)
        return np.asarray(-np.logaddexp(0, -odds))  # log p, which softmax divides by their sum

    return apply


#: Method -> how it is applied, and the names of its parameters.
_METHODS: dict[str, tuple[Change, tuple[str, ...]]] = {
    "identity": (_identity, ()),
    "temperature": (_temperature, ("temperature",)),
    "vector": (_matrix, ("weight", "bias")),
    "platt": (_of_odds(_line), ("exclusive", "slope", "offset")),
    "dirichlet": (_matrix, ("weight", "bias")),
    "isotonic": (_of_odds(_isotonic), ("exclusive", "points", "values")),
    "beta": (_of_odds(_beta), ("exclusive", "a", "b", "c")),
}


def log_odds(logits: Floats, *, exclusive: bool) -> Float64s:
    """Return log p / (1 - p), float64 (N, M), of logits (N, K).

    Of two exclusive classes that of the second alone, of more that of each class against the
    rest, of labels their logits.
    """
    z = np.asarray(logits, np.float64)
    if not exclusive:
        return z
    if z.shape[1] == 2:
        return np.asarray(z[:, 1:] - z[:, :1])
    log_p, rows, top = log_probabilities(z), np.arange(len(z)), z.argmax(axis=1)
    # 1 - p of the likeliest class is rounded away near 1: it is taken from the others there.
    others = z.copy()
    others[rows, top] = -np.inf
    log_p[rows, top] = -np.inf
    odds = log_p - np.log1p(-np.exp(log_p))
    odds[rows, top] = z[rows, top] - logsumexp(others, axis=1)
    return np.asarray(odds)


def log_probabilities(logits: Floats) -> Float64s:
    """Return log p, float64 (N, K), of the logits (N, K) of exclusive classes."""
    return np.asarray(log_softmax(np.asarray(logits, np.float64), axis=1))


def probability_of(odds: Floats) -> Float64s:
    """Return the probabilities of log odds of any shape."""
    return np.asarray(expit(odds))


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
        terms = -(filled * log_probabilities(logits)).sum(axis=1)
        return np.where(known.all(axis=1), terms, np.nan)
    each = np.logaddexp(0, logits) - filled * logits
    counts = known.sum(axis=1)
    return np.where(counts > 0, (each * known).sum(axis=1) / np.maximum(counts, 1), np.nan)
