"""Grey polarity: bright is high, once (PS3.3 C.7.6.3.1.2, C.8.11.3.1.2, C.11.6.1.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from medimg.data.options import Use
from medimg.data.sources.dicom.pixels.elements import code
from medimg.data.sources.dicom.pixels.image import ImagePixel
from medimg.errors import PixelError


def inversion(dataset: pydicom.Dataset, image: ImagePixel, use: Use) -> str:
    """Return the step of an inversion, or "" where the greys stay as they are.

    MONOCHROME1 shows its lowest value as white (C.7.6.3.1.2). PresentationLUTShape INVERSE
    says the same of the same values (C.8.11.3.1.2 demands one with the other), so both are one
    inversion. MONOCHROME1 with IDENTITY is inverted too: the photometric interpretation is
    what every image must have, and how it is to be shown "after any VOI gray scale
    transformations"; the shape only says what the printed density stands for.

    Raises
    ------
    PixelError
        ``no_polarity``: required, and colours have none.
    """
    if not image.is_grey:
        if use == "require":
            raise PixelError(
                "no_polarity",
                f"{image.photometric} has no grey polarity",
                remedy="set dicom.polarity to if-present, or leave the file out",
            )
        return ""
    if use == "never":
        return ""
    signs = []
    if image.photometric == "MONOCHROME1":
        signs.append("MONOCHROME1")
    if code(dataset, "PresentationLUTShape") == "INVERSE":
        signs.append("INVERSE")
    return f"inverted ({', '.join(signs)})" if signs else ""


def inverted(values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Return ``low + high - values``: the same range, the other way round."""
    turned: NDArray[Any] = np.subtract(low + high, values, dtype=values.dtype)
    return turned
