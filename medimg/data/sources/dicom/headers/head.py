"""The first bytes of a file: is it DICOM, and what does its header say; without pydicom.

pydicom takes most of a millisecond to read a header, and an index reads a hundred thousand.
`walk` goes from element to element over one read of the file's head and picks out the kept
ones. It knows explicit and implicit little endian with printable ASCII values, and sequences
as far as it can step over them as pydicom does; for all else it returns None, and pydicom
decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from medimg.data.sources.dicom.headers.learn import Learner, elements_of
from medimg.data.sources.dicom.headers.lookup import (
    EXPLICIT,
    IMPLICIT,
    KEY,
    LONG,
    LONG_VRS,
    PADDING,
    PIXEL,
    RUN,
    SHORT_VRS,
    SIGNED,
    START,
    TEXTS,
    Unclear,
)
from medimg.data.sources.dicom.headers.skip import TooShort, after
from medimg.data.sources.dicom.headers.tags import KEPT, SLOT

#: What is read of a file first; the headers of CT slices are 2 to 8 KB.
CHUNK = 16 << 10
_CHUNKS = (CHUNK, 8 * CHUNK, 64 * CHUNK)
_NATIVE, _DEFLATED, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_BLANK = [""] * len(TEXTS)
_SYNTAX = SLOT[KEPT["TransferSyntaxUID"].tag]
_REPRESENTATION = SLOT[KEPT["PixelRepresentation"].tag]

#: (offset, count) -> bytes of a file
Read = Callable[[int, int], bytes]
_LEARNER = Learner()


def is_dicom(head: bytes) -> bool:
    """Return whether a file that begins so is DICOM (PS3.10 7.1).

    Without the preamble two plausible elements of group 0002 or 0008 must follow each other.
    """
    if head[128:132] == b"DICM":
        return True
    for little, group in ((True, head[:2]), (False, head[1::-1])):
        if group in (b"\x02\0", b"\x08\0"):
            first = _plausible(head, 0, little)
            if first and (first == len(head) or _plausible(head, first, little)):
                return True
    return False


def _plausible(head: bytes, position: int, little: bool) -> int:
    """Return where a short element of groups 0002 to 0010 ends, or 0 where there is none."""
    field = head[position : position + 12]
    order: Literal["little", "big"] = "little" if little else "big"
    if len(field) < 8 or not 2 <= int.from_bytes(field[:2], order) <= 0x10:
        return 0
    vr = field[4:6]
    if vr in SHORT_VRS:
        end = position + 8 + int.from_bytes(field[6:8], order)
    elif vr in LONG_VRS and field[6:8] == b"\0\0":
        end = position + 12 + int.from_bytes(field[8:12], order)
    else:
        end = position + 8 + int.from_bytes(field[4:8], order) if little else 0
    return end if end <= position + 1024 else 0


def walk(data: bytes, size: int, read: Read) -> list[str] | None:
    """Return the kept values of a file that has pixels.

    Parameters
    ----------
    data : bytes
        The first `CHUNK` bytes of the file.
    size : int
        The size of the file.
    read : callable (offset, count) -> bytes
        Reads the file elsewhere: a large element is jumped over.

    Returns
    -------
    list of str, one for each of `KEPT`, or None
        None where it takes pydicom to tell: no preamble, no pixels, big endian, deflated, an
        unusual VR or order, text that is not ASCII, a file that ends before its pixels.
    """
    if data[128:132] != b"DICM":
        return None
    for chunk in _CHUNKS:
        if chunk > len(data) and len(data) < size:
            data = read(0, chunk)
        values = _BLANK.copy()
        try:
            steps = _walk(data, size, read, values)
        except TooShort:
            continue
        except Unclear:
            return None
        syntax = values[_SYNTAX]
        if not syntax.startswith(_NATIVE) or syntax in (_DEFLATED, _BIG):
            return None
        if _LEARNER.wants(steps):
            _LEARNER.learn(elements_of(data), values)
        if values[SIGNED]:
            values[PADDING] = values[SIGNED]
        del values[SIGNED:]
        return values
    return None


def _walk(data: bytes, size: int, read: Read, values: list[str]) -> int:
    """Fill `values`; return in how many steps.

    An index of a hundred thousand files waits for this loop: one look at 8 bytes, known from
    the file before, decides about an element, and often about dozens that follow it.
    """
    heads, texts = EXPLICIT, TEXTS
    base, position, last, steps = 0, START, 0x0001FFFF, 0
    while True:
        steps += 1
        head = data[position : position + 8]
        tag, length, slot = heads[head]
        if tag <= last:
            if len(data) - position < 12 and base + len(data) < size:
                raise TooShort
            if heads is IMPLICIT or not _turns_implicit(head, last, values):
                raise Unclear
            heads = IMPLICIT
            continue
        if slot == RUN:
            run = heads.runs.get(data[position : position + KEY])
            if run is not None and data.startswith(run.data, position):
                values[run.start : run.stop] = run.values
                position, last = position + len(run.data), run.last
                continue
            slot = heads.alone[head][2]
        last = tag
        if slot > LONG:
            if slot >= 0:
                values[slot] = texts[slot][data[position + 8 : position + length]]
            position += length
        elif len(data) - position < 12:
            raise TooShort
        elif slot == PIXEL:
            _sign_padding(values, heads is IMPLICIT)
            return steps
        else:
            position = after(data, position, heads, 0)
            if position > len(data):
                base, data = _jumped(base + position, size, read, len(data))
                position = 0


def _jumped(base: int, size: int, read: Read, count: int) -> tuple[int, bytes]:
    """Return where in the file one goes on, and what stands there."""
    if base >= size:
        raise Unclear
    return base, read(base, count)


def _turns_implicit(head: bytes, last: int, values: list[str]) -> bool:
    """Whether an implicit data set begins here: nothing but group 0002 came before."""
    implicit = values[_SYNTAX] == _NATIVE and last < 0x00030000
    return implicit and not (head[4:6].isalpha() and head[4:6].isupper())


def _sign_padding(values: list[str], implicit: bool) -> None:
    """Padding of implicit VR has the signedness of the pixels (PS3.3 C.7.5.1.1.2)."""
    if implicit and values[PADDING] and values[_REPRESENTATION] == "1":
        number = int(values[PADDING])
        values[SIGNED] = str(number - 65536 if number > 32767 else number)
