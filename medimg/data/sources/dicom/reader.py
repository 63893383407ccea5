"""What the rest of the house asks the workers for: the pixels of an image or of a volume."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pool import Pool
from medimg.data.sources.dicom.process import Answer

#: Seconds that each file of a volume adds to the time limit.
_SECONDS_A_FILE = 1.0


def submit_image(
    pool: Pool,
    root: os.PathLike[str] | str,
    source: str,
    member: str | None,
    frame: str,
    options: DicomPixels,
) -> Future[Answer]:
    """Have one image read.

    Parameters
    ----------
    pool : Pool
    root : path
        The folder that `source` is relative to, and that no link may lead out of.
    source : str
        A file, with ``/``.
    member : str, optional
        Its member, where it is a zip archive.
    frame : str
        A number, or blank.
    options : DicomPixels

    Returns
    -------
    Future of Answer
        For `pixels_of`; raises `PixelError`.
    """
    folder = os.fspath(Path(root).absolute())
    task = {"op": "image", "root": folder, "path": f"{folder}/{source}", "member": member}
    return pool.submit({**task, "frame": frame, "options": options.model_dump()})


def submit_volume(
    pool: Pool,
    root: os.PathLike[str] | str,
    files: Sequence[tuple[str, str | None]],
    options: DicomPixels,
) -> Future[Answer]:
    """Have the volume of several images, or of one multi-frame image, read.

    Parameters
    ----------
    files : sequence of (source, member)
        As for `submit_image`.
    """
    folder = os.fspath(Path(root).absolute())
    paths = [(f"{folder}/{source}", member) for source, member in files]
    task = {"op": "volume", "root": folder, "files": paths, "options": options.model_dump()}
    return pool.submit(task, seconds=pool.seconds + _SECONDS_A_FILE * len(files))


def pixels_of(answer: Answer) -> Pixels:
    """Return the pixels of an answer to either."""
    value, arrays = answer
    spacing = value["spacing_mm"]
    return Pixels(
        arrays["array"],
        value["low"],
        value["high"],
        value["units"],
        None if spacing is None else tuple(spacing),
        arrays.get("affine"),
        arrays.get("valid"),
        tuple(value["steps"]),
    )
