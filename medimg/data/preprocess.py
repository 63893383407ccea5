"""`Preprocess`: frozen and deterministic, from `Pixels` to the integers that the store keeps.

The same integers are kept by the store and made in streaming prediction, so that training and
use cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from medimg.data.options import DicomPixels, Options, Positive
from medimg.data.pixels import Pixels
from medimg.data.resample import axes_of, resample
from medimg.errors import PixelError

Length = Annotated[int, Field(ge=1, le=4096)]
#: uint8 or uint16.
Integers = NDArray[np.unsignedinteger[Any]]
Resizer = Callable[[NDArray[np.float32], tuple[int, ...], np.float32], NDArray[np.float32]]

#: Weights of R, G and B in the grey of a colour picture (ITU-R BT.601, section 2.5.1).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Preprocess(Options):
    """How the pixels of a case become integers of one shape.

    Parameters
    ----------
    size : tuple of int, optional
        [D,] H, W in pixels. None: the size of the first picture, which all must share.
    channels : {1, 3}, optional
        1 grey (BT.601 luma of RGB), 3 RGB (grey repeated). None: as the first picture.
    resize : {"stretch", "pad", "crop", "exact"}
        To `size` whatever the shape; by one factor and filled with the lowest value; by one
        factor and cut to the centre; not at all: any other size is refused.
    spacing : tuple of float, optional
        Millimetres along [D,] H, W to resample to before `size` is taken.
    orientation : str, optional
        Three letters, where the axes W, H, D of a volume point, as in ``"RAS"`` (right,
        anterior, superior), to turn it to. None: as the file has it.
    bits : {8, 16}, optional
        uint8 or uint16. None: 8 where the first picture holds 256 stored levels at most.
    units : str, optional
        What the numbers of every case mean, as `units_of` says: ``"stored"``, ``"display"``,
        ``"HU"``, ... None: as in the first picture. A case in other units is refused: the same
        grey would not be the same tissue.
    dicom : DicomPixels
        The transforms that a reader of DICOM applies.
    """

    size: tuple[Length, ...] | None = Field(
        None,
        description="[D,] H, W; null: the size of the pictures, which must agree",
        min_length=2,
        max_length=3,
    )
    channels: Literal[1, 3] | None = Field(None, description="1 grey, 3 RGB; null: as they are")
    resize: Literal["stretch", "pad", "crop", "exact"] = Field(
        "stretch", description="how to reach size; exact refuses any other"
    )
    spacing: tuple[Positive, ...] | None = Field(
        None, description="resample to these mm along [D,] H, W first; null: no"
    )
    orientation: str | None = Field(
        None,
        description="turn volumes so that W, H, D point there, as RAS; null: as they are",
    )
    bits: Literal[8, 16] | None = Field(
        None, description="bits a stored pixel; null: 8 where pictures hold 256 levels at most"
    )
    units: str | None = Field(
        None, description="units that all cases must have, as HU; null: those of the first"
    )
    dicom: DicomPixels = DicomPixels()

    @field_validator("orientation")
    @classmethod
    def _letters(cls, value: str | None) -> str | None:
        if value is not None:
            axes_of(value)
        return value

    def resolved(self, first: Pixels) -> Preprocess:
        """Return the preprocessing with what is open filled in from a first case.

        Where the size was open, pictures of any other are refused from then on.
        """
        channels, *size = self._placed(first).array.shape
        filled = {
            "size": self.size or tuple(size),
            "channels": self.channels or channels,
            "resize": self.resize if self.size else "exact",
            "bits": self.bits or _bits(first),
            "units": self.units or units_of(first),
        }
        return Preprocess.model_validate(self.model_dump() | filled)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (C, [D,] H, W) of what `apply` gives; only where resolved."""
        if self.size is None or self.channels is None:
            raise ValueError("size and channels are not resolved yet")
        return (self.channels, *self.size)

    def apply(self, pixels: Pixels) -> Integers:
        """Return uint8 or uint16 (C, [D,] H, W); `low` becomes 0, `high` the largest integer.

        Masked pixels count as `low`.

        Raises
        ------
        PixelError
            ``dimensions``, ``channels``, ``mixed_units``, ``no_spacing`` or ``no_position``.
        """
        self._check(pixels)
        if pixels.valid is not None:
            # Before anything is resampled: whether a scanner writes padding or air around the
            # same picture may then make no difference.
            flat = np.where(pixels.valid, pixels.array, np.float32(pixels.low))
            pixels = replace(pixels, array=flat, valid=None)
        pixels = self._placed(pixels)
        array = _to_channels(pixels.array, self.shape[0])
        if array.shape != self.shape:
            array = _RESIZERS[self.resize](array, self.shape[1:], np.float32(pixels.low))
        return _to_integers(array, pixels.low, pixels.high, self.bits or 8)

    def _check(self, pixels: Pixels) -> None:
        """Refuse another number of dimensions, and numbers that mean something else."""
        if pixels.array.ndim != len(self.shape):
            raise PixelError(
                "dimensions",
                f"pixels of shape {pixels.array.shape} where {self.shape} is wanted",
                remedy="give images of the same number of dimensions, or set preprocess.size",
            )
        if self.units is not None and units_of(pixels) != self.units:
            raise PixelError(
                "mixed_units",
                f"numbers in units {units_of(pixels)!r} where {self.units!r} is wanted",
                remedy="leave it out, or bring all cases to one: preprocess.dicom.range, or voi "
                "require or never; preprocess.units says which is wanted",
            )

    def _placed(self, pixels: Pixels) -> Pixels:
        """Return the pixels in the spacing and the orientation that are wanted."""
        if self.spacing is None and (self.orientation is None or pixels.array.ndim == 3):
            return pixels
        return resample(pixels, self.spacing, self.orientation if pixels.array.ndim == 4 else None)


