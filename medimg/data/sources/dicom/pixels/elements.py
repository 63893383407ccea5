"""Values of elements, read strictly: a number that is malformed is refused by its keyword.

pydicom's own conversion warns, guesses or raises half a dozen types of errors. What the pixels
need is numbers, a few codes, sequences and tables, and these are read here from the raw bytes.
"""

from __future__ import annotations

import math
import re
from functools import cache
from io import BytesIO
from struct import unpack_from
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.charset import default_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filereader import read_sequence
from pydicom.tag import BaseTag

from medimg.errors import PixelError

#: VR -> numpy type; 16-bit words where a table stands as OW.
_BINARY = {
    "US": "u2",
    "SS": "i2",
    "UL": "u4",
    "SL": "i4",
    "UV": "u8",
    "SV": "i8",
    "FL": "f4",
    "FD": "f8",
    "OW": "u2",
    "OF": "f4",
    "OD": "f8",
    "OV": "u8",
}
#: PS3.5 6.2: DS is fixed or floating point, IS an integer; both may be padded with spaces.
_DECIMAL = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?\d{1,12}(\.0*)?")


@cache
def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword!r} is no keyword of the standard")
    return BaseTag(tag)


@cache
def _standard_vr(keyword: str) -> str:
    return dictionary_VR(_tag(keyword))


def header(message: str, remedy: str = "mend the header, or leave the file out") -> PixelError:
    """Return the refusal of an element that is missing, malformed or contradictory."""
    return PixelError("header", message, remedy=remedy)


def has(dataset: pydicom.Dataset, keyword: str) -> bool:
    """Return whether the element is there with a value."""
    element: Any = dataset.get_item(_tag(keyword))
    if element is None:
        return False
    value = element.value
    if isinstance(value, bytes):
        return (
            bool(value.strip(b"\0 "))
            if _standard_vr(keyword) in ("DS", "IS", "CS")
            else bool(value)
        )
    return value is not None and value != "" and value != []


def numbers(dataset: pydicom.Dataset, keyword: str) -> tuple[float, ...]:
    """Return the numbers of an element, in the signedness of its VR; () where it has none.

    Raises
    ------
    PixelError
        ``header``: not a number of its VR (PS3.5 6.2), or not finite.
    """
    element: Any = dataset.get_item(_tag(keyword))
    if element is None or element.value is None:
        return ()
    if not isinstance(element.value, bytes):
        found = _converted(element.value, keyword)
    else:
        vr = element.VR if element.VR in _BINARY or element.VR in ("DS", "IS") else None
        vr = vr or _standard_vr(keyword).removesuffix(" or SS").removesuffix(" or OW")
        if vr in ("DS", "IS"):
            found = _texts(element.value, vr, keyword)
        else:
            found = _words(element.value, vr, element.is_little_endian, keyword)
    if not all(map(math.isfinite, found)):
        raise header(f"{keyword} is not finite")
    return found


def _converted(value: Any, keyword: str) -> tuple[float, ...]:
    """Return the numbers of an element that pydicom has converted already."""
    many = value if isinstance(value, list | tuple | pydicom.multival.MultiValue) else [value]
    try:
        return tuple(float(v) for v in many)
    except (TypeError, ValueError):
        raise header(f"{keyword} is no number") from None


def _texts(value: bytes, vr: str, keyword: str) -> tuple[float, ...]:
    text = value.decode("latin-1").strip("\0 ")
    if not text:
        return ()
    lawful = _INTEGER if vr == "IS" else _DECIMAL
    parts = [part.strip() for part in text.split("\\")]
    if not all(lawful.fullmatch(part) for part in parts):
        raise header(f"{keyword} is no number of VR {vr}")
    return tuple(float(part) for part in parts)


def _words(value: bytes, vr: str, little: bool, keyword: str) -> tuple[float, ...]:
    kind = np.dtype(_BINARY[vr]).newbyteorder("<" if little else ">")
    if len(value) % kind.itemsize:
        raise header(f"{keyword} has {len(value)} bytes, which are no whole values")
    return tuple(float(v) for v in np.frombuffer(value, kind))


