"""`Pixels`: one case as a reader gives it, with the meaning of its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PixelError

#: More pixels than this in one case are refused before they are decoded.
PIXEL_CAP = 512 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Pixels:
    """One case.

    Parameters
    ----------
    array : float32 (C, H, W) or (C, D, H, W)
        Finite where valid.
    low, high : float
        The nominal range of the numbers (a window, or what the file's type can store), never
        the picture's own minimum and maximum: the same tissue keeps the same grey.
    units : str
        What the numbers are: ``"stored"``, ``"HU"``, ...
    spacing_mm : tuple of float, optional
        Distance between neighbours along [D,] H, W.
    affine : float64 (4, 4), optional
        Voxel index (W, H, D order of NIfTI) to RAS in mm.
    valid : bool ([D,] H, W), optional
        False where there is no picture (padding, transparency).
    steps : tuple of str
        How the numbers were reached, in order: the decoder, the transforms with their
        parameters, whence the range. Holds nothing that names a person.

    Raises
    ------
    PixelError
        ``dimensions``, ``not_finite`` or ``too_large``.
    """

    array: NDArray[np.float32]
    low: float
    high: float
    units: str = "stored"
    spacing_mm: tuple[float, ...] | None = None
    affine: NDArray[np.float64] | None = None
    valid: NDArray[np.bool_] | None = None
    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4) or 0 in self.array.shape:
            raise PixelError(
                "dimensions",
                f"pixels of shape {self.array.shape}",
                remedy="give one image (C, H, W) or one volume (C, D, H, W)",
            )
        check_cap(self.array.shape)
        object.__setattr__(self, "array", np.asarray(self.array, np.float32))
        finite = np.isfinite(self.array)
        if self.valid is not None:
            finite |= ~self.valid
        if not finite.all():
            raise PixelError(
                "not_finite",
                f"{int((~finite).sum())} pixels are NaN or infinite",
                remedy="mask or repair them; they would poison a training",
            )
        if not self.low < self.high:
            raise PixelError(
                "corrupt", f"the range [{self.low}, {self.high}] is empty", remedy="check the file"
            )


def check_cap(shape: tuple[int, ...]) -> None:
    """Refuse a shape of more than `PIXEL_CAP` elements; call it before decoding."""
    count = 1
    for length in shape:
        count *= int(length)
    if count > PIXEL_CAP:
        raise PixelError(
            "too_large",
            f"{count:,} pixels, more than the cap of {PIXEL_CAP:,}",
            remedy="crop or downsample the file",
        )
