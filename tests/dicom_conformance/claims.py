"""What a claim is, and how an answer is judged. The claims themselves stand in `claims_*.py`.

A claim is a sentence about what a reader of DICOM must give, the clause of the standard that it
follows from, a file, and the value as a literal. No value was ever computed by medimg, or by code
that mirrors it: a comment at each shows the arithmetic, and for vendors' files how the stored
values were read from the raw bytes (`README.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pydicom
from numpy.typing import NDArray

Kind = Literal[
    "stored",  # integers as PS3.5 section 8 defines them: (H, W)
    "values",  # after the modality transform, in its units: (H, W)
    "grey",  # the output on a scale of 0 (lowest) to 1 (highest of the nominal range): (H, W)
    "order",  # pixels from the darkest to the brightest: indices
    "colour",  # RGB on a scale of 0 to 1: (H, W, 3)
    "valid",  # False where there is padding: (H, W)
    "spacing",  # mm between rows, between columns; None where the header has none
    "world",  # a volume: its value at points in RAS mm
    "affine",  # voxel index (W, H, D) to RAS in mm: (4, 4)
    "volumes",  # what a folder holds: the value of each slice of each volume, never mixed
    "refused",  # an error; for medimg one of these codes
]


class At(NamedTuple):
    """The shape of an array, and its values at some indices."""

    shape: tuple[int, ...]
    values: Mapping[tuple[int, ...], float | bool]


#: Writes what is to be read into a folder; gives the file, or the files of one volume.
Make = Callable[[Path], Path | Sequence[Path]]


@dataclass(frozen=True)
class Claim:
    """One claim.

    Parameters
    ----------
    name : str
        The claim as a sentence in small letters.
    clause : str
        Where it stands.
    file : str, tuple of str or callable
        A path below the real data (``wg04/...``, ``odd/...``, ``ct_contrast/...``) or below
        pydicom's test files (``pydicom/...``); several for a volume; or what makes them.
    kind : Kind
    expected
        A literal; what it is depends on `kind`.
    frame : int, optional
        The frame that is asked for, from 0.
    ask : mapping
        What is asked of the reader beside its defaults: ``voi``, ``range``.
    tolerance : float
        Largest difference that is still right.
    rule : bool
        What medimg promises where the standard leaves a choice: no other reader is asked.
    """

    name: str
    clause: str
    file: str | tuple[str, ...] | Make
    kind: Kind
    expected: Any
    frame: int | None = None
    ask: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-4
    rule: bool = False

    @property
    def needs_data(self) -> bool:
        """Whether the file is none that is made here or comes with pydicom."""
        names = (self.file,) if isinstance(self.file, str) else self.file
        return self.on_vendors_file and not str(names[0]).startswith("pydicom/")  # type: ignore[index]

    @property
    def on_vendors_file(self) -> bool:
        """Whether the file comes from a scanner or from somebody else's software."""
        return not callable(self.file)


def files_of(claim: Claim, folder: Path, data: Path | None) -> Path | list[Path]:
    """Return the file of a claim, or the files of its volume; make them in `folder`."""
    if callable(claim.file):
        made = claim.file(folder)
        return made if isinstance(made, Path) else list(made)
    if isinstance(claim.file, str):
        return _place(claim.file, data)
    return [_place(name, data) for name in claim.file]


def _place(name: str, data: Path | None) -> Path:
    if name.startswith("pydicom/"):
        return Path(pydicom.__file__).parent / "data/test_files" / name.removeprefix("pydicom/")
    if data is None:
        raise FileNotFoundError(name)
    return data / name if name.startswith("ct_contrast/") else data / "dicom" / name


class Refused(Exception):
    """What a reader's adapter raises where the reader refuses; `code` where there is one."""

    def __init__(self, code: str = "") -> None:
        super().__init__(code)
        self.code = code


class NotOffered(Exception):
    """What an adapter raises where a reader does not promise such an answer."""


class Volume(NamedTuple):
    """A volume (W, H, D) with the affine of its indices to RAS in mm."""

    array: NDArray[Any]
    affine: NDArray[np.float64]


class Reader(Protocol):
    """What an adapter offers: one answer to each kind of question.

    An answer is an array (grey (H, W), colour (H, W, 3)) for "stored", "values", "grey",
    "order" (the picture, of any scale), "colour" and "valid"; a tuple or None for "spacing"; a
    `Volume` for "world" and "affine"; a list of them for "volumes"; anything for "refused".
    """

    name: str

    def answer(self, claim: Claim, files: Path | Sequence[Path]) -> Any:
        """Read; raise `Refused`, or `NotOffered`."""
        ...


def judge(claim: Claim, got: Any) -> str:
    """Return "" where an answer is right, else what is wrong with it."""
    if claim.kind == "refused":
        return "read, where it must be refused"
    if claim.kind == "spacing":
        return _close(claim, got, claim.expected)
    if claim.kind == "order":
        levels = [float(np.asarray(got)[index]) for index in claim.expected]
        rising = all(a < b for a, b in pairwise(levels))
        return "" if rising else f"brightness {levels} does not rise"
    if claim.kind == "world":
        return _in_world(claim, got)
    if claim.kind == "affine":
        return _close(claim, got.affine, claim.expected)
    if claim.kind == "volumes":
        return _never_mixed(claim, got)
    return _array(claim, np.asarray(got))


def _array(claim: Claim, got: NDArray[Any]) -> str:
    if not isinstance(claim.expected, At):
        return _close(claim, got, claim.expected)
    if got.shape != claim.expected.shape:
        return f"shape {got.shape}, expected {claim.expected.shape}"
    found = [got[index] for index in claim.expected.values]
    return _close(claim, found, list(claim.expected.values.values()))


def _close(claim: Claim, got: Any, expected: Any) -> str:
    if got is None or expected is None:
        return "" if got is expected else f"{got}, expected {expected}"
    found, wanted = np.asarray(got, float), np.asarray(expected, float)
    if found.shape != wanted.shape:
        return f"shape {found.shape}, expected {wanted.shape}"
    worst = float(np.abs(found - wanted).max())
    if worst <= claim.tolerance:
        return ""
    return f"{_short(found)}, expected {_short(wanted)}"


def _in_world(claim: Claim, got: Volume) -> str:
    inverse = np.linalg.inv(got.affine)
    for point, value in claim.expected.items():
        index = (inverse @ np.array([*point, 1.0]))[:3]
        near = index.round().astype(int)
        inside = (near >= 0).all() and (near < got.array.shape).all()
        if np.abs(index - near).max() > 0.02 or not inside:
            return f"no voxel at {point}"
        found = float(got.array[tuple(near)])
        if abs(found - value) > claim.tolerance:
            return f"{found:g} at {point}, expected {value:g}"
    return ""


def _never_mixed(claim: Claim, got: Sequence[Volume]) -> str:
    """Each volume must be one of those expected: the mean of each slice, either way round."""
    wanted = [list(slices) for slices in claim.expected]
    means = [v.array.reshape(-1, v.array.shape[2]).mean(axis=0).round(3).tolist() for v in got]
    strange = [m for m in means if m not in wanted and m[::-1] not in wanted]
    if strange or not means:
        return f"slices {strange or 'none'}, expected {wanted}"
    return "" if len(means) == len(wanted) else f"only {len(means)} of {len(wanted)} volumes"


def _short(array: NDArray[Any]) -> str:
    text = np.array2string(array, threshold=12, precision=4, separator=", ")
    return " ".join(text.split())
