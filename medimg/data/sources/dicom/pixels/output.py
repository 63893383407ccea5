"""From values with a meaning to an array with a nominal range: VOI, range, polarity, padding.

The range is a window, a declared one, that of CT, percentiles of MR, NM and PT, or, of values
without units, what the stored bits can mean. Values in units have no range of their bits: these
differ from file to file, and one value would get several greys. It is never the picture's own
minimum and maximum, with one exception: those of MR, NM and PT whose percentiles coincide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.options import DicomPixels, Use
from medimg.data.sources.dicom.pixels.functional import Groups
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.kinds import modality_of
from medimg.data.sources.dicom.pixels.polarity import inversion, inverted
from medimg.data.sources.dicom.pixels.transform import Transform, nominal_range
from medimg.data.sources.dicom.pixels.voi import Voi, apply_voi, voi_transform
from medimg.errors import PixelError

#: Where CT lies: air and metal clip, everything else does not.
CT_RANGE = (-1024.0, 3071.0)
_BY_PERCENTILES = ("MR", "NM", "PT")
_NO_VOI = ("CT", *_BY_PERCENTILES)
_NO_UNITS = ("stored", "US", "rescaled")
_REMEDY = "declare preprocess.dicom.range"


class Scene(NamedTuple):
    """What the output of values depends on beside them: the header, and which frame."""

    dataset: pydicom.Dataset
    groups: Groups
    frame: int
    image: ImagePixel
    transform: Transform
    little: bool


class Range(NamedTuple):
    """The nominal range of values, and the step that says whence it is."""

    low: float
    high: float
    step: str


class Output(NamedTuple):
    """float32 array of the shape of the values, within [low, high] where it is valid."""

    array: NDArray[np.float32]
    low: float
    high: float
    units: str
    steps: tuple[str, ...]


def output_of(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, scene: Scene, options: DicomPixels
) -> Output:
    """Return grey values (...) as they are handed out (PS3.4 N.2: VOI, then polarity).

    Padded pixels, where `valid` is False, become the lowest value after the inversion.

    Raises
    ------
    PixelError
        ``no_voi``, ``no_range``, ``no_modality``, ``no_polarity`` or ``header``.
    """
    voi = voi_of(scene, options)
    units = scene.transform.units
    if voi is not None:
        array, low, high, units = apply_voi(voi, values)
        step = voi.step
    else:
        low, high, step = range_of(values, valid, scene, options)
        low, high = float(np.float32(low)), float(np.float32(high))  # as the array holds them
        array = np.clip(values, low, high).astype(np.float32, copy=False)
    steps = [step]
    inversion_step = inversion(scene.dataset, scene.image, options.polarity)
    if inversion_step:
        array = inverted(array, low, high)
        steps.append(inversion_step)
    if valid is not None:
        array[~valid] = low
    return Output(array, low, high, units, tuple(steps))


def voi_of(scene: Scene, options: DicomPixels) -> Voi | None:
    """Return the VOI transform that options and modality ask for; None where there is none.

    Raises
    ------
    PixelError
        ``no_voi`` or ``header``.
    """
    by_modality: Use = "never" if modality_of(scene.dataset) in _NO_VOI else "if-present"
    return voi_transform(
        scene.dataset,
        scene.groups,
        scene.frame,
        scene.image,
        scene.transform,
        little=scene.little,
        use="never" if options.range else options.voi or by_modality,
    )


def range_of(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, scene: Scene, options: DicomPixels
) -> Range:
    """Return the range of values that go through no VOI.

    Raises
    ------
    PixelError
        ``no_modality``: a CT without its rescale. ``no_range``: a CT that is not in HU, floats,
        wide integers, or values in units.
    """
    return chosen_range(values, valid, scene, options) or stored_range_of(scene)


def chosen_range(
    values: NDArray[Any], valid: NDArray[np.bool_] | None, scene: Scene, options: DicomPixels
) -> Range | None:
    """Return the declared range, that of CT, or the percentiles of MR, NM and PT; else None.

    Raises
    ------
    PixelError
        ``no_modality``: a CT without its rescale. ``no_range``: a CT that is not in HU.
    """
    modality = modality_of(scene.dataset)
    units = scene.transform.units
    if options.range is not None:
        low, high = options.range
        return Range(low, high, f"range declared: [{low:g}, {high:g}] {units}")
    if modality == "CT" and units == "HU":
        low, high = CT_RANGE
        return Range(low, high, f"range of CT by default: [{low:g}, {high:g}] HU")
    if modality == "CT" and scene.transform.rule is None and options.modality != "never":
        raise PixelError(
            "no_modality",
            "a CT image without rescale slope and intercept: its values are no HU",
            remedy="declare dicom.range in stored values, or set dicom.modality to never",
        )
    if modality == "CT" and options.modality != "never":
        raise PixelError("no_range", f"a CT image in {units}, which is not HU", remedy=_REMEDY)
    if modality not in _BY_PERCENTILES:
        return None
    return _percentiles(values, valid, options.percentiles, units)


def stored_range_of(scene: Scene) -> Range:
    """Return what the stored bits can mean.

    Raises
    ------
    PixelError
        ``no_range``: floats, wide integers, or values in units that are no constant MR, NM or
        PT.
    """
    units = scene.transform.units
    if units not in _NO_UNITS and modality_of(scene.dataset) not in _BY_PERCENTILES:
        raise PixelError(
            "no_range",
            f"values in {units} without a window: what the bits of a file hold is no range that "
            "all images share",
            remedy=_REMEDY,
        )
    nominal = nominal_range(scene.transform, scene.image)
    if nominal is None or not nominal[0] < nominal[1]:
        raise PixelError(
            "no_range",
            f"{'floats' if scene.image.is_float else f'{scene.image.bits} bits'} without a window "
            "have no range that all images share",
            remedy=_REMEDY,
        )
    low, high = nominal
    return Range(low, high, f"range of what is stored: [{low:g}, {high:g}] {units}")


def _percentiles(
    values: NDArray[Any],
    valid: NDArray[np.bool_] | None,
    percent: tuple[float, float],
    units: str,
) -> Range | None:
    """Return the percentiles of the valid pixels; None of a constant picture.

    Where they coincide, as where hardly anything is not background, both ends widen to the
    lowest and the highest valid pixel.
    """
    shown = values if valid is None else values[valid]
    if not shown.size:
        return None
    (a, b), (low, high) = percent, (np.float32(v) for v in np.percentile(shown, percent))
    how = f"range from percentiles {a:g} and {b:g}"
    if not low < high:
        low, high = np.float32(shown.min()), np.float32(shown.max())
        how = (
            "range from the lowest and highest pixel, since the percentiles "
            f"{a:g} and {b:g} coincide"
        )
    if not low < high:
        return None
    return Range(float(low), float(high), f"{how}: [{low:g}, {high:g}] {units}")


def colours_of(rgb: NDArray[Any], bits: int, image: ImagePixel, options: DicomPixels) -> Output:
    """Return colours (..., 3) as they are handed out: no VOI, no range but that of their bits.

    Raises
    ------
    PixelError
        ``no_modality``, ``no_voi`` or ``no_polarity``: required, and colours have none.
    """
    for use, what in ((options.modality, "modality"), (options.voi, "voi")):
        if use == "require":
            raise PixelError(
                f"no_{what}",
                f"{image.photometric} has no {what} transform",
                remedy=f"set dicom.{what} to if-present, or leave the file out",
            )
    inversion(pydicom.Dataset(), image, options.polarity)
    high = float((1 << bits) - 1)
    steps = [f"range of RGB: [0, {high:g}]"]
    if options.range is not None:
        steps.append("the declared range has no meaning for colours")
    return Output(rgb.astype(np.float32), 0.0, high, "RGB", tuple(steps))
