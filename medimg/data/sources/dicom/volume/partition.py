"""One series cut into what can be volumes: groups of alike images.

A series (PS3.3 A.1.2.3) may hold a localizer beside the slices, several echoes, time points or
b-values of one place, or two acquisitions of it. Images are in one group where ImageType,
orientation, Rows, Columns, SamplesPerPixel, EchoTime, TemporalPositionIdentifier and
DiffusionBValue agree (of the frames of an enhanced object, FrameType, StackID,
TemporalPositionIndex, ReferencedSegmentNumber and the index of any other dimension that is no
place too); a multi-frame file is a group of its own.

AcquisitionNumber (PS3.3 C.7.6.1.1: "the single continuous gathering of data over a period of
time") means two things. A native and a contrast phase of one place are two acquisitions;
scanners that step the table count it up from step to step, and others from slice to slice,
within one volume. Places tell them apart:

- acquisitions of which two are even stacks of at least three slices each, where one overlaps
  the other by most of its length, are a group each: each is a volume, and a phase that lies half
  a step higher would alternate with the first one slice by slice;
- else acquisitions that together are one even stack are one group: table steps one after the
  other, counters of one or two slices, parts that are uneven by themselves;
- so are acquisitions one after the other along the normal: a step between them that is not even
  is then refused as a gap, where parting them would give two halves of a volume in silence;
- else (they overlap, or a place repeats) each acquisition is a group, unless each is one image:
  that is one place shown again and again, and stays one group.

A stack whose odd slices are one acquisition and whose even slices another is parted too: headers
do not tell it from two phases, and half the slices are a volume where a mixture is none.

Text from headers alone: nothing here opens a file or needs pydicom.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from medimg.data.sources.dicom.volume.geometry import DIRECTION_TOLERANCE, Floats, distinct, even

#: Elements that part images by their text.
_TEXTS = ("ImageType", "FrameType", "StackID", "DimensionIndexValues")
#: Elements that part images by their number: 2.46 and 2.460 are one echo time.
_NUMBERS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "EchoTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "DiffusionBValue",
    "ReferencedSegmentNumber",
)
#: Fewer slices at one distance are no sign of a stack: two are always even.
_FEWEST = 3
#: Larger numbers, in mm or as cosines, are damage, and would overflow.
_FAR = 1e9


class Group(NamedTuple):
    """Images that belong together.

    rows : list of int
        Which rows of the columns, ascending along the normal of the slices; where that is not
        known, by source.
    suffix : str
        Names the group among those of its series: empty where there is one, else twelve
        hexadecimal digits made of what its images share. The order of rows has no influence.
    localizer : bool
        Value 3 of ImageType, or another, is LOCALIZER (PS3.3 C.8.2.1.1.1): a scout view.
    """

    rows: list[int]
    suffix: str
    localizer: bool


def partition(columns: Mapping[str, Sequence[str]]) -> list[Group]:
    r"""Return the groups of one series, sorted by suffix.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        Keyword -> its value in each of N images of one SeriesInstanceUID, as text; several
        values joined by a backslash, blank where there is none. Columns that are not there count
        as blank. ``source`` breaks ties.
    """
    count = max((len(values) for values in columns.values()), default=0)
    if count == 0:
        return []
    table = _Table(columns, count)
    directions, turned = _directions(table["ImageOrientationPatient"])
    places = floats(table["ImagePositionPatient"], 3)
    uids, acquisitions = table["SOPInstanceUID"], table["AcquisitionNumber"]
    sources = table["source"] if "source" in columns else uids
    groups = []
    for key, rows in _alike(table, turned, sources).items():
        rows.sort(key=sources.__getitem__)
        heights = _heights(places[rows], directions[rows[0]])
        place = np.nan_to_num(heights).tolist()
        for number, chosen in _acquired(heights, [acquisitions[row] for row in rows]):
            chosen.sort(key=place.__getitem__)  # stable: then by source
            ordered = [rows[index] for index in chosen]
            own = uids[ordered[0]] if key[-1] else ""
            suffix = _digest(*key[:-1], number, own)
            groups.append(Group(ordered, suffix, "LOCALIZER" in key[0].split("\\")))
    groups.sort(key=lambda group: (group.suffix, sources[group.rows[0]]))
    return groups if len(groups) > 1 else [groups[0]._replace(suffix="")]


class _Table(dict[str, Sequence[str]]):
    """Columns, of which those that are not there are blank."""

    def __init__(self, columns: Mapping[str, Sequence[str]], count: int) -> None:
        super().__init__(columns)
        self.blank = ("",) * count

    def __missing__(self, name: str) -> Sequence[str]:
        return self.blank


def _alike(
    table: _Table, turned: Sequence[str], sources: Sequence[str]
) -> dict[tuple[str, ...], list[int]]:
    """Return rows by what they share; the last part of a key names a multi-frame file."""
    raw: dict[tuple[str, ...], list[int]] = {}
    own = [
        "" if frames.strip() in ("", "0", "1") else source
        for frames, source in zip(table["NumberOfFrames"], sources, strict=True)
    ]
    columns = [table[name] for name in (*_TEXTS, *_NUMBERS)]
    for row, key in enumerate(zip(*columns, turned, own, strict=True)):
        raw.setdefault(key, []).append(row)
    merged: dict[tuple[str, ...], list[int]] = {}
    for key, rows in raw.items():
        texts, numbers = key[: len(_TEXTS)], key[len(_TEXTS) : -2]
        plain = (*map(_plain, texts), *map(_number, numbers), *key[-2:])
        merged.setdefault(plain, []).extend(rows)
    return merged


def _plain(text: str) -> str:
    return "\\".join(part.strip().upper() for part in text.split("\\"))


def _number(text: str) -> str:
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text.strip()


def _acquired(heights: Floats, numbers: list[str]) -> list[tuple[str, list[int]]]:
    """Part one group by AcquisitionNumber, where it must be (see the top of this file)."""
    parts: dict[str, list[int]] = {}
    for index, number in enumerate(numbers):
        parts.setdefault(_number(number), []).append(index)
    together = [("", list(range(len(numbers))))]
    if len(parts) == 1 or max(map(len, parts.values())) == 1:
        return together
    if np.isnan(heights).any():
        return list(parts.items())
    if even(heights):
        stacks = [heights[part] for part in parts.values()]
        return list(parts.items()) if _interleave(stacks) else together
    ends = sorted((heights[part].min(), heights[part].max()) for part in parts.values())
    apart = all(one[1] < other[0] for one, other in itertools.pairwise(ends))
    return together if apart and distinct(heights) else list(parts.items())


def _interleave(parts: list[Floats]) -> bool:
    """Say whether two of the parts are stacks of their own that overlap by most of one of them."""
    stacks = sorted((p.min(), p.max()) for p in parts if len(p) >= _FEWEST and even(p))
    if not stacks:
        return False
    # Where any two overlap so, one of them does with what reaches highest among those that begin
    # below it: each is asked against that one alone.
    highest = stacks[0]
    for low, high in stacks[1:]:
        shared = min(high, highest[1]) - low
        if shared > min(high - low, highest[1] - highest[0]) / 2:
            return True
        highest = max(highest, (low, high), key=lambda ends: ends[1])
    return False


def _directions(texts: Sequence[str]) -> tuple[Floats, list[str]]:
    """Return orientations (N, 6), NaN where there is none, and a label of each.

    Cosines that lie in a row without a gap wider than the tolerance are one direction, so that
    no limit of rounding runs between two slices of one stack.
    """
    known = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    values = floats(list(known), 6)
    labels = np.zeros(values.shape, np.float64)
    for axis, cosines in enumerate(values.T):
        order = np.argsort(cosines, kind="stable")
        starts = np.diff(cosines[order], prepend=-np.inf) > DIRECTION_TOLERANCE
        # The least of each run stands for it; NaN sorts last and stays NaN.
        least = cosines[order][np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
        labels[order, axis] = np.where(np.isfinite(cosines[order]), least, np.nan)
    rounded = np.round(labels, 3) + 0.0
    names = ["" if np.isnan(row).any() else repr(row.tolist()) for row in rounded]
    where = np.fromiter((known[text] for text in texts), np.intp, len(texts))
    return values[where], [names[number] for number in where.tolist()]


def _heights(places: Floats, orientation: Floats) -> Floats:
    """Return how far along the normal each place (N, 3) lies; NaN for all where one is unknown."""
    heights = places @ np.cross(orientation[:3], orientation[3:])
    return heights if np.isfinite(heights).all() else np.full(len(places), np.nan)


def floats(texts: Sequence[str], width: int) -> Floats:
    r"""Return (N, width) numbers of texts such as ``1\2\3``; rows of NaN where they are none."""
    values = np.full((len(texts), width), np.nan)
    for row, text in enumerate(texts):
        parts = text.split("\\")
        if len(parts) == width:
            try:
                values[row] = [float(part) for part in parts]
            except ValueError:
                continue
    values[~(np.abs(values) < _FAR).all(axis=1)] = np.nan
    return values


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:12]
