"""What chance alone would give: labels dealt out anew among whole patients.

Labels of one patient go together, and so do the patient's metadata: to permute labels case by
case would make chance look smaller than it is. Here each patient gets the labels of another one,
drawn at random, in their order (slices of a series lie in a row) from a random place on, and
round again. A patient with more cases than the other one has would so get labels that are more
alike than labels of one patient are; each further round is therefore of somebody else, as often
as the likeness of labels within patients asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest

#: Permutations behind each range, and the share of them that lie above it, and below.
PERMUTATIONS, TAIL = 200, 0.025


@dataclass(frozen=True, eq=False)
class Blocks:
    """N cases in an order that hangs on their sources alone, those of a group in a row.

    Parameters
    ----------
    rows : int (N,)
        The row in the manifest of each case.
    sizes : int (G,)
        How many cases each group has; their sum is N.
    """

    rows: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @property
    def groups(self) -> NDArray[np.intp]:
        """The group (N,) of each case."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def places(self) -> NDArray[np.intp]:
        """The number (N,) of each case within its group."""
        return np.arange(len(self.rows)) - self._starts[self.groups]

    @property
    def _starts(self) -> NDArray[np.intp]:
        return np.cumsum(self.sizes) - self.sizes

    @classmethod
    def of(
        cls, manifest: Manifest, groups: NDArray[np.intp], takes_part: NDArray[np.bool_]
    ) -> Blocks:
        """Return the cases that take part, by group.

        Groups and cases are ordered by source and frame: neither the order of the rows, the
        numbers of the groups nor a case id, which may hang on a secret key, has a part.
        """
        rows = np.flatnonzero(takes_part)
        if not len(rows):
            return cls(rows, np.empty(0, np.intp))
        frame = manifest.frame.iloc[rows]
        by = [frame["case_id"], frame["frame"].str.zfill(9), frame["source"]]
        rows = rows[np.lexsort([pd.factorize(column, sort=True)[0] for column in by])]
        _, first, codes = np.unique(groups[rows], return_index=True, return_inverse=True)
        order = np.argsort(first[codes], kind="stable")
        return cls(rows[order], np.bincount(codes)[np.argsort(first)])

    def take(self, kept: NDArray[np.bool_]) -> Blocks:
        """Return the cases of a mask (N,)."""
        sizes = np.bincount(self.groups[kept], minlength=len(self.sizes))
        return Blocks(self.rows[kept], sizes[sizes > 0])

    def sampled(self, most: int, rng: np.random.Generator) -> Blocks:
        """Return at most `most` cases: whole groups, drawn at random.

        Of a group that would fill more than a twentieth alone, so many cases are kept as that,
        evenly spaced.
        """
        if len(self.rows) <= most:
            return self
        groups, places = self.groups, self.places
        sizes = np.minimum(self.sizes, max(most // 20, 1))
        own, all_ = sizes[groups], self.sizes[groups]
        thinned = (places + 1) * own // all_ > places * own // all_
        order = rng.permutation(len(sizes))
        taken = np.zeros(len(sizes), bool)
        taken[order] = np.cumsum(sizes[order]) <= most
        return self.take(thinned & taken[groups])

    def permuted(
        self, count: int, rng: np.random.Generator, likeness: float = 1.0
    ) -> NDArray[np.int32]:
        """Return whose label each case gets (N, 1 + count); in the first column its own.

        Parameters
        ----------
        likeness : float in [0, 1]
            The correlation of labels within groups: `likeness`.
        """
        starts, groups, places = self._starts, self.groups, self.places
        donors = np.empty((len(self.rows), 1 + count), np.int32)
        donors[:, 0] = np.arange(len(self.rows))
        for column in range(1, 1 + count):
            donor = rng.permutation(len(self.sizes))[groups]
            turn = places // self.sizes[donor]
            _, block = np.unique(groups * (turn.max() + 1) + turn, return_inverse=True)
            # Two rounds are both of the first donor with a chance of `likeness`.
            other = (rng.random(len(block)) > np.sqrt(likeness))[block] & (turn > 0)
            donor = np.where(other, rng.integers(len(self.sizes), size=len(block))[block], donor)
            offset = np.where(other, rng.random(len(block))[block], rng.random(len(block))[groups])
            place = (offset * self.sizes[donor]).astype(np.intp) + places
            donors[:, column] = starts[donor] + place % self.sizes[donor]
        return donors

    def folds(self, k: int, repeats: int, rng: np.random.Generator) -> NDArray[np.int8]:
        """Return the fold (repeats, N) in 0 .. k - 1 of each case; groups stay whole.

        Groups are dealt from the largest to the smallest, equal ones at random, so that folds
        hold about equally many cases. Labels have no part in it: folds stratified by the labels
        as they are would treat the permuted ones differently.
        """
        folds = np.empty((repeats, len(self.rows)), np.int8)
        for repeat in range(repeats):
            order = rng.permutation(len(self.sizes))
            order = order[np.argsort(-self.sizes[order], kind="stable")]
            rounds = -(-len(order) // k)
            dealt = rng.permuted(np.tile(np.arange(k), (rounds, 1)), axis=1).ravel()
            fold_of = np.empty(len(order), np.int8)
            fold_of[order] = dealt[: len(order)]
            folds[repeat] = fold_of[self.groups]
        return folds


def likeness(labels: NDArray[np.float32], groups: NDArray[np.intp]) -> float:
    """Return how alike labels (N, K) of one group are: 1 the same, 0 as those of any two cases.

    It is one less the mean squared difference of two cases of a group, in units of that of any
    two cases, all labels together: an intraclass correlation that is 1 wherever groups do not
    differ within, and also where no group has two cases. An unknown label is taken for the mean.
    """
    off = np.nan_to_num(labels - np.nanmean(labels, axis=0)).astype(np.float64)
    size = np.bincount(groups).astype(np.float64)
    sums = np.zeros((len(size), off.shape[1]))
    np.add.at(sums, groups, off)
    within = (size[groups] * (off**2).sum(axis=1)).sum() - (sums**2).sum()
    pairs, variance = (size * (size - 1)).sum(), (off**2).sum() / len(off)
    if pairs == 0 or variance == 0:
        return 1.0
    return float(np.clip(1 - within / pairs / variance, 0, 1))


def null_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of permutations.

    At the rank ``(n + 1) q``: a further draw from the same law then lies above with a chance
    of 2.5% (Hyndman & Fan 1996, definition 6).
    """
    low, high = np.quantile(values, [TAIL, 1 - TAIL], method="weibull")
    return float(low), float(high)
