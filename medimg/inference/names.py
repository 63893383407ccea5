"""The names under which `Members` keeps things: keyed, and joined to no other pseudonym."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from medimg.data.decode import pixel_hash
from medimg.data.preprocess import Integers
from medimg.data.store import ImageStore, patient_pseudonyms
from medimg.privacy import is_pseudonym, pseudonym, pseudonyms

#: Letters kept of a pseudonym: 80 bits, so that a million members and a million scans have one
#: name in common by chance once in a trillion times, and the file is small.
_LETTERS = 16
#: Bytes of pictures that are looked at together.
_BYTES = 1 << 24


def key_id(key: bytes) -> str:
    """Return the name of a key, which tells it from others and nothing of it."""
    return pseudonym(key, "key")


def named(key: bytes, kind: str, texts: Iterable[str]) -> list[str]:
    """Return the name of each text; `kind` is ``picture``, ``patient`` or ``case``."""
    return [name[:_LETTERS] for name in pseudonyms(key, [("member", kind, t) for t in texts])]


def canonical(key: bytes, ids: Iterable[str]) -> list[str]:
    """Return patients' pseudonyms, of ids that may be such already; a blank where not known."""
    cells = list(ids)
    fresh = patient_pseudonyms(key, ["" if is_pseudonym(c) else c for c in cells])
    return [old if is_pseudonym(old) else new for new, old in zip(fresh, cells, strict=True)]


def picture_hashes(integers: Integers, known: Iterable[str] | None = None) -> list[str]:
    """Return the SHA-256 of pictures (B, C, [D,] H, W), and a blank for one of one single value.

    Empty frames of two sets are equal, and neither is a copy of the other.

    Parameters
    ----------
    known : iterable of str (B,), optional
        The hashes, where they are at hand.
    """
    flat = integers.reshape(len(integers), -1)
    blank = (flat == flat[:, :1]).all(axis=1)
    hashes = known if known is not None else [pixel_hash(one) for one in integers]
    return ["" if empty else text for empty, text in zip(blank, hashes, strict=True)]


def stored_hashes(store: ImageStore, rows: NDArray[np.intp]) -> list[str]:
    """Return `picture_hashes` of the `rows` of a store."""
    length = max(1, _BYTES // max(1, store.pixels.itemsize * int(np.prod(store.shape))))
    parts = (rows[start : start + length] for start in range(0, len(rows), length))
    return [t for own in parts for t in picture_hashes(store.read(own), store.pixel_hash[own])]
