"""Slices gathered for one volume, and whether they belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.options import DicomPixels
from medimg.data.pixels import check_cap
from medimg.data.sources.dicom.pixels.elements import code
from medimg.data.sources.dicom.pixels.functional import FrameGeometry
from medimg.data.sources.dicom.pixels.output import Scene
from medimg.data.sources.dicom.pixels.read import Frames, read_frames
from medimg.data.sources.dicom.volume.frames import joined, said_by
from medimg.data.sources.dicom.volume.partition import partition
from medimg.errors import PixelError


class Slices(NamedTuple):
    """N slices as they came: float32 (N, H, W), bool or None, and what each says of itself."""

    values: NDArray[np.float32]
    valid: NDArray[np.bool_] | None
    scenes: list[Scene]
    places: list[FrameGeometry]
    steps: list[tuple[str, ...]]


def gather(files: Sequence[Callable[[], bytes]], options: DicomPixels) -> Slices:
    """Return the slices of several files, or the frames of one, as they came.

    Raises
    ------
    PixelError
        Any code of the DICOM reader up to the modality transform; ``frames``: a multi-frame
        object among others; ``channels``: colours; ``mixed_geometry``: shapes differ.
    """
    first = read_frames(files[0](), options)
    _check_grey(first)
    if len(files) == 1:
        scenes = [first.scene(index) for index in range(len(first.numbers))]
        values = np.require(first.values, np.float32, ["C", "W"])
        return Slices(
            values, first.valid, scenes, list(first.geometry), [first.steps] * len(scenes)
        )
    shape = (len(files), *first.values.shape[1:])
    check_cap(shape)
    values, valid = np.empty(shape, np.float32), None
    scenes, places, steps = [], [], []
    for index, load in enumerate(files):
        frames = read_frames(load(), options) if index else first
        _check_slice(frames, shape[1:])
        values[index] = frames.values[0]
        if frames.valid is not None:
            valid = np.ones(shape, np.bool_) if valid is None else valid
            valid[index] = frames.valid[0]
        scenes.append(frames.scene(0))
        places.append(frames.geometry[0])
        steps.append(frames.steps)
    return Slices(values, valid, scenes, places, steps)


def _check_slice(frames: Frames, shape: tuple[int, ...]) -> None:
    _check_grey(frames)
    if len(frames.numbers) != 1:
        raise PixelError(
            "frames",
            f"a file of {len(frames.numbers)} frames among several files",
            remedy="read each multi-frame file as a volume of its own",
        )
    if frames.values.shape[1:] != shape:
        raise PixelError(
            "mixed_geometry",
            f"slices of {frames.values.shape[1:]} and of {shape} pixels",
            remedy="read the parts as volumes of their own",
        )


def _check_grey(frames: Frames) -> None:
    if frames.is_colour:
        raise PixelError(
            "channels",
            "slices in colour where a volume of grey values is wanted",
            remedy="read them as images (--unit image)",
        )


def check_one_volume(slices: Slices) -> None:
    """Refuse slices of several series, of several groups of one, or in several units.

    Raises
    ------
    PixelError
        ``several_series``, ``mixed_geometry`` or ``mixed_units``.
    """
    if _differ(slices, "SeriesInstanceUID"):
        raise _several("slices of several series")
    if _differ(slices, "FrameOfReferenceUID"):
        raise PixelError(
            "mixed_geometry",
            "slices in several frames of reference: their positions cannot be compared",
            remedy="read the parts as volumes of their own",
        )
    columns = said_by(slices.scenes)
    columns["ImageOrientationPatient"] = [joined(p.orientation) for p in slices.places]
    differ = ", ".join(name for name, texts in columns.items() if len(set(texts)) > 1)
    columns["ImagePositionPatient"] = [joined(p.position) for p in slices.places]
    count = len(partition(columns))
    if count > 1:
        raise _several(f"slices of {count} volumes, which differ in {differ}")
    units = sorted({scene.transform.units for scene in slices.scenes})
    if len(units) > 1:
        raise mixed_units(f"slices in {' and in '.join(units)}")


def mixed_units(what: str, remedy: str = "read the parts as volumes of their own") -> PixelError:
    """Return the refusal of slices whose numbers do not mean the same."""
    return PixelError("mixed_units", what, remedy=remedy)


def _differ(slices: Slices, keyword: str) -> bool:
    return len({code(scene.dataset, keyword) for scene in slices.scenes} - {""}) > 1


def _several(what: str) -> PixelError:
    return PixelError(
        "several_series", what, remedy="index the folder: each volume becomes a case of its own"
    )
