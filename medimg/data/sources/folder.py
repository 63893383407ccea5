"""A folder with one subfolder a class, also below `train`, `val` and `test`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medimg.data.sources.formats import IMAGE_ENDINGS, READERS, sniff
from medimg.data.sources.guard import stamp
from medimg.errors import DataError, LabelError, PixelError, SourceNotFound
from medimg.files import printable

#: Names that people give to the folders of a split -> the manifest's own.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "calib": "calib",
    "calibration": "calib",
}


@dataclass
class Found:
    """The files of a folder: images, and what was passed over."""

    images: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def warn(self, folder: Path) -> None:
        """Say what was passed over, once, with the first names."""
        for what, names in (("hidden", self.hidden), ("no images", self.others)):
            if names:
                logging.getLogger("medimg.index").warning(
                    "%s: %d files passed over (%s): %s",
                    folder,
                    len(names),
                    what,
                    some(names),
                )


def some(names: list[str], most: int = 3) -> str:
    """Return the first few of `names`, for a message."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def walk(folder: Path, follows: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Yield every file below `folder`, sorted, as a path relative to it with ``/``.

    Links to folders are followed, each folder once.

    Parameters
    ----------
    follows : callable, optional
        Whether to take a link to a file or folder, by its path; default: every one.

    Raises
    ------
    DataError
        A folder that may not be read: its cases would be missing without a word.
    """

    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename} cannot be read: {error.strerror}",
            remedy="make the folder readable, or leave it out",
        ) from error

    def taken(parent: str, name: str) -> bool:
        path = os.path.join(parent, name)  # noqa: PTH118 - a fifth of the time of Path
        return follows is None or not os.path.islink(path) or follows(path)  # noqa: PTH114

    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in sorted(folders) if taken(parent, name)]
        inside = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        for name in sorted(files):
            if taken(parent, name):
                yield str(inside / name)


def find(folder: Path) -> Found:
    """Sort the files of a folder by content.

    A file counts as an image where its content is one, and also where its name promises one:
    a damaged picture must become a refusal later, never vanish here.
    """
    found = Found()
    for name in walk(folder):
        if any(part.startswith(".") for part in name.split("/")):
            found.hidden.append(name)
        elif _is_image(folder, name):
            found.images.append(check_name(name, folder))
        else:
            found.others.append(name)
    return found


def rows(folder: Path) -> list[tuple[str, str, str]]:
    """Return (source, class, split) of each image of a folder of classes.

    Raises
    ------
    DataError, LabelError
        No folders of classes, no images, or one class alone.
    """
    found = find(folder)
    if not found.images:
        raise SourceNotFound(
            f"{folder} holds no images ({len(found.others)} other files)",
            remedy="name the folder that holds one subfolder a class",
        )
    by_split = _splits_on_top(found.images, folder)
    table = [class_and_split(name, by_split) for name in found.images]
    loose = [name for name, label, _ in table if not label]
    if loose:
        raise LabelError(
            f"{folder}: {len(loose)} images lie in no folder of a class: {some(loose)}",
            remedy="sort them into one subfolder a class, or give a table of labels (--labels)",
        )
    classes = {label for _, label, _ in table}
    if len(classes) < 2:
        raise LabelError(
            f"{folder} holds one class alone, {classes.pop()}",
            remedy="name the folder above it; two classes or more are wanted",
        )
    found.warn(folder)
    return table


def check_name(name: str, folder: Path) -> str:
    """Return `name`; one that is no UTF-8 text cannot stand in a table and raises."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{folder}: the file name {printable(name)} is no UTF-8", remedy="rename the file"
        ) from error
    return name


def _is_image(folder: Path, name: str) -> bool:
    if name.lower().endswith(IMAGE_ENDINGS):
        return True
    try:
        kind = sniff(stamp(f"{folder}/{name}"))
    except PixelError:
        return False
    return kind in READERS or kind == "dicom"


def _splits_on_top(images: list[str], folder: Path) -> bool:
    """Whether the folders on top are those of splits; some that are and some not raise."""
    tops = {name.split("/")[0] for name in images if "/" in name}
    splits = {top for top in tops if top.lower() in SPLIT_NAMES}
    if splits and splits != tops:
        raise LabelError(
            f"{folder}: {some(sorted(splits))} would be splits, {some(sorted(tops - splits))} not",
            remedy="keep folders of splits or of classes on top, or give a table (--labels)",
        )
    return bool(splits)


def class_and_split(name: str, by_split: bool) -> tuple[str, str, str]:
    """Return (source, class, split) by the folders of a source; blank where there is none."""
    parts = name.split("/")
    split = SPLIT_NAMES.get(parts[0].lower(), "") if by_split and len(parts) > 1 else ""
    inner = parts[1:] if split else parts
    return name, inner[0] if len(inner) > 1 else "", split
