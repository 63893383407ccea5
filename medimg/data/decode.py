"""The folder of a store: what it holds, and how what it lacks is decoded and added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from medimg.data.manifest import Case, Manifest
from medimg.data.pixels import Pixels
from medimg.data.preprocess import Integers, Preprocess
from medimg.data.sources.formats import read_cases, source_path
from medimg.errors import DataError, MedimgError, NothingReadable, PixelError, Refusal
from medimg.files import fingerprint, read_json, replacing, sha256_file, write_json
from medimg.privacy import load_key, pseudonym
from medimg.progress import Progress
from medimg.tables import read_table, write_table

#: Goes up where the same file and preprocessing would give other integers.
_VERSION = 2
_PIXELS, _ROWS, _STORE = "pixels.npy", "rows.csv", "store.json"


class Key(NamedTuple):
    """What a case's pixels depend on, beside the preprocessing; all text.

    `source` is a keyed pseudonym where the id of the case does not name it; of a volume's files
    `size` is the sum, `mtime_ns` the latest and `sha256` that of theirs.
    """

    source: str
    frame: str
    size: str
    mtime_ns: str
    sha256: str


class Decoded(NamedTuple):
    """One case, decoded and preprocessed."""

    case_id: str
    key: Key
    integers: Integers
    steps: str


@dataclass
class Held:
    """What a store's folder holds; nothing where it was made otherwise or is damaged."""

    rows: pd.DataFrame
    preprocess: Preprocess | None = None
    pixels: Integers | None = None

    @classmethod
    def open(cls, folder: Path, wanted: Preprocess) -> Held:
        """Open a folder for a preprocessing."""
        columns = ["case_id", *Key._fields, "pixels_sha256", "steps"]
        nothing = cls(pd.DataFrame({c: [] for c in columns}, dtype=object))
        if not (folder / _STORE).is_file():
            return nothing
        try:
            about = read_json(folder / _STORE)
            if about["format_version"] != _VERSION or about["wanted"] != wanted.model_dump(
                mode="json"
            ):
                return nothing
            rows = read_table(folder / _ROWS)
            pixels = np.load(folder / _PIXELS, mmap_mode="c", allow_pickle=False)
            held = cls(rows, Preprocess.model_validate(about["preprocess"]), pixels)
        except (OSError, ValueError, KeyError, TypeError, MedimgError):
            return nothing
        whole = list(rows.columns) == columns and len(pixels) == len(rows)
        return held if whole else nothing

    def verify(self, folder: Path) -> None:
        """Hash the stored pixels again; a change raises `DataError`."""
        for row, expected in enumerate(self.hashes):
            assert self.pixels is not None
            if pixel_hash(self.pixels[row]) != expected:
                raise DataError(
                    f"{folder}: the stored pixels of {self.rows['case_id'].iloc[row]!r} changed",
                    remedy="remove that folder; it is made again",
                )

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of each row's pixels."""
        return list(self.rows["pixels_sha256"])

    def keys(self) -> dict[str, Key]:
        """Return the key of each case."""
        columns = [self.rows[name] for name in Key._fields]
        return {c: Key(*k) for c, *k in zip(self.rows["case_id"], *columns, strict=True)}


