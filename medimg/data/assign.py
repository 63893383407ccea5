"""Groups to splits, so that every split is like the whole.

Legend: N cases, K classes, G groups, T types (a type: the groups with the same counts),
S splits, F features, the last of them cases.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.refine import ABSENT, MOST_MOVED, Distance, Floats, Ints, Search
from medimg.errors import UsageError
from medimg.labels import LabelSpace

#: So many groups at most are assigned one at a time (7 microseconds each); of more, the light
#: ones are dealt in turn.
_ONE_BY_ONE = 20_000
#: How often the search starts anew while a split lacks a class that could reach it.
_STARTS = 6
_GOLDEN = (5**0.5 - 1) / 2


def group_counts(targets: NDArray[np.float32], groups: Ints, space: LabelSpace) -> Floats:
    """Return what each group holds of each class and, last, of cases.

    Parameters
    ----------
    targets : float32 (N, K) in {0, 1, NaN}
        An unknown one counts for no class.
    groups : int (N,) in 0 .. G - 1
        The group of each case.

    Returns
    -------
    float64 (G, K + 1), multilabel (G, 2K + 1)
        Known positives; in multilabel then known negatives, as a label that is known of few
        cases is no negative of the others; then cases.
    """
    features = [targets == 1, np.ones((len(targets), 1), bool)]
    if not space.exclusive:
        features.insert(1, targets == 0)
    columns = np.concatenate(features, axis=1).T
    return np.stack([np.bincount(groups, weights=column) for column in columns], axis=1)


def assign_groups(counts: Floats, shares: Floats, seed: int) -> Ints:
    """Return the split of each group, so that all splits are alike and have their shares.

    Iterative stratification (Sechidis et al., ECML PKDD 2011) of groups: those that hold much
    of a rare class or many cases come first, each goes where most of its features is missing.
    Groups with the same counts are dealt together, which makes a million quick. A local search
    then moves and exchanges groups as long as the splits come nearer to the whole.

    Each split's cases are as near to its share as the largest group is large, or nearer. A
    class that at least S groups hold reaches every split, where the search finds a way.

    Parameters
    ----------
    counts : float (G, F)
        What each group holds of each feature (class); the last is its cases.
    shares : float (S,) above 0
        The wanted share of each split; they sum to one.
    seed : int
        Which of the groups that are alike go where. The same seed and counts give the same
        splits.

    Returns
    -------
    int (G,) in 0 .. S - 1

    Raises
    ------
    UsageError
        A share of 0 or less, or shares that do not sum to one.
    """
    shares = np.asarray(shares, np.float64)
    if not ((shares > 0).all() and abs(shares.sum() - 1) <= 1e-6):
        raise UsageError(
            f"shares {shares.tolist()}", remedy="give shares above 0 that sum to 1, one a split"
        )
    if not len(counts):
        return np.zeros(0, np.intp)
    counts = np.asarray(counts, np.float64)
    totals = counts.sum(axis=0)
    counts, totals = counts[:, totals > 0], totals[totals > 0]
    held_by = (counts > 0).sum(axis=0)
    distance = Distance(shares, totals, held_by >= len(shares), counts[:, -1].max())
    type_of, vectors, members = _types(counts)
    generator = np.random.default_rng(seed)
    held, least = np.zeros((0, 0), np.intp), np.inf
    for _ in range(_STARTS if len(vectors) <= MOST_MOVED else 1):
        dealt = _deal(vectors, members, distance, generator)
        search = Search(vectors, dealt, distance, generator)
        found = search.run()
        if search.total() < least:
            held, least = found, search.total()
        if least < ABSENT:
            break
    return _spread(type_of, held, generator)


def _types(counts: Floats) -> tuple[Ints, Floats, Ints]:
    """Return the type of each group (G,), the counts of each type (T, F) and its groups (T,)."""
    type_of, n = np.zeros(len(counts), np.intp), 1
    for column in counts.T:
        ranks, values = pd.factorize(column, sort=True)
        if len(values) > 1:
            type_of, there = pd.factorize(type_of * len(values) + ranks, sort=True)
            n = len(there)
    vectors = np.empty((n, counts.shape[1]))
    vectors[type_of] = counts
    return type_of, vectors, np.bincount(type_of)


def _deal(
    vectors: Floats, members: Ints, distance: Distance, generator: np.random.Generator
) -> Ints:
    """Return how many groups of each type each split gets (T, S)."""
    # Whole rounds alone, in which the smallest share is a group: were three of a type to give
    # the large split two, and the others none, those would be left with the rare and the large.
    full_round = int(np.ceil(1 / distance.shares.min()))
    dealt = members - members % full_round
    held = np.floor(dealt[:, None] * distance.shares + 1e-9).astype(np.intp)
    left = members - held.sum(axis=1)
    if left.sum() > _ONE_BY_ONE:
        held, left = np.zeros_like(held), members
    order = generator.permutation(np.repeat(np.arange(len(members)), left))
    # Within a factor of two their order is drawn, or else every seed would give one split.
    weight = np.floor(np.log2(np.maximum(distance.weight(vectors), 1e-300)))
    order = order[np.argsort(-weight[order], kind="stable")]
    if len(order) > _ONE_BY_ONE:
        order = _deal_in_turn(order, held, distance.shares, generator)
    _deal_one_by_one(order, vectors, held, distance, generator)
    return held


def _deal_one_by_one(
    order: Ints,
    vectors: Floats,
    held: Ints,
    distance: Distance,
    generator: np.random.Generator,
) -> None:
    """Deal groups of these types into `held`, each where most of its features is missing.

    Missing in units of what a split is to have: in units of the whole, the large split would
    get all the large groups.
    """
    wanted = distance.shares[:, None] * distance.totals
    have, scale = held.T @ vectors - wanted, 1 / wanted
    # How much of a group is counted at once: with a half for all (Sainte-Laguë's method) the
    # largest would always go to train. A group larger than a split stays out of it.
    parts = generator.random(len(wanted))
    parts = np.where(vectors[order, -1:] > wanted[:, -1], 1, parts)
    for which, part in zip(order, parts[..., None], strict=True):
        mine = vectors[which]
        best = int((mine * (part * mine + have) * scale).sum(axis=1).argmin())
        have[best] += mine
        held[which, best] += 1


def _deal_in_turn(order: Ints, held: Ints, shares: Floats, generator: np.random.Generator) -> Ints:
    """Deal most groups into `held` by a golden-ratio sequence; return those that are left.

    In the order of types, neighbours are much alike, and any run of the sequence gives every
    split its share to within a few groups. The heaviest groups and as many others remain, to
    make up for what that leaves uneven.
    """
    heavy, light = np.split(order, [_ONE_BY_ONE // 2])
    dealt, others = np.split(generator.permutation(light), [len(light) - _ONE_BY_ONE // 2])
    turn = (np.arange(len(dealt)) * _GOLDEN + generator.random()) % 1
    split = np.minimum(np.searchsorted(shares.cumsum(), turn, "right"), len(shares) - 1)
    np.add.at(held, (np.sort(dealt), split), 1)
    return np.concatenate([heavy, others])


def _spread(type_of: Ints, held: Ints, generator: np.random.Generator) -> Ints:
    """Return the split of each group (G,): which groups of a type go where is drawn."""
    order = generator.permutation(len(type_of))
    order = order[np.argsort(type_of[order], kind="stable")]
    chosen = np.empty(len(type_of), np.intp)
    chosen[order] = np.repeat(np.tile(np.arange(held.shape[1]), len(held)), held.ravel())
    return chosen
