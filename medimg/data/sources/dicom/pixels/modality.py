"""The modality transform (PS3.3 C.11.1): stored values to values with a meaning."""

from __future__ import annotations

import pydicom

from medimg.data.options import Use
from medimg.data.sources.dicom.pixels.elements import code, header, number
from medimg.data.sources.dicom.pixels.functional import Groups
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.kinds import modality_lut_is_aside, modality_of
from medimg.data.sources.dicom.pixels.lut import read_lut, tables
from medimg.data.sources.dicom.pixels.realworld import real_world
from medimg.data.sources.dicom.pixels.stored import stored_range
from medimg.data.sources.dicom.pixels.transform import Linear, Transform, known_units, linear
from medimg.errors import PixelError

_ASIDE = "it leads back to X-ray intensity (PS3.3 C.8.7.1.1.2)"


def modality_transform(
    dataset: pydicom.Dataset,
    groups: Groups,
    frame: int,
    image: ImagePixel,
    *,
    little: bool,
    use: Use,
) -> Transform:
    """Return the transform of one frame.

    The first of these that is there: the real world value mapping of a parametric map (it has
    no other meaning, PS3.3 A.75); Pixel Value Transformation of the functional groups
    (C.7.6.16.2.9); the modality LUT sequence; rescale slope and intercept (C.11.1);
    DoseGridScaling (C.8.8.3). Real world values of other objects are a second reading beside
    the first and are left out, and so is the modality LUT of angiography, unless a transform
    is required.

    Raises
    ------
    PixelError
        ``header``: malformed, or one of slope and intercept without the other. ``no_modality``:
        there is none and one is required.
    """
    if use == "never":
        return Transform(None, "stored", "modality transform left out")
    found = real_world(dataset, groups, frame, image) or _pixel_value_transformation(
        dataset, groups, frame
    )
    if found is not None:
        return found
    table = tables(dataset, "ModalityLUTSequence")
    aside = bool(table) and use != "require" and modality_lut_is_aside(dataset)
    found = (
        (_modality_lut(table[0], image, little=little) if table and not aside else None)
        or _rescale(dataset, _units_of(dataset))
        or _dose(dataset)
    )
    if aside:
        found = found or Transform(None, "stored", "stored values")
        return found._replace(step=f"modality LUT left out: {_ASIDE}; {found.step}")
    if found is not None:
        return found
    if use == "require":
        raise PixelError(
            "no_modality",
            "the file has no rescale and no modality LUT",
            remedy="set dicom.modality to if-present, or leave the file out",
        )
    return Transform(None, "stored", "no modality transform: stored values")


def _rescale(dataset: pydicom.Dataset, units: str) -> Transform | None:
    """Return RescaleSlope and RescaleIntercept (C.11.1.1); both empty counts as absent."""
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope is None and intercept is None:
        return None
    return linear(slope, intercept, units, "rescale")


def _pixel_value_transformation(
    dataset: pydicom.Dataset, groups: Groups, frame: int
) -> Transform | None:
    item = groups.macro("PixelValueTransformationSequence", frame)
    if item is None:
        return None
    return _rescale(item, known_units(code(item, "RescaleType")) or _units_of(dataset))


def _modality_lut(item: pydicom.Dataset, image: ImagePixel, *, little: bool) -> Transform:
    """Return the modality LUT (C.11.1.1): its first mapped value is a stored value."""
    lut = read_lut(
        item,
        "LUTDescriptor",
        "LUTData",
        signed=image.signed,
        little=little,
        reach=stored_range(image),
    )
    units = known_units(code(item, "ModalityLUTType")) or "rescaled"
    return Transform(lut, units, f"modality LUT of {len(lut.table)} entries ({units})")


def _dose(dataset: pydicom.Dataset) -> Transform | None:
    """Return the scaling of a dose grid (C.8.8.3): stored value times it is the dose."""
    scaling = number(dataset, "DoseGridScaling")
    if scaling is None:
        return None
    if scaling == 0:
        raise header("DoseGridScaling is 0")
    units = "Gy" if code(dataset, "DoseUnits") in ("GY", "") else "relative dose"
    return Transform(Linear(scaling, 0.0), units, f"dose grid scaling {scaling:g} ({units})")


def _units_of(dataset: pydicom.Dataset) -> str:
    """Return the units of a classic rescale: RescaleType, those of PET, HU of CT (C.8.2.1)."""
    units = known_units(code(dataset, "RescaleType")) or known_units(code(dataset, "Units"))
    if units:
        return units
    return "HU" if modality_of(dataset) == "CT" else "rescaled"
