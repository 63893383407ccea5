"""Where slices lie: their order, their distances and their affine, from numbers alone.

Pure float64; nothing here knows a file. Positions and orientations are those of the Image
Plane Module (PS3.3 C.7.6.2.1.1): millimetres in the patient's system LPS (x to the left, y to
the back, z to the head); the centre of the first pixel; the direction of a row (along which the
column index grows) and of a column. InstanceNumber, SliceThickness, SpacingBetweenSlices and
file names say nothing about where a slice is, and are not asked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.errors import PixelError

Floats = NDArray[np.float64]

#: Direction cosines that differ by less are one direction: 1e-3 rad moves the edge of a
#: 512 mm picture by a quarter of a millimetre; vendors write three decimals and more.
DIRECTION_TOLERANCE = 1e-3
#: A step may be off the median by this share of it, or by this many millimetres.
STEP_SHARE, STEP_MM = 0.01, 0.01
#: Slices may drift in their plane by this share of their distance, a tenth of a degree: gantries
#: tilt by half a degree and more, and a normal from rounded cosines is off by less.
TILT_SHARE, TILT_MM = 2e-3, 0.01
#: Slack for decimal fractions: 1.01 mm is not off 1 mm by more than 1 %.
_SLACK = 1 + 1e-6
#: No patient and no table reaches as far; larger numbers are damage, and would overflow.
_FAR_MM = 1e6


class Stack(NamedTuple):
    """A regular stack of N parallel slices.

    order : intp (N,)
        Which slice comes first, second, ...: ascending along the normal, row x column.
    spacing_mm : tuple of float
        Distance between slices, between rows, between columns: (D, H, W).
    affine : float64 (4, 4)
        Index (W, H, D) of the ordered, straightened stack to RAS in mm.
    drift_mm : float64 (N, 2)
        How far each slice, in order, lies off the first one's axis, along a column (H) and along
        a row (W). All 0 unless the stack was tilted and `shear` allowed it.
    """

    order: NDArray[np.intp]
    spacing_mm: tuple[float, float, float]
    affine: Floats
    drift_mm: Floats


def stack(
    positions: Floats, orientations: Floats, spacings: Floats, *, shear: bool = False
) -> Stack:
    """Order slices and measure them.

    Parameters
    ----------
    positions : float64 (N, 3)
        ImagePositionPatient, mm; NaN where a slice has none.
    orientations : float64 (N, 6)
        ImageOrientationPatient.
    spacings : float64 (N, 2)
        PixelSpacing, mm: between rows, between columns (PS3.3 10.7.1.3).
    shear : bool
        Take a tilted stack: `drift_mm` says how to straighten it.

    Raises
    ------
    PixelError
        ``single_image``, ``no_position``, ``header``, ``mixed_geometry``,
        ``duplicate_positions``, ``gap`` or ``tilt``.
    """
    if len(positions) < 2:
        raise PixelError(
            "single_image",
            "one slice where a volume is wanted",
            remedy="read it as an image (--unit image)",
        )
    _check_numbers(positions, orientations, spacings)
    row, column, normal = axes(orientations)
    _check_spacings(spacings)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    check_steps(np.diff(heights[order]))
    first, last = positions[order[0]], positions[order[-1]]
    step = float((last - first) @ normal) / (len(order) - 1)
    drift = (positions[order] - first) @ np.column_stack([column, row])
    if _straight(drift, heights[order] - heights[order[0]]):
        drift = np.zeros_like(drift)
    elif not shear:
        raise _tilted(drift, step)
    spacing = (step, *(float(v) for v in np.median(spacings, axis=0)))
    affine = affine_of(first, row, column, (spacing[0], spacing[1], spacing[2]))
    return Stack(order, (spacing[0], spacing[1], spacing[2]), affine, drift)


def axes(orientations: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the row's, the column's and the slices' direction, each of length 1, (3,) LPS.

    Small errors of rounding are taken out: the first slice's row is kept, its column turned
    square to it.

    Raises
    ------
    PixelError
        ``header``: not of unit length or not orthogonal (PS3.3 C.7.6.2.1.1);
        ``mixed_geometry``: not all slices are parallel and turned alike.
    """
    rows, columns = orientations[:, :3], orientations[:, 3:]
    lengths = np.linalg.norm(np.stack([rows, columns]), axis=-1)
    skew = np.abs(np.sum(rows * columns, axis=-1))
    worst = float(max(np.abs(lengths - 1).max(), skew.max()))
    if worst > DIRECTION_TOLERANCE:
        raise PixelError(
            "header",
            f"ImageOrientationPatient is off two square directions of length 1 by {worst:.3g}",
            remedy="export the series again; its slices cannot be placed",
        )
    apart = float(np.abs(orientations - orientations[0]).max())
    if apart > DIRECTION_TOLERANCE:
        raise _mixed(f"ImageOrientationPatient differs between slices by up to {apart:.3g}")
    row = rows[0] / np.linalg.norm(rows[0])
    column = columns[0] - (columns[0] @ row) * row
    column /= np.linalg.norm(column)
    return row, column, np.cross(row, column)


