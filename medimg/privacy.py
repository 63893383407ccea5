"""Keyed pseudonyms: the same patient gets the same name, and only the key's holder can check.

A pseudonym is HMAC-SHA-256 under a key of 256 random bits, cut to 128 bits, in base32
(RFC 2104, RFC 4648): 26 letters and digits. The key lies in the user's configuration folder
(mode 0600) and never in anything that is passed on.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medimg.errors import UsageError
from medimg.files import write_text

#: Base32 (RFC 4648 section 6).
_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", np.uint8)
#: 26 letters hold 130 bits, of which the last two are always zero.
_PSEUDONYM = re.compile("[A-Z2-7]{25}[AEIMQUY4]")


def key_path() -> Path:
    """Return where the key lies: `MEDIMG_KEY_FILE`, else the user's configuration folder."""
    named = os.environ.get("MEDIMG_KEY_FILE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "medimg" / "key"


def load_key(path: str | os.PathLike[str] | None = None) -> bytes:
    """Return the key's 32 bytes; a key that is not there yet is made (mode 0600).

    Raises
    ------
    UsageError
        The file holds no 64 hex digits.
    """
    path = Path(path) if path is not None else key_path()
    if not path.exists():
        _make_key(path)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} holds no pseudonym key", remedy="it must hold 64 hex digits; restore it"
        ) from error
    if len(key) != 32:
        raise UsageError(
            f"{path} holds a key of {8 * len(key)} bits", remedy="it must hold 64 hex digits"
        )
    return key


def held_key() -> bytes | None:
    """Return the key where there is one; none is made. See `load_key`."""
    path = key_path()
    return load_key(path) if path.exists() else None


def _make_key(path: Path) -> None:
    """Write a new key whole; where another process was faster, its key stays."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    write_text(fresh, secrets.token_hex(32) + "\n", mode=0o600)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()


def pseudonym(key: bytes, *parts: str) -> str:
    """Return the 26 letters and digits that stand for `parts` under `key`."""
    return pseudonyms(key, [parts])[0]


def pseudonyms(key: bytes, things: Sequence[Sequence[str]]) -> list[str]:
    """Return the `pseudonym` of the parts of each thing; many at once take half the time."""
    keyed, digests = hmac.new(key, digestmod="sha256"), []
    for parts in things:
        encoded = [part.encode() for part in parts]
        own = keyed.copy()
        own.update(b"".join([len(part).to_bytes(8, "big") + part for part in encoded]))
        digests.append(own.digest()[:16])
    bits = np.zeros((len(digests), 26 * 5), np.uint8)
    bits[:, :128] = np.unpackbits(np.frombuffer(b"".join(digests), np.uint8)).reshape(-1, 128)
    letters = _LETTERS[bits.reshape(-1, 26, 5) @ np.array([16, 8, 4, 2, 1], np.uint8)]
    names: list[str] = letters.view("S26").ravel().astype(str).tolist()
    return names


def is_pseudonym(text: str) -> bool:
    """Whether `text` has the form of a pseudonym; ids that people give out do not."""
    return _PSEUDONYM.fullmatch(text) is not None
