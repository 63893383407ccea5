"""Distances of scores and of case mix between the two sides of a shift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation.intervals.units import MIN_UNITS
from medimg.evaluation.metrics import Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import ShiftRow
from medimg.evaluation.sample.groups import MOST_CODES, MOST_GROUPS, cells_of, numbers_of
from medimg.evaluation.shift.drift import (
    Distance,
    kolmogorov_smirnov,
    permuted,
    stability_index,
    standardised_difference,
    total_variation,
)
from medimg.evaluation.shift.sides import Side, classes_of

#: A p-value of .05 is then known to within .014.
_MOST_PERMUTATIONS = 999
#: Columns that medimg writes: who was seen in training, and by which fold a case was scored.
_OWN_COLUMNS = ("seen", "fold")
_REASON = "no interval: what chance makes of it stands beside"


@dataclass(frozen=True, eq=False)
class _Pooled:
    """Both sides as one set of U units, the first `n_here` of which are here."""

    here: Side
    reference: Side

    @property
    def unit(self) -> NDArray[np.int64]:
        shifted = self.reference.units.of_case + self.here.units.n
        return np.concatenate([self.here.units.of_case, shifted])

    @property
    def n(self) -> int:
        return self.here.units.n + self.reference.units.n

    def scores(self) -> dict[str, Distance]:
        """Return the distances of the probability of each class."""
        found = {}
        for k in classes_of(self.here.sample):
            of = f"probability of {self.here.sample.space.classes[k]}"
            sides = (self.here.sample, self.reference.sample)
            values = np.concatenate([side.probabilities[:, k] for side in sides])
            found[f"{of}, KS distance"] = kolmogorov_smirnov(values, self.unit, self.n)
            found[f"{of}, stability index"] = stability_index(values, self.unit, self.n)
        return found

    def case_mix(self) -> tuple[dict[str, Distance], list[str]]:
        """Return the distances of the columns that both have, and which cannot be compared."""
        one, two = self.here.predictions.metadata, self.reference.predictions.metadata
        found: dict[str, Distance] = {}
        left_out = []
        shared = (str(c) for c in one.columns if c in two.columns and c not in _OWN_COLUMNS)
        for column in shared:
            texts = np.asarray([*cells_of(one, column), *cells_of(two, column)], object)
            numbers = numbers_of(texts)
            levels, codes = np.unique(texts, return_inverse=True)
            if numbers is not None and _is_quantity(numbers, len(one)):
                words = f"{column}, standardised difference"
                found[words] = standardised_difference(numbers, self.unit, self.n)
            elif len(levels) <= MOST_GROUPS:
                found[f"{column}, total variation"] = total_variation(codes, self.unit, self.n)
            else:
                left_out.append(column)
        return found, left_out


def _is_quantity(numbers: Floats, n_here: int) -> bool:
    """Whether numbers (N,) are many, and some are known on both sides."""
    known = ~np.isnan(numbers)
    both = known[:n_here].any() and known[n_here:].any()
    return bool(both) and len(np.unique(numbers[known])) > MOST_CODES


def distance_rows(
    here: Side, reference: Side, options: EvaluateOptions
) -> tuple[tuple[ShiftRow, ...], tuple[str, ...]]:
    """Return the distances, and the columns of too many values to be compared.

    A column that both sides have is compared by the standardised difference of its means where
    it holds more than ten distinct numbers, else by the total variation of its categories, of
    which a blank is one. No value of a column is told.
    """
    both = _Pooled(here, reference)
    columns, left_out = both.case_mix()
    return tuple(_judged({**both.scores(), **columns}, both, options)), tuple(left_out)


def _judged(
    distances: Mapping[str, Distance], both: _Pooled, options: EvaluateOptions
) -> Iterator[ShiftRow]:
    is_here = np.arange(both.n) < both.here.units.n
    times = min(options.resamples, _MOST_PERMUTATIONS)
    found = permuted(distances, is_here, permutations=times, seed=options.seed)
    sides = (both.here, both.reference)
    enough = min(side.units.n for side in sides) >= MIN_UNITS
    patients = all(side.units.kind == "patient" for side in sides)
    for what, (value, expected, p) in found.items():
        difference = Estimate(
            value=value,
            low=None,
            high=None,
            n=sum(len(side.predictions) for side in sides),
            n_patients=both.n if patients else None,
            method="permutation" if enough else "none",
            unit="patient" if patients else "case",
            reason=_REASON if enough else "fewer than ten patients or cases on one side",
            expected=expected if enough else None,
            p=p if enough else None,
        )
        yield ShiftRow(what, None, None, difference)
