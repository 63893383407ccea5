"""Every error that a user can cause, in one tree.

::

    MedimgError
    ├── UsageError            a wrong argument, option or value              (exit status 2)
    │   ├── ConfigError       a config that does not fit its schema
    │   └── FolderExists      a finished or half-finished output folder in the way
    ├── DataError             data that cannot be taken as they are          (exit status 1)
    │   ├── SourceNotFound    a path that is not there
    │   ├── LabelError        labels or classes that do not fit together
    │   ├── ManifestError     a manifest that breaks its own rules
    │   ├── LeakError         a patient or a picture on both sides of a split
    │   ├── NothingReadable   not one case that can be read; has `refusals`
    │   ├── PredictionsError  predictions that break their own rules
    │   └── PixelError        one case that cannot be read right; has a `code`
    ├── BundleError           a bundle that is incomplete, altered or foreign
    └── TrainingError         a training that cannot go on (diverged, nothing to learn from)

Each message names the file or key and the value; `remedy` is the way out.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "MedimgError",
    "UsageError",
    "ConfigError",
    "FolderExists",
    "DataError",
    "SourceNotFound",
    "LabelError",
    "ManifestError",
    "LeakError",
    "NothingReadable",
    "PredictionsError",
    "PixelError",
    "BundleError",
    "TrainingError",
    "Refusal",
    "nearest",
]


class MedimgError(Exception):
    """The root of the tree: `message` says what is wrong, `remedy` the way out."""

    exit_status = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.remedy}"


class UsageError(MedimgError):
    """A wrong argument, option or value."""

    exit_status = 2


class ConfigError(UsageError):
    """A config that does not fit its schema."""


class FolderExists(UsageError):
    """A finished or half-finished output folder is in the way."""


class DataError(MedimgError):
    """Data that cannot be taken as they are."""


class SourceNotFound(DataError):
    """A path that is not there."""


class LabelError(DataError):
    """Labels or classes that do not fit together."""


class ManifestError(DataError):
    """A manifest that breaks its own rules."""


class LeakError(DataError):
    """A patient or a picture on both sides of a split."""


class PredictionsError(DataError):
    """Predictions that break their own rules."""


class BundleError(MedimgError):
    """A bundle that is incomplete, altered or foreign."""


class TrainingError(MedimgError):
    """A training that cannot go on."""


class PixelError(DataError):
    """One case that cannot be read right.

    `code` is one of `PixelError.CODES`; a case refused so is one row of `errors.csv`.
    """

    CODES: ClassVar[dict[str, str]] = {
        "not_found": "there is no such file or member",
        "not_regular": "not a regular file (a folder, FIFO, device or socket)",
        "not_permitted": "the file may not be read",
        "unknown_format": "the content is in none of the formats that medimg reads",
        "corrupt": "the content is damaged or ends too early",
        "too_large": "more pixels than the cap allows",
        "unsupported": "a lawful variant of the format that medimg does not read",
        "frames": "several frames where one image is expected",
        "channels": "a number of channels that the preprocessing does not take",
        "dimensions": "2D where a volume is expected, or the reverse",
        "no_spacing": "no voxel spacing where resampling needs one",
        "not_finite": "NaN or infinite pixels",
        # DICOM
        "no_image": "a DICOM object without pixels: a report, a structure set, a presentation state",
        "header": "an element that the pixels need is missing, malformed or contradictory",
        "time_limit": "decoding took longer than the time limit; the worker was ended",
        "memory_limit": "decoding wanted more memory than the limit of a worker",
        "crashed": "the decoder died on it; the worker was replaced",
        "for_processing": "FOR PROCESSING: raw detector values, unless asked for",
        "whole_slide": "a whole-slide image, unless asked for",
        "no_modality": "no modality transform where one is required",
        "no_voi": "no VOI LUT or window where one is required",
        "no_polarity": "no grey polarity where one is required",
        "no_range": "no range that all images share: floats, wide integers, values in units",
        # several images as a volume
        "single_image": "one image where a volume is wanted",
        "no_position": "slices without position, orientation or pixel spacing",
        "duplicate_positions": "two slices at one position",
        "gap": "a slice is missing, or steps between slices differ",
        "tilt": "slices are sheared against their normal (gantry tilt)",
        "mixed_units": "slices of one volume in different units",
        "mixed_geometry": "slices of one volume of different shape, orientation or spacing",
        "several_series": "several volumes where one is wanted",
        "recent": "changed within the last minute: perhaps still being written",
    }

    def __init__(self, code: str, message: str, *, remedy: str) -> None:
        if code not in self.CODES:
            raise ValueError(f"{code!r} is no PixelError code")
        super().__init__(message, remedy=remedy)
        self.code = code


@dataclass(frozen=True, slots=True)
class Refusal:
    """One case that was refused: a row of `errors.csv`."""

    case_id: str
    frame: str
    stage: str
    code: str
    message: str
    remedy: str

    @classmethod
    def of(
        cls, error: PixelError, case_id: str, frame: str, stage: str, root: object, source: str
    ) -> Refusal:
        """Return the row of an error; the path of its source becomes the id of the case.

        A DICOM case is known by a pseudonym, and its path may name a patient.
        """
        message = error.message
        for path in (f"{root}/{source}", f"{root}/{source.partition('#')[0]}"):
            message = message.replace(path, case_id)
        return cls(case_id, frame, stage, error.code, message, error.remedy)


class NothingReadable(DataError):
    """Not one case can be read; `refusals` says why of each."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        codes = dict(sorted(Counter(r.code for r in refusals).items()))
        first = f"; the first: {refusals[0].message}" if refusals else ""
        super().__init__(
            f"none of {len(refusals)} cases could be read ({codes}){first}",
            remedy=refusals[0].remedy if refusals else "name a folder that holds pictures",
        )
        self.refusals = list(refusals)


def nearest(word: str, known: Iterable[str], *, most: int = 3) -> str:
    """Return ``"; did you mean a, b?"`` for the nearest of `known`, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=most, cutoff=0.6)
    return f"; did you mean {', '.join(near)}?" if near else ""
