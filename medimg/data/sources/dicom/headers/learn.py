"""What the walker learns from files: stretches of elements that those to come will share."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import groupby

from medimg.data.sources.dicom.headers.lookup import (
    EXPLICIT,
    IMPLICIT,
    KEY,
    LONG,
    PADDING,
    PIXEL,
    START,
    Heads,
    Run,
)
from medimg.data.sources.dicom.headers.skip import TooShort, after
from medimg.data.sources.dicom.headers.tags import KEPT, SLOT

#: Files whose elements are known.
_FILES = 1_000
#: What files of one series, or by a blank of nobody, have in common.
_KIN = tuple(SLOT[KEPT[name].tag] for name in ("PatientID", "SeriesNumber"))
_TAGS = [kept.tag for kept in KEPT.values()]


class Learner:
    """Finds the runs of the files that come next in what two files of a series shared."""

    #: A file that was walked in more steps than this is learnt from.
    MANY = 32
    _MOST_PAUSE = 256

    def __init__(self) -> None:
        self._files: dict[tuple[str, ...], frozenset[int]] = {}
        self._pause = self._left = 0
        self._new = False

    def wants(self, steps: int) -> bool:
        """Whether to learn from a file; where learning does not help, seldom."""
        if steps <= self.MANY:
            if self._new:
                self._pause, self._left, self._new = 0, 0, False
            return False
        self._left -= 1
        return self._left < 0

    def learn(self, elements: list[tuple[Heads, bytes]], values: list[str]) -> None:
        """Make runs of what this file shares with one that was learnt from before."""
        known = sum(len(heads.runs) for heads in (EXPLICIT, IMPLICIT))
        if len(self._files) >= _FILES:
            self._files.clear()
        kin = tuple([values[slot] for slot in _KIN])
        before = self._files.get(kin, frozenset())
        self._files[kin] = frozenset([hash(element) for _, element in elements])
        for heads, stretch in _stretches(elements, before):
            data = b"".join(stretch)
            if len(data) >= KEY:
                first, last = heads[stretch[0][:8]][0], heads[stretch[-1][:8]][0]
                start, stop = bisect_left(_TAGS, first), bisect_right(_TAGS, last)
                heads.add_run(Run(data, last, start, stop, values[start:stop]))
        self._new = sum(len(heads.runs) for heads in (EXPLICIT, IMPLICIT)) != known
        self._pause = min(2 * self._pause + 1, self._MOST_PAUSE)
        self._left = self._pause // 4


def _stretches(
    elements: list[tuple[Heads, bytes]], before: frozenset[int]
) -> Iterator[tuple[Heads, list[bytes]]]:
    """Yield elements that stand together and were there before; none begins with a long one."""

    def kind(element: tuple[Heads, bytes]) -> Heads | None:
        heads, data = element
        known = hash(data) in before and heads[data[:8]][0] != _TAGS[PADDING]
        return heads if known else None

    for heads, together in groupby(elements, kind):
        if heads is not None:
            stretch = [data for _, data in together]
            while stretch and heads[stretch[0][:8]][2] == LONG:
                del stretch[0]
            yield heads, stretch


def elements_of(data: bytes) -> list[tuple[Heads, bytes]]:
    """Return the elements of a plain file as far as its pixels, or the end of the buffer."""
    heads, position, found = EXPLICIT, START, list[tuple[Heads, bytes]]()
    while True:
        head = data[position : position + 8]
        tag, length, slot = heads.alone.get(head) or heads[head]
        if tag < 0 and heads is EXPLICIT:
            heads = IMPLICIT
            continue
        try:
            end = after(data, position, heads, 0) if slot == LONG else position + length
        except TooShort:
            return found
        if slot == PIXEL or tag < 0 or end > len(data):
            return found
        found.append((heads, data[position:end]))
        position = end
