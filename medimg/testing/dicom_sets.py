"""Several DICOM files that belong together: series, labelled folders, twins."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medimg.testing.dicom import make_dicom, make_uid
from medimg.testing.dicom_bytes import DataSet, Elements
from medimg.testing.dicom_pixels import SYNTAXES, Array
from medimg.testing.pictures import PathLike, make_pictures

#: The value around the twins' disc, and the lowest of their range, in HU.
LOWEST = -1024
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def make_series(
    folder: PathLike,
    count: int = 8,
    *,
    volume: Array | None = None,
    shape: tuple[int, int] = (16, 12),
    heights: Sequence[float] | None = None,
    step: float = 2.0,
    origin: Sequence[float] = (-10.0, -20.0, -30.0),
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (0.8, 0.6),
    missing: Sequence[int] = (),
    duplicates: Sequence[int] = (),
    tilt: float = 0.0,
    localizer: bool = False,
    shuffled: bool = False,
    numbers: Sequence[int] | None = None,
    series: str = "1",
    extra: DataSet | None = None,
    seed: int = 0,
    **options: Any,
) -> list[Path]:
    """Write a volume as one file a slice; return the files from the lowest slice to the highest.

    Parameters
    ----------
    volume : int16 (D, H, W), optional
        Stored values; default: ``100 * slice + 10 * row + column``, `count` slices of `shape`.
    heights : D float, optional
        Where each slice lies along the normal, in mm from `origin`; default: `step` apart.
    missing, duplicates : indices of slices
        Left out; written twice, the second time under an instance UID of its own.
    tilt : float
        Degrees by which the gantry leans: each slice is moved along its columns by its height
        times the tangent.
    localizer : bool
        Adds a sagittal scout under the same series UID, as the last file.
    shuffled : bool
        Instance numbers and file names in an order that is not that of the slices.
    numbers : sequence of int, optional
        Instance numbers, one a written slice; default: from 1, by height.
    options
        As in `make_dicom`.
    """
    if volume is None:
        volume = np.add.outer(100 * np.arange(count), _ramp(shape)).astype(np.int16)
    if heights is None:
        heights = [step * k for k in range(len(volume))]
    kept = [k for k in range(len(volume)) if k not in set(missing)]
    kept = sorted([*kept, *duplicates])
    order = np.arange(len(kept))
    if shuffled:
        order = np.random.default_rng(seed).permutation(order)
    numbers = list(numbers) if numbers is not None else (order + 1).tolist()
    folder = Path(folder)
    paths = []
    options = {**options, "series": series, "seed": seed}
    for place, (k, name) in enumerate(zip(kept, order.tolist(), strict=True)):
        uid = make_uid("instance", seed, series, place)
        path = make_dicom(
            folder / f"IM{name + 1:04d}.dcm",
            volume[k],
            **options,
            position=_moved(origin, orientation, heights[k], tilt),
            orientation=orientation,
            spacing=spacing,
            instance=numbers[place],
            extra={"SOPInstanceUID": uid, **(extra or {})},
        )
        paths.append(path)
    return [*paths, *([_scout(folder, options, extra)] if localizer else [])]


def make_dicom_folder(
    folder: PathLike,
    *,
    patients: int = 6,
    per_patient: int = 2,
    slices: int = 1,
    classes: Sequence[str] = ("benign", "malignant"),
    size: tuple[int, int] = (32, 32),
    seed: int = 0,
    **options: Any,
) -> Path:
    """Write a labelled toy set of CT into ``FOLDER/scans``; return ``FOLDER/labels.csv``.

    Each patient is of one class and has one study of `per_patient` series of `slices` slices;
    the class is a bright bar at a height of its own (`make_pictures`), 0 to 1020 HU. The table
    has one row a patient: `PatientID`, `AccessionNumber`, `StudyInstanceUID`, `label`.
    """
    folder = Path(folder)
    rows = [["PatientID", "AccessionNumber", "StudyInstanceUID", "label"]]
    for number in range(patients):
        label = number % len(classes)
        patient = f"P{number + 1:04d}"
        for series in range(per_patient):
            pictures = make_pictures(
                [label] * slices, shape=size, classes=len(classes), seed=seed + 97 * number + series
            )
            make_series(
                folder / "scans" / patient / f"S{series + 1}",
                volume=4 * pictures.astype(np.int16),
                patient=patient,
                series=str(series + 1),
                seed=seed,
                **{"slope": 1, "intercept": 0, **options},
            )
        study = make_uid("study", seed, patient, "1")
        rows.append([patient, f"A{make_uid(seed, patient, '1')[-8:]}", study, classes[label]])
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)
    return folder / "labels.csv"


def make_twins(
    folder: PathLike, *, size: int = 64, seed: int = 0, modality: str = "CT"
) -> dict[str, Path]:
    """Write one picture in many lawful ways; return the files by name.

    The picture is a disc of -900 to 2800 HU in a surround of -1024 HU, the lowest of the range
    -1024 to 3071 that 12 bits hold. A correct reader that maps this range (what CT gets when
    nothing is asked for) gives the same numbers for every twin but ``raised``; those whose
    surround is padding say so by its mask. ``monochrome1`` stores 4095 - x: it is equal after
    the polarity, and mirrored in the range before.

    - ``monochrome2`` (12-bit unsigned, explicit little endian) and ``monochrome1``;
    - ``unsigned_16``, ``signed_16`` (half a unit a step), ``high_bits`` (12 bits on top of 16,
      rubbish below);
    - ``padded``, ``padded_as_unsigned`` (-2000 written as 63536), ``padded_range``,
      ``padded_monochrome1``;
    - one for each of `SYNTAXES`, ``implicit`` to ``jpeg_2000``;
    - ``raised``: 100 HU more.
    """
    places = {"position": (0, 0, 0), "orientation": AXIAL, "spacing": (0.5, 0.5)}
    folder = Path(folder)
    return {
        name: make_dicom(
            folder / f"{name}.dcm",
            array,
            modality=modality,
            instance=number,
            seed=seed,
            **{**places, **options},
        )
        for number, (name, array, options) in enumerate(_twins(_disc(size, seed)), start=1)
    }


def _twins(hu: Array) -> Iterator[tuple[str, Array, dict[str, Any]]]:
    """Yield name, stored values and options of each twin of a picture in HU."""
    stored = (hu + 1024).astype(np.uint16)
    twelve: dict[str, Any] = {"bits_stored": 12, "slope": 1, "intercept": -1024}
    inverse = {"photometric": "MONOCHROME1"}
    yield "monochrome2", stored, twelve
    yield "monochrome1", 4095 - stored, {**twelve, **inverse}
    yield "unsigned_16", (hu + 8192).astype(np.uint16), {"slope": 1, "intercept": -8192}
    yield "signed_16", (2 * hu).astype(np.int16), {"slope": 0.5, "intercept": 0}
    yield "high_bits", stored, {**twelve, "high_bit": 15, "other_bits": 5}
    surround = hu == LOWEST
    padded = np.where(surround, -2000, hu).astype(np.int16)
    mirrored = np.where(surround, -2000, 2047 - hu).astype(np.int16)
    same: dict[str, Any] = {"slope": 1, "intercept": 0}
    yield "padded", padded, {**same, "padding": -2000}
    yield "padded_as_unsigned", padded, {**same, "padding": 63536}
    yield "padded_range", padded, {**same, "padding": -3000, "padding_limit": -1500}
    yield "padded_monochrome1", mirrored, {**same, **inverse, "padding": -2000}
    for syntax in SYNTAXES:
        name = syntax.lower().replace(" ", "_").replace("-", "_")
        yield name, stored, {**twelve, "transfer_syntax": syntax}
    yield "raised", stored, {**twelve, "intercept": -924}


def _disc(size: int, seed: int) -> Array:
    """Return int64 (size, size): waves and noise in a disc, the lowest value around it."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    waves = 950 + 1200 * np.sin(x / 5) * np.cos(y / 7)
    noise = np.random.default_rng(seed).normal(0, 60, (size, size))
    disc = (waves + noise).clip(-900, 2800).round().astype(np.int64)
    return np.where(np.hypot(x, y) < 0.45 * size, disc, LOWEST)


def _ramp(shape: tuple[int, int]) -> Array:
    return np.add.outer(10 * np.arange(shape[0]), np.arange(shape[1]))


def _moved(
    origin: Sequence[float], orientation: Sequence[float], height: float, tilt: float
) -> list[float]:
    """Return the position of a slice at a height along the normal, leaning by `tilt` degrees."""
    along, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    lean = height * math.tan(math.radians(tilt))
    place = np.array(origin, float) + height * np.cross(along, down) + lean * down
    return [round(float(v), 6) for v in place]


def _scout(folder: Path, options: Mapping[str, Any], extra: DataSet | None) -> Path:
    """Write a sagittal localizer (PS3.3 C.8.2.1.1.1) into the series."""
    own: Elements = {
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
        "SOPInstanceUID": make_uid("scout", options["seed"], options["series"]),
    }
    return make_dicom(
        folder / "IM0000.dcm",
        _ramp((20, 24)).astype(np.int16),
        **options,
        position=(0, -20, 10),
        orientation=(0, 1, 0, 0, 0, -1),
        spacing=(1, 1),
        instance=0,
        extra={**(extra or {}), **own},
    )
