"""What a modality transform is, and how it is applied (PS3.3 C.11.1.1, C.7.6.16.2.11)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medimg.data.sources.dicom.pixels.elements import header
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.lut import Lut, look_up
from medimg.data.sources.dicom.pixels.stored import stored_range

#: The defined terms of RescaleType (C.11.1.1.2), of Units (C.8.9.1.1.3) and some units of UCUM.
#: Anything else may be free text and is called "rescaled".
_UNITS = frozenset(
    [
        "HU",
        "OD",
        "US",
        "MGML",
        "Z_EFF",
        "ED",
        "EDW",
        "HU_MOD",
        "PCT",
        "CNTS",
        "NONE",
        "CM2",
        "CM2ML",
        "PCNT",
        "CPS",
        "BQML",
        "MGMINML",
        "UMOLMINML",
        "MLMING",
        "MLG",
        "1CM",
        "UMOLML",
        "PROPCNTS",
        "PROPCPS",
        "MLMINML",
        "MLML",
        "GML",
        "STDDEV",
        "GY",
        "mm2/s",
        "um2/s",
        "10-3.mm2/s",
        "10*-6.mm2/s",
        "ms",
        "s",
        "/s",
        "%",
        "1",
        "HU",
        "[hnsf'U]",
        "ml/ml",
        "mL/mL",
        "g/ml{SUVbw}",
        "g/ml",
    ]
)


class Linear(NamedTuple):
    """``slope * stored + intercept``."""

    slope: float
    intercept: float


class Reals(NamedTuple):
    """A table of real world values: float64 (N,), for stored values from `first` on."""

    first: int
    values: NDArray[np.float64]


class Transform(NamedTuple):
    """How stored values get their meaning; `rule` None leaves them as they are.

    `span` is the lowest and highest stored value that has a meaning (real world values alone).
    """

    rule: Linear | Lut | Reals | None
    units: str
    step: str
    span: tuple[float, float] | None = None


def apply_modality(transform: Transform, stored: NDArray[Any]) -> NDArray[Any]:
    """Return values (...) of stored values (...).

    Whole numbers stay exact: float32 where it holds every result, else float64.
    """
    rule = transform.rule
    if rule is None:
        return stored
    if isinstance(rule, Lut):
        return look_up(rule, stored).astype(np.float32)
    if isinstance(rule, Reals):
        index = np.clip(stored.astype(np.int64) - rule.first, 0, len(rule.values) - 1)
        return rule.values[index]
    slope, intercept = rule
    values: NDArray[np.floating[Any]] = stored.astype(
        np.float32 if _exact(rule, stored) else np.float64
    )
    if slope != 1:
        values *= slope
    if intercept != 0:
        values += intercept
    return values


def _exact(rule: Linear, stored: NDArray[Any]) -> bool:
    """Return whether float32 holds slope, intercept and every result without rounding."""
    if stored.dtype.kind == "f" or stored.dtype.itemsize > 2:
        return False
    whole = rule.slope == int(rule.slope) and rule.intercept == int(rule.intercept)
    return whole and abs(rule.slope) * 65536 + abs(rule.intercept) < 1 << 24


def with_meaning(transform: Transform, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where stored values lie in the span that is mapped; None where all do."""
    if transform.span is None:
        return None
    inside = (stored >= transform.span[0]) & (stored <= transform.span[1])
    return None if inside.all() else inside


def nominal_range(transform: Transform, image: ImagePixel) -> tuple[float, float] | None:
    """Return what the stored bits can mean: the ends of their range, transformed.

    None for floats and for integers of more than 16 bits: their range is so wide that every
    picture would come out as one flat grey.
    """
    if isinstance(transform.rule, Lut):
        return 0.0, float((1 << transform.rule.bits) - 1)
    if isinstance(transform.rule, Reals):
        return float(transform.rule.values.min()), float(transform.rule.values.max())
    ends = stored_range(image)
    if ends is None or image.bits > 16:
        return None
    if transform.span is not None:
        ends = max(ends[0], transform.span[0]), min(ends[1], transform.span[1])
    slope, intercept = transform.rule or (1.0, 0.0)
    a, b = (slope * end + intercept for end in ends)
    return min(a, b), max(a, b)


def linear(slope: float | None, intercept: float | None, units: str, what: str) -> Transform:
    if slope is None or intercept is None:
        raise header(f"{what} has a slope without an intercept, or the reverse")
    if slope == 0:
        raise header(f"the slope of {what} is 0")
    return Transform(
        Linear(slope, intercept),
        units,
        f"{what} slope {slope:g}, intercept {intercept:g} ({units})",
    )


def known_units(term: str) -> str:
    return term if term in _UNITS else ""
