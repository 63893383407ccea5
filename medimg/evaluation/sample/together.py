"""Several tables of predictions of the same cases, resampled together.

R runs or models, U units, r resamples. Every table is resampled with the same weights, so that
differences lose what the tables share: the people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medimg.errors import MedimgError, PredictionsError
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.metrics import Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample import Figures, Lacking, Resampled, Sample, known_cases, one_split
from medimg.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Together:
    """Tables of the same cases, and what resampling the people makes of each of them.

    `points` and `draws` hold, for each table, every metric: (1,) or (K, 1), and (r,) or (K, r).
    """

    split: str
    samples: tuple[Sample, ...]
    points: tuple[Figures, ...]
    draws: tuple[Figures, ...]
    redrawn: int

    @classmethod
    def of(
        cls,
        tables: Mapping[str, Predictions],
        options: EvaluateOptions,
        split: str | None = None,
    ) -> Together:
        """Return the tables together; their names stand in the errors.

        Raises
        ------
        PredictionsError
            Tables of other cases, targets, patients or classes than the first.
        UsageError
            Several splits and none asked for.
        """
        (first, (known, name)), *others = [(n, _scored(n, t, split)) for n, t in tables.items()]
        for other, (table, _) in others:
            _require_same(first, known, other, table)
        samples = tuple(Sample.of(t) for t in (known, *(table for _, (table, _) in others)))
        drawn, redrawn = _draw(samples, options)
        points = tuple(sample.point() for sample in samples)
        return cls(name, samples, points, drawn, redrawn)

    def part(self, tables: slice) -> Together:
        """Return some of the tables."""
        return replace(
            self,
            samples=self.samples[tables],
            points=self.points[tables],
            draws=self.draws[tables],
        )


def _scored(name: str, table: Predictions, split: str | None) -> tuple[Predictions, str]:
    """Return the cases of a table that are scored, and the name of their split."""
    try:
        chosen, of = one_split(table, split)
        return known_cases(chosen, of), of
    except MedimgError as error:
        raise type(error)(f"{name}: {error.message}", remedy=error.remedy) from None


def _draw(samples: Sequence[Sample], options: EvaluateOptions) -> tuple[tuple[Figures, ...], int]:
    resampled = [Resampled(sample) for sample in samples]

    def statistic(weights: Floats) -> Figures:
        each = [one(weights) for one in resampled]
        return {name: np.stack([figures[name] for figures in each]) for name in each[0]}

    draws, redrawn = bootstrap(
        statistic,
        samples[0].units.n,
        resamples=options.resamples,
        seed=options.seed,
        lacking=Lacking(samples[0]),
        rows=max(one.rows for one in resampled),
    )
    each = ({name: d[i] for name, d in draws.items()} for i in range(len(samples)))
    return tuple(each), redrawn


def _require_same(one: str, first: Predictions, two: str, other: Predictions) -> None:
    if first.space != other.space:
        raise PredictionsError(
            f"{two} is of the classes {list(other.space.classes)} "
            f"({other.space.kind}, positive {other.space.positive}), {one} of "
            f"{list(first.space.classes)} ({first.space.kind}, positive {first.space.positive})",
            remedy="take predictions of the same classes",
        )
    differing = np.setxor1d(first.case_id, other.case_id)
    if len(differing):
        shared = len(np.intersect1d(first.case_id, other.case_id))
        raise PredictionsError(
            f"{two} and {one} share {shared} labelled cases, and {len(differing)} stand in one of "
            f"them alone, such as {differing[0]!r}",
            remedy="take predictions of the same cases; leave the others out knowingly",
        )
    same = (first.targets == other.targets) | (np.isnan(first.targets) & np.isnan(other.targets))
    if not same.all():
        rows = np.flatnonzero(~same.all(axis=1))
        raise PredictionsError(
            f"{two} has other targets than {one} for {len(rows)} cases, such as "
            f"{first.case_id[rows[0]]!r}",
            remedy="take the same reference standard for all",
        )
    units = [Sample.of(table).units for table in (first, other)]
    if units[0].kind != units[1].kind or not _alike(units[0].of_case, units[1].of_case):
        raise PredictionsError(
            f"{two} groups the cases into other patients than {one}",
            remedy="give all tables the same column patient_id",
        )


def _alike(first: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether two numberings put the same cases together."""
    pairs = len(np.unique(np.stack([first, other]), axis=1).T)
    return pairs == len(np.unique(first)) == len(np.unique(other))
