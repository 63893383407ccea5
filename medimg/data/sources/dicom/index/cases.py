"""Instances to cases: each image, each frame, each series or each study is one.

Headers alone decide; what they say of slices is looked at again when the pixels are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.volume import geometry
from medimg.data.sources.dicom.volume.partition import Group, partition
from medimg.errors import PixelError

#: More frames than this are damage: whole-slide images aside, a file has some thousands.
MOST_FRAMES = 100_000
#: What makes images one series: its UID alone is not unique enough, nor is that of a study.
_SERIES = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SeriesInstanceUID")
_STUDY = _SERIES[:3]
#: What tells apart what a series may hold.
_PARTS = (
    *("ImageType", "Rows", "Columns", "SamplesPerPixel", "EchoTime", "AcquisitionNumber"),
    *("TemporalPositionIdentifier", "DiffusionBValue", "ImageOrientationPatient"),
    *("ImagePositionPatient", "NumberOfFrames", "SOPInstanceUID", "source"),
)

Columns = Mapping[str, Sequence[str]]


class Unit(NamedTuple):
    """One case.

    members : tuple of int
        Its instances; those of a volume in the order of their slices.
    frame : str
        The number of a frame, from 0; blank for the whole.
    volume : bool
        Whether the members are slices (or the one multi-frame file) of a volume.
    suffix : str
        Tells apart the volumes of one series; blank where there is one.
    """

    members: tuple[int, ...]
    frame: str = ""
    volume: bool = False
    suffix: str = ""


class Units(NamedTuple):
    """The cases; the instances that are refused, and why; and the localizers of the series."""

    units: list[Unit]
    refused: list[tuple[int, PixelError]]
    localizers: list[int]


def make_units(columns: Columns, rows: Sequence[int], unit: str) -> Units:
    """Return the cases that the instances `rows` make.

    Parameters
    ----------
    columns : mapping of str to sequence of str (I,)
        Those of a `Scan`.
    rows : sequence of int
        The images among them that are wanted.
    unit : {"image", "frame", "series", "study"}
        ``image``: each file that has one frame. ``frame``: each frame of each file. ``series``:
        each volume; several in one series are cases of their own, localizers are none.
        ``study``: the one volume, or the one image, of a study.
    """
    counts, refused = _frame_counts(columns, rows)
    if unit == "image":
        several = [row for row, count in counts.items() if count > 1]
        refused += [(row, _several_frames(counts[row])) for row in several]
        return Units([Unit((row,)) for row, count in counts.items() if count == 1], refused, [])
    if unit == "frame":
        frames = [Unit((row,), str(n)) for row, count in counts.items() for n in range(count)]
        return Units(frames, refused, [])
    return _volumes(columns, counts, refused, by_study=unit == "study")


def _volumes(
    columns: Columns,
    counts: Mapping[int, int],
    refused: list[tuple[int, PixelError]],
    *,
    by_study: bool,
) -> Units:
    units, localizers = [], []
    for study in _grouped(columns, list(counts), _STUDY if by_study else _SERIES):
        groups: list[Group] = []
        for series in _grouped(columns, study, _SERIES):
            found = _groups(columns, series)
            localizers += [row for group in found if group.localizer for row in group.rows]
            groups += [group for group in found if not group.localizer]
        if by_study and len(groups) > 1:
            refused += [(row, _several_series(len(groups))) for g in groups for row in g.rows]
            continue
        for group in groups:
            suffix = group.suffix if len(groups) > 1 else ""
            try:
                units.append(_unit(columns, group.rows, counts, suffix, single=by_study))
            except PixelError as error:
                refused += [(row, error) for row in group.rows]
    return Units(units, refused, localizers)


def _unit(
    columns: Columns, rows: Sequence[int], counts: Mapping[int, int], suffix: str, *, single: bool
) -> Unit:
    """Return the volume of a group of instances, once its slices are seen to make one."""
    if len(rows) == 1 and counts[rows[0]] > 1:
        return Unit((rows[0],), volume=True, suffix=suffix)  # its geometry is that of its frames
    if len(rows) == 1 and single:
        return Unit((rows[0],))
    stack = geometry.stack(
        _floats(columns["ImagePositionPatient"], rows, 3),
        _floats(columns["ImageOrientationPatient"], rows, 6),
        _floats(columns["PixelSpacing"], rows, 2),
        shear=True,  # whether a tilted stack is taken is for the reader to say
    )
    return Unit(tuple(rows[i] for i in stack.order), volume=True, suffix=suffix)


def _groups(columns: Columns, rows: Sequence[int]) -> list[Group]:
    """Return the groups of one series; their rows are instances."""
    parts = {name: [columns[name][row] for row in rows] for name in _PARTS}
    return [g._replace(rows=[rows[i] for i in g.rows]) for g in partition(parts)]


def _grouped(
    columns: Columns, rows: Sequence[int], keywords: Sequence[str]
) -> Iterator[Sequence[int]]:
    """Yield the instances of each series or study; one whose UID is blank stands alone."""
    groups: dict[tuple[str, ...], list[int]] = {}
    values = [columns[keyword] for keyword in keywords]
    for row in rows:
        key = tuple(column[row] for column in values)
        groups.setdefault(key if key[-1] else (*key, str(row)), []).append(row)
    yield from groups.values()


def _frame_counts(
    columns: Columns, rows: Sequence[int]
) -> tuple[dict[int, int], list[tuple[int, PixelError]]]:
    """Return instance -> its number of frames, and the instances for which there is none."""
    counts, refused = {}, []
    numbers, sizes = columns["NumberOfFrames"], columns["size"]
    for row in rows:
        text = numbers[row]
        if text in ("", "1", "0"):  # old writers say 0 where they mean one
            counts[row] = 1
        elif re.fullmatch(r"[0-9]{1,9}", text) and int(text) <= _most(sizes[row]):
            counts[row] = int(text)
        else:
            refused.append((row, _no_count()))
    return counts, refused


def _most(size: str) -> int:
    """Return how many frames a file of so many bytes can have: none takes less than a byte."""
    return min(MOST_FRAMES, int(size) if size.isdigit() else MOST_FRAMES)


def _floats(column: Sequence[str], rows: Sequence[int], width: int) -> NDArray[np.float64]:
    r"""Return numbers (N, width) of texts such as ``1\2\3``; NaN where they are none."""
    values = np.full((len(rows), width), math.nan)
    for number, row in enumerate(rows):
        parts = column[row].split("\\")
        if len(parts) == width:
            try:
                values[number] = [float(part) for part in parts]
            except ValueError:
                continue
    return values


def _no_count() -> PixelError:
    return PixelError(
        "header",
        "NumberOfFrames is no number of frames that the file could hold",
        remedy="export the file again",
    )


def _several_frames(count: int) -> PixelError:
    return PixelError(
        "frames",
        f"the file holds {count} frames where one image is expected",
        remedy="take each frame as a case (--unit frame), or the file as a volume (--unit series)",
    )


def _several_series(count: int) -> PixelError:
    return PixelError(
        "several_series",
        f"the study holds {count} volumes or images where one is wanted",
        remedy="choose one with --where, or take each as a case (--unit series)",
    )
