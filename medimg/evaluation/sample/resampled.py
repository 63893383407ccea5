"""`Resampled`: the metrics of a sample under many sets of weights at once."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from medimg.evaluation import metrics as m
from medimg.evaluation.intervals.bootstrap import bootstrap
from medimg.evaluation.metrics import Bools, Counts, Floats
from medimg.evaluation.options import EvaluateOptions
from medimg.evaluation.sample.areas import Areas
from medimg.evaluation.sample.cases import Sample
from medimg.evaluation.sample.figures import Figures, figures
from medimg.evaluation.sample.sums import Lacking, unit_counts, unit_sums
from medimg.labels import LabelSpace


class Resampled:
    """The metrics of a `Sample` under weights (U, R) of its units, all R at once.

    Parameters
    ----------
    sample : Sample
    names : collection of str, optional
        Which of the names of `Sample.point` are wanted, by default all: ranks cost more than
        all the rest.
    """

    def __init__(self, sample: Sample, names: Collection[str] | None = None) -> None:
        self.space, self.names, unit = sample.space, names, sample.units
        code, case, self.shape = _outcomes(sample.decisions, sample.targets, sample.space)
        self.outcomes = unit_counts(code, case, int(np.prod(self.shape)), unit)
        terms = {name: term for name, term in sample.terms.items() if self._wants(name)}
        self.term_names = list(terms)
        values = np.stack([np.ones(len(sample.nll)), *terms.values()])
        row, column = np.indices(values.shape)
        self.terms = unit_sums(row.ravel(), column.ravel(), values.ravel(), len(values), unit)
        pairs = {name: pair for name, pair in sample.confidences.items() if self._wants(name)}
        self.errors = {name: _Errors(pair, sample) for name, pair in pairs.items()}
        self.areas = Areas(sample, self._wants)

    @property
    def rows(self) -> int:
        """Rows of the largest table that is made of weights."""
        tables = (self.outcomes, self.terms, *(errors.gaps for errors in self.errors.values()))
        return max(self.areas.rows, *(int(table.shape[0]) for table in tables))

    def __call__(self, weights: Floats) -> Figures:
        """Return the metrics (R,) and (K, R) of weights float64 (U, R)."""
        table = (self.outcomes @ weights).reshape(*self.shape, -1)
        if self.space.exclusive:
            counts = m.counts_of_confusion(table)
        else:
            counts = Counts(table[:, 0, 0], table[:, 0, 1], table[:, 1, 0], table[:, 1, 1])
        total, *sums = self.terms @ weights
        found = {
            **figures(counts, table, self.space),
            **{name: m.ratio(s, total) for name, s in zip(self.term_names, sums, strict=True)},
            **{name: errors(weights) for name, errors in self.errors.items()},
            **self.areas(weights, counts),
        }
        return {name: values for name, values in found.items() if self._wants(name)}

    def _wants(self, name: str) -> bool:
        return self.names is None or name in self.names


def resample(
    sample: Sample, options: EvaluateOptions, names: Collection[str] | None = None
) -> tuple[Figures, int]:
    """Return the metrics of many resamples, and how many were redrawn for lack of a class."""
    resampled = Resampled(sample, names)
    return bootstrap(
        resampled,
        sample.units.n,
        resamples=options.resamples,
        seed=options.seed,
        lacking=Lacking(sample),
        rows=resampled.rows,
    )


class _Errors:
    """One calibration error under weights: the mean over pairs of confidence and outcome."""

    def __init__(self, pairs: list[tuple[Floats, Floats]], sample: Sample) -> None:
        confidence, hit = (np.stack(values) for values in zip(*pairs, strict=True))
        pair, case = np.nonzero(~np.isnan(hit))
        gap = (confidence - hit)[pair, case]
        row = pair * m.BINS + m.bin_of(confidence[pair, case])
        self.shape = (len(pairs), m.BINS)
        self.gaps = unit_sums(row, case, gap, len(pairs) * m.BINS, sample.units)
        self.known = unit_counts(pair, case, len(pairs), sample.units)

    def __call__(self, weights: Floats) -> Floats:
        """Return the error (R,) of weights (U, R)."""
        gaps = np.abs(self.gaps @ weights).reshape(*self.shape, -1).sum(axis=1)
        return m.mean_defined(m.ratio(gaps, self.known @ weights))


def _outcomes(
    decisions: Bools, targets: Floats, space: LabelSpace
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, ...]]:
    """Return the outcome of each decision as a code, its case, and the shape of their table.

    (K, K), true by decided, for exclusive classes; else (K, 2, 2), label by true by decided.
    """
    k = space.k
    if space.exclusive:
        code = targets.argmax(axis=1) * k + decisions.argmax(axis=1)
        return code, np.arange(len(code)), (k, k)
    case, label = np.nonzero(~np.isnan(targets))
    outcome = 2 * (targets[case, label] > 0) + decisions[case, label]
    return label * 4 + outcome, case, (k, 2, 2)
