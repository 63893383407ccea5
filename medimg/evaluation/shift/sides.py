"""The two sides of a shift: how many people, of which classes, and with what probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from medimg.evaluation.intervals.differences import unpaired
from medimg.evaluation.intervals.means import METHOD, reach_of_mean
from medimg.evaluation.intervals.proportions import proportion
from medimg.evaluation.intervals.units import MIN_UNITS, Units
from medimg.evaluation.metrics import Bools, Floats
from medimg.evaluation.results.estimate import Estimate
from medimg.evaluation.results.sections import ShiftRow
from medimg.evaluation.sample import Sample, known_cases, one_split
from medimg.predictions import Predictions

#: So many classes are compared one by one, at most.
MOST_CLASSES = 20


@dataclass(frozen=True, eq=False)
class Side:
    """The cases of one of the two sets that have a known target."""

    predictions: Predictions
    sample: Sample
    name: str

    @classmethod
    def of(cls, predictions: Predictions) -> Side:
        """Return the known cases of predictions of one split."""
        chosen, name = one_split(predictions)
        known = known_cases(chosen, name)
        return cls(known, Sample.of(known), name)

    @property
    def units(self) -> Units:
        """The patients, or cases where no patient is known."""
        return self.sample.units

    @property
    def all(self) -> Bools:
        """A mask (N,) of all cases."""
        return np.ones(len(self.predictions), bool)


def row(what: str, here: Estimate, reference: Estimate) -> ShiftRow:
    """Return one figure of both sides and its difference."""
    difference = unpaired(here, reference, ("here", "in the reference"))
    return ShiftRow(what, here.value, reference.value, difference)


def classes_of(sample: Sample) -> list[int]:
    """Return the columns that are compared: the target condition, else the first `MOST_CLASSES`."""
    return [sample.primary] if sample.two_classes else list(range(sample.space.k))[:MOST_CLASSES]


def count_rows(here: Side, reference: Side) -> Iterator[ShiftRow]:
    """Yield the numbers of cases, and of patients where both sides know them."""
    sides = (here, reference)
    yield row("cases", *(_counted(side, len(side.predictions)) for side in sides))
    if here.units.kind == reference.units.kind == "patient":
        yield row("patients", *(_counted(side, side.units.n) for side in sides))


def class_rows(here: Side, reference: Side) -> Iterator[ShiftRow]:
    """Yield the share of each class, its probability, and by how much the one exceeds the other."""
    for k in classes_of(here.sample):
        name = here.sample.space.classes[k]
        for words, of in _OF_CLASS.items():
            yield row(words.format(name), of(here, k), of(reference, k))


def _prevalence(side: Side, k: int) -> Estimate:
    target = side.sample.targets[:, k]
    return proportion(target == 1, ~np.isnan(target), side.units)


def _mean_probability(side: Side, k: int) -> Estimate:
    return mean_of(side.sample.probabilities[:, k], side.units)


def _spread(side: Side, k: int) -> Estimate:
    value = float(side.sample.probabilities[:, k].std())
    return side.units.without(value, side.all, "no interval of a standard deviation")


def _in_the_large(side: Side, k: int) -> Estimate:
    return mean_of(side.sample.targets[:, k] - side.sample.probabilities[:, k], side.units)


_OF_CLASS: dict[str, Callable[[Side, int], Estimate]] = {
    "prevalence of {}": _prevalence,
    "probability of {}, mean": _mean_probability,
    "probability of {}, standard deviation": _spread,
    "prevalence less mean probability of {}": _in_the_large,
}


def mean_of(values: Floats, units: Units) -> Estimate:
    """Return the mean of values (N,), NaN left out, with Student's interval by unit."""
    rows = ~np.isnan(values)
    n, known = units.count(rows), values[rows]
    if not n:
        return units.without(None, rows, "no case")
    mean = float(known.mean())
    if n < MIN_UNITS:
        return units.without(mean, rows, f"fewer than ten {units.kind}s ({n})")
    half = reach_of_mean(values, rows, units)
    if half < 1e-12:
        return units.without(mean, rows, "every value is the same")
    return units.estimate(mean, (mean - half, mean + half), rows, METHOD)


def _counted(side: Side, number: int) -> Estimate:
    return side.units.without(number, side.all, "a count")
