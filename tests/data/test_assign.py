"""Assignment of groups: sizes, classes and chance, over thousands of random tables."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg.data.assign import assign_groups, group_counts
from medimg.errors import UsageError
from medimg.labels import LabelSpace

FOUR = np.array([0.7, 0.1, 0.1, 0.1])


class Table(NamedTuple):
    """Cases of groups of uneven size, with rare classes and missing labels."""

    groups: NDArray[np.intp]
    targets: NDArray[np.float32]
    space: LabelSpace

    @property
    def counts(self) -> NDArray[np.float64]:
        return group_counts(self.targets, self.groups, self.space)


def draw(seed: int, *, least: int = 1, most: int = 150, multilabel: bool | None = None) -> Table:
    """Return a random table; labels go more or less with the groups."""
    rng = np.random.default_rng(seed)
    g, k = int(rng.integers(least, most)), int(rng.integers(2, 8))
    size = (
        np.ones(g, int),
        rng.geometric(0.3, g),
        np.minimum(rng.zipf(1.7, g), 300),
        rng.integers(20, 40, g),
    )[int(rng.integers(4))]
    if rng.random() < 0.2:
        size[rng.integers(g)] += size.sum() * rng.integers(1, 4) // 4
    groups = np.repeat(np.arange(g), size)
    if rng.random() < 0.5 if multilabel is None else multilabel:
        space = LabelSpace(tuple(map(str, range(k))), "multilabel")
        chance = rng.beta(0.3 * (scale := rng.choice([1, 5])), scale, (g, k))
        targets = (rng.random((len(groups), k)) < chance[groups]).astype(np.float32)
    else:
        space = LabelSpace(tuple(map(str, range(k))), ("multiclass", "ordinal")[seed % 2])
        prior = rng.dirichlet(np.full(k, rng.choice([0.3, 1, 5])))
        own = rng.dirichlet(prior * rng.choice([0.5, 5, 1e3]) + 1e-3, g)
        classes = (rng.random((len(groups), 1)) > own[groups].cumsum(axis=1)).sum(axis=1)
        targets = space.one_hot(classes.clip(0, k - 1))
    unknown = rng.choice([0, 0, 0.2, 0.8])
    hidden = rng.random(targets.shape if not space.exclusive else (len(groups), 1)) < unknown
    targets[np.broadcast_to(hidden, targets.shape)] = np.nan
    return Table(groups, targets, space)


def shares_of(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng([seed, 1])
    kinds = (FOUR, np.full(5, 0.2), np.array([0.8, 0.2]), rng.dirichlet(np.full(4, 3)).clip(0.02))
    shares = kinds[seed % 4]
    return shares / shares.sum()


def distance(table: Table, split: NDArray[np.intp], splits: int) -> float:
    """Return how far, on average, a class's share of a split is from that of the whole."""
    apart = []
    for column in table.targets.T:
        known = ~np.isnan(column)
        if not (column == 1).any():
            continue
        whole = (column == 1).sum() / known.sum()
        for name in range(splits):
            here = known & (split == name)
            apart.append(abs((column[here] == 1).sum() / max(here.sum(), 1) - whole))
    return float(np.mean(apart)) if apart else 0.0


def require_bound(table: Table, shares: NDArray[np.float64], seed: int) -> None:
    counts = table.counts
    split = assign_groups(counts, shares, seed)
    assert split.shape == (len(counts),) and split.min() >= 0 and split.max() < len(shares)
    size = np.bincount(split, weights=counts[:, -1], minlength=len(shares))
    assert np.abs(size - shares * len(table.groups)).max() <= counts[:, -1].max() + 1e-6


@pytest.mark.parametrize("part", range(4))
def test_sizes_are_within_the_largest_group_of_the_shares(part: int) -> None:
    for seed in range(250 * part, 250 * (part + 1)):
        require_bound(draw(seed), shares_of(seed), seed)