def check_steps(steps: Floats) -> None:
    """Refuse ascending distances between neighbours that are not one and the same.

    Raises
    ------
    PixelError
        ``duplicate_positions``, or ``gap``: a step is off the median by more than 1 % of it and
        by more than 0.01 mm.
    """
    together = steps <= _touching(steps)
    if together.any():
        raise PixelError(
            "duplicate_positions",
            f"{int(together.sum())} of {len(steps) + 1} slices lie where another one lies",
            remedy="keep one of them, or one acquisition alone (--where AcquisitionNumber=...)",
        )
    median = float(np.median(steps))
    off = np.abs(steps - median)
    worst = int(off.argmax())
    if off[worst] > max(STEP_SHARE * median, STEP_MM) * _SLACK:
        raise PixelError(
            "gap",
            f"slices {worst + 1} and {worst + 2} of {len(steps) + 1} are {steps[worst]:.4g} mm "
            f"apart where {median:.4g} mm are usual",
            remedy="add the slice that is missing, or take one part (--where AcquisitionNumber=...)",
        )


def even(heights: Floats) -> bool:
    """Say whether places along a normal, in any order, make one stack without gap or doublet."""
    try:
        check_steps(np.diff(np.sort(heights)))
    except PixelError:
        return False
    return True


def distinct(heights: Floats) -> bool:
    """Say whether no two places along a normal are one."""
    steps = np.diff(np.sort(heights))
    return not (steps <= _touching(steps)).any()


def affine_of(
    first: Floats, row: Floats, column: Floats, spacing: tuple[float, float, float]
) -> Floats:
    """Return index (W, H, D) to RAS in mm, from the first pixel's place and the axes in LPS.

    PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, with the slice as third index; x and y then change
    sign, since RAS counts to the right and to the front.
    """
    affine = np.eye(4)
    affine[:3, 0] = row * spacing[2]
    affine[:3, 1] = column * spacing[1]
    affine[:3, 2] = np.cross(row, column) * spacing[0]
    affine[:3, 3] = first
    affine[:2] *= -1
    return affine + 0.0  # no negative zeros


def _touching(steps: Floats) -> float:
    """Return the distance up to which two slices are at one place, mm."""
    apart = steps[steps > 1e-6]
    return min(STEP_MM, STEP_SHARE * float(np.median(apart))) if len(apart) else STEP_MM


def _straight(drift: Floats, heights: Floats) -> bool:
    allowed = np.maximum(TILT_MM, TILT_SHARE * heights) * _SLACK
    return bool((np.linalg.norm(drift, axis=1) <= allowed).all())


def _tilted(drift: Floats, step: float) -> PixelError:
    mean = float(np.linalg.norm(drift[-1])) / (len(drift) - 1)
    angle = float(np.degrees(np.arctan2(mean, step)))
    return PixelError(
        "tilt",
        f"slices drift in their plane by up to {np.abs(drift).max():.4g} mm "
        f"(a gantry tilted by {angle:.3g} degrees?)",
        remedy="straighten them with dicom.shear (--shear)",
    )


def _check_numbers(positions: Floats, orientations: Floats, spacings: Floats) -> None:
    named = {
        "ImagePositionPatient": positions,
        "ImageOrientationPatient": orientations,
        "PixelSpacing": spacings,
    }
    for keyword, values in named.items():
        missing = int((~np.isfinite(values)).any(axis=1).sum())
        if missing:
            raise PixelError(
                "no_position",
                f"{missing} of {len(values)} slices have no {keyword}",
                remedy="read them as images (--unit image); they cannot be placed",
            )
        if np.abs(values).max() > _FAR_MM:
            raise PixelError(
                "header",
                f"{keyword} of {np.abs(values).max():.3g}",
                remedy="export the series again",
            )


def _check_spacings(spacings: Floats) -> None:
    if spacings.min() <= 0:
        raise PixelError(
            "header", f"PixelSpacing of {spacings.min():.3g} mm", remedy="export the series again"
        )
    if (np.ptp(spacings, axis=0) > DIRECTION_TOLERANCE * spacings.min(axis=0)).any():
        raise _mixed(
            f"PixelSpacing differs between slices: {spacings.min():.6g} to {spacings.max():.6g} mm"
        )


def _mixed(what: str) -> PixelError:
    return PixelError("mixed_geometry", what, remedy="read the parts as volumes of their own")
