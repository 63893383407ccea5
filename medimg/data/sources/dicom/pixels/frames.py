"""The frames of one file, decoded and given a meaning: the stages up to the modality transform."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.options import DicomPixels
from medimg.data.sources.dicom.pixels.colour import (
    has_palette,
    has_sign,
    through_palette,
    to_rgb,
)
from medimg.data.sources.dicom.pixels.dataset import Parsed
from medimg.data.sources.dicom.pixels.decode import Decoded, decode
from medimg.data.sources.dicom.pixels.functional import (
    FrameGeometry,
    Groups,
    frame_geometry,
    functional_groups,
)
from medimg.data.sources.dicom.pixels.image import PALETTE, ImagePixel
from medimg.data.sources.dicom.pixels.modality import modality_transform
from medimg.data.sources.dicom.pixels.output import Scene
from medimg.data.sources.dicom.pixels.padding import padding_span, padding_step, valid_pixels
from medimg.data.sources.dicom.pixels.stored import stored_values
from medimg.data.sources.dicom.pixels.transform import Transform, apply_modality, with_meaning
from medimg.errors import PixelError


class Frames(NamedTuple):
    """Frames of one file after the modality transform.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Without pixels and without the patient's group.
    numbers : tuple of int
        Which frames these are.
    stored : integers or float (F, H, W), or unsigned (F, H, W, 3)
        Stored values; colours as RGB.
    valid : bool (F, H, W), optional
        False on padding, and where a real world value mapping does not reach.
    values : (F, H, W) or (F, H, W, 3)
        After the modality transform of each frame; equal to `stored` for colours.
    transforms : tuple of Transform
        One a frame; its `units` are those of the frame.
    geometry : tuple of FrameGeometry
        One a frame.
    bits : int
        Bits of a stored value or colour.
    """

    dataset: pydicom.Dataset
    transfer_syntax: str
    little: bool
    image: ImagePixel
    groups: Groups
    numbers: tuple[int, ...]
    stored: NDArray[Any]
    valid: NDArray[np.bool_] | None
    values: NDArray[Any]
    transforms: tuple[Transform, ...]
    geometry: tuple[FrameGeometry, ...]
    bits: int
    steps: tuple[str, ...]

    @property
    def is_colour(self) -> bool:
        """Whether the last axis is RGB."""
        return self.stored.ndim == 4

    def scene(self, index: int) -> Scene:
        """Return what `output_of` needs to know of one of the frames."""
        return Scene(
            self.dataset,
            self.groups,
            self.numbers[index],
            self.image,
            self.transforms[index],
            self.little,
        )


def frames_of(
    parsed: Parsed, image: ImagePixel, numbers: tuple[int, ...], options: DicomPixels
) -> Frames:
    dataset, little = parsed.dataset, parsed.little_endian
    groups = functional_groups(dataset, image.frames)
    decoded = decode(parsed, image, numbers)
    steps = [decoded.how]
    stored, image = _stored(dataset, decoded, image, steps)
    geometry = tuple(frame_geometry(dataset, groups, number) for number in numbers)
    bits = image.bits
    if image.is_grey:
        valid, transforms, values = _meaning(parsed, image, groups, numbers, options, stored, steps)
    else:
        stored, bits = _rgb(stored, decoded.photometric, parsed, image, steps)
        valid, values = None, stored
        transforms = (Transform(None, "RGB", ""),) * len(numbers)
    return Frames(
        dataset,
        parsed.transfer_syntax,
        little,
        image,
        groups,
        numbers,
        stored,
        valid,
        values,
        transforms,
        geometry,
        bits,
        tuple(steps),
    )


def _stored(
    dataset: pydicom.Dataset, decoded: Decoded, image: ImagePixel, steps: list[str]
) -> tuple[NDArray[Any], ImagePixel]:
    """Return the stored values, and the image with the bits and the sign that they really have.

    Add the steps where these are not what the header says.
    """
    if decoded.signed and not image.signed and image.is_grey:
        # Only values that had a sign make a signed JPEG 2000 stream, and the stream is what
        # decodes the pixels where the header contradicts it (PS3.5 8.2.4).
        image = image._replace(signed=True)
        steps.append("signed, as the codestream says and PixelRepresentation does not")
    if image.signed and not image.is_grey and not has_sign(dataset, image):
        image = image._replace(signed=False)
        steps.append("colours read as unsigned, which PixelRepresentation denies")
    stored = stored_values(
        decoded.words,
        image,
        decoded.precision,
        lossy=decoded.lossy,
        stream_signed=decoded.signed,
    )
    bits = decoded.precision
    if bits < image.bits:
        steps.append(f"the codestream has {bits} bits where BitsStored is {image.bits}")
        signed = image.signed and decoded.signed
        image = image._replace(bits=bits, high_bit=bits - 1, signed=signed)
    return stored, image


def _meaning(
    parsed: Parsed,
    image: ImagePixel,
    groups: Groups,
    numbers: tuple[int, ...],
    options: DicomPixels,
    stored: NDArray[Any],
    steps: list[str],
) -> tuple[NDArray[np.bool_] | None, tuple[Transform, ...], NDArray[Any]]:
    """Return valid (F, H, W), transforms and values (F, H, W) of grey frames; add their steps."""
    dataset = parsed.dataset
    span = padding_span(dataset, image)
    valid = valid_pixels(stored, span)
    padding = "" if span is None else padding_step(span, image, found=valid is not None)
    if padding:
        steps.append(padding)
    _check_finite(stored, valid)
    if has_palette(dataset):
        steps.append("supplemental palette left out: grey values (PS3.3 C.7.6.19)")
    transforms = tuple(
        modality_transform(
            dataset, groups, number, image, little=parsed.little_endian, use=options.modality
        )
        for number in numbers
    )
    steps.append(
        transforms[0].step + (" (frame by frame)" if len(set(map(_rule, transforms))) > 1 else "")
    )
    if len(numbers) == 1:
        values = apply_modality(transforms[0], stored)
    else:
        values = np.stack(
            [apply_modality(one, frame) for one, frame in zip(transforms, stored, strict=True)]
        )
    for index, transform in enumerate(transforms):
        inside = with_meaning(transform, stored[index])
        if inside is not None:
            valid = np.ones(stored.shape, np.bool_) if valid is None else valid
            valid[index] &= inside
    return valid, transforms, values


def _check_finite(stored: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
    """Refuse NaN and infinity outside of the padding: windows and tables would give them greys."""
    if stored.dtype.kind != "f":
        return
    bad = ~np.isfinite(stored)
    if valid is not None:
        bad &= valid
    if bad.any():
        raise PixelError(
            "not_finite",
            f"{int(bad.sum())} pixels are NaN or infinite",
            remedy="mask or repair them; they would poison a training",
        )


def _rule(transform: Transform) -> str:
    return transform.step


def _rgb(
    stored: NDArray[Any], photometric: str, parsed: Parsed, image: ImagePixel, steps: list[str]
) -> tuple[NDArray[Any], int]:
    """Return RGB (F, H, W, 3) and its bits; add the steps (PS3.4 N.2: no VOI, no polarity)."""
    if image.photometric == PALETTE:
        rgb, bits = through_palette(stored, parsed.dataset, image, little=parsed.little_endian)
        steps.append(f"PALETTE COLOR to RGB of {bits} bits")
        return rgb, bits
    if photometric != "RGB":
        steps.append(f"{photometric} to RGB")
    return to_rgb(stored, photometric, image.bits), image.bits
