"""Pictures that are embedded in a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError

#: The longer side of an embedded picture, in pixels; a smaller one is embedded as it is.
EXAMPLE_SIDE = 256


@dataclass(frozen=True, eq=False)
class Example:
    """One picture of the report with what the model said of it.

    Parameters
    ----------
    image : uint8 array (H, W) or (H, W, 3)
        Grey, or red, green and blue.
    case_id : str
        The case, printed as it is given.
    target, predicted : str
        Names of the true and of the predicted class.
    probability : float
        What the model gave the predicted class.

    Raises
    ------
    UsageError
        An image of another shape or type.
    """

    image: NDArray[np.uint8]
    case_id: str
    target: str
    predicted: str
    probability: float

    def __post_init__(self) -> None:
        image = self.image
        grey_or_rgb = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not grey_or_rgb or image.size == 0:
            raise UsageError(
                f"example {self.case_id} is {image.dtype} of shape {image.shape}",
                remedy="give uint8 of shape (H, W) or (H, W, 3); of a volume, one slice",
            )

    @property
    def right(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.predicted == self.target


def png_uri(image: NDArray[np.uint8]) -> str:
    """Return a picture as a PNG data URI, at most `EXAMPLE_SIDE` pixels long."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((EXAMPLE_SIDE, EXAMPLE_SIDE))
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
