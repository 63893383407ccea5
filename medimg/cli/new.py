"""`medimg new`: a commented config for somebody's own data, from what is seen in it."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from medimg.config import load_config
from medimg.data.index import index
from medimg.data.manifest import Manifest
from medimg.data.options import DicomPixels
from medimg.data.sources.formats import read_cases
from medimg.errors import DataError, FolderExists, PixelError
from medimg.files import write_text

#: Pictures, and volumes, whose size is looked at.
SAMPLE, SAMPLE_OF_VOLUMES = 200, 20
#: Air to the densest bone in Hounsfield units: what 12 bits of CT hold.
CT_RANGE = (-1024.0, 3071.0)


def write_config(source: Path, out: Path, labels: Path | None, options: dict[str, Any]) -> None:
    """Index `source`, look at some pictures, and write the config `out`.

    Raises
    ------
    FolderExists
        The file is there already.
    DataError
        The source cannot be indexed, or none of its pictures can be read.
    """
    if out.exists():
        raise FolderExists(f"{out} is there already", remedy="name another file with -o")
    manifest = index(source, labels=labels, **options)
    shapes = _shapes(manifest)
    write_text(out, _text(source, labels, options, manifest, shapes))
    load_config(out)


def _shapes(manifest: Manifest) -> Counter[tuple[int, ...]]:
    """Return how often each shape (C, [D,] H, W) was seen in an even sample."""
    most = SAMPLE_OF_VOLUMES if manifest.files else SAMPLE
    rows = np.unique(np.linspace(0, len(manifest) - 1, most).astype(int))
    cases = manifest.cases()
    shapes: Counter[tuple[int, ...]] = Counter()
    first: PixelError | None = None
    for pixels in read_cases(manifest.root, (cases[row] for row in rows), DicomPixels()):
        if isinstance(pixels, PixelError):
            first = first or pixels
        else:
            shapes[pixels.array.shape] += 1
    if not shapes:
        assert first is not None
        raise DataError(
            f"none of {len(rows)} pictures looked at could be read; the first: {first.message}",
            remedy=first.remedy,
        )
    return shapes


def _size(shapes: Counter[tuple[int, ...]]) -> tuple[list[int], str]:
    """Return the size to take, and what was seen."""
    sizes = {shape[1:] for shape in shapes}
    dims = len(next(iter(sizes)))
    usual = {2: [224, 224], 3: [64, 64, 64]}[dims]
    ordered = sorted(sizes, key=prod)
    if len(sizes) == 1 and prod(ordered[0]) <= prod(usual):
        return list(ordered[0]), "all pictures looked at have this size"
    if len(sizes) == 1:
        size = " x ".join(map(str, ordered[0]))
        return usual, f"all pictures looked at are {size}: more pixels take more time"
    low, high = (" x ".join(map(str, size)) for size in (ordered[0], ordered[-1]))
    return usual, f"pictures differ in size, from {low} to {high}"


def _text(
    source: Path,
    labels: Path | None,
    options: dict[str, Any],
    manifest: Manifest,
    shapes: Counter[tuple[int, ...]],
) -> str:
    space = manifest.space
    size, seen = _size(shapes)
    counts = dict(zip(space.classes, np.nansum(manifest.targets, axis=0).astype(int), strict=True))
    known = [n for n in counts.values() if n]
    uneven = space.exclusive and max(known) > 2 * min(known)
    said = ", ".join(f"{name} {n}" for name, n in counts.items())
    splits = sorted(set(manifest.split) - {""})
    patients = len(set(manifest.frame["patient_id"]) - {""})
    data = [f"  source: {_yaml(str(source.resolve()))}"]
    if labels is not None:
        data.append(f"  labels: {_yaml(str(labels.resolve()))}")
    data += [f"  {key}: {_yaml(value)}" for key, value in options.items()]
    if len(space.classes) == 2 and space.exclusive:
        either = " or ".join(map(_yaml, space.classes))
        data.append(
            f"  positive: {_yaml(space.positive)}  # target condition, for sensitivity: {either}"
        )
    return "\n".join(
        [
            "# Written by `medimg new` from what it saw; every key: `medimg show config`.",
            f"# {len(manifest)} cases, {space.kind}: {said}.",
            f"# Patients: {patients or 'none named, so every case counts as its own'}.",
            f"# Train with: medimg train {{this file}} -o runs/{source.stem or 'mine'}",
            f"title: {_yaml(source.stem or source.name)}",
            "seed: 0",
            "data:",
            *data,
            *_split_lines(splits),
            "preprocess:",
            f"  size: {size}  # {seen}",
            f"  channels: {3 if max(s[0] for s in shapes) == 3 else 1}",
            "  resize: pad  # stretch, pad or crop",
            *_dicom_lines(manifest),
            *_recipe_lines(few=len(manifest) < 5000, uneven=uneven),
        ]
    )


def _recipe_lines(*, few: bool, uneven: bool) -> list[str]:
    """Return network and training: a small CNN with mild augmentation."""
    return [
        "model:",
        "  name: cnn",
        "  widths: [32, 64, 128]",
        "  convolutions: 2",
        "  dropout: 0.2",
        "fit:",
        f"  epochs: {60 if few else 20}",
        f"  batch_size: {32 if few else 128}",
        "  optimizer: adamw",
        "  lr: 0.001",
        "  weight_decay: 0.05",
        "  schedule: cosine",
        "  warmup: 2",
        f"  class_weights: {'balanced  # classes are uneven' if uneven else 'null'}",
        "  monitor: val_loss  # the best epoch on val is kept",
        f"  patience: {20 if few else 5}",
        "  augment:",
        "    flip_horizontal: false  # where left and right carry no meaning: true",
        "    rotate: 10",
        "    scale: 0.1",
        "    shift: 0.05",
        "    contrast: 0.1",
        "",
    ]


def _dicom_lines(manifest: Manifest) -> list[str]:
    """Return what to do with the values of DICOM, by the modalities that were seen."""
    if "Modality" not in manifest.metadata:
        return []
    seen = Counter(manifest.metadata["Modality"]).most_common()
    said = ", ".join(f"{name or '(none)'} {number}" for name, number in seen)
    lines = [f"  # Modality: {said}."]
    if [name for name, _ in seen] == ["CT"]:
        low, high = (int(end) for end in CT_RANGE)
        lines += [
            "  dicom:",
            f"    range: [{low}, {high}]  # in HU; narrower for one tissue, as [-160, 240]",
        ]
    return lines


def _split_lines(splits: list[str]) -> list[str]:
    if splits:
        brought = ", ".join(splits)
        return [f"# The data bring the splits {brought}; absent ones are cut from train."]
    return ["split: {train: 0.7, val: 0.1, calib: 0.1, test: 0.1}  # shares, by patient"]


def _yaml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
