"""`near_duplicates`: pictures that are probably copies of each other.

Every pair is compared, mirrored as well; a copy may be re-compressed, resized, brighter or
darker, and cropped by up to about a tenth of a side. What pairs are compared by grows finer as
they grow fewer: sketches of all pairs (`search`), all crops of the likeliest, then the pixels of
what is left, laid over each other (`align`).

How like a pair must be hangs on the set: at least `FLOOR`, and well above what different
pictures of the same set reach, as chest films all show a chest. The figures were chosen on tiles
of CT slices and on sets of 28 pixels a side.

A copy that is turned by 90 degrees is not found. Nor are copies in a set where most pictures
have eight or more: they pass for what different pictures reach. Pictures that show hardly more
than one outline, as of a table in air, pass for copies of each other.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.align import Aligned, align
from medimg.data.checks.planes import Planes, pieces
from medimg.data.checks.resampling import mirror
from medimg.data.checks.search import Candidates, Search, cores, one_core_each
from medimg.data.preprocess import Integers

#: The least similarity of a pair in any set, and how far (Fisher's z) above what different
#: pictures of the set reach it must lie.
FLOOR, MARGIN = 0.86, 0.8
#: The others of a picture from this rank on are taken for different ones (the likeliest is 0);
#: this share of their similarities lies below what they reach. Fewer of them say nothing.
_DIFFERENT, _REACHED, _FEWEST = 8, 0.975, 100
#: Pictures with a shorter side hold too little: only equal ones are told.
_SMALLEST = 8
#: Pairs that are aligned at once.
_PAIRS = 128
#: A copy is called cropped, or of other contrast, from here on: half sides, and a factor.
_MOVED, _GAIN = 0.04, 1.05
_FLIPS = ("", "mirrored left to right", "mirrored top to bottom", "mirrored both ways")


class Pair(NamedTuple):
    """Two pictures that are probably copies.

    first, second : int
        Their places, `first` < `second`.
    similarity : float
        The share of the detail of one that the other explains once they are aligned, 0 to 1.
    how : str
        In what they differ.
    """

    first: int
    second: int
    similarity: float
    how: str


def near_duplicates(
    pictures: Integers, index: NDArray[np.integer[Any]] | None = None
) -> list[Pair]:
    """Return the pairs of pictures that are probably copies, sorted by place.

    Of equal pictures the first is paired with each of the others, at similarity 1, and stands
    for them all in what follows. Blank pictures take no part. Of volumes the means along each
    axis are compared, and a pair must be like in all three. Nothing hangs on the order.

    Parameters
    ----------
    pictures : uint8 or uint16 (M, C, [D,] H, W)
        May be memory-mapped: it is read in pieces.
    index : int (N,), optional
        The rows of `pictures` that take part; the places in a pair are places in it. None: all.
    """
    rows = np.arange(len(pictures)) if index is None else np.asarray(index)
    groups = _equal(pictures, rows)
    pairs = [Pair(group[0], other, 1.0, "equal") for group in groups for other in group[1:]]
    places = np.array([group[0] for group in groups], np.int64)
    axes = (None,) if pictures.ndim == 4 else (0, 1, 2)
    views = [_alike(Planes(pictures, rows[places], axis)) for axis in axes]
    for one, other in set(views[0]).intersection(*views[1:]):
        similarity, how = min(view[one, other] for view in views)
        first, second = sorted((int(places[one]), int(places[other])))
        pairs.append(Pair(first, second, similarity, how))
    return sorted(pairs)


def _equal(pictures: Integers, rows: NDArray[Any]) -> list[list[int]]:
    """Return the places of equal pictures, in the order of their hashes; no blank ones."""
    groups: dict[bytes, list[int]] = {}
    for places in pieces(pictures, len(rows)):
        for place, picture in zip(places, pictures[rows[places]], strict=True):
            if picture.min() < picture.max():
                digest = hashlib.blake2b(picture.tobytes(), digest_size=16).digest()
                groups.setdefault(digest, []).append(int(place))
    return [groups[digest] for digest in sorted(groups)]


def _alike(planes: Planes) -> dict[tuple[int, int], tuple[float, str]]:
    """Return similarity and difference of the pairs of planes that are alike."""
    if len(planes) < 2 or min(planes.pictures.shape[2:]) < _SMALLEST:
        return {}
    with one_core_each():
        search = Search.of(planes)
        likely = search.candidates()
        aligned = _align(planes, likely)
        sample = search.sample()
        bound = _bound(sample, _align(planes, sample))
    found: dict[tuple[int, int], tuple[float, str]] = {}
    for number in np.flatnonzero(aligned.similarity >= bound):
        pair = int(likely.first[number]), int(likely.second[number])
        similarity = float(aligned.similarity[number])
        if similarity > found.get(pair, (0.0, ""))[0]:
            found[pair] = similarity, _how(likely, aligned, int(number))
    return found


def _align(planes: Planes, pairs: Candidates) -> Aligned:
    """Lay candidates over each other, some at a time on every core."""

    def work(start: int) -> Aligned:
        some = slice(start, start + _PAIRS)
        second = mirror(planes[pairs.second[some]], pairs.flip[some])
        return align(planes[pairs.first[some]], second, pairs.edges[some])

    with ThreadPoolExecutor(cores()) as pool:
        parts = list(pool.map(work, range(0, max(1, len(pairs.first)), _PAIRS)))
    return Aligned(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _bound(sample: Candidates, aligned: Aligned) -> float:
    """Return how like a pair must be, by what different pictures of the set reach.

    Of the likeliest others of some pictures the first ones may be copies; the others are not,
    and yet the nearest of all the different pictures that there are.
    """
    order = np.lexsort((-aligned.similarity, sample.first))
    first = sample.first[order]
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    different = aligned.similarity[order][rank >= _DIFFERENT]
    if len(different) < _FEWEST:
        return FLOOR
    reached = float(np.clip(np.quantile(different, _REACHED), 0, 0.999))
    return max(FLOOR, float(np.tanh(np.arctanh(reached) + MARGIN)))


def _how(pairs: Candidates, aligned: Aligned, number: int) -> str:
    """Say in what the two of a pair differ."""
    gain = float(aligned.gain[number])
    said = [_FLIPS[pairs.flip[number]]]
    if np.abs(aligned.edges[number]).max() > _MOVED:
        said.append("cropped")
    if max(gain, 1 / gain) > _GAIN:
        said.append("of other contrast")
    return "; ".join(filter(None, said)) or "re-encoded or resized"