@pytest.mark.slow
def test_sizes_are_within_the_largest_group_of_the_shares_in_ten_thousand_tables() -> None:
    for seed in range(10_000, 20_000):
        require_bound(draw(seed), shares_of(seed), seed)


def peers(table: Table, seed: int) -> Iterator[tuple[str, float, float]]:
    """Yield scikit-learn's distances of one table beside those of `assign_groups`."""
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

    groups, n = table.groups, len(table.groups)
    rows = np.arange(n)
    if table.space.exclusive:
        labels = np.where(np.isnan(table.targets).any(axis=1), -1, table.targets.argmax(axis=1))
        theirs = np.zeros(n, np.intp)
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(folds.split(rows, labels, groups)):
            theirs[test] = fold
        ours = assign_groups(table.counts, np.full(5, 0.2), seed)[groups]
        yield "StratifiedGroupKFold", distance(table, ours, 5), distance(table, theirs, 5)
    theirs, rest = np.zeros(n, np.intp), rows
    for name, share in ((1, 0.1), (2, 0.1 / 0.9), (3, 0.1 / 0.8)):
        cut = GroupShuffleSplit(1, test_size=share, random_state=seed)
        kept, taken = next(cut.split(rest, groups=groups[rest]))
        theirs[rest[taken]], rest = name, rest[kept]
    ours = assign_groups(table.counts, FOUR, seed)[groups]
    yield "GroupShuffleSplit", distance(table, ours, 4), distance(table, theirs, 4)


