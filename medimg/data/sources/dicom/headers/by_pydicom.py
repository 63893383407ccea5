"""The header of one file by pydicom: for whatever the walker does not fully understand."""

from __future__ import annotations

from struct import calcsize, iter_unpack
from typing import Any, NamedTuple

from pydicom import config
from pydicom.charset import decode_bytes
from pydicom.uid import UID
from pydicom.valuerep import TEXT_VR_DELIMS

from medimg.data.sources.dicom.headers.head import Read
from medimg.data.sources.dicom.headers.tags import DIRECTORY_RECORD_SEQUENCE, KEPT, SLOT, plain
from medimg.data.sources.dicom.pixels.dataset import corrupt, guarded, open_dataset
from medimg.errors import PixelError

#: What of a file is read before its pixels are found, at most; and what pydicom sees of it
#: first, for it makes an object of every element.
HEADER_CAP = 64 << 20
_PARTS = (1 << 20, 8 << 20, HEADER_CAP)
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_CHARSET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_SOP_CLASS, _ROWS = SLOT[KEPT["SOPClassUID"].tag], SLOT[KEPT["Rows"].tag]
_REPRESENTATION = SLOT[KEPT["PixelRepresentation"].tag]


class Header(NamedTuple):
    """The kept values of a file, and its kind: "image", "none", or "directory"."""

    values: list[str]
    kind: str


def read_header(data: bytes, size: int, read: Read) -> Header:
    """Return the header of one file by pydicom, which is always right about what it says.

    Parameters
    ----------
    data : bytes
        The first bytes of the file.
    size : int
        The size of the file.
    read : callable (offset, count) -> bytes

    Raises
    ------
    PixelError
        ``corrupt``, ``unknown_format``; ``too_large``: no pixels within `HEADER_CAP`.
    """
    for part in _PARTS:
        if len(data) < min(part, size):
            data = read(0, part)
        parsed = open_dataset(data, pixels=False)
        if parsed.pixels is not None or len(data) >= size:
            break
    else:
        raise PixelError(
            "too_large",
            f"the file has no pixels within its first {HEADER_CAP:,} bytes",
            remedy="remove its largest private elements",
        )
    with guarded():
        values = _values(parsed.dataset, parsed.transfer_syntax)
        if DIRECTORY_RECORD_SEQUENCE in parsed.dataset:
            return Header(values, "directory")
        uid = UID(values[_SOP_CLASS], config.IGNORE)  # its name is itself where it is unknown
        image = bool(parsed.pixels or values[_ROWS] or _is_image_class(uid.name))
        if not len(parsed.dataset) or (parsed.cut and (image or uid.name == uid)):
            raise corrupt("it ends within its header")
    return Header(values, "image" if image else "none")


def _values(dataset: Any, transfer_syntax: str) -> list[str]:
    values = [_text(dataset, kept.tag, kept.vr) for kept in KEPT.values()]
    values[0] = transfer_syntax
    padding = KEPT["PixelPaddingValue"]
    if values[_REPRESENTATION] == "1":
        values[SLOT[padding.tag]] = _text(dataset, padding.tag, "SS")
    return values


def _text(dataset: Any, tag: int, vr: str) -> str:
    """Return an element as the index keeps it; blank where it is absent or holds items.

    Made from the bytes as pydicom cut them out, so that a number keeps the digits it was
    written with, and what is no number stands there as it is.
    """
    element: Any = dataset.get_item(tag) if tag in dataset else None
    if element is None or element.value is None or element.VR == "SQ":
        return ""
    value = element.value
    if not isinstance(value, bytes):
        return plain(str(value))
    if element.VR not in (None, "UN"):
        vr = element.VR
    code = _NUMBERS.get("US" if vr == "US or SS" else vr)
    if code is not None and len(value) % calcsize("=" + code) == 0:
        order = "<" if element.is_little_endian else ">"
        return "\\".join([repr(number) for (number,) in iter_unpack(order + code, value)])
    return plain(_decoded(value, vr, dataset.original_character_set))


def _decoded(value: bytes, vr: str, encodings: Any) -> str:
    """Return text by its character set (PS3.5 6.1.2), else by the default of pydicom."""
    if vr not in _CHARSET_VRS:
        return value.decode("iso8859")
    return decode_bytes(
        value, [encodings] if isinstance(encodings, str) else encodings, TEXT_VR_DELIMS
    )


def _is_image_class(name: str) -> bool:
    """Whether a SOP class is one of images (PS3.4 B.5), going by its name in PS3.6 annex A."""
    ends = ("Image Storage", "RT Dose Storage", "Parametric Map Storage")
    return name.removesuffix(" (Retired)").endswith(ends) or name == "Segmentation Storage"