def number(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """Return the one number of an element; None where it is absent or empty.

    Raises
    ------
    PixelError
        ``header``: malformed, or several values where the standard has one.
    """
    found = numbers(dataset, keyword)
    if len(found) > 1:
        raise header(f"{keyword} has {len(found)} values where one is lawful")
    return found[0] if found else None


def whole(dataset: pydicom.Dataset, keyword: str) -> int | None:
    """Return the one whole number of an element; None where it is absent or empty."""
    value = number(dataset, keyword)
    if value is None:
        return None
    if value != int(value):
        raise header(f"{keyword} is {value}, no whole number")
    return int(value)


def code(dataset: pydicom.Dataset, keyword: str) -> str:
    """Return the first value of a code string or UID; "" where it is absent or empty.

    For comparison only: it may be anything that somebody typed.
    """
    element: Any = dataset.get_item(_tag(keyword))
    if element is None or element.value is None:
        return ""
    value = element.value
    if isinstance(value, bytes):
        return value.decode("latin-1").split("\\")[0].strip("\0 ")
    if isinstance(value, list | tuple | pydicom.multival.MultiValue):
        value = value[0] if len(value) else ""
    return str(value).strip("\0 ")


def items(dataset: pydicom.Dataset, keyword: str) -> list[pydicom.Dataset]:
    """Return the items of a sequence; [] where it is absent or empty (PS3.5 7.5).

    One that somebody copied without knowing it stands as UN: its items are in implicit little
    endian (PS3.5 6.2.2), or as they were before.

    Raises
    ------
    PixelError
        ``header``: there is something, and it is no sequence.
    """
    tag = _tag(keyword)
    raw: Any = dataset.get_item(tag)
    if raw is None:
        return []
    value = raw.value
    if isinstance(value, bytes):
        if not value:
            return []
        unknown = raw.VR == "UN"
        if raw.VR not in ("SQ", "UN", None) or not _are_items(
            value, little=unknown or raw.is_little_endian
        ):
            raise header(f"{keyword} is no sequence")
        if unknown:
            # Told that it is explicit, pydicom looks, item by item.
            return list(read_sequence(BytesIO(value), False, True, len(value), default_encoding))
        value = dataset[tag].value
    if isinstance(value, pydicom.Sequence):
        return list(value)
    if value:
        raise header(f"{keyword} is no sequence")
    return []


def _are_items(value: bytes, *, little: bool) -> bool:
    """Return whether bytes are items one after the other, up to the first of undefined length."""
    position = 0
    while position < len(value):
        if position + 8 > len(value):
            return False
        group, element, length = unpack_from("<HHL" if little else ">HHL", value, position)
        if group != 0xFFFE or element not in (0xE000, 0xE0DD):
            return False
        if element == 0xE0DD or length == 0xFFFFFFFF:
            return True
        position += 8 + length
    return position == len(value)


def words(dataset: pydicom.Dataset, keyword: str, *, little: bool) -> NDArray[np.uint16] | None:
    """Return the 16-bit words of a table (OW, US or SS); None where it is absent.

    Parameters
    ----------
    little : bool
        The byte order of the transfer syntax: pydicom keeps OW as it stands in the file.

    Returns
    -------
    uint16 (N,)
        In the byte order of the machine.
    """
    element: Any = dataset.get_item(_tag(keyword))
    if element is None or element.value is None:
        return None
    value = element.value
    if isinstance(value, bytes):
        if len(value) % 2:
            value += b"\0"
        return np.frombuffer(value, "<u2" if little else ">u2").astype(np.uint16)
    many = [value] if isinstance(value, int) else list(value)
    try:
        return np.asarray([int(v) & 0xFFFF for v in many], np.uint16)
    except (TypeError, ValueError):
        raise header(f"{keyword} is no table of numbers") from None


def signed16(value: float, *, signed: bool) -> int:
    """Return a 16-bit value in the signedness it is meant in, whatever VR it was written with.

    Many writers put US where SS is meant: 63536 for -2000 (PS3.3 C.7.6.3, "US or SS").
    """
    pattern = int(value) & 0xFFFF
    return pattern - 0x10000 if signed and pattern & 0x8000 else pattern