def units_of(pixels: Pixels) -> str:
    """Return what the numbers mean, as far as it keeps cases apart.

    ``"stored"``: a share of what the file's type can hold, whatever their own linear scale;
    ``"display"``: what a window or VOI LUT shows; else the unit, such as ``"HU"``.
    """
    return _KINDS.get(pixels.units, pixels.units)


def _bits(pixels: Pixels) -> Literal[8, 16]:
    """Return 8 where the numbers are stored levels, 256 at most; scaled ones can be any number."""
    return 8 if pixels.high - pixels.low <= 255 and pixels.units in ("stored", "RGB") else 16


def _to_channels(array: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    if array.shape[0] == channels:
        return array
    if array.shape[0] == 1:
        return np.repeat(array, channels, axis=0)
    if array.shape[0] == 3 and channels == 1:
        return np.tensordot(LUMA, array, axes=1)[None].astype(np.float32)
    raise PixelError(
        "channels",
        f"{array.shape[0]} channels where {channels} are wanted",
        remedy="give grey or RGB pictures",
    )


def _to_integers(array: NDArray[np.float32], low: float, high: float, bits: int) -> Integers:
    top = 2**bits - 1
    scaled = (array - low) * (top / (high - low))
    np.clip(np.rint(scaled, out=scaled), 0, top, out=scaled)
    kind: type[np.unsignedinteger[Any]] = np.uint8 if bits == 8 else np.uint16
    return np.asarray(scaled.astype(kind))


def _scale(array: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize (C, [D,] H, W) one axis at a time: linear, antialiased where it shrinks."""
    for axis, length in enumerate(size, start=1):
        if array.shape[axis] != length:
            array = _scale_axis(array, axis, length)
    return array


def _scale_axis(array: NDArray[np.float32], axis: int, length: int) -> NDArray[np.float32]:
    from PIL import Image

    moved = np.moveaxis(array, axis, -1)
    flat = np.ascontiguousarray(moved).reshape(-1, moved.shape[-1])
    picture = Image.fromarray(flat).resize((length, flat.shape[0]), Image.Resampling.BILINEAR)
    return np.moveaxis(np.asarray(picture).reshape(*moved.shape[:-1], length), -1, axis)


def _stretch(
    array: NDArray[np.float32], size: tuple[int, ...], low: np.float32
) -> NDArray[np.float32]:
    return _scale(array, size)


def _pad(array: NDArray[np.float32], size: tuple[int, ...], low: np.float32) -> NDArray[np.float32]:
    factor = min(s / n for s, n in zip(size, array.shape[1:], strict=True))
    inner = tuple(
        min(s, max(1, round(n * factor))) for s, n in zip(size, array.shape[1:], strict=True)
    )
    out = np.full((array.shape[0], *size), low, np.float32)
    place = tuple(slice((s - n) // 2, (s - n) // 2 + n) for s, n in zip(size, inner, strict=True))
    out[(slice(None), *place)] = _scale(array, inner)
    return out


def _crop(
    array: NDArray[np.float32], size: tuple[int, ...], low: np.float32
) -> NDArray[np.float32]:
    factor = max(s / n for s, n in zip(size, array.shape[1:], strict=True))
    outer = tuple(max(s, round(n * factor)) for s, n in zip(size, array.shape[1:], strict=True))
    place = tuple(slice((n - s) // 2, (n - s) // 2 + s) for s, n in zip(size, outer, strict=True))
    return _scale(array, outer)[(slice(None), *place)]


def _exact(
    array: NDArray[np.float32], size: tuple[int, ...], low: np.float32
) -> NDArray[np.float32]:
    raise PixelError(
        "dimensions",
        f"a picture of {array.shape[1:]} where {size} alone is taken",
        remedy="set preprocess.size and preprocess.resize (stretch, pad or crop)",
    )


#: Units whose numbers can stand beside each other -> what they are called together.
_KINDS = {
    **dict.fromkeys(("RGB", "US", "rescaled", "scaled"), "stored"),
    **dict.fromkeys(("window", "VOI LUT"), "display"),
}
_RESIZERS: dict[str, Resizer] = {
    "stretch": _stretch,
    "pad": _pad,
    "crop": _crop,
    "exact": _exact,
}
