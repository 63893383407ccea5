"""Real world values of parametric maps (PS3.3 C.7.6.16.2.11)."""

from __future__ import annotations

import numpy as np
import pydicom

from medimg.data.sources.dicom.pixels.elements import (
    code,
    has,
    header,
    items,
    number,
    numbers,
    signed16,
)
from medimg.data.sources.dicom.pixels.functional import Groups
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.transform import Reals, Transform, known_units, linear

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"


def real_world(
    dataset: pydicom.Dataset, groups: Groups, frame: int, image: ImagePixel
) -> Transform | None:
    """Return the real world value mapping of a parametric map (C.7.6.16.2.11), its first item.

    It maps stored values, and those outside its first and last mapped value mean nothing.
    """
    if code(dataset, "SOPClassUID") != PARAMETRIC_MAP:
        return None
    item = groups.macro("RealWorldValueMappingSequence", frame)
    if item is None:
        return None
    span = _mapped_span(item, image)
    codes = items(item, "MeasurementUnitsCodeSequence")
    units = known_units(code(codes[0], "CodeValue") if codes else "") or "real world values"
    if has(item, "RealWorldValueLUTData"):
        values = np.asarray(numbers(item, "RealWorldValueLUTData"), np.float64)
        if span is None or image.is_float or len(values) != span[1] - span[0] + 1:
            raise header("RealWorldValueLUTData does not fit its first and last value")
        step = f"real world value LUT of {len(values)} entries ({units})"
        return Transform(Reals(int(span[0]), values), units, step, span)
    slope, intercept = number(item, "RealWorldValueSlope"), number(item, "RealWorldValueIntercept")
    return linear(slope, intercept, units, "real world value")._replace(span=span)


def _mapped_span(item: pydicom.Dataset, image: ImagePixel) -> tuple[float, float] | None:
    first = number(item, "DoubleFloatRealWorldValueFirstValueMapped")
    last = number(item, "DoubleFloatRealWorldValueLastValueMapped")
    if first is None or last is None:
        ends = [number(item, f"RealWorldValue{end}ValueMapped") for end in ("First", "Last")]
        if image.is_float or None in ends:
            return None
        first, last = (float(signed16(end or 0, signed=image.signed)) for end in ends)
    if first > last:
        raise header(f"real world values from {first:g} to {last:g}")
    return first, last
