"""The cases whose metadata are looked at, their labels, and the labels that chance would deal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.permute import PERMUTATIONS, Blocks, likeness
from medimg.data.manifest import Manifest

#: Folds by patient; a class that fewer patients have, or have not, is in none of some.
FOLDS = 5
#: Fewer patients say nothing.
FEWEST_GROUPS = 10
#: At most so many cases are looked at, and fewer (cases x labels) where labels are many.
MOST_CASES, _MOST_LABELS = 20_000, 100_000
#: Labels (cases x classes x permutations) that are held at once.
_HELD = 4_000_000


class Sample(NamedTuple):
    """N cases and K labels; where nothing can be asked of them, K = 0 and `notes` says why.

    labels : float32 (N, K) in {0, 1, NaN}
    names : tuple of str (K,)
        The classes; of two, the target condition alone, as the other says the same.
    donors : int (N, 1 + P)
        Whose labels each case has and, in each permutation, gets.
    """

    blocks: Blocks
    labels: NDArray[np.float32]
    names: tuple[str, ...]
    donors: NDArray[np.int32]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest, groups: NDArray[np.intp], seed: int) -> Sample:
        """Return the cases of a manifest with a known label that are in a split other than none.

        Parameters
        ----------
        groups : int (N,)
            Whose each case is.
        seed : int
            Of the permutations and, in large sets, of the cases.
        """
        rng = np.random.default_rng([seed, 0])
        takes_part = (manifest.split != "none") & ~np.isnan(manifest.targets).all(axis=1)
        everybody = Blocks.of(manifest, groups, takes_part)
        chosen = _label_columns(manifest)
        most = min(MOST_CASES, max(_MOST_LABELS // len(chosen), 1000))
        blocks = everybody.sampled(most, rng)
        labels = manifest.targets[blocks.rows][:, chosen]
        there = [_is_told_apart(labels[:, k], blocks.groups) for k in range(len(chosen))]
        names = [manifest.space.classes[k] for k in chosen]
        left = tuple(name for name, kept in zip(names, there, strict=True) if kept)
        if len(blocks.sizes) < FEWEST_GROUPS:
            left = ()
        labels = labels[:, there] if left else labels[:, :0]
        count, alike = (PERMUTATIONS, likeness(labels, blocks.groups)) if left else (0, 1.0)
        donors = blocks.permuted(count, rng, alike)
        return cls(blocks, labels, left, donors, _notes(everybody, blocks, names, left))

    def parts(self) -> Iterator[NDArray[np.int32]]:
        """Yield the columns of `donors`, so many at once that their labels stay small."""
        width = max(_HELD // max(self.labels.size, 1), 1)
        for start in range(0, self.donors.shape[1], width):
            yield self.donors[:, start : start + width]


def plain_name(column: str) -> str:
    """Return a column's name in small letters and digits alone: ``Slice thickness`` as DICOM's."""
    return "".join(letter for letter in column.casefold() if letter.isalnum())


def _label_columns(manifest: Manifest) -> list[int]:
    space = manifest.space
    if space.exclusive and space.k == 2:
        return [1 if space.positive_index is None else space.positive_index]
    return list(range(space.k))


def _is_told_apart(label: NDArray[np.float32], groups: NDArray[np.intp]) -> bool:
    """Whether enough groups have a label, and enough have it not."""
    return all(len(np.unique(groups[label == value])) >= FOLDS for value in (0, 1))


def _notes(
    everybody: Blocks, blocks: Blocks, names: list[str], left: tuple[str, ...]
) -> tuple[str, ...]:
    notes = []
    if len(blocks.rows) < len(everybody.rows):
        notes.append(
            f"metadata: {len(blocks.rows):,} of {len(everybody.rows):,} cases were looked at, "
            f"those of {len(blocks.sizes):,} patients drawn by the seed"
        )
    if len(blocks.sizes) < FEWEST_GROUPS:
        notes.append(
            f"metadata were not looked at: {len(blocks.sizes)} patients with known labels, "
            f"where {FEWEST_GROUPS} are wanted"
        )
    elif not left:
        notes.append(
            f"metadata were not looked at: no class that {FOLDS} patients have and {FOLDS} have not"
        )
    elif rare := [name for name in names if name not in left]:
        notes.append(
            f"metadata: left out as fewer than {FOLDS} patients have them, or have them not: "
            + ", ".join(rare)
        )
    return tuple(notes)
