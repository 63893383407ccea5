"""What slices and frames say of themselves, in the columns that `partition` takes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword

from medimg.data.sources.dicom.pixels.elements import items, numbers
from medimg.data.sources.dicom.pixels.output import Scene
from medimg.errors import PixelError

#: Column of `partition` -> where frames of enhanced objects (PS3.3 C.7.6.16, C.8.13.5) and of
#: segmentations (C.8.20.3.1) keep it; in classic objects it stands in the data set.
_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "FrameType": (
        ("MRImageFrameTypeSequence", "FrameType"),
        ("CTImageFrameTypeSequence", "FrameType"),
        ("PETFrameTypeSequence", "FrameType"),
    ),
    "StackID": (("FrameContentSequence", "StackID"),),
    "TemporalPositionIndex": (("FrameContentSequence", "TemporalPositionIndex"),),
    "AcquisitionNumber": (("FrameContentSequence", "FrameAcquisitionNumber"),),
    "EchoTime": (("MREchoSequence", "EffectiveEchoTime"),),
    "DiffusionBValue": (("MRDiffusionSequence", "DiffusionBValue"),),
    "ReferencedSegmentNumber": (("SegmentIdentificationSequence", "ReferencedSegmentNumber"),),
    "ImageType": (),
    "TemporalPositionIdentifier": (),
    "SamplesPerPixel": (),
}
_TEXTS = ("FrameType", "StackID", "ImageType")
#: Dimensions along which the slices of one volume lie: places, and moments, of which each slice
#: may have its own.
_PLACES = (
    *("ImagePositionPatient", "ImageOrientationPatient", "InStackPositionNumber"),
    *("SliceLocation", "ImagePositionVolume", "ImageOrientationVolume"),
    *("FrameAcquisitionDateTime", "FrameReferenceDateTime"),
)
#: Dimensions that part no frames by their index: those, and what has a column of its own.
_NO_PART = frozenset(
    tag_for_keyword(keyword)
    for keyword in (*_PLACES, *_COLUMNS, *(inner for at in _COLUMNS.values() for _, inner in at))
)


def said_by(scenes: Sequence[Scene]) -> dict[str, list[str]]:
    """Return the columns of `partition`, one text a slice, but those of its place."""
    columns = {name: [_text(scene, name) for scene in scenes] for name in _COLUMNS}
    columns["DimensionIndexValues"] = _dimensions(scenes)
    return columns


def joined(values: Sequence[float] | None) -> str:
    """Return numbers as `partition` takes them."""
    return "\\".join(map(repr, values or ()))


def _text(scene: Scene, column: str) -> str:
    """Return what a slice says of itself in one column."""
    holder, keyword = scene.dataset, column
    for macro, inner in _COLUMNS[column]:
        found = scene.groups.macro(macro, scene.frame)
        if found is not None:
            holder, keyword = found, inner
            break
    if column in _TEXTS:
        return _words(holder, keyword)
    return joined(_numbers(holder, keyword))


def _dimensions(scenes: Sequence[Scene]) -> list[str]:
    """Return where the frames of one object stand along its further dimensions (C.7.6.17).

    Blank for slices of several files, whose indices need not count the same.
    """
    shared = scenes[0].dataset
    blank = [""] * len(scenes)
    if any(scene.dataset is not shared for scene in scenes):
        return blank
    pointers = [_pointer(item) for item in items(shared, "DimensionIndexSequence")]
    parting = [index for index, tag in enumerate(pointers) if tag and tag not in _NO_PART]
    if not parting:
        return blank
    texts = []
    for scene in scenes:
        content = scene.groups.macro("FrameContentSequence", scene.frame)
        values = () if content is None else _numbers(content, "DimensionIndexValues")
        known = len(values) == len(pointers)
        texts.append(joined([values[index] for index in parting]) if known else "")
    return texts


def _pointer(item: pydicom.Dataset) -> int:
    """Return the tag of a dimension; 0 where it is malformed."""
    element: Any = item.get_item("DimensionIndexPointer")
    value = None if element is None else element.value
    if isinstance(value, bytes):
        if len(value) != 4:
            return 0
        group, number = struct.unpack("<HH" if element.is_little_endian else ">HH", value)
        return int(group << 16 | number)
    return value if isinstance(value, int) else 0


def _numbers(dataset: pydicom.Dataset, keyword: str) -> tuple[float, ...]:
    try:
        return numbers(dataset, keyword)
    except PixelError:
        return ()  # malformed, and no matter for the pixels


def _words(dataset: pydicom.Dataset, keyword: str) -> str:
    element: Any = dataset.get_item(keyword)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\0 ")
    many = value if isinstance(value, list | tuple | pydicom.multival.MultiValue) else [value or ""]
    return "\\".join(map(str, many))
