"""`Areas`: what is ranked, under many sets of weights: of each class, pooled, and pair by pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medimg.evaluation import metrics as m
from medimg.evaluation.metrics import Counts, Floats
from medimg.evaluation.sample.cases import Sample
from medimg.evaluation.sample.figures import POOLED, Figures, means
from medimg.evaluation.sample.ranks import OF_STEPS, Pairs, Ranks, Steps

MOST_PAIRED = 50
"""Of more classes no pair is resampled: the time grows with classes times cases."""


class Areas:
    """The ranked metrics of a sample; `wants` tells which names are asked for."""

    def __init__(self, sample: Sample, wants: Callable[[str], bool]) -> None:
        units, targets, k = sample.units, sample.targets, sample.space.k
        averaged = {n for n in POOLED if wants(f"{n}_macro") or wants(f"{n}_weighted")}
        self.names = [name for name in OF_STEPS if name in averaged or wants(name)]
        self.micro = [n for n in POOLED if wants(f"{n}_micro") and not sample.two_classes]
        several = sample.space.exclusive and not sample.two_classes
        self.ovo = wants("auroc_ovo") and several and k <= MOST_PAIRED
        self.two_classes = sample.two_classes
        self.ranks, self.pairs, self.pooled = list[Ranks](), list[Pairs](), None
        if self.names or self.ovo:
            self.ranks = [
                Ranks(*pair, units) for pair in zip(sample.ranking.T, targets.T, strict=True)
            ]
        if self.ovo:
            label = targets.argmax(axis=1)
            self.pairs = [Pairs(ranks, label, k) for ranks in self.ranks]
        if self.micro:
            case = np.repeat(np.arange(len(targets)), k)
            self.pooled = Ranks(sample.ranking.ravel(), targets.ravel(), units, case)

    @property
    def rows(self) -> int:
        """Rows of the largest table that is made of weights."""
        pooled = 0 if self.pooled is None else self.pooled.rows
        ranks, pairs = [part.rows for part in self.ranks], [part.rows for part in self.pairs]
        return max([pooled, *ranks, *pairs])

    def __call__(self, weights: Floats, counts: Counts) -> Figures:
        """Return the metrics of weights (U, R); `counts` (K, R) of the same weights."""
        of_class, won, cases = [], [], counts.tp + counts.fn
        for k, ranks in enumerate(self.ranks):
            steps = ranks(weights)
            of_class.append(_of(steps, self.names, weights))
            if self.ovo:
                against = None if steps is None else self.pairs[k](steps, weights)
                won.append(_share(against, cases * cases[k]))
        found = {name: np.stack([row[name] for row in of_class]) for name in self.names}
        found |= means(found, None if self.two_classes else cases)
        if self.ovo:
            found["auroc_ovo"] = m.hand_till_of(np.stack(won))
        if self.pooled is not None:
            pooled = _of(self.pooled(weights), self.micro, weights)
            found |= {f"{name}_micro": values for name, values in pooled.items()}
        return found


def _of(steps: Steps | None, names: list[str], weights: Floats) -> Figures:
    if steps is None:
        return {name: np.full(weights.shape[1], np.nan) for name in names}
    return {name: OF_STEPS[name](steps) for name in names}


def _share(won: Floats | None, pairs: Floats) -> Floats:
    return np.full(pairs.shape, np.nan) if won is None else m.ratio(won, pairs)
