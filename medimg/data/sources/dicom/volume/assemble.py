"""Several slices, or the frames of one object, as one volume.

Slices come in any order and leave ascending along the normal of their plane, row x column (for
an axial series from the feet to the head). Where they lie is for `geometry` to say, what belongs
together for `partition`; what their numbers mean is read slice by slice as for a single image;
window, polarity and range are one for the whole volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pixels.dataset import guarded
from medimg.data.sources.dicom.pixels.functional import FrameGeometry
from medimg.data.sources.dicom.pixels.lut import Lut
from medimg.data.sources.dicom.pixels.output import (
    Scene,
    chosen_range,
    output_of,
    stored_range_of,
    voi_of,
)
from medimg.data.sources.dicom.pixels.polarity import inversion
from medimg.data.sources.dicom.pixels.voi import Voi
from medimg.data.sources.dicom.volume.geometry import stack
from medimg.data.sources.dicom.volume.shear import straighten
from medimg.data.sources.dicom.volume.slices import check_one_volume, gather, mixed_units


def read_volume(files: Sequence[Callable[[], bytes]], options: DicomPixels) -> Pixels:
    """Return one volume, float32 (1, D, H, W).

    Parameters
    ----------
    files : sequence of callable
        Each gives the bytes of a whole file: single-frame slices of one series, in any order,
        or one multi-frame object. Called one after the other, so that one file at a time is in
        memory beside the volume.
    options : DicomPixels
        `shear` takes the slices of a tilted gantry and straightens them.

    Returns
    -------
    Pixels
        `spacing_mm` is (D, H, W), from positions alone; D ascends along the normal; `affine`
        takes an index (W, H, D) to RAS in mm; padding is `low`, and False in `valid`.

    Raises
    ------
    PixelError
        Any code of the DICOM reader; ``single_image``; ``several_series``: the slices are more
        than one volume; ``mixed_units``; what `geometry.stack` refuses.
    """
    with guarded():
        slices = gather(files, options)
        check_one_volume(slices)
        placed = stack(
            *(_table(slices.places, part) for part in ("position", "orientation", "spacing")),
            shear=options.shear,
        )
        order = placed.order.tolist()
        _permute(slices.values, order)
        values, valid, affine = slices.values, slices.valid, placed.affine
        if valid is not None:
            _permute(valid, order)
        scenes = [slices.scenes[index] for index in order]
        steps = [*_common(slices.steps), f"volume of {len(order)} slices, sorted by position"]
        if placed.drift_mm.any():
            values, valid, affine = straighten(values, valid, placed)
            steps.append("tilted slices moved above each other, linear")
        low, high, units, how = _mapped(values, valid, scenes, options)
        return Pixels(
            values[None],
            low,
            high,
            units=units,
            spacing_mm=placed.spacing_mm,
            affine=affine,
            valid=valid,
            steps=(*steps, *how),
        )


def _table(places: list[FrameGeometry], part: str) -> NDArray[np.float64]:
    """Return one part of the places as numbers (N, 3), (N, 6) or (N, 2); NaN where it lacks."""
    width = {"position": 3, "orientation": 6, "spacing": 2}[part]
    missing = (np.nan,) * width
    rows = [getattr(place, part) or missing for place in places]
    return np.array(rows, np.float64).reshape(-1, width)


def _permute(array: NDArray[Any], order: list[int]) -> None:
    """Bring `array` (N, ...) into `order` in place, with room for one row."""
    order = list(order)
    for start, source in enumerate(order):
        if source == start:
            continue
        spare, place = array[start].copy(), start
        while order[place] != start:
            array[place] = array[order[place]]
            order[place], place = place, order[place]
        array[place], order[place] = spare, place


def _common(steps: list[tuple[str, ...]]) -> list[str]:
    """Return the steps of the slices, once; those that differ are said to."""
    if len({len(of_slice) for of_slice in steps}) > 1:
        return [*steps[0], "(other steps in other slices)"]
    return [
        one[0] if len(set(one)) == 1 else f"{one[0]} (and others, slice by slice)"
        for one in zip(*steps, strict=True)
    ]


def _mapped(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    scenes: list[Scene],
    options: DicomPixels,
) -> tuple[float, float, str, list[str]]:
    """Map the values in place to one nominal range; return it, its units and the steps.

    Without a window or LUT, of which all slices must have the same, the range is that of the
    whole volume: percentiles of all valid voxels, or what any of the slices can store.

    Raises
    ------
    PixelError
        ``mixed_units``: one value would get several greys.
    """
    windowed = _one_look(scenes, options)
    how = []
    if not windowed:
        options, step = _one_range(values, valid, scenes, options)
        how.append(step)
    last = []
    for index, scene in enumerate(scenes):
        mask = None if valid is None else valid[index]
        out = output_of(values[index], mask, scene, options)
        values[index] = out.array
        last.append(out.steps[0 if windowed else 1 :])
    return out.low, out.high, out.units, [*how, *_common(last)]


def _one_look(scenes: list[Scene], options: DicomPixels) -> bool:
    """Return whether the slices go through a window or VOI LUT, which is the same in all.

    Raises
    ------
    PixelError
        ``mixed_units``: slices differ in window, VOI LUT or polarity.
    """
    polarities = {bool(inversion(s.dataset, s.image, options.polarity)) for s in scenes}
    if len(polarities) > 1:
        raise mixed_units(
            "some slices are stored inverted and some are not",
            remedy="set preprocess.dicom.polarity to never where their values mean the same",
        )
    first, *others = (voi_of(scene, options) for scene in scenes)
    differ = sum(not _same(first, other) for other in others)
    if differ:
        raise mixed_units(
            f"{differ} of {len(scenes)} slices have another window or VOI LUT than the first: one "
            "value would get several greys",
            remedy="declare preprocess.dicom.range, or set preprocess.dicom.voi to never",
        )
    return first is not None


def _same(one: Voi | None, other: Voi | None) -> bool:
    """Return whether two slices go through the same window or table, or both through none."""
    if one is None or other is None:
        return one is other
    if isinstance(one.rule, Lut) and isinstance(other.rule, Lut):
        same = one.rule[::2] == other.rule[::2]
        return same and np.array_equal(one.rule.table, other.rule.table)
    return type(one.rule) is type(other.rule) and one.rule == other.rule


def _one_range(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    scenes: list[Scene],
    options: DicomPixels,
) -> tuple[DicomPixels, str]:
    """Return options that declare the range of the whole volume, and the step that names it."""
    found = chosen_range(values, valid, scenes[0], options)
    if found is None:
        each = [stored_range_of(scene) for scene in scenes]
        low, high = min(one.low for one in each), max(one.high for one in each)
        step = f"range of what is stored: [{low:g}, {high:g}] {scenes[0].transform.units}"
    else:
        low, high, step = found
    declared = options.model_dump() | {"range": (low, high), "voi": None}
    return DicomPixels.model_validate(declared), step
