"""Geometry of images and series: PS3.3 C.7.6.2.1.1, C.7.6.16.2.1-4, 10.7.

What a volume must hold is said at points of the patient, so that no reader's order of axes
matters: P = S + i * di * X + j * dj * Y (C.7.6.2.1.1), where i counts columns, di is the second
value of Pixel Spacing, X the first three values of Image Orientation. RAS is LPS with the first
two coordinates negated. `make_series` stores 100 * slice + 10 * row + column.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dicom_conformance.claims import Claim, Make
from dicom_conformance.claims_grey import enhanced
from dicom_conformance.claims_stored import picture

from medimg.testing import make_dicom, make_series


def series(count: int = 4, **options: Any) -> Make:
    """Return a maker of a series of CT in which stored values are HU."""

    def make(folder: Path) -> Sequence[Path]:
        settings: dict[str, Any] = {"slope": 1, "intercept": 0, **options}
        return make_series(folder / "scan", count, **settings)

    return make


def two_series(folder: Path) -> Sequence[Path]:
    """Write two series of one study into one folder, between each other in space."""
    same: dict[str, Any] = {"slope": 1, "intercept": 0, "shape": (2, 2)}
    first = make_series(folder / "scan", 3, series="1", **same)
    second = make_series(folder / "other", 3, series="2", origin=(-10, -20, -29), **same)
    moved = [path.rename(folder / "scan" / f"B{path.name}") for path in second]
    return [*first, *moved]


def two_acquisitions(folder: Path) -> Sequence[Path]:
    """Write one series that holds the same positions twice: before and after contrast."""
    paths: list[Path] = []
    for number, offset in ((1, 0), (2, 1000)):
        for k in range(3):
            paths.append(
                make_dicom(
                    folder / "scan" / f"{number}{k}.dcm",
                    np.full((2, 2), offset + 100 * k, np.int16),
                    slope=1,
                    intercept=0,
                    position=(0, 0, 2 * k),
                    orientation=(1, 0, 0, 0, 1, 0),
                    spacing=(1, 1),
                    instance=len(paths) + 1,
                    extra={"AcquisitionNumber": number},
                )
            )
    return paths


def own_rescale(folder: Path) -> Sequence[Path]:
    """Write three slices of PET of the same stored value, each with a slope of its own."""
    return [
        make_dicom(
            folder / "scan" / f"{k}.dcm",
            np.full((2, 2), 10, np.uint16),
            modality="PT",
            slope=(1, 2.5, 4)[k],
            intercept=0,
            position=(0, 0, 3 * k),
            orientation=(1, 0, 0, 0, 1, 0),
            spacing=(1, 1),
            instance=k + 1,
        )
        for k in range(3)
    ]


def other_spacing(folder: Path) -> Sequence[Path]:
    """Write a series whose last slice has another pixel spacing."""
    same: dict[str, Any] = {"slope": 1, "intercept": 0}
    paths = make_series(folder / "scan", 3, **same)
    array = np.zeros((16, 12), np.int16)
    place = {"position": (-10, -20, -24), "orientation": (1, 0, 0, 0, 1, 0), "spacing": (0.9, 0.6)}
    last = make_dicom(folder / "scan" / "IM0004.dcm", array, instance=4, **same, **place)
    return [*paths, last]


# slice 2, row 3, column 5 of a default series: 100*2 + 10*3 + 5 = 235 at LPS
# (-10 + 5*0.6, -20 + 3*0.8, -30 + 2*2) = (-7, -17.6, -26), which is RAS (7, 17.6, -26)
DEFAULT = {
    (10.0, 20.0, -30.0): 0.0,
    (7.0, 17.6, -26.0): 235.0,
    (10.0, 20.0, -24.0): 300.0,
}

WORLD = [
    Claim(
        "a voxel lies where position, orientation and pixel spacing put it",
        "PS3.3 C.7.6.2.1.1",
        series(),
        "world",
        DEFAULT,
    ),
    Claim(
        "slices are ordered by position, not by instance number or file name",
        "PS3.3 C.7.6.2.1.1; C.7.6.1 (Instance Number: an identifier)",
        series(shuffled=True, seed=5),
        "world",
        DEFAULT,
    ),
    Claim(
        "slices whose instance numbers are all the same are ordered by position",
        "PS3.3 C.7.6.2.1.1; C.7.6.1",
        series(numbers=[1, 1, 1, 1], shuffled=True, seed=5),
        "world",
        DEFAULT,
    ),
    Claim(
        "spacing between slices comes from positions, not from thickness",
        "PS3.3 C.7.6.2.1.1; C.7.6.2 Slice Thickness",
        series(extra={"SliceThickness": 5, "SpacingBetweenSlices": 7}),
        "world",
        DEFAULT,
    ),
    Claim(
        "sagittal slices lie along the normal of their orientation",
        "PS3.3 C.7.6.2.1.1",
        # X = +y, Y = -z, normal X x Y = -x: slice 3 at LPS x = -10 - 3*2 = -16
        # its row 3, column 5: y = -20 + 5*0.6 = -17, z = -30 - 3*0.8 = -32.4: 335
        series(orientation=(0, 1, 0, 0, 0, -1)),
        "world",
        {(10.0, 20.0, -30.0): 0.0, (16.0, 17.0, -32.4): 335.0},
    ),
    Claim(
        "oblique slices lie along the normal of their orientation",
        "PS3.3 C.7.6.2.1.1",
        # X = (1, 0, 0), Y = (0, .6, .8), normal = (0, -.8, .6): slice 3, 2 mm apart:
        # LPS (-10, -20 - 4.8, -30 + 3.6) = (-10, -24.8, -26.4): 300; its row 5 (0.8 mm each):
        # + 4 * (0, .6, .8) = (-10, -22.4, -23.2): 350
        series(orientation=(1, 0, 0, 0, 0.6, 0.8)),
        "world",
        {(10.0, 24.8, -26.4): 300.0, (10.0, 22.4, -23.2): 350.0},
    ),
    Claim(
        "each slice has its own rescale",
        "PS3.3 C.11.1.1.2; C.8.9.4 (PET)",
        own_rescale,
        "world",
        {(0.0, 0.0, 0.0): 10.0, (0.0, 0.0, 3.0): 25.0, (0.0, 0.0, 6.0): 40.0},
        ask={"range": (0.0, 100.0)},
    ),
    Claim(
        "frames of an enhanced image are ordered by their positions",
        "PS3.3 C.7.6.16.2.3 (Plane Position); C.7.6.16.2.1 (Pixel Measures)",
        # stored 1, 2, 3 at z = 5, 0, 10
        enhanced(
            [[[1, 1]], [[2, 2]], [[3, 3]]],
            positions=[(0, 0, 5), (0, 0, 0), (0, 0, 10)],
            spacing=(2, 1),
            slopes=[1, 1, 1],
            intercepts=[0, 0, 0],
        ),
        "world",
        {(0.0, 0.0, 0.0): 2.0, (-1.0, 0.0, 5.0): 1.0, (0.0, 0.0, 10.0): 3.0},
    ),
    Claim(
        "the affine takes a voxel index to RAS",
        "PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1",
        series(),
        "affine",
        # columns are 0.6 mm apart along LPS +x, rows 0.8 mm along LPS +y, slices 2 mm along z
        [[-0.6, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 2, -30], [0, 0, 0, 1]],
    ),
]

GROUPS = [
    Claim(
        "two series in one folder are two volumes",
        "PS3.3 C.7.3.1 (Series Instance UID)",
        two_series,
        "volumes",
        # mean of 100 k + (0, 1, 10, 11): 100 k + 5.5
        [[5.5, 105.5, 205.5], [5.5, 105.5, 205.5]],
    ),
    Claim(
        "a localizer is no slice of the volume",
        "PS3.3 C.8.2.1.1.1 / C.7.6.1.1.2, Image Type value 3 LOCALIZER",
        series(3, shape=(2, 2), localizer=True),
        "volumes",
        [[5.5, 105.5, 205.5]],
    ),
    Claim(
        "two acquisitions of one series are two volumes",
        "PS3.3 C.7.6.1, Acquisition Number",
        two_acquisitions,
        "volumes",
        [[0.0, 100.0, 200.0], [1000.0, 1100.0, 1200.0]],
    ),
]

#: Where a slice lies; some readers ask for it before they look at the spacing.
PLACED = {"position": (0, 0, 0), "orientation": (1, 0, 0, 0, 1, 0)}

SPACING = [
    Claim(
        "pixel spacing is between rows first, then between columns",
        "PS3.3 10.7.1.3",
        picture(
            [[1, 2], [3, 4]],
            "u1",
            modality="CT",
            slope=1,
            intercept=0,
            spacing=(0.8, 0.6),
            **PLACED,
        ),
        "spacing",
        (0.8, 0.6),
    ),
    Claim(
        "the spacing at the detector is not that of the patient",
        "PS3.3 10.7.1.1; C.8.11.4 (Imager Pixel Spacing)",
        picture(
            [[1, 2], [3, 4]],
            "u1",
            modality="DX",
            spacing=(0.1, 0.1),
            **PLACED,
            extra={"ImagerPixelSpacing": [0.14, 0.14]},
        ),
        "spacing",
        (0.1, 0.1),
    ),
    Claim(
        "without pixel spacing the spacing is not known",
        "PS3.3 10.7.1.1 (Imager Pixel Spacing lies in front of the detector)",
        picture([[1, 2], [3, 4]], "u1", modality="CR", extra={"ImagerPixelSpacing": [0.14, 0.14]}),
        "spacing",
        None,
    ),
]

BROKEN = [
    Claim(
        "a missing slice is refused",
        "PS3.3 C.7.6.2.1.1 (positions alone say where slices are)",
        series(8, missing=(4,)),
        "refused",
        ("gap",),
    ),
    Claim(
        "a slice that is moved by a tenth of a step is refused",
        "PS3.3 C.7.6.2.1.1",
        series(5, heights=[0, 2, 4.2, 6, 8]),
        "refused",
        ("gap",),
    ),
    Claim(
        "a position that occurs twice is refused",
        "PS3.3 C.7.6.2.1.1",
        series(5, duplicates=(2,)),
        "refused",
        ("duplicate_positions",),
    ),
    Claim(
        "a volume of a tilted gantry is refused unless it is straightened",
        "PS3.3 C.7.6.2.1.1; C.8.2.1 Gantry/Detector Tilt",
        series(5, tilt=15),
        "refused",
        ("tilt",),
    ),
    Claim(
        "slices of different pixel spacing are no volume",
        "PS3.3 C.7.6.2.1.1; 10.7",
        other_spacing,
        "refused",
        ("mixed_geometry",),
    ),
]

CLAIMS = [*WORLD, *GROUPS, *SPACING, *BROKEN]
