"""DICOM data sets as bytes, written by hand: what a library would refuse to write can be written.

A data set is a mapping. Its keys are keywords, or tags as integers; its values

- bytes: put there as they are (padded to an even length), whatever the element wants;
- numbers, text, or sequences of these: encoded as the element's value representation says;
- arrays: their bytes, in the byte order of the file;
- sequences of mappings: the items of a sequence;
- ``(VR, value)`` for a tag that no dictionary knows, or to write another representation;
- None: the element is left out. An empty string or sequence: an element without a value.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

DataSet = Mapping[str | int, Any]
Elements = dict[str | int, Any]
#: keyword -> (tag, VR); a parameter, so that this file needs no dictionary of its own.
LookUp = Callable[[str | int], tuple[int, str]]

#: PS3.5 section 7.1.2: two reserved bytes and a length of four.
_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_BINARY |= {"AT": "HH", "OB": "B", "OW": "H", "OF": "f", "OD": "d"}
_TEXT = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI")
_ITEM = (0xFFFE, 0xE000)


class Encapsulated(bytes):
    """Pixel data in fragments: an element of undefined length (PS3.5 annex A.4)."""


def encode(
    dataset: DataSet, look_up: LookUp, *, implicit: bool = False, big: bool = False
) -> bytes:
    """Return a data set's elements in the order of their tags (PS3.5 section 7.1)."""
    rows = []
    for key, value in dataset.items():
        if value is not None:
            tag, vr = look_up(key)
            if isinstance(value, tuple) and len(value) == 2 and _is_vr(value[0]):
                vr, value = value
            rows.append((tag, _settled(vr, value), value))
    out = bytearray()
    for tag, vr, value in sorted(rows, key=lambda row: row[0]):
        if vr == "SQ" and not isinstance(value, bytes):
            data = b"".join(
                _head(_ITEM, "", len(body), True, big) + body
                for body in (encode(d, look_up, implicit=implicit, big=big) for d in value)
            )
        else:
            data = _value(vr, value, big)
        length = 0xFFFFFFFF if isinstance(value, Encapsulated) else len(data)
        out += _head((tag >> 16, tag & 0xFFFF), vr, length, implicit, big) + data
    return bytes(out)


def encapsulate(frames: Sequence[bytes]) -> Encapsulated:
    """Return frames as one fragment each after a filled offset table (PS3.5 annex A.4)."""
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    starts = np.cumsum([0, *(len(frame) + 8 for frame in padded)])[:-1].astype("<u4").tobytes()
    items = [_head(_ITEM, "", len(item), True, False) + item for item in (starts, *padded)]
    return Encapsulated(b"".join(items) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))


def _head(tag: tuple[int, int], vr: str, length: int, implicit: bool, big: bool) -> bytes:
    order = ">" if big else "<"
    if implicit:
        return struct.pack(f"{order}HHI", *tag, length)
    if vr in _LONG:
        return struct.pack(f"{order}HH2sHI", *tag, vr.encode(), 0, length)
    return struct.pack(f"{order}HH2sH", *tag, vr.encode(), length)


def _is_vr(value: object) -> bool:
    return value in _LONG or value in _BINARY or value in _TEXT


def _settled(vr: str, value: Any) -> str:
    """Return one VR where the dictionary names two: SS where a value is negative."""
    if " or " not in vr:
        return vr
    if isinstance(value, Encapsulated):
        return "OB"
    if isinstance(value, bytes | np.ndarray):
        return "OW" if "OW" in vr else "US"
    return "SS" if "SS" in vr and min(_several(value), default=0) < 0 else "US"


def _several(value: Any) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        return [value]
    return list(value)


def _value(vr: str, value: Any, big: bool) -> bytes:
    order = ">" if big else "<"
    if isinstance(value, np.ndarray):
        data = value.astype(value.dtype.newbyteorder(order)).tobytes()
    elif isinstance(value, bytes):
        data = value
    elif vr in _BINARY:
        code = _BINARY[vr]
        pairs = [divmod(v, 1 << 16) if vr == "AT" else (v,) for v in _several(value)]
        data = b"".join(struct.pack(order + code, *pair) for pair in pairs)
    else:
        data = "\\".join(_text(vr, v) for v in _several(value)).encode()
    pad = b" " if vr not in _BINARY and vr not in ("UI", "UN", "SQ") else b"\0"
    return data + pad * (len(data) % 2)


def _text(vr: str, value: Any) -> str:
    """Return a value as text; a decimal string has 16 characters at the most."""
    if vr != "DS" or isinstance(value, str):
        return str(value)
    text = repr(float(value)).removesuffix(".0")
    return text if len(text) <= 16 else f"{value:.9g}"
