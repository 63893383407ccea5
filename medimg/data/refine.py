"""How far splits are from alike, and a local search that brings them nearer.

Legend: T types (groups with the same counts), S splits, F features, the last of them cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: An absent class outweighs any distance of shares, an overstepped bound any absent class.
ABSENT, _EXCESS = 1e6, 1e12
#: So many types at most are moved, and tried on each side of an exchange: half of them the
#: heaviest, which alone can bring a rare class to a split, half drawn, to even out the rest.
MOST_MOVED, _MOST_EXCHANGED = 2_000, 32
#: A thousandth more or less of a class that is a tenth of the cases gains 1e-7.
_STEPS, _SMALLEST_GAIN = 500, 1e-7
#: Sums differ in their last digits from machine to machine; what is equal but for those is equal.
_DIGITS = 9


@dataclass(frozen=True)
class Distance:
    """How unlike the whole a split is; summed over splits, it is what the search lessens.

    The chi-square distance between the features of a split, per case, and those of the whole,
    so that a rare class weighs as much as a frequent one; plus the squared relative error of
    its size.

    Parameters
    ----------
    shares : float (S,)
        The wanted share of the cases.
    totals : float (F,)
        What the whole holds of each feature.
    wanted_everywhere : bool (F,)
        The features that no split may lack.
    largest : float
        The cases of the largest group: a split's size may be so far from its share.
    """

    shares: Floats
    totals: Floats
    wanted_everywhere: NDArray[np.bool_]
    largest: float

    def __call__(self, have: Floats, split: int) -> Floats:
        """Return the distance (...) of a split that holds `have` (..., F)."""
        n, size = self.totals[-1], have[..., -1]
        rate = self.totals[:-1] / n
        apart = have[..., :-1] / np.maximum(size, 1)[..., None] - rate
        share = self.shares[split]
        distance = (apart**2 / rate).sum(axis=-1) + (size / n / share - 1) ** 2
        distance += ABSENT * ((have <= 0) & self.wanted_everywhere).sum(axis=-1)
        excess = np.maximum(np.abs(size - share * n) - self.largest, 0)
        return np.asarray(distance + _EXCESS * excess / n)

    def weight(self, vectors: Floats) -> Floats:
        """Return how much of the whole groups hold (T,); much of a rare class weighs the most."""
        return np.asarray((vectors**2 / self.totals).sum(axis=1))


class Search:
    """Moves groups between splits, and exchanges them, as long as the distance falls.

    Parameters
    ----------
    vectors : float (T, F)
        What one group of each type holds.
    held : int (T, S)
        How many groups of each type each split has at the start.
    distance : Distance
    generator : Generator
        Draws which types are tried where there are too many to try all.
    """

    def __init__(
        self, vectors: Floats, held: Ints, distance: Distance, generator: np.random.Generator
    ) -> None:
        self.distance, self.generator = distance, generator
        self.splits = range(held.shape[1])
        self.have = held.T.astype(np.float64) @ vectors
        self.tried = self._some(np.argsort(-distance.weight(vectors), kind="stable"), MOST_MOVED)
        self.vectors, self.held, self._start = vectors[self.tried], held[self.tried], held

    def run(self) -> Ints:
        """Return `held` (T, S) where neither a move nor an exchange helps, or time is up."""
        for _ in range(_STEPS):
            if not self._move() and not self._exchange():
                break
        held = self._start.copy()
        held[self.tried] = self.held
        return held

    def total(self) -> float:
        """Return the distance of all splits."""
        return float(sum(self.distance(self.have[s], s) for s in self.splits))

    def _move(self) -> bool:
        """Make the best move of one group; whether there was one."""
        now = [self.distance(self.have[s], s) for s in self.splits]
        lose = [self.distance(self.have[s] - self.vectors, s) - now[s] for s in self.splits]
        gain = [self.distance(self.have[s] + self.vectors, s) - now[s] for s in self.splits]
        change = np.array(lose)[:, None] + np.array(gain)[None]
        change[np.arange(len(now)), np.arange(len(now))] = np.inf
        change[(self.held.T == 0)[:, None].repeat(len(now), 1)] = np.inf
        best = np.unravel_index(change.round(_DIGITS).argmin(), change.shape)
        if change[best] > -_SMALLEST_GAIN:
            return False
        giver, taker, which = map(int, best)
        self._shift(which, giver, taker)
        return True

    def _exchange(self) -> bool:
        """Make the best exchange between each two splits; whether there was one."""
        done = False
        for one, other in _pairs(len(self.splits)):
            mine = self._some(np.flatnonzero(self.held[:, one]), _MOST_EXCHANGED)
            yours = self._some(np.flatnonzero(self.held[:, other]), _MOST_EXCHANGED)
            if not len(mine) or not len(yours):
                continue
            apart = self.vectors[mine][:, None] - self.vectors[yours][None]
            now = self.distance(self.have[one], one) + self.distance(self.have[other], other)
            then = self.distance(self.have[one] - apart, one)
            then = then + self.distance(self.have[other] + apart, other)
            i, j = np.unravel_index(then.round(_DIGITS).argmin(), then.shape)
            if then[i, j] - now < -_SMALLEST_GAIN:
                self._shift(int(mine[i]), one, other)
                self._shift(int(yours[j]), other, one)
                done = True
        return done

    def _some(self, types: Ints, most: int) -> Ints:
        """Return so many of the types, which come heaviest first: half of them these."""
        if len(types) <= most:
            return types
        heavy, light = np.split(types, [most // 2])
        drawn = self.generator.choice(light, most - most // 2, replace=False)
        return np.concatenate([heavy, np.sort(drawn)])

    def _shift(self, which: int, giver: int, taker: int) -> None:
        self.held[which, giver] -= 1
        self.held[which, taker] += 1
        self.have[giver] -= self.vectors[which]
        self.have[taker] += self.vectors[which]


def _pairs(n: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(n) for j in range(i + 1, n))
