"""Resampling to a spacing and an orientation: exact where it can be, else linear.

Axes that already point along the patient's are turned and mirrored, which changes no number.
Oblique volumes are interpolated onto a grid that stands square in the patient. Interpolation is
trilinear; within the outer half of a border voxel its own value holds, as in ITK. Where an
axis's spacing grows, a Gaussian smooths along it first, or detail between the new samples would
fold back into false structure; its width makes the old voxel's point spread that of the new one
(Cardoso et al., Scale factor point spread function matching, MICCAI 2015).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.pixels import Pixels, check_cap
from medimg.errors import PixelError

Floats = NDArray[np.float64]
Volume = NDArray[np.float32]

#: Letter -> RAS axis and sign: where an axis points *to*.
_LETTERS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
#: Axes within this of the patient's, in cosines, are square to it: 0.05 mm at 512 mm.
_SQUARE = 1e-4
#: Full width at half maximum of a Gaussian, in standard deviations.
_FWHM = 2 * float(np.sqrt(2 * np.log(2)))
#: A coordinate this near a voxel's edge, in voxels, is on it.
_EDGE = 1e-6


def resample(
    pixels: Pixels, spacing: tuple[float, ...] | None = None, orientation: str | None = None
) -> Pixels:
    """Return the picture on another grid; values keep their range, `low` lies outside.

    Parameters
    ----------
    pixels : Pixels
        A volume (C, D, H, W); a picture (C, H, W) takes a spacing alone.
    spacing : tuple of float, optional
        Millimetres along [D,] H, W of the result. Its lengths are the old ones rounded to whole
        voxels, about the same centre. None: as it is.
    orientation : str, optional
        Where the index along W, H and D grows to, such as ``"LPS"`` (a DICOM axial series as it
        is seen) or ``"RAS"``. None: as it is.

    Returns
    -------
    Pixels
        With the new `spacing_mm` and `affine`; `valid` is set where voxels lie outside the old
        grid or came with a mask. Masked voxels never mix into others.

    Raises
    ------
    PixelError
        ``no_spacing``; ``no_position``: an orientation is wanted and there is no affine;
        ``dimensions``; ``too_large``.
    """
    affine = _affine(pixels, spacing, orientation)
    if orientation is not None:
        pixels, affine = _turn(pixels, affine, orientation)
    have = _steps(affine)
    want = have if spacing is None else np.array([*spacing[::-1], have[2]][:3])
    oblique = orientation is not None and not _is_square(affine)
    if not oblique and np.allclose(have, want, rtol=1e-6):
        return pixels
    size = np.array([*pixels.array.shape[:0:-1], 1][:3])
    directions = _nearest(affine) if oblique else affine[:3, :3] / have
    new, length = _grid(affine, size, directions, want)
    check_cap((pixels.array.shape[0], *length))
    index: Any = np.linalg.solve(affine, new)  # new index -> old index
    array, valid = _interpolate(pixels, index, length, want / have)
    dims = pixels.array.ndim - 1
    step = f"resampled to {' x '.join(f'{v:.6g}' for v in want[:dims][::-1])} mm, linear"
    return replace(
        pixels,
        array=array,
        spacing_mm=tuple(float(v) for v in want[:dims][::-1]),
        affine=None if pixels.affine is None else new,
        valid=valid,
        steps=(*pixels.steps, step),
    )


def axes_of(orientation: str) -> tuple[tuple[int, int], ...]:
    """Return the RAS axis and sign of each of three letters.

    Raises
    ------
    ValueError
        Not one letter of each pair R-L, A-P, S-I.
    """
    named = tuple(_LETTERS.get(letter, (-1, 0)) for letter in orientation)
    if sorted(axis for axis, _ in named) != [0, 1, 2]:
        raise ValueError(
            f"orientation {orientation!r} is not one of R or L, A or P, S or I each, as in RAS"
        )
    return named


def _affine(pixels: Pixels, spacing: tuple[float, ...] | None, orientation: str | None) -> Floats:
    """Return the affine, or one of the spacing alone where that is enough."""
    dims = pixels.array.ndim - 1
    if spacing is not None and len(spacing) != dims:
        raise PixelError(
            "no_spacing",
            f"a spacing of {len(spacing)} numbers for pixels of {dims} axes",
            remedy=f"give {dims} numbers in preprocess.spacing",
        )
    if orientation is not None and dims == 2:
        raise PixelError(
            "dimensions",
            f"pixels of shape {pixels.array.shape} where an orientation of a volume is wanted",
            remedy="leave preprocess.orientation out for pictures",
        )
    if pixels.affine is not None:
        return np.asarray(pixels.affine, np.float64)
    if orientation is not None:
        raise PixelError(
            "no_position",
            f"no affine says how to turn it to {orientation}",
            remedy="leave preprocess.orientation out, or give files that state it",
        )
    if pixels.spacing_mm is None and spacing is not None:
        raise PixelError(
            "no_spacing",
            f"no spacing where resampling to {spacing} mm needs one",
            remedy="leave preprocess.spacing out, or give files that state it",
        )
    spacing_mm = pixels.spacing_mm or (1.0,) * dims
    return np.diag([*spacing_mm[::-1], *[1.0] * (4 - dims)])


def _steps(affine: Floats) -> Floats:
    """Return the distance between neighbours along (W, H, D), mm."""
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0), np.float64)


def _is_square(affine: Floats) -> bool:
    cosines = np.abs(affine[:3, :3] / _steps(affine))
    return bool((np.minimum(cosines, np.abs(1 - cosines)) < _SQUARE).all())


def _nearest(affine: Floats) -> Floats:
    """Return the signed permutation (3, 3) that is nearest to the directions of the axes."""
    cosines = affine[:3, :3] / _steps(affine)
    places = max(permutations(range(3)), key=lambda p: sum(abs(cosines[p, (0, 1, 2)])))
    nearest = np.zeros((3, 3))
    nearest[places, (0, 1, 2)] = np.where(cosines[places, (0, 1, 2)] < 0, -1.0, 1.0)
    return nearest


def _turn(pixels: Pixels, affine: Floats, orientation: str) -> tuple[Pixels, Floats]:
    """Transpose and mirror whole axes so that they point nearest to `orientation`."""
    nearest = _nearest(affine)
    turn = np.eye(4)  # new index -> old index
    flips = []
    order = []
    for new, (axis, sign) in enumerate(axes_of(orientation)):
        old = int(np.abs(nearest[axis]).argmax())
        order.append(old)
        turn[:3, new] = 0
        turn[old, new] = 1
        if nearest[axis, old] != sign:
            flips.append(new)
            turn[old, new] = -1
            turn[old, 3] = pixels.array.shape[3 - old] - 1
    if order == [0, 1, 2] and not flips:
        return pixels, affine
    axes = tuple(2 - old for old in order[::-1])  # of an array (D, H, W)
    mirrored = tuple(2 - new for new in flips)

    def moved(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.flip(array.transpose(axes), mirrored))

    affine = affine @ turn + 0.0  # no negative zeros
    turned = replace(
        pixels,
        array=np.stack([moved(channel) for channel in pixels.array]),
        spacing_mm=tuple(float(v) for v in _steps(affine)[::-1]),
        affine=affine,
        valid=None if pixels.valid is None else moved(pixels.valid),
        steps=(*pixels.steps, f"turned to {orientation}"),
    )
    return turned, affine


def _grid(
    affine: Floats, size: NDArray[Any], directions: Floats, want: Floats
) -> tuple[Floats, tuple[int, ...]]:
    """Return the affine and the shape (D, H, W) of the grid about the old one's centre.

    It covers the old one's box, whose outermost voxels end half a voxel beyond their centres.
    """
    extent = np.abs(np.linalg.solve(directions, affine[:3, :3])) @ size
    length = np.maximum(1, np.round(extent / want)).astype(int)
    new = np.eye(4)
    new[:3, :3] = directions * want
    centre = affine[:3, :3] @ ((size - 1) / 2) + affine[:3, 3]
    new[:3, 3] = centre - new[:3, :3] @ ((length - 1) / 2)
    return new, tuple(int(v) for v in length[::-1])


def _interpolate(
    pixels: Pixels, index: Floats, length: tuple[int, ...], grown: Floats
) -> tuple[Volume, NDArray[np.bool_] | None]:
    """Return array and mask on a grid whose index (W, H, D) `index` maps to the old one."""
    matrix, offset = index[2::-1, 2::-1], index[2::-1, 3]  # of indices (D, H, W)
    flat = pixels.array.ndim == 3
    volume = pixels.array[:, None] if flat else pixels.array
    mask = pixels.valid[None] if flat and pixels.valid is not None else pixels.valid
    inside = _inside(matrix, offset, volume.shape[1:], length)
    weight = None
    if mask is not None:
        weight = _sample(mask.astype(np.float32), matrix, offset, length, grown)
        inside &= weight >= 0.5
    out = np.empty((len(volume), *length), np.float32)
    for channel, target in zip(volume, out, strict=True):
        whole = channel if mask is None else np.where(mask, channel, np.float32(0))
        target[:] = _sample(whole, matrix, offset, length, grown)
        if weight is not None:
            np.divide(target, weight, out=target, where=inside)
    out[:, ~inside] = pixels.low
    valid = None if mask is None and inside.all() else inside
    if flat:
        return out[:, 0], None if valid is None else valid[0]
    return out, valid


def _sample(
    volume: Volume, matrix: Floats, offset: Floats, length: tuple[int, ...], grown: Floats
) -> Volume:
    from scipy import ndimage

    for axis, factor in enumerate(grown[::-1]):
        if factor > 1 + 1e-6 and volume.shape[axis] > 1:
            width = float(np.sqrt(factor**2 - 1)) / _FWHM
            volume = ndimage.gaussian_filter1d(volume, width, axis, mode="nearest")
    straight = np.abs(matrix - np.diag(np.diag(matrix))).max() < 1e-12
    result = ndimage.affine_transform(
        volume,
        np.diag(matrix) if straight else matrix,
        offset,
        output_shape=length,
        order=1,
        mode="nearest",
    )
    return np.asarray(result, np.float32)


def _inside(
    matrix: Floats, offset: Floats, old: tuple[int, ...], new: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Say which voxels of the new grid have their centre within a voxel of the old one."""
    inside = np.ones(new, np.bool_)
    rows, columns = np.arange(new[1])[:, None], np.arange(new[2])
    for number, plane in enumerate(inside):  # a plane at a time: coordinates are doubles
        for axis, count in enumerate(old):
            place = offset[axis] + matrix[axis] @ np.array([number, 0, 0])
            place = place + matrix[axis, 1] * rows + matrix[axis, 2] * columns
            plane &= (place >= -0.5 - _EDGE) & (place <= count - 0.5 + _EDGE)
    return inside
