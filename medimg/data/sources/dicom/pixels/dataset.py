"""Bytes to a data set: file meta information, transfer syntax, elements, where the pixels are.

Everything here takes bytes and raises `PixelError` alone. No message holds a value of the
header that is not a number: patients' names stand in places where nobody expects them.
"""

from __future__ import annotations

import contextlib
import re
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any, NamedTuple

import pydicom
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from medimg.data.sources.dicom.headers.head import is_dicom
from medimg.data.sources.dicom.pixels.walk import PIXEL_TAGS, UNDEFINED, Head, head_at, walk
from medimg.data.sources.guard import INFLATION_CAP
from medimg.errors import PixelError

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"

_TRANSFER_SYNTAX = 0x00020010
#: A small deflated file may still inflate to this: a blank picture packs 1000 to 1.
_INFLATED_FLOOR = 64 << 20
_NUMBER = re.compile(r"[-+0-9.eE\\ ]{1,64}")


class PixelElement(NamedTuple):
    """Where the pixels stand: Pixel Data, Float or Double Float Pixel Data (PS3.5 8).

    `value` is what there is of them, up to `length` bytes; of undefined length (encapsulated)
    it goes on to the end of the data.
    """

    keyword: str
    vr: str | None
    length: int | None
    value: memoryview


class Parsed(NamedTuple):
    """A data set without its pixels, and these beside it.

    `cut` says that the data end inside an element before the pixels.
    """

    dataset: pydicom.Dataset
    transfer_syntax: str
    little_endian: bool
    pixels: PixelElement | None
    cut: bool


class _Encoding(NamedTuple):
    data: bytes
    start: int
    transfer_syntax: str
    implicit: bool
    little: bool


def open_dataset(data: bytes, *, pixels: bool = True) -> Parsed:
    """Return the data set of a DICOM file, with or without preamble (PS3.10 7.1).

    Parameters
    ----------
    data : bytes
        The whole file; with ``pixels=False`` its beginning is enough.
    pixels : bool
        Whether pixels are wanted: then only the groups that say what they mean are kept.
        Else all elements up to the pixels are kept, for a table of headers.

    Raises
    ------
    PixelError
        ``unknown_format``: no DICOM. ``corrupt``: damaged. ``too_large``: a deflated data set
        that inflates like a bomb. A file that has no pixels is not refused here.
    """
    with guarded():
        encoding = _encoding(data)
        found = walk(*encoding[:2], implicit=encoding.implicit, little=encoding.little)
        if found is not None and pixels:
            dataset = pydicom.Dataset({**found.elements})
            return _parsed(encoding, dataset, found.pixels, cut=found.cut)
        dataset, head = _by_pydicom(encoding)
        return _parsed(encoding, dataset, head, cut=found.cut if found else _cut(dataset, encoding))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Turn whatever is raised on the bytes of a file into `PixelError`, and hush warnings.

    The texts of pydicom's warnings and errors quote the header: neither is passed on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (PixelError, ImportError):
            raise
        except MemoryError:
            raise PixelError(
                "memory_limit",
                "the file needs more memory than a worker may have",
                remedy="give it smaller files, or raise the limit of the workers",
            ) from None
        except Exception as error:
            raise corrupt(f"{type(error).__name__} while it was read") from None


def corrupt(why: str) -> PixelError:
    """Return the refusal of damaged content."""
    return PixelError("corrupt", f"the file is damaged: {why}", remedy="copy or export it again")


def shown(value: object) -> str:
    """Return a header's value as a message may show it: numbers, never text."""
    text = str(value)
    return text if _NUMBER.fullmatch(text) else f"(a text of {len(text)} characters)"


def _encoding(data: bytes) -> _Encoding:
    """Return where the data set starts and how it is written (PS3.5 annex A, PS3.10 7.1)."""
    if not is_dicom(data):
        raise PixelError(
            "unknown_format", "the file is no DICOM", remedy="leave it out, or convert it"
        )
    start = 132 if data[128:132] == b"DICM" else 0
    syntax, start = _file_meta(data, start)
    if syntax == DEFLATED_LITTLE:
        data, start = _inflated(data, start), 0
    little = syntax != EXPLICIT_BIG
    vr = data[start + 4 : start + 6]
    implicit = not (vr.isalpha() and vr.isupper())  # what is there counts, not what is promised
    if not syntax:
        little = data[start : start + 1] != b"\0"  # the group of the first element is below 256
        syntax = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if little else EXPLICIT_BIG
    return _Encoding(data, start, syntax, implicit, little)


def _file_meta(data: bytes, position: int) -> tuple[str, int]:
    """Return the transfer syntax ("" where it is absent) and where the data set starts.

    Group 0002 is explicit little endian whatever follows (PS3.10 7.1); its group length is
    often wrong and not needed.
    """
    syntax = ""
    while data[position : position + 2] == b"\x02\0":
        head = head_at(data, position, implicit=False, little=True)
        if head is None:
            head = head_at(data, position, implicit=True, little=True)
        if head is None or head.length == UNDEFINED:
            raise corrupt("its file meta information cannot be read")
        position = head.start + head.length
        if head.tag == _TRANSFER_SYNTAX:
            syntax = data[head.start : position].decode("ascii", "replace").strip("\0 ")
    return syntax, position


def _inflated(data: bytes, start: int) -> bytes:
    """Return a deflated data set (PS3.5 A.5), as far as it goes; bombs are refused."""
    cap = max(_INFLATED_FLOOR, INFLATION_CAP * len(data))
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = machine.decompress(memoryview(data)[start:], cap + 1)
    if len(plain) > cap:
        raise PixelError(
            "too_large",
            f"{len(data):,} deflated bytes inflate to more than {cap:,}",
            remedy="store the file without compression",
        )
    return plain


def _by_pydicom(encoding: _Encoding) -> tuple[pydicom.Dataset, Head | None]:
    """Return the elements up to the pixels, as pydicom reads them, and where these stand."""
    stream = BytesIO(encoding.data)
    stream.seek(encoding.start)
    dataset = read_dataset(stream, encoding.implicit, encoding.little, stop_when=_at_pixels)
    position = stream.tell()
    head = head_at(
        encoding.data, position, implicit=encoding.implicit, little=encoding.little
    ) or head_at(encoding.data, position, implicit=True, little=encoding.little)
    return dataset, head if head is not None and head.tag in PIXEL_TAGS else None


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in PIXEL_TAGS


def _cut(dataset: pydicom.Dataset, encoding: _Encoding) -> bool:
    """Return whether the last element is shorter than it says."""
    last: Any = dataset.get_item(max(dataset.keys())) if len(dataset) else None
    return bool(last is not None and last.is_raw and len(last.value or b"") < last.length)


def _parsed(
    encoding: _Encoding, dataset: pydicom.Dataset, head: Head | None, *, cut: bool
) -> Parsed:
    pixels = None
    if head is not None:
        stop = None if head.length == UNDEFINED else head.start + head.length
        pixels = PixelElement(
            PIXEL_TAGS[head.tag],
            None if head.vr is None else head.vr.decode(),
            None if head.length == UNDEFINED else head.length,
            memoryview(encoding.data)[head.start : stop],
        )
    return Parsed(dataset, encoding.transfer_syntax, encoding.little, pixels, cut)
