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

from medimg.data.sources.dicom.headers.lookup import (
    EXPLICIT,
    IMPLICIT,
    LENGTH,
    LONG,
    LONG_VRS,
    PADDING,
    PIXEL,
    SHORT_VRS,
    SIGNED,
    TEXTS,
    UNDEFINED,
    Heads,
    Learner,
    Unclear,
)
from medimg.data.sources.dicom.headers.tags import KEPT, SLOT

#: What is read of a file first; the headers of CT slices are 2 to 8 KB.
CHUNK = 16 << 10
_CHUNKS = (CHUNK, 8 * CHUNK, 64 * CHUNK)
_NATIVE, _DEFLATED, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_ITEM, _ITEM_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_BLANK = [""] * len(TEXTS)
_SYNTAX = SLOT[KEPT["TransferSyntaxUID"].tag]
_REPRESENTATION = SLOT[KEPT["PixelRepresentation"].tag]
_START, _DEPTH, _MORE = 132, 8, -2

#: (offset, count) -> bytes of a file
Read = Callable[[int, int], bytes]
_Steps = list[tuple[int, Heads]]
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
    for count in _CHUNKS:
        if count > len(data) and len(data) < size:
            data = read(0, count)
        values, steps = _BLANK.copy(), _Steps()
        try:
            end = _walk(data, size, read, values, steps)
        except Unclear:
            return None
        if end != _MORE:
            syntax = values[_SYNTAX]
            if not syntax.startswith(_NATIVE) or syntax in (_DEFLATED, _BIG):
                return None
            if _LEARNER.wants(len(steps)):
                _learn(data, size, read)
            if values[SIGNED]:
                values[PADDING] = values[SIGNED]
            del values[SIGNED:]
            return values
    return None


def _learn(data: bytes, size: int, read: Read) -> None:
    """Learn from a file that is known to be plain, walked once more without what is known."""
    for heads in (EXPLICIT, IMPLICIT):
        heads.runs.clear()
    values, steps = _BLANK.copy(), _Steps()
    _walk(data, size, read, values, steps)
    _LEARNER.learn(data, steps, values)


def _walk(data: bytes, size: int, read: Read, values: list[str], steps: _Steps) -> int:
    """Fill `values`; return where the pixels stand, or `_MORE` where the buffer ends before.

    An index of a hundred thousand files waits for this loop: one look at 8 bytes, known from
    the file before, decides about an element, and often about dozens that follow it. `steps`
    takes what was looked at, up to the first jump.
    """
    heads, runs, texts = EXPLICIT, EXPLICIT.runs, TEXTS
    base, position, last = 0, _START, 0x0001FFFF
    while True:
        head = data[position : position + 8]
        run = runs.get(head)
        if run is not None and run.first > last and data.startswith(run.data, position):
            values[run.start : run.stop] = run.values
            position += len(run.data)
            last = run.last
            continue
        tag, length, slot = heads[head]
        if tag <= last:
            if len(data) - position < 12 and base + len(data) < size:
                return _MORE
            if heads is IMPLICIT or not _turns_implicit(head, last, values):
                raise Unclear
            heads, runs = IMPLICIT, IMPLICIT.runs
            continue
        last = tag
        if not base:
            steps.append((position, heads))
        if slot >= 0:
            values[slot] = texts[slot][data[position + 8 : position + length]]
        elif slot <= LONG:
            if len(data) - position < 12:
                return _MORE
            if slot == PIXEL:
                _sign_padding(values, heads is IMPLICIT)
                return base + position
            position = _after(data, position, heads, 0)
            if position == _MORE:
                return _MORE
            if position > len(data):
                base += position
                if base >= size:
                    raise Unclear
                data, position = read(base, len(data)), 0
            continue
        position += length


def _turns_implicit(head: bytes, last: int, values: list[str]) -> bool:
    """Whether an implicit data set begins here: nothing but group 0002 came before."""
    implicit = values[_SYNTAX] == _NATIVE and last < 0x00030000
    return implicit and not (head[4:6].isalpha() and head[4:6].isupper())


def _sign_padding(values: list[str], implicit: bool) -> None:
    """Padding of implicit VR has the signedness of the pixels (PS3.3 C.7.5.1.1.2)."""
    if implicit and values[PADDING] and values[_REPRESENTATION] == "1":
        number = int(values[PADDING])
        values[SIGNED] = str(number - 65536 if number > 32767 else number)


def _after(data: bytes, position: int, heads: Heads, depth: int) -> int:
    """Return where an element of 32-bit length ends (PS3.5 7.1.2, 7.1.3)."""
    start = position + (8 if heads is IMPLICIT else 12)
    if start > len(data):
        return _MORE
    (length,) = LENGTH(data, start - 4)
    if length != UNDEFINED:
        return start + int(length)
    if heads is not IMPLICIT and data[position + 4 : position + 6] != b"SQ":
        raise Unclear
    return _after_sequence(data, start, heads, depth + 1)


def _after_sequence(data: bytes, position: int, heads: Heads, depth: int) -> int:
    """Return where a sequence of undefined length ends (PS3.5 7.5.2), or `_MORE`."""
    if depth > _DEPTH:
        raise Unclear
    while position != _MORE:
        item = data[position : position + 8]
        if len(item) < 8:
            return _MORE
        if item == _SEQUENCE_END:
            return position + 8
        if item[:4] != _ITEM:
            raise Unclear
        (length,) = LENGTH(item, 4)
        position += 8
        end = -1 if length == UNDEFINED else position + int(length)
        position = _after_item(data, position, end, heads, depth)
    return _MORE


def _after_item(data: bytes, position: int, end: int, heads: Heads, depth: int) -> int:
    """Return where an item ends, at `end` or, of undefined length (-1), past its delimiter.

    pydicom reads what is in it, and would run past the end of an item that its elements do
    not fill: so each is looked at.
    """
    while position != end:
        head = data[position : position + 8]
        if head == _ITEM_END and end < 0:
            return position + 8
        _, length, slot = heads[head]
        if slot <= LONG:
            position = _after(data, position, heads, depth)
            if position == _MORE:
                return _MORE
        elif length:
            position += length
        elif len(head) < 8:
            return _MORE
        else:
            raise Unclear
        if position > end >= 0:
            raise Unclear
    return position
