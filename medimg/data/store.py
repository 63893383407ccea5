"""`ImageStore`: every case decoded and preprocessed once, kept as one memory-mapped array.

A store is a folder: `pixels.npy` (N, C, [D,] H, W), `rows.csv` (which row is which case, by
source, size, modification time and SHA-256) and `store.json`, written last. A new split or
label decodes nothing again; new cases are appended.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg.data.manifest import Manifest
from medimg.data.pixels import Pixels
from medimg.data.preprocess import Integers, Preprocess
from medimg.data.sources.formats import read_case, source_path
from medimg.errors import DataError, PixelError, Refusal
from medimg.files import fingerprint, lock, read_json, replacing, sha256_file, write_json
from medimg.privacy import load_key, pseudonym
from medimg.progress import Progress
from medimg.tables import read_table, write_table

_PIXELS, _ROWS, _STORE = "pixels.npy", "rows.csv", "store.json"


class _Key(NamedTuple):
    """What a case's pixels depend on, beside the preprocessing."""

    source: str
    size: str
    mtime_ns: str
    sha256: str


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
        verify: bool = False,
    ) -> ImageStore:
        """Open the store in `folder`, decoding the cases that it does not hold yet.

        Parameters
        ----------
        keep_ids : bool
            Keep patient and study ids as they are; else they become keyed pseudonyms.
        verify : bool
            Hash the sources and the stored pixels again.

        Raises
        ------
        DataError
            Not one case could be read, or sizes differ where `preprocess.size` is open.
        """
        folder = Path(folder)
        with lock(folder, wait=True):
            held = _Held.open(folder, preprocess, verify)
            builder = _Builder(manifest, preprocess, held)
            builder.run(folder)
            held = _Held.open(folder, preprocess, verify=False)
        return cls._join(manifest, held, builder.refusals, keep_ids)

    @classmethod
    def _join(
        cls, manifest: Manifest, held: _Held, refusals: list[Refusal], keep_ids: bool
    ) -> ImageStore:
        assert held.preprocess is not None and held.pixels is not None
        refused = {r.case_id for r in refusals}
        kept = manifest.take(np.array([c not in refused for c in manifest.case_id]))
        row_of = {case_id: row for row, case_id in enumerate(held.rows["case_id"])}
        index = np.array([row_of[case_id] for case_id in kept.case_id], np.int64)
        hashes = np.asarray(held.hashes, object)[index]
        if not keep_ids:
            kept = with_pseudonyms(kept)
        return cls(kept, held.pixels, index, held.preprocess, hashes, refusals)


def with_pseudonyms(manifest: Manifest) -> Manifest:
    """Return the manifest with patient and study ids replaced by keyed pseudonyms."""
    for column in ("patient_id", "study_id"):
        ids = manifest.frame[column].to_numpy()
        named = sorted(set(ids) - {""})
        if named:
            key = load_key()
            names = {i: pseudonym(key, column, i) for i in named} | {"": ""}
            manifest = manifest.with_column(column, np.array([names[i] for i in ids], object))
    return manifest


@dataclass
class _Held:
    """What a store's folder holds already; empty where it was made with another `Preprocess`."""

    rows: pd.DataFrame
    preprocess: Preprocess | None = None
    pixels: Integers | None = None

    @classmethod
    def open(cls, folder: Path, wanted: Preprocess, verify: bool) -> _Held:
        columns = ["case_id", *_Key._fields, "pixels_sha256"]
        nothing = cls(pd.DataFrame({c: [] for c in columns}, dtype=object))
        if not (folder / _STORE).is_file():
            return nothing
        about = read_json(folder / _STORE)
        if about["wanted"] != wanted.model_dump(mode="json"):
            return nothing
        rows = read_table(folder / _ROWS)
        pixels = np.load(folder / _PIXELS, mmap_mode="c", allow_pickle=False)
        if len(pixels) != len(rows):
            return nothing
        held = cls(rows, Preprocess.model_validate(about["preprocess"]), pixels)
        if verify:
            held._verify(folder)
        return held

    def _verify(self, folder: Path) -> None:
        assert self.pixels is not None
        for row, expected in enumerate(self.hashes):
            if _pixel_hash(self.pixels[row]) != expected:
                raise DataError(
                    f"{folder}: the stored pixels of {self.rows['case_id'].iloc[row]!r} changed",
                    remedy="remove that folder; it is made again",
                )

    @property
    def hashes(self) -> list[str]:
        return list(self.rows["pixels_sha256"])

    def keys(self) -> dict[str, _Key]:
        columns = [self.rows[name] for name in _Key._fields]
        return {c: _Key(*k) for c, *k in zip(self.rows["case_id"], *columns, strict=True)}


