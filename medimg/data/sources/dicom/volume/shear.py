"""Slices of a tilted gantry moved in their planes until they stand above each other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.pixels import check_cap
from medimg.data.sources.dicom.volume.geometry import Floats, Stack

Mask = NDArray[np.bool_]


class Straight(NamedTuple):
    """Slices (D, H', W') above each other; the mask is False where there was no picture."""

    values: NDArray[np.float32]
    valid: Mask
    affine: Floats


def straighten(values: NDArray[np.float32], valid: Mask | None, stack: Stack) -> Straight:
    """Return ordered slices moved to the axis of the first one.

    Each is shifted in its plane by its own drift, with linear interpolation between the two
    pixels beside (no slice is mixed with another). Rows and columns are added so that nothing
    is cut off. Pixels next to padding or to the border become padding.

    Parameters
    ----------
    values : float32 (D, H, W)
    valid : bool (D, H, W), optional
    stack : Stack
        Its `drift_mm`, spacing and affine.

    Raises
    ------
    PixelError
        ``too_large``: the straightened volume is over the cap.
    """
    from scipy import ndimage

    shifts = np.round(stack.drift_mm / stack.spacing_mm[1:], 6)  # whole pixels stay whole
    before, after = np.floor(shifts.min(axis=0)), np.ceil(shifts.max(axis=0))
    plane = np.array(values.shape[1:]) + (after - before).astype(int)
    shape = (len(values), int(plane[0]), int(plane[1]))
    check_cap(shape)
    moved, weight = np.empty(shape, np.float32), np.empty(shape[1:], np.float32)
    mask = np.empty(shape, np.bool_)
    for index, shift in enumerate(shifts):
        options: dict[str, Any] = {"offset": before - shift, "order": 1, "mode": "constant"}
        good = np.ones(values.shape[1:], np.bool_) if valid is None else valid[index]
        slice_ = np.where(good, values[index], np.float32(0))
        for picture, target in ((slice_, moved[index]), (good.astype(np.float32), weight)):
            ndimage.affine_transform(picture, np.eye(2), output=target, **options)
        mask[index] = weight > 1 - 1e-4
    affine = stack.affine.copy()
    affine[:3, 3] += affine[:3, :2] @ before[::-1]
    return Straight(moved, mask, affine)