def compare(seeds: range) -> dict[str, NDArray[np.float64]]:
    found: dict[str, list[tuple[float, float]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer cases than folds
        for seed in seeds:
            for name, ours, theirs in peers(draw(seed, least=15), seed):
                found.setdefault(name, []).append((ours, theirs))
    return {name: np.array(pairs) for name, pairs in found.items()}


def require_nearer(found: dict[str, NDArray[np.float64]]) -> None:
    for name, most, worse in (
        ("StratifiedGroupKFold", 0.95, 0.25),
        ("GroupShuffleSplit", 0.4, 0.1),
    ):
        ours, theirs = found[name].T
        assert np.median(ours) < most * np.median(theirs), name
        assert np.mean(ours > theirs + 1e-12) < worse, name


def test_classes_are_nearer_to_the_whole_than_with_scikit_learn() -> None:
    require_nearer(compare(range(150)))


@pytest.mark.slow
def test_classes_are_nearer_to_the_whole_than_with_scikit_learn_in_three_thousand_tables() -> None:
    require_nearer(compare(range(1_000, 4_000)))


@pytest.mark.parametrize("shares", [FOUR, np.full(5, 0.2)], ids=["four", "folds"])
def test_a_class_of_as_many_patients_as_splits_reaches_every_split(
    shares: NDArray[np.float64],
) -> None:
    space, s = LabelSpace(("common", "rare")), len(shares)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(60), rng.integers(1, 5, 60))
        rare = rng.choice(60, s, replace=False)
        targets = space.one_hot(np.isin(groups, rare).astype(int))
        split = assign_groups(group_counts(targets, groups, space), shares, seed)
        assert len(set(split[rare])) == s


def test_a_rare_label_reaches_every_split_among_many_patients() -> None:
    rng = np.random.default_rng(0)
    space = LabelSpace(tuple("abcdefgh"), "multilabel")
    targets = (rng.random((60_000, 8)) < 0.3).astype(np.float32)
    targets[rng.random(targets.shape) < 0.3] = np.nan
    targets[:, 2] = 0
    targets[rng.choice(len(targets), 4, replace=False), 2] = 1
    counts = group_counts(targets, np.arange(len(targets)), space)
    split = assign_groups(counts, FOUR, 0)
    assert [int(counts[split == s, 2].sum()) for s in range(4)] == [1, 1, 1, 1]


def test_the_same_seed_gives_the_same_splits_and_another_one_others() -> None:
    counts = draw(5, least=60).counts
    splits = [assign_groups(counts, FOUR, seed).tolist() for seed in (*range(20), 0)]
    assert splits[0] == splits[-1]
    assert len(set(map(tuple, splits))) == 20


def test_no_global_generator_is_touched() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assign_groups(draw(1).counts, FOUR, 0)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_large_patients_fall_to_the_test_as_often_as_small_ones() -> None:
    rng = np.random.default_rng(0)
    size = rng.geometric(0.25, 400)
    space = LabelSpace(("a", "b"))
    groups = np.repeat(np.arange(400), size)
    counts = group_counts(space.one_hot(rng.integers(0, 2, len(groups))), groups, space)
    chosen = np.array([assign_groups(counts, FOUR, seed) for seed in range(100)])
    means = [np.mean([size[split == s].mean() for split in chosen]) for s in range(4)]
    assert np.abs(np.array(means) / size.mean() - 1).max() < 0.08
    largest = np.argsort(-size)[:40]
    assert (chosen[:, largest] == 3).mean() == pytest.approx(0.1, abs=0.04)


def test_equal_groups_are_dealt_evenly() -> None:
    chosen = assign_groups(np.ones((10, 1)), np.array([0.5, 0.5]), seed=0)
    assert np.bincount(chosen).tolist() == [5, 5]
    chosen = assign_groups(np.ones((100, 1)), FOUR, seed=0)
    assert np.bincount(chosen).tolist() == [70, 10, 10, 10]


def test_a_single_group_goes_to_the_largest_split() -> None:
    assert assign_groups(np.array([[3.0, 9.0]]), FOUR, 0).tolist() == [0]
    assert assign_groups(np.zeros((0, 3)), FOUR, 0).tolist() == []


def test_classes_and_groups_without_cases_do_no_harm() -> None:
    counts = np.array([[1.0, 0, 2], [0, 0, 2], [0, 0, 0], [1, 0, 2]])
    assert sorted(np.bincount(assign_groups(counts, np.array([0.5, 0.5]), 0)).tolist()) in (
        [1, 3],
        [2, 2],
    )


def test_a_share_of_zero_is_refused() -> None:
    for shares in ([1.0, 0.0], [0.5, 0.4], [np.nan, 1.0]):
        with pytest.raises(UsageError, match="shares above 0"):
            assign_groups(np.ones((4, 1)), np.array(shares), 0)


def test_unknown_labels_count_for_no_class() -> None:
    nan = np.nan
    targets = np.array([[1, 0], [nan, 1], [nan, nan]], np.float32)
    counts = group_counts(targets, np.array([0, 0, 1]), LabelSpace(("a", "b"), "multilabel"))
    assert counts.tolist() == [[1, 1, 0, 1, 2], [0, 0, 0, 0, 1]]
    targets = np.array([[1, 0], [nan, nan], [0, 1]], np.float32)
    counts = group_counts(targets, np.array([0, 0, 1]), LabelSpace(("a", "b")))
    assert counts.tolist() == [[1, 0, 2], [0, 1, 1]]


def test_a_hundred_thousand_groups_that_are_all_unlike_take_seconds() -> None:
    rng = np.random.default_rng(0)
    space = LabelSpace(tuple(map(str, range(14))), "multilabel")
    targets = (rng.random((100_000, 14)) < 0.2).astype(np.float32)
    targets[rng.random(targets.shape) < 0.3] = np.nan
    counts = group_counts(targets, np.arange(len(targets)), space)
    start = time.process_time()
    split = assign_groups(counts, FOUR, 0)
    assert time.process_time() - start < 10
    assert np.abs(np.bincount(split) - FOUR * len(split)).max() <= 1
    rates = np.array([counts[split == s].sum(axis=0) for s in range(4)])
    rates = rates[:, :-1] / rates[:, -1:]
    assert np.abs(rates / rates.mean(axis=0) - 1).max() < 0.01
