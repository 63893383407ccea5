"""Sources of many cases a file, npz and IDX: their rows, labels and classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest
from medimg.data.options import IndexOptions
from medimg.data.sources import folder as folders
from medimg.data.sources import idx, npz
from medimg.data.sources.formats import sniff
from medimg.data.sources.guard import Stamp, stamp
from medimg.data.sources.medmnist_sets import SETS, MedMnistSet, set_name
from medimg.errors import DataError, LabelError, PixelError
from medimg.labels import LabelSpace

_MOST_CLASSES = 10_000


class Stack(NamedTuple):
    """The rows of one npz member, IDX file or, not numbered, plain file; labels where wanted."""

    source: str
    rows: int
    split: str
    labels: NDArray[Any] | None
    numbered: bool = True


def index_npz(place: Path, options: IndexOptions) -> Manifest:
    """Return the manifest of an npz of images and labels; known sets bring their classes."""
    file = stamp(str(place))
    headers = npz.members(file)
    stacks = []
    for member, header in headers.items():
        labels = npz.labels(file, member)
        if labels is None or len(labels) != header.shape[0]:
            raise DataError(
                f"{place}: {member} has {header.shape[0]} images and "
                f"{'no' if labels is None else len(labels)} labels",
                remedy=f"store {member}_labels beside {member}_images (labels beside images)",
            )
        split = folders.SPLIT_NAMES.get(member, "")
        stacks.append(Stack(f"{place.name}#{member}", header.shape[0], split, labels))
    if not stacks:
        raise DataError(
            f"{place} holds no images",
            remedy="store train_images and train_labels, or images and labels",
        )
    known = SETS.get(set_name(place))
    if known is not None:
        _check_known(place, known, headers, stacks)
    return _manifest(stacks, place.parent, options, known)


def index_idx(folder: Path, names: list[str], options: IndexOptions) -> Manifest:
    """Return the manifest of IDX image files of one folder and the labels beside them."""
    return _manifest([_idx_stack(folder / name) for name in names], folder, options)


def unlabelled(name: str, kind: str, file: Stamp) -> list[Stack]:
    """Return the rows of an npz or IDX file without labels; `name` is its source."""
    if kind == "idx":
        return [Stack(name, idx.header(file).shape[0], _idx_split(Path(name).name), None)]
    headers = npz.members(file)
    if not headers:
        raise PixelError("unknown_format", f"{name} holds no images", remedy="leave it out")
    splits = folders.SPLIT_NAMES
    return [Stack(f"{name}#{m}", h.shape[0], splits.get(m, ""), None) for m, h in headers.items()]


def _check_known(
    place: Path, known: MedMnistSet, headers: dict[str, npz.Header], stacks: list[Stack]
) -> None:
    """Refuse a file that has the name of a MedMNIST set and other contents."""
    for header, stack in zip(headers.values(), stacks, strict=True):
        colour = len(header.shape) == 4 and header.shape[-1] == 3
        seen = (3 if colour else 1, len(header.shape) - 1 - colour)
        wide = stack.labels is not None and stack.labels.ndim == 2
        columns = stack.labels.shape[1] if wide and stack.labels is not None else 1
        wanted = known.space.k if not known.space.exclusive else 1
        highest = 1 if wide or stack.labels is None else int(stack.labels.max())
        if (
            seen == (known.channels, known.dimensions)
            and columns == wanted
            and highest < known.space.k
        ):
            continue
        raise DataError(
            f"{place} has the name of MedMNIST's {set_name(place)} and not its contents: "
            f"{stack.source} has {seen[0]} channels, {seen[1]} dimensions, {columns} columns of "
            f"labels up to {highest}; the set has {known.channels}, {known.dimensions}, {wanted} "
            f"and {known.space.k} classes",
            remedy="rename the file, or fetch the set again",
        )


def idx_images(place: Path) -> list[str]:
    """Return the IDX image files of a folder; of a file and its gzipped twin the file."""
    names = sorted(p.name for p in place.iterdir() if p.is_file() and p.name[0] != ".")
    images = [name for name in names if _kind(place / name) == "idx"]
    return [n for n in images if n.removesuffix(".gz") == n or n.removesuffix(".gz") not in images]


def _kind(path: Path) -> str | None:
    try:
        return sniff(stamp(str(path)))
    except PixelError:
        return None


def _idx_stack(path: Path) -> Stack:
    count = idx.header(stamp(str(path))).shape[0]
    beside = idx.twin(path)
    if beside is None:
        raise DataError(
            f"{path} has no file of labels beside it",
            remedy="put NAME-labels-idx1-ubyte beside NAME-images-idx3-ubyte",
        )
    labels = idx.labels(stamp(str(beside)))
    if len(labels) != count:
        raise DataError(
            f"{path} holds {count} images and {beside.name} {len(labels)} labels",
            remedy="fetch both files again",
        )
    return Stack(path.name, count, _idx_split(path.name), labels)


def _idx_split(name: str) -> str:
    start = name.lower().replace("t10k", "test").replace("_", "-").split("-")
    return next((folders.SPLIT_NAMES[s] for s in start if s in folders.SPLIT_NAMES), "")


def _manifest(
    stacks: list[Stack], root: Path, options: IndexOptions, known: MedMnistSet | None = None
) -> Manifest:
    labels = [_checked_labels(s) for s in stacks]
    space = _array_space(labels, options, known)
    if labels[0].ndim == 2:
        targets = np.concatenate(labels).astype(np.float32)
    else:
        targets = space.one_hot(np.concatenate(labels))
    return Manifest(stack_frame(stacks), targets, space, root)


def _checked_labels(stack: Stack) -> NDArray[np.int64]:
    """Return labels int64 (N,) or, of 0 and 1, (N, K)."""
    assert stack.labels is not None
    labels = stack.labels
    whole = labels.astype(np.int64) if np.isfinite(labels).all() else np.full(1, -1)
    highest = 1 if labels.ndim == 2 else _MOST_CLASSES
    if labels.ndim > 2 or not (whole == labels).all() or whole.min() < 0 or whole.max() > highest:
        raise LabelError(
            f"{stack.source}: labels are no {'0 and 1' if labels.ndim == 2 else 'class numbers'}"
            f" (shape {labels.shape}, {labels.min()} to {labels.max()})",
            remedy="number the classes from 0; leave out cases that nobody has labelled",
        )
    return whole


def _array_space(
    labels: list[NDArray[np.int64]], options: IndexOptions, known: MedMnistSet | None
) -> LabelSpace:
    """Return the label space: as the options say, else that of the known set, else numbers."""
    wide = labels[0].ndim == 2
    count = labels[0].shape[1] if wide else 1 + max(int(part.max()) for part in labels)
    if any((part.ndim, part.shape[1:]) != (labels[0].ndim, labels[0].shape[1:]) for part in labels):
        raise LabelError("the splits have labels of different width", remedy="store all alike")
    own: Literal["multilabel", "multiclass"] = "multilabel" if wide else "multiclass"
    base = known.space if known is not None else None
    kind = options.kind or (base.kind if base else own)
    classes = options.classes or (base.classes if base else tuple(map(str, range(count))))
    positive = options.positive or (base.positive if base and not options.classes else None)
    if (kind == "multilabel") != wide or (wide and len(classes) != count):
        raise LabelError(
            f"labels of {count if wide else 1} columns for {len(classes)} classes, {kind}",
            remedy="several columns of 0 and 1 are multilabel, one number a case is not",
        )
    return LabelSpace(classes, kind, positive)


def stack_frame(stacks: list[Stack]) -> pd.DataFrame:
    columns: dict[str, list[str]] = {"case_id": [], "source": [], "frame": [], "split": []}
    for stack in stacks:
        numbers = [str(i) for i in range(stack.rows)] if stack.numbered else [""]
        columns["frame"] += numbers
        columns["case_id"] += [stack.source + (f"@{n}" if n else "") for n in numbers]
        columns["source"] += [stack.source] * stack.rows
        columns["split"] += [stack.split] * stack.rows
    return pd.DataFrame(columns, dtype=object)
