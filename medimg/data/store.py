"""`ImageStore`: every case decoded and preprocessed once, kept as one memory-mapped array.

A store is a folder: `pixels.npy` (N, C, [D,] H, W), `rows.csv` (which row is which case, by
source, size, modification time and SHA-256) and `store.json`, written last. A new split or
label decodes nothing again; new cases are appended.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.decode import Builder, Held
from medimg.data.ids import plain_ids, study_ids
from medimg.data.manifest import COLUMNS, Manifest
from medimg.data.preprocess import Integers, Preprocess
from medimg.errors import Refusal
from medimg.files import fingerprint, lock
from medimg.privacy import load_key, pseudonyms

#: Metadata that go beyond the manifest unasked: they tell groups apart and name nobody.
PLAIN_METADATA = ("site", "sex", "age", "modality", "view", "laterality")


@dataclass(frozen=True, eq=False)
class ImageStore:
    """Preprocessed pixels beside the manifest that they belong to.

    Parameters
    ----------
    manifest : Manifest
        The cases that could be read; patients by pseudonym.
    pixels : uint8 or uint16 (M, C, [D,] H, W)
        Memory-mapped; may hold more cases than the manifest.
    index : int (N,)
        The row of `pixels` of each case of the manifest.
    preprocess : Preprocess
        Resolved: with size and channels.
    pixel_hash : sequence of str (N,)
        SHA-256 of each case's integers.
    refusals : list of Refusal
        The cases that could not be read; they are absent above.
    """

    manifest: Manifest
    pixels: Integers
    index: NDArray[np.int64]
    preprocess: Preprocess
    pixel_hash: NDArray[Any]
    refusals: list[Refusal] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, [D,] H, W) of one case."""
        return tuple(self.pixels.shape[1:])

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of cases, targets, splits and pixels."""
        return fingerprint(
            self.manifest.fingerprint, list(self.pixel_hash), self.preprocess.model_dump()
        )

    def read(self, rows: NDArray[np.integer[Any]]) -> Integers:
        """Return the integers (len(rows), C, [D,] H, W) of rows of the manifest, copied."""
        picked = self.index[rows]
        start = int(picked[0]) if len(picked) else 0
        if np.array_equal(picked, np.arange(start, start + len(picked))):
            return np.array(self.pixels[start : start + len(picked)])
        return np.asarray(self.pixels[picked])

    @classmethod
    def build(
        cls,
        manifest: Manifest,
        preprocess: Preprocess,
        folder: str | os.PathLike[str],
        *,
        keep_ids: bool = False,
        metadata: Collection[str] = (),
        verify: bool = False,
    ) -> ImageStore:
        """Open the store in `folder`, decoding the cases that it does not hold yet.

        Parameters
        ----------
        keep_ids : bool
            Keep patient and study ids and every column of metadata as they are; else ids
            become keyed pseudonyms, and of the metadata `PLAIN_METADATA` alone goes on.
        metadata : collection of str
            Further columns of metadata that name nobody and go on.
        verify : bool
            Hash the stored pixels again; a change raises.

        Raises
        ------
        DataError
            Not one case could be read, or sizes differ where `preprocess.size` is open.
        """
        folder = Path(folder)
        with lock(folder, wait=True):
            held = Held.open(folder, preprocess)
            if verify:
                held.verify(folder)
            builder = Builder(manifest, preprocess, held)
            builder.run(folder)
            held = Held.open(folder, preprocess)
        if not keep_ids:
            manifest = with_pseudonyms(manifest, metadata)
        return cls._join(manifest, held, builder.refusals)

    @classmethod
    def _join(cls, manifest: Manifest, held: Held, refusals: list[Refusal]) -> ImageStore:
        assert held.preprocess is not None and held.pixels is not None
        refused = {r.case_id for r in refusals}
        kept = manifest.take(np.array([c not in refused for c in manifest.case_id]))
        row_of = {case_id: row for row, case_id in enumerate(held.rows["case_id"])}
        index = np.array([row_of[case_id] for case_id in kept.case_id], np.int64)
        hashes = np.asarray(held.hashes, object)[index]
        return cls(kept, held.pixels, index, held.preprocess, hashes, refusals)


def with_pseudonyms(manifest: Manifest, metadata: Collection[str] = ()) -> Manifest:
    """Return the manifest with patient and study ids replaced by keyed pseudonyms.

    Ids that `medimg.data.ids.plain_id` takes for one get one pseudonym; a word for none, and the
    number of a study within a patient that is not known, become blank. The pseudonym of a study
    that is numbered within its patient is made of both, so that it is unique as any other.
    Of the metadata the columns `PLAIN_METADATA` and `metadata` stay; any other may name people.
    """
    known = {*COLUMNS, *PLAIN_METADATA, *metadata}
    stay = [c for c in manifest.frame if c in known or str(c).casefold() in PLAIN_METADATA]
    frame = manifest.frame[stay]
    patient, study = frame["patient_id"], frame["study_id"]
    plain = {"patient_id": plain_ids(patient), "study_id": study_ids(study, patient)}
    if any((ids != "").any() for ids in plain.values()):
        key = load_key()
        plain = {c: np.array(_pseudonyms(key, c, ids), object) for c, ids in plain.items()}
    return replace(manifest, frame=frame.assign(**plain))


def patient_pseudonyms(key: bytes, ids: Sequence[str]) -> list[str]:
    """Return the pseudonym of each patient id under `key`; of one that names nobody a blank.

    Parameters
    ----------
    ids : sequence of str
        As they are; those that `medimg.data.ids.plain_id` takes for one get one pseudonym.
    """
    return _pseudonyms(key, "patient_id", plain_ids(ids))


def _pseudonyms(key: bytes, column: str, plain: NDArray[Any]) -> list[str]:
    named = sorted(set(plain) - {""})
    names = dict(zip(named, pseudonyms(key, [(column, i) for i in named]), strict=True))
    return [names.get(identifier, "") for identifier in plain]