class Builder:
    """Decodes what is missing, and writes the folder anew where that brought anything."""

    def __init__(self, manifest: Manifest, preprocess: Preprocess, held: Held) -> None:
        self.manifest = manifest
        self.wanted = preprocess
        self.held = held
        self.preprocess = held.preprocess
        self.refusals: list[Refusal] = []
        self._files: dict[str, Key] = {}

    def run(self, folder: Path) -> None:
        """Bring the folder up to the manifest; what cannot be read stands in `refusals`."""
        keys = self.held.keys()
        rows = zip(self.manifest.case_id, self.manifest.cases(), strict=True)
        missing = [row for row in rows if not self._is_held(keys.get(row[0]), *row)]
        decoded = self._decode(missing)
        first = next(decoded, None)
        if first is not None:
            self._write(folder, {row[0] for row in missing}, chain([first], decoded))
        if len(self.refusals) == len(self.manifest):
            raise NothingReadable(self.refusals)

    @cached_property
    def _pseudonym_key(self) -> bytes:
        return load_key()

    def _file(self, source: str) -> Key:
        """Return the key of a file, at first without SHA-256."""
        if source not in self._files:
            size = mtime = ""
            try:
                state = source_path(self.manifest.root, source)[0].stat()
                size, mtime = str(state.st_size), str(state.st_mtime_ns)
            except (OSError, PixelError):
                pass  # reading it will say what is wrong
            self._files[source] = Key(source, "", size, mtime, "")
        return self._files[source]

    def _hashed_file(self, source: str) -> Key:
        """Return the key of a file with its SHA-256, taken once."""
        key = self._file(source)
        if not key.sha256:
            path = source_path(self.manifest.root, source)[0]
            key = self._files[source] = key._replace(sha256=sha256_file(path))
        return key

    def _key(self, case_id: str, case: Case, *, hashed: bool) -> Key:
        """Return the key of a case, with SHA-256 or without."""
        take = self._hashed_file if hashed else self._file
        keys = [take(source) for source in case.files or (case.source,)]
        name = case.source
        if not case_id.startswith(name):
            name = pseudonym(self._pseudonym_key, "sources", *(key.source for key in keys))
        if not case.files:
            return keys[0]._replace(source=name, frame=case.frame)
        size = str(sum(int(key.size or 0) for key in keys))
        mtime = max(keys, key=lambda key: int(key.mtime_ns or 0)).mtime_ns
        sums = fingerprint([key.sha256 for key in keys]) if hashed else ""
        return Key(name, case.frame, size, mtime, sums)

    def _is_held(self, old: Key | None, case_id: str, case: Case) -> bool:
        if old is None:
            return False
        new = self._key(case_id, case, hashed=False)
        if (old.source, old.frame, old.size) != (new.source, new.frame, new.size):
            return False
        return new.mtime_ns == old.mtime_ns or self._same_bytes(old, case_id, case)

    def _same_bytes(self, old: Key, case_id: str, case: Case) -> bool:
        try:
            return self._key(case_id, case, hashed=True).sha256 == old.sha256
        except OSError:
            return False  # reading it will say what is wrong

    def _decode(self, missing: Sequence[tuple[str, Case]]) -> Iterator[Decoded]:
        root = self.manifest.root
        read = read_cases(root, (case for _, case in missing), self.wanted.dicom)
        with Progress("decoding", len(missing), "cases") as progress:
            for (case_id, case), pixels in zip(missing, read, strict=True):
                try:
                    if isinstance(pixels, PixelError):
                        raise pixels
                    integers = self._apply(case_id, pixels)
                    key = self._key(case_id, case, hashed=True)
                except PixelError as error:
                    self.refusals.append(
                        Refusal.of(error, case_id, case.frame, "decode", root, case.source)
                    )
                else:
                    yield Decoded(case_id, key, integers, "; ".join(pixels.steps))
                progress.advance(1)

    def _apply(self, case_id: str, pixels: Pixels) -> Integers:
        if self.preprocess is None:
            self.preprocess = self.wanted.resolved(pixels)
        wanted, shape = self.wanted, pixels.array.shape
        taken = self.preprocess.shape
        for name, differs in (
            ("size", wanted.size is None and shape[1:] != taken[1:]),
            ("channels", wanted.channels is None and shape[0] != taken[0]),
        ):
            if differs:
                raise DataError(
                    f"pictures differ in {name}: {case_id!r} is {shape}, others {taken}",
                    remedy=f"set preprocess.{name}, for example "
                    + ("[224, 224]" if name == "size" else "1 (grey) or 3 (RGB)"),
                )
        return self.preprocess.apply(pixels)

    def _write(self, folder: Path, again: set[str], decoded: Iterable[Decoded]) -> None:
        """Write what is held but for the cases of `again`, then what is decoded."""
        kept = np.flatnonzero(~self.held.rows["case_id"].isin(again).to_numpy())
        rows = {str(c): list(values) for c, values in self.held.rows.iloc[kept].items()}
        with replacing(folder / _PIXELS) as temporary, temporary.open("rb+") as handle:
            writer = _NpyWriter(handle)
            for start in range(0, len(kept), 256):
                assert self.held.pixels is not None
                writer.append(self.held.pixels[kept[start : start + 256]])
            for case_id, key, integers, steps in decoded:
                writer.append(integers[None])
                values = (case_id, *key, pixel_hash(integers), steps)
                for column, value in zip(rows, values, strict=True):
                    rows[column].append(value)
            writer.close()
            (folder / _STORE).unlink(missing_ok=True)
        write_table(folder / _ROWS, rows)
        assert self.preprocess is not None
        write_json(
            folder / _STORE,
            {
                "format": "medimg.store",
                "format_version": _VERSION,
                "wanted": self.wanted.model_dump(mode="json"),
                "preprocess": self.preprocess.model_dump(mode="json"),
            },
        )


class _NpyWriter:
    """An npy file that grows row by row.

    Written with ordinary writes and not through a memory map, so that a full disk is an error
    and not a SIGBUS. numpy pads the header so that its first axis may grow in place.
    """

    def __init__(self, handle: BinaryIO) -> None:
        self.handle, self.count = handle, 0
        self.like: Integers | None = None

    def append(self, rows: Integers) -> None:
        """Write rows (R, C, [D,] H, W), all of one shape and type."""
        if self.like is None:
            self.like = rows[:1]
            self._header()
        self.handle.write(np.ascontiguousarray(rows).tobytes())
        self.count += len(rows)

    def close(self) -> None:
        """Write the final header."""
        self.handle.seek(0)
        self._header()
        self.handle.flush()

    def _header(self) -> None:
        assert self.like is not None
        about: dict[str, Any] = {
            "shape": (self.count, *self.like.shape[1:]),
            "fortran_order": False,
            "descr": np.lib.format.dtype_to_descr(self.like.dtype),
        }
        np.lib.format.write_array_header_1_0(self.handle, about)


def pixel_hash(integers: Integers) -> str:
    """Return the SHA-256 of one case's shape and integers."""
    return fingerprint(list(integers.shape), integers.tobytes())
