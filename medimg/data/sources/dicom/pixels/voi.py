"""The VOI transform (PS3.3 C.11.2): values to what somebody wanted to be seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.options import Use
from medimg.data.sources.dicom.pixels.dataset import shown
from medimg.data.sources.dicom.pixels.elements import code, header, numbers
from medimg.data.sources.dicom.pixels.functional import Groups
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.data.sources.dicom.pixels.lut import Lut, look_up, read_lut, tables
from medimg.data.sources.dicom.pixels.transform import Transform, nominal_range
from medimg.errors import PixelError


class Window(NamedTuple):
    """Centre, width and function (LINEAR, LINEAR_EXACT, SIGMOID), in units of the values."""

    center: float
    width: float
    function: str


class Voi(NamedTuple):
    """What is applied, and the step that says so."""

    rule: Lut | Window
    step: str


def voi_transform(
    dataset: pydicom.Dataset,
    groups: Groups,
    frame: int,
    image: ImagePixel,
    transform: Transform,
    *,
    little: bool,
    use: Use,
) -> Voi | None:
    """Return the VOI LUT or window of one frame; None where there is none.

    Frame VOI LUT of the functional groups (C.7.6.16.2.10) comes before the data set's own; the
    VOI LUT sequence before the window, which the standard leaves open (C.11.2.1); of several
    the first.

    Raises
    ------
    PixelError
        ``header``: malformed. ``no_voi``: there is none and one is required.
    """
    if use == "never":
        return None
    item = groups.macro("FrameVOILUTSequence", frame) or dataset
    found = _table(item, image, transform, little=little) or _window(item)
    if found is None and use == "require":
        raise PixelError(
            "no_voi",
            "the file has no VOI LUT and no window",
            remedy="set dicom.voi to if-present or never, or leave the file out",
        )
    return found


def _table(
    item: pydicom.Dataset, image: ImagePixel, transform: Transform, *, little: bool
) -> Voi | None:
    """Return the first VOI LUT (C.11.2.1.1).

    Its first mapped value is signed where its input may be: as PixelRepresentation where
    nothing comes before it, else where the modality transform can give negative values; the
    other way where the table would lie beyond all input.
    """
    found = tables(item, "VOILUTSequence")
    if not found:
        return None
    ends = nominal_range(transform, image)
    signed = image.signed if transform.rule is None else ends is None or ends[0] < 0
    lut = read_lut(found[0], "LUTDescriptor", "LUTData", signed=signed, little=little, reach=ends)
    return Voi(lut, f"VOI LUT of {len(lut.table)} entries{_of(len(found))}")


def _window(item: pydicom.Dataset) -> Voi | None:
    """Return the first window (C.11.2.1.2, C.11.2.1.3)."""
    centers, widths = numbers(item, "WindowCenter"), numbers(item, "WindowWidth")
    if not centers and not widths:
        return None
    if len(centers) != len(widths):
        raise header(f"{len(centers)} window centers and {len(widths)} widths")
    function = code(item, "VOILUTFunction") or "LINEAR"
    center, width = centers[0], widths[0]
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise header(f"VOILUTFunction is {shown(function)}")
    if width < 1 if function == "LINEAR" else width <= 0:
        raise header(f"WindowWidth is {width:g} for {function}")
    return Voi(
        Window(center, width, function),
        f"window {center:g}/{width:g} {function}{_of(len(centers))}",
    )


def _of(count: int) -> str:
    return f", first of {count}" if count > 1 else ""


def apply_voi(voi: Voi, values: NDArray[Any]) -> tuple[NDArray[np.float32], float, float, str]:
    """Return values (...), their nominal range and units.

    A window gives 0 to 1, a table 0 to the highest number of its bits.
    """
    if isinstance(voi.rule, Lut):
        found = look_up(voi.rule, values).astype(np.float32)
        return found, 0.0, float((1 << voi.rule.bits) - 1), "VOI LUT"
    return windowed(voi.rule, values), 0.0, 1.0, "window"


def windowed(window: Window, values: NDArray[Any]) -> NDArray[np.float32]:
    """Return values (...) through a window, 0 to 1.

    LINEAR (C.11.2.1.2.1): 0 up to c - 0.5 - (w - 1) / 2, 1 above c - 0.5 + (w - 1) / 2, between
    them (x - (c - 0.5)) / (w - 1) + 0.5. LINEAR_EXACT (C.11.2.1.3.2): the same with c and w.
    SIGMOID (C.11.2.1.3.1): 1 / (1 + exp(-4 (x - c) / w)).
    """
    center, width, function = window
    x = values.astype(np.float64)
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return (1 / (1 + np.exp(-4 * (x - center) / width))).astype(np.float32)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
        if width == 0:
            return (x > center).astype(np.float32)
    x -= center
    x /= width
    x += 0.5
    return np.clip(x, 0, 1, out=x).astype(np.float32)