class _Builder:
    """Decodes what is missing and writes the folder anew where anything was."""

    def __init__(self, manifest: Manifest, preprocess: Preprocess, held: _Held) -> None:
        self.manifest = manifest
        self.wanted = preprocess
        self.held = held
        self.preprocess = held.preprocess
        self.refusals: list[Refusal] = []
        self._keys: dict[str, _Key] = {}
        self._held_keys = held.keys()

    def run(self, folder: Path) -> None:
        frame = self.manifest.frame
        rows = zip(frame["case_id"], frame["source"], frame["frame"], strict=True)
        missing = [(c, s, f) for c, s, f in rows if not self._is_held(c, s)]
        if missing:
            self._write(folder, missing)
        if len(self.refusals) == len(self.manifest):
            codes = Counter(r.code for r in self.refusals)
            raise DataError(
                f"none of {len(self.manifest)} cases could be read ({dict(codes)}); "
                f"the first: {self.refusals[0].message}",
                remedy=self.refusals[0].remedy,
            )

    def _key(self, source: str) -> _Key:
        """Return the key of a source's file, hashing it once."""
        if source not in self._keys:
            try:
                path, _ = source_path(self.manifest.root, source)
                state = path.stat()
                key = _Key(source, str(state.st_size), str(state.st_mtime_ns), "")
            except (OSError, PixelError):
                key = _Key(source, "", "", "")
            self._keys[source] = key
        return self._keys[source]

    def _is_held(self, case_id: str, source: str) -> bool:
        old = self._held_keys.get(case_id)
        if old is None:
            return False
        new = self._key(source)
        if new[:3] == old[:3]:
            return True
        return new[:2] == old[:2] and self._hashed(source).sha256 == old.sha256

    def _hashed(self, source: str) -> _Key:
        key = self._key(source)
        if not key.sha256:
            path, _ = source_path(self.manifest.root, source)
            key = self._keys[source] = key._replace(sha256=sha256_file(path))
        return key

    def _write(self, folder: Path, missing: Sequence[tuple[str, str, str]]) -> None:
        (folder / _STORE).unlink(missing_ok=True)
        again = {c for c, _, _ in missing}
        kept = np.flatnonzero(~self.held.rows["case_id"].isin(again).to_numpy())
        rows = {str(c): list(values) for c, values in self.held.rows.iloc[kept].items()}
        with replacing(folder / _PIXELS) as temporary, temporary.open("rb+") as handle:
            writer: _NpyWriter | None = None
            if len(kept):
                assert self.held.pixels is not None
                writer = _NpyWriter(handle, self.held.pixels.shape[1:], self.held.pixels.dtype)
                for start in range(0, len(kept), 256):
                    writer.append(self.held.pixels[kept[start : start + 256]])
            for case_id, source, integers in self._decode(missing):
                writer = writer or _NpyWriter(handle, integers.shape, integers.dtype)
                writer.append(integers[None])
                values = (case_id, *self._hashed(source), _pixel_hash(integers))
                for column, value in zip(rows, values, strict=True):
                    rows[column].append(value)
            if writer is None:
                return
            writer.close()
        write_table(folder / _ROWS, rows)
        assert self.preprocess is not None
        write_json(
            folder / _STORE,
            {
                "format": "medimg.store",
                "format_version": 1,
                "wanted": self.wanted.model_dump(mode="json"),
                "preprocess": self.preprocess.model_dump(mode="json"),
            },
        )

    def _decode(
        self, missing: Sequence[tuple[str, str, str]]
    ) -> Iterator[tuple[str, str, Integers]]:
        with Progress("decoding", len(missing), "cases") as progress:
            for case_id, source, frame in missing:
                try:
                    integers = self._apply(case_id, read_case(self.manifest.root, source, frame))
                    self._hashed(source)
                except PixelError as error:
                    self.refusals.append(
                        Refusal(case_id, frame, "decode", error.code, error.message, error.remedy)
                    )
                else:
                    yield case_id, source, integers
                progress.advance(1)

    def _apply(self, case_id: str, pixels: Pixels) -> Integers:
        if self.preprocess is None:
            self.preprocess = self.wanted.resolved(pixels)
        if self.wanted.size is None and pixels.array.shape[1:] != self.preprocess.shape[1:]:
            raise DataError(
                f"pictures differ in size: {case_id!r} is {pixels.array.shape[1:]}, others "
                f"{self.preprocess.shape[1:]}",
                remedy="set preprocess.size, for example [224, 224]",
            )
        return self.preprocess.apply(pixels)


class _NpyWriter:
    """An npy file that grows row by row.

    Written with ordinary writes and not through a memory map, so that a full disk is an error
    and not a SIGBUS. numpy pads the header so that its first axis may grow in place.
    """

    def __init__(self, handle: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.handle, self.shape, self.dtype, self.count = handle, shape, dtype, 0
        self._header()

    def _header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self.handle,
            {
                "shape": (self.count, *self.shape),
                "fortran_order": False,
                "descr": np.lib.format.dtype_to_descr(self.dtype),
            },
        )

    def append(self, rows: Integers) -> None:
        self.handle.write(np.ascontiguousarray(rows).tobytes())
        self.count += len(rows)

    def close(self) -> None:
        self.handle.seek(0)
        self._header()
        self.handle.flush()


def _pixel_hash(integers: Integers) -> str:
    return fingerprint(list(integers.shape), integers.tobytes())
