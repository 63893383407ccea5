"""Functional groups (PS3.3 C.7.6.16): what enhanced objects say frame by frame.

A group stands in the item of its frame, else in the shared item, else its elements stand in the
data set itself, as in the classic objects.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.tag import BaseTag, Tag

from medimg.data.sources.dicom.pixels.elements import header, items, numbers
from medimg.errors import PixelError


class Groups(NamedTuple):
    """The items of the functional groups: one shared, one a frame; both may be absent.

    `owned` are the macros that any frame has of its own.
    """

    shared: pydicom.Dataset | None
    per_frame: list[pydicom.Dataset]
    frames: int
    owned: frozenset[BaseTag]

    def macro(self, keyword: str, frame: int) -> pydicom.Dataset | None:
        """Return the item of a functional group macro that speaks of one frame.

        Raises
        ------
        PixelError
            ``header``: frames have their own, but this one has none, or there is not one item a
            frame (C.7.6.16.1.1).
        """
        own = Tag(keyword) in self.owned
        if own and len(self.per_frame) != self.frames:
            raise header(f"{len(self.per_frame)} functional groups for {self.frames} frames")
        for holder in (self.per_frame[frame] if own else None, self.shared):
            found = items(holder, keyword) if holder is not None else []
            if found:
                return found[0]
        if own:
            raise header(f"a frame has no {keyword}, and other frames have their own")
        return None


class FrameGeometry(NamedTuple):
    """Where a frame lies: millimetres, in the patient's directions (PS3.3 C.7.6.2.1.1).

    `spacing` is between rows, then between columns.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None


def functional_groups(dataset: pydicom.Dataset, frames: int) -> Groups:
    """Return the functional groups of a data set of `frames` frames.

    Raises
    ------
    PixelError
        ``header``: what stands there are no sequences.
    """
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    owned = {tag for item in per_frame for tag, element in item.items() if element.value}
    return Groups(shared[0] if shared else None, per_frame, frames, frozenset(owned))


def frame_geometry(dataset: pydicom.Dataset, groups: Groups, frame: int) -> FrameGeometry:
    """Return where a frame lies; what is absent or malformed is None.

    Positions of dose grids come from GridFrameOffsetVector (PS3.3 C.8.8.3.2).
    """
    position = _numbers(dataset, groups, frame, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _numbers(
        dataset, groups, frame, "PlaneOrientationSequence", "ImageOrientationPatient"
    )
    position = position if position is not None and len(position) == 3 else None
    orientation = orientation if orientation is not None and len(orientation) == 6 else None
    if position is not None and orientation is not None:
        position = _along_grid(dataset, position, orientation, frame)
    return FrameGeometry(position, orientation, pixel_spacing(dataset, groups, frame))


def pixel_spacing(
    dataset: pydicom.Dataset, groups: Groups, frame: int
) -> tuple[float, float] | None:
    """Return PixelSpacing in mm (PS3.3 10.7.1.3): between rows, between columns.

    None where it is absent, malformed or not positive. ImagerPixelSpacing, which is that of
    the detector and not of the patient, never stands in for it.
    """
    found = _numbers(dataset, groups, frame, "PixelMeasuresSequence", "PixelSpacing")
    if found is None or len(found) != 2 or min(found) <= 0:
        return None
    return found[0], found[1]


def _numbers(
    dataset: pydicom.Dataset, groups: Groups, frame: int, macro: str, keyword: str
) -> tuple[float, ...] | None:
    try:
        return numbers(groups.macro(macro, frame) or dataset, keyword)
    except PixelError:
        return None


def _along_grid(
    dataset: pydicom.Dataset,
    position: tuple[float, ...],
    orientation: tuple[float, ...],
    frame: int,
) -> tuple[float, ...] | None:
    """Return the position of a frame of a dose grid (C.8.8.3.2).

    Offsets that begin with 0 go along the normal (form a); those that begin with the third
    value of the position are such values themselves, of transverse planes (form b).
    """
    try:
        offsets = numbers(dataset, "GridFrameOffsetVector")
    except PixelError:
        return None
    if not offsets:
        return position
    if frame >= len(offsets):
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    if offsets[0] == 0:
        return tuple(float(v) for v in np.asarray(position) + offsets[frame] * normal)
    transverse = math.isclose(abs(normal[2]), 1, abs_tol=1e-4)
    if transverse and math.isclose(offsets[0], position[2], abs_tol=1e-3):
        return *position[:2], offsets[frame]
    return None
