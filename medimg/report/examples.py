"""Which cases to show: the most confident mistakes, and the most confident hits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg.data.preprocess import Integers
from medimg.data.store import ImageStore
from medimg.predictions import Predictions
from medimg.report.pictures import Example


def pick_examples(predictions: Predictions, store: ImageStore, most: int = 6) -> list[Example]:
    """Return the most confident wrong and right cases of each, wrong ones first."""
    space = predictions.space
    if not space.exclusive:
        return []
    probabilities = predictions.probabilities
    predicted = probabilities.argmax(axis=1)
    target = np.where(predictions.known, np.nan_to_num(predictions.targets).argmax(axis=1), -1)
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    order = order[target[order] >= 0]
    right = (predicted == target)[order]
    rows = np.concatenate([order[~right][:most], order[right][:most]])
    row_of = {case: row for row, case in enumerate(store.manifest.case_id)}
    return [
        Example(
            image=picture(store.read(np.array([row_of[predictions.case_id[row]]]))[0]),
            case_id=predictions.case_id[row],
            target=space.classes[target[row]],
            predicted=space.classes[predicted[row]],
            probability=float(probabilities[row, predicted[row]]),
        )
        for row in rows
    ]


def picture(integers: Integers) -> NDArray[np.uint8]:
    """Return uint8 (H, W) or (H, W, 3) of (C, [D,] H, W); of a volume the middle slice."""
    if integers.ndim == 4:
        integers = integers[:, integers.shape[1] // 2]
    pixels = (integers >> (8 * integers.itemsize - 8)).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
