"""Stepping over elements of 32-bit length in a buffer: among them are sequences."""

from __future__ import annotations

from medimg.data.sources.dicom.headers.lookup import (
    IMPLICIT,
    LENGTH,
    LONG,
    UNDEFINED,
    Heads,
    Unclear,
)

_ITEM, _ITEM_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_DEPTH = 8


class TooShort(Exception):
    """The buffer ends too early; seen by nobody outside a walk."""


def after(data: bytes, position: int, heads: Heads, depth: int) -> int:
    """Return where an element of 32-bit length ends (PS3.5 7.1.2, 7.1.3)."""
    start = position + (8 if heads is IMPLICIT else 12)
    if start > len(data):
        raise TooShort
    (length,) = LENGTH(data, start - 4)
    if length != UNDEFINED:
        return start + int(length)
    if heads is not IMPLICIT and data[position + 4 : position + 6] != b"SQ":
        raise Unclear
    return _after_sequence(data, start, heads, depth + 1)


def _after_sequence(data: bytes, position: int, heads: Heads, depth: int) -> int:
    """Return where a sequence of undefined length ends (PS3.5 7.5.2)."""
    if depth > _DEPTH:
        raise Unclear
    while True:
        item = data[position : position + 8]
        if len(item) < 8:
            raise TooShort
        if item == _SEQUENCE_END:
            return position + 8
        if item[:4] != _ITEM:
            raise Unclear
        (length,) = LENGTH(item, 4)
        position += 8
        end = -1 if length == UNDEFINED else position + int(length)
        position = _after_item(data, position, end, heads, depth)


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
            position = after(data, position, heads, depth)
        elif length:
            position += length
        elif len(head) < 8:
            raise TooShort
        else:
            raise Unclear
        if position > end >= 0:
            raise Unclear
    return position
