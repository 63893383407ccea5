"""Which calibrator serves best: by its likelihood on cases that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medimg.calibrator import Calibrator, log_likelihood_terms
from medimg.evaluation.calibrators.folds import stratified_folds
from medimg.evaluation.calibrators.matrix import STRENGTHS, fit_dirichlet, fit_vector
from medimg.evaluation.calibrators.odds import fit_beta, fit_isotonic, fit_platt
from medimg.evaluation.calibrators.temperature import fit_temperature
from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Floats
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.tables import group_codes

FOLDS = 5
SEED = 0
"""Of the folds: the same cases give the same calibrator."""

MIN_CASES = 50
"""With fewer cases of a class (or of an answer to a label) only one or two numbers are fitted."""

MOST_CLASSES = 20
"""Of more classes Dirichlet calibration is not tried: its time grows with their fourth power."""

Fit = Callable[[Floats, Floats, LabelSpace, float], dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """How a calibrator is fitted, for which classes, and whether it is for small sets too."""

    fit: Fit
    takes: Literal["any", "odds", "several"]
    small: bool = False
    strengths: tuple[float, ...] = (0.0,)

    def suits(self, space: LabelSpace) -> bool:
        """Whether the method is for such classes: one log odds each, or several that exclude."""
        several = space.exclusive and space.k > 2
        return self.takes == "any" or (self.takes == "several") == several


METHODS: dict[str, Method] = {
    "temperature": Method(fit_temperature, "any", small=True),
    "platt": Method(fit_platt, "odds", small=True),
    "vector": Method(fit_vector, "several", strengths=STRENGTHS),
    "dirichlet": Method(fit_dirichlet, "several", strengths=STRENGTHS),
    "beta": Method(fit_beta, "odds"),
    "isotonic": Method(fit_isotonic, "any"),
}


@dataclass(frozen=True)
class Trial:
    """What a method gained over the raw output out of fold: nats a case, and standard error."""

    method: str
    strength: float
    gain: float
    error: float


def candidates(targets: Floats, space: LabelSpace) -> list[str]:
    """Return the methods that suit these classes and that many cases of the rarest of them."""
    counts = [(targets == 1).sum(axis=0)]
    if not space.exclusive:
        counts.append((targets == 0).sum(axis=0))
    few = min(int(c.min()) for c in counts) < MIN_CASES
    names = [name for name, m in METHODS.items() if m.suits(space) and (m.small or not few)]
    return [name for name in names if name != "dirichlet" or space.k <= MOST_CLASSES]


def trials(known: Predictions, methods: Sequence[str]) -> list[Trial]:
    """Return the best strength of each method, judged by cross-validation.

    Folds are by patient. None at all where some fold would leave cases of one class alone.

    Parameters
    ----------
    known : Predictions
        Cases with a known target.
    """
    logits, targets = known.logits, known.targets.astype(np.float64)
    units = np.asarray(group_codes(Units.of(known.case_id, known.patient_id).of_case))
    folds = _folds(targets, known.space, units)
    if folds is None:
        return []
    raw = log_likelihood_terms(logits, targets, known.space)

    def trial(name: str, strength: float) -> Trial:
        terms = _out_of_fold(name, strength, known.space, logits, targets, folds)
        return _trial(name, strength, raw - terms, units)

    return [
        max((trial(name, s) for s in METHODS[name].strengths), key=lambda t: t.gain)
        for name in methods
    ]


def has_two_answers(targets: NDArray[np.floating[Any]], space: LabelSpace) -> bool:
    """Whether known targets (N, K) tell a sure score from an unsure one: they are not all alike."""
    present, absent = (targets == 1).any(axis=0), (targets == 0).any(axis=0)
    return bool(present.sum() > 1 if space.exclusive else present.any() and absent.any())


def _folds(
    targets: Floats, space: LabelSpace, units: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    n = int(units.max()) + 1
    if n < 2:
        return None
    folds = stratified_folds(targets, units, min(FOLDS, n), SEED)
    apart = all(has_two_answers(targets[folds != f], space) for f in range(folds.max() + 1))
    return folds if apart else None


def _out_of_fold(
    name: str,
    strength: float,
    space: LabelSpace,
    logits: Floats,
    targets: Floats,
    folds: NDArray[np.int64],
) -> Floats:
    """Return the loss (N,) of each case, calibrated by what was fitted on the other folds."""
    terms = np.empty(len(logits))
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        numbers = METHODS[name].fit(logits[~held], targets[~held], space, strength)
        calibrated = Calibrator(name, numbers).apply(logits[held])
        terms[held] = log_likelihood_terms(calibrated, targets[held], space)
    return terms


def _trial(name: str, strength: float, gains: Floats, units: NDArray[np.int64]) -> Trial:
    """Return the mean gain and its standard error, with patients as what is independent."""
    mean = float(gains.mean())
    sums = np.bincount(units, weights=gains - mean)
    spread = float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)))
    return Trial(name, strength, mean, spread / len(gains))
