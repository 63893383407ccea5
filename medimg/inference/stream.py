"""Read, preprocess and predict cases batch by batch, into the journal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from medimg.data.manifest import Manifest
from medimg.data.preprocess import Integers, Preprocess
from medimg.data.sources.formats import read_cases
from medimg.errors import PixelError, Refusal
from medimg.inference.ahead import ahead
from medimg.inference.bundle import ModelBundle
from medimg.inference.checker import checker
from medimg.inference.forward import batch_length
from medimg.inference.ledger import Journal
from medimg.inference.names import picture_hashes
from medimg.inference.rows import RowMaker
from medimg.inference.seen import NOT_CHECKED
from medimg.progress import Progress

#: Batches that wait, preprocessed, for the network.
_DEPTH = 2


class Batch(NamedTuple):
    """Row numbers of cases, their integers (B, C, [D,] H, W) and, where asked for, the hashes."""

    rows: list[int]
    integers: Integers
    hashes: list[str]


class Refused(NamedTuple):
    """The row number of a case that cannot be read, and why."""

    row: int
    refusal: Refusal


def predict_into(
    journal: Journal, bundle: ModelBundle, maker: RowMaker, todo: Sequence[int], device: str
) -> None:
    """Predict the cases `todo`; each is in the journal as soon as its batch is done.

    Decoding and preprocessing run ahead in a thread while the network works. Batches are cut
    from the readable cases in the manifest's order, so that a run that was stopped behind a
    whole batch goes on with the very batches that it would have had. Pictures are hashed there
    too, where somebody can tell by it whether they made the model.

    Parameters
    ----------
    maker : RowMaker
        Of the manifest that `todo` counts in.

    Raises
    ------
    BundleError
        The network gives numbers that are not finite.
    """
    check = checker(bundle.members)
    found = entries(maker.manifest, todo, bundle.preprocess, hashed=check is not None)
    with (
        bundle.running(device) as network,
        ahead(found, _DEPTH) as read,
        Progress("predicting", len(todo), "cases") as progress,
    ):
        for entry in read:
            if isinstance(entry, Refused):
                journal.refuse(maker.stamps[entry.row], entry.refusal)
                progress.advance(1)
            else:
                told = [NOT_CHECKED] * len(entry.rows)
                if check is not None:
                    told = check.pictures(entry.hashes)
                journal.add(maker.predicted(entry.rows, network(entry.integers), told))
                progress.advance(len(entry.rows))


def entries(
    manifest: Manifest, todo: Sequence[int], preprocess: Preprocess, *, hashed: bool
) -> Iterator[Batch | Refused]:
    """Yield the cases of `todo` in batches, and each that cannot be read by itself."""
    cases, ids, root = manifest.cases(), manifest.case_id, manifest.root
    length = batch_length(preprocess.shape)
    rows: list[int] = []
    held: list[Integers] = []

    def batch() -> Batch:
        integers = np.stack(held)
        return Batch(rows, integers, picture_hashes(integers) if hashed else [])

    with contextlib.closing(read_cases(root, (cases[r] for r in todo), preprocess.dicom)) as read:  # type: ignore[type-var]
        for row, pixels in zip(todo, read, strict=True):
            try:
                if isinstance(pixels, PixelError):
                    raise pixels
                held.append(preprocess.apply(pixels))
            except PixelError as error:
                source, frame, _ = cases[row]
                yield Refused(row, Refusal.of(error, ids[row], frame, "decode", root, source))
                continue
            rows.append(row)
            if len(rows) == length:
                yield batch()
                rows, held = [], []
    if rows:
        yield batch()
