"""The folder of a store: what it holds, and how what it lacks is decoded and added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd

from medimg.data.manifest import Manifest
from medimg.data.pixels import Pixels
from medimg.data.preprocess import Integers, Preprocess
from medimg.data.sources.formats import read_case, source_path
from medimg.errors import DataError, MedimgError, NothingReadable, PixelError, Refusal
from medimg.files import fingerprint, read_json, replacing, sha256_file, write_json
from medimg.progress import Progress
from medimg.tables import read_table, write_table

_PIXELS, _ROWS, _STORE = "pixels.npy", "rows.csv", "store.json"


class Key(NamedTuple):
    """What a case's pixels depend on, beside the preprocessing; all text."""

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


@dataclass
class Held:
    """What a store's folder holds; nothing where it was made otherwise or is damaged."""

    rows: pd.DataFrame
    preprocess: Preprocess | None = None
    pixels: Integers | None = None

    @classmethod
    def open(cls, folder: Path, wanted: Preprocess) -> Held:
        """Open a folder for a preprocessing."""
        columns = ["case_id", *Key._fields, "pixels_sha256"]
        nothing = cls(pd.DataFrame({c: [] for c in columns}, dtype=object))
        if not (folder / _STORE).is_file():
            return nothing
        try:
            about = read_json(folder / _STORE)
            if about["wanted"] != wanted.model_dump(mode="json"):
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
        frame = self.manifest.frame
        rows = zip(frame["case_id"], frame["source"], frame["frame"], strict=True)
        keys = self.held.keys()
        missing = [row for row in rows if not self._is_held(keys.get(row[0]), *row[1:])]
        decoded = self._decode(missing)
        first = next(decoded, None)
        if first is not None:
            self._write(folder, {row[0] for row in missing}, chain([first], decoded))
        if len(self.refusals) == len(self.manifest):
            raise NothingReadable(self.refusals)

    def _file(self, source: str) -> Key:
        """Return the key of a source's file, without frame and, at first, without SHA-256."""
        if source not in self._files:
            size = mtime = ""
            try:
                state = source_path(self.manifest.root, source)[0].stat()
                size, mtime = str(state.st_size), str(state.st_mtime_ns)
            except (OSError, PixelError):
                pass  # reading it will say what is wrong
            self._files[source] = Key(source, "", size, mtime, "")
        return self._files[source]

    def _hashed(self, source: str) -> Key:
        """Return the key of a source's file with its SHA-256, taken once."""
        key = self._file(source)
        if not key.sha256:
            path = source_path(self.manifest.root, source)[0]
            key = self._files[source] = key._replace(sha256=sha256_file(path))
        return key

    def _is_held(self, old: Key | None, source: str, frame: str) -> bool:
        if old is None or (old.source, old.frame) != (source, frame):
            return False
        new = self._file(source)
        if (new.size, new.mtime_ns) == (old.size, old.mtime_ns):
            return True
        return new.size == old.size and self._hashed(source).sha256 == old.sha256

    def _decode(self, missing: Sequence[tuple[str, str, str]]) -> Iterator[Decoded]:
        root = self.manifest.root
        with Progress("decoding", len(missing), "cases") as progress:
            for case_id, source, frame in missing:
                try:
                    integers = self._apply(case_id, read_case(root, source, frame))
                    key = self._hashed(source)._replace(frame=frame)
                except PixelError as error:
                    self.refusals.append(Refusal.of(error, case_id, frame, "decode", root))
                else:
                    yield Decoded(case_id, key, integers)
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
            for case_id, key, integers in decoded:
                writer.append(integers[None])
                values = (case_id, *key, pixel_hash(integers))
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
                "format_version": 1,
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
