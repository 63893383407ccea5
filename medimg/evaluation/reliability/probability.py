"""`Probability`: one probability of each case, and whether it came true.

N cases of the sample, n of them known, U units (patients, or cases where no patient is known).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.intervals.units import Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.sample import Sample

PREDICTED_CLASS = "predicted class"

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Probability:
    """One probability of each of n cases, from the least to the highest.

    Parameters
    ----------
    of : str
        A class, or ``"predicted class"``.
    confidence : float64 (n,)
        The probability, ascending.
    rest : float64 (n,)
        1 - `confidence`, with all the digits that the other classes' probabilities have.
    hit : float64 (n,)
        1 where it came true, else 0.
    start : float64 (n,)
        Where in [0, 1) the stretch begins in which a number drawn by `draw_outcomes` is a hit.
    unit : int64 (n,)
        The unit of each case, 0 to U - 1.
    rows : bool (N,)
        Which cases of the sample these are.
    """

    of: str
    confidence: Floats
    rest: Floats
    hit: Floats
    start: Floats
    unit: Ints
    rows: Bools

    @classmethod
    def of_cases(
        cls, of: str, confidence: Floats, rest: Floats, hit: Floats, start: Floats, unit: Ints
    ) -> Probability:
        """Return the probability of cases (N,) in any order, those of unknown `hit` left out."""
        rows = ~np.isnan(hit)
        # By the outcome within equal confidence, so that sums do not depend on the order of rows.
        order = np.lexsort((hit[rows], confidence[rows]))
        return cls(
            of,
            confidence[rows][order],
            rest[rows][order],
            hit[rows][order],
            start[rows][order],
            unit[rows][order],
            rows,
        )

    @cached_property
    def members(self) -> tuple[Ints, int]:
        """The unit of each case counted without gaps, and how many there are."""
        found, of_case = np.unique(self.unit, return_inverse=True)
        return of_case, len(found)

    def by_unit(self, values: Floats) -> Floats:
        """Return the sum of values (n,) of each unit that has cases."""
        of_case, units = self.members
        return np.asarray(np.bincount(of_case, values, units), np.float64)

    def too_few(self, units: Units) -> str | None:
        """Return why those that came true, or those that did not, are too few; None if neither."""
        own = Units(self.unit, units.n, units.kind)
        rarer = min((self.hit == 0, self.hit == 1), key=own.effective)
        return own.too_few("in whom it came true, or did not", rarer)


def probabilities_of(sample: Sample) -> Iterator[Probability]:
    """Yield what can be checked: the first is the one that the sample is judged by.

    Two classes: the target condition, and the predicted class. More: the predicted class, and
    each class. Multi-label: each label.
    """
    p, targets, unit = sample.probabilities, sample.targets, sample.units.of_case
    start = _starts(sample)
    rest = 1 - p
    if sample.space.exclusive:
        # The sum of the others keeps the digits of a rest near 0, which 1 - p rounds away.
        rest = np.stack([np.delete(p, k, axis=1).sum(axis=1) for k in range(p.shape[1])], axis=1)

    def one(of: str, column: Ints) -> Probability:
        at = np.arange(len(p)), column
        return Probability.of_cases(of, p[at], rest[at], targets[at], start[at], unit)

    columns = [(c, np.full(len(p), k)) for k, c in enumerate(sample.space.classes)]
    predicted = (PREDICTED_CLASS, p.argmax(axis=1))
    if sample.two_classes:
        columns = [columns[sample.primary], predicted]
    elif sample.space.exclusive:
        columns = [predicted, *columns]
    yield from (one(*named) for named in columns)


def _starts(sample: Sample) -> Floats:
    """Return where the stretches of the classes begin, (N, K).

    End to end for independent cases of exclusive classes, so that one number in [0, 1) draws
    one class. Otherwise all at 0: what shares its number then depends on each other as strongly
    as its probabilities allow.
    """
    if sample.space.exclusive and sample.units.independent:
        return np.asarray(np.cumsum(sample.probabilities, axis=1) - sample.probabilities)
    return np.zeros_like(sample.probabilities)
