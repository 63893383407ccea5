"""One image, or the frames of one file: every stage in order (PS3.4 N.2), or a refusal by name.

decode -> stored values -> padding -> modality transform -> VOI or range -> polarity. Every
function takes the bytes of a whole file and numbers frames from 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pixels.dataset import Parsed, guarded, open_dataset
from medimg.data.sources.dicom.pixels.elements import code, has, numbers
from medimg.data.sources.dicom.pixels.frames import Frames, frames_of
from medimg.data.sources.dicom.pixels.image import ImagePixel, image_pixel
from medimg.data.sources.dicom.pixels.output import colours_of, output_of
from medimg.data.sources.guard import row_number
from medimg.errors import PixelError

__all__ = ["Frames", "Stages", "read_frames", "read_image", "read_stages"]

#: DX, MG, intra-oral X-ray, breast projections and intravascular OCT "For Processing".
_FOR_PROCESSING = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("1.1.1", "1.2.1", "1.3.1", "13.1.5", "14.2")
)
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"


class Stages(NamedTuple):
    """One image after each stage: (H, W), colours (H, W, 3); `output` float32."""

    transfer_syntax: str
    stored: NDArray[Any]
    valid: NDArray[np.bool_] | None
    modality: NDArray[Any]
    units: str
    output: NDArray[np.float32]
    low: float
    high: float
    output_units: str
    spacing: tuple[float, float] | None
    steps: tuple[str, ...]


def read_frames(data: bytes, options: DicomPixels, frame: int | None = None) -> Frames:
    """Return the frames of a file after the modality transform, or one of them.

    Raises
    ------
    PixelError
        Any code of the DICOM reader up to the modality transform.
    """
    with guarded():
        parsed, image = _opened(data, options)
        if frame is None:
            return frames_of(parsed, image, tuple(range(image.frames)), options)
        number = row_number(str(frame), image.frames, "the file")
        return frames_of(parsed, image, (number,), options)


def read_stages(data: bytes, frame: int | None, options: DicomPixels) -> Stages:
    """Return one image after each stage; `frame` None is lawful where there is one.

    Raises
    ------
    PixelError
        Any code of the DICOM reader.
    """
    return _stages(data, "" if frame is None else str(frame), options)


def read_image(data: bytes, frame: str, options: DicomPixels) -> Pixels:
    """Return one image, float32 (1, H, W) or (3, H, W) in RGB.

    Parameters
    ----------
    data : bytes
    frame : str
        A number from 0, or blank for the only frame.
    options : DicomPixels

    Returns
    -------
    Pixels
        Within [low, high]; padding is `low`, and False in `valid`; `spacing_mm` is PixelSpacing.

    Raises
    ------
    PixelError
        Any code of the DICOM reader.
    """
    stages = _stages(data, frame, options)
    array = stages.output
    return Pixels(
        array[None] if array.ndim == 2 else np.ascontiguousarray(np.moveaxis(array, -1, 0)),
        stages.low,
        stages.high,
        units=stages.output_units,
        spacing_mm=stages.spacing,
        valid=stages.valid,
        steps=stages.steps,
    )


def _stages(data: bytes, frame: str, options: DicomPixels) -> Stages:
    with guarded():
        parsed, image = _opened(data, options)
        number = row_number(frame, image.frames, "the file")
        frames = frames_of(parsed, image, (number,), options)
        valid = None if frames.valid is None else frames.valid[0]
        if frames.is_colour:
            output = colours_of(frames.values[0], frames.bits, frames.image, options)
        else:
            output = output_of(frames.values[0], valid, frames.scene(0), options)
        spacing = frames.geometry[0].spacing
        return Stages(
            frames.transfer_syntax,
            frames.stored[0],
            valid,
            frames.values[0],
            frames.transforms[0].units,
            output.array,
            output.low,
            output.high,
            output.units,
            spacing,
            (*frames.steps, *output.steps, *_spacing_steps(frames.dataset, spacing)),
        )


def _opened(data: bytes, options: DicomPixels) -> tuple[Parsed, ImagePixel]:
    """Return the data set and its Image Pixel module; refuse what is taken on request alone."""
    parsed = open_dataset(data)
    image = image_pixel(parsed)
    kind = code(parsed.dataset, "SOPClassUID")
    if not options.whole_slide and kind == _WHOLE_SLIDE:
        raise PixelError(
            "whole_slide", "a whole-slide image", remedy="set dicom.whole_slide to take its frames"
        )
    raw = code(parsed.dataset, "PresentationIntentType") == "FOR PROCESSING"
    if not options.for_processing and (raw or kind in _FOR_PROCESSING):
        raise PixelError(
            "for_processing",
            "a FOR PROCESSING image: raw values of the detector (PS3.3 C.8.11.1)",
            remedy="use the FOR PRESENTATION image, or set dicom.for_processing",
        )
    return parsed, image


def _spacing_steps(
    dataset: pydicom.Dataset, spacing: tuple[float, float] | None
) -> tuple[str, ...]:
    """Say what is there of a spacing that is not the patient's (PS3.3 10.7.1.3, C.7.6.3.1.7)."""
    if spacing is not None:
        return ()
    if has(dataset, "ImagerPixelSpacing"):
        return ("ImagerPixelSpacing is the detector's: no spacing",)
    try:
        aspect = numbers(dataset, "PixelAspectRatio")
    except PixelError:
        return ()  # malformed, and no matter for the pixels
    if len(aspect) == 2 and aspect[0] != aspect[1]:
        ratio = ":".join(f"{one:g}" for one in aspect)
        return (f"PixelAspectRatio is {ratio}: pixels that are not square, left as they are",)
    return ()
