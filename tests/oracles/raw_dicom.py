"""DICOM files put together byte by byte, so that nothing mends what a test breaks on purpose."""

from __future__ import annotations

import struct
import zlib

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
CT = "1.2.840.10008.5.1.4.1.1.2"
_LONG = {b"OB", b"OW", b"OF", b"OD", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OL", b"OV"}

Element = tuple[int, bytes, bytes]


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Return one explicit little endian element (PS3.5 7.1.2), padded to an even length."""
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB", b"UN") else b" "
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    head += struct.pack("<2xI", length) if vr in _LONG else struct.pack("<H", length)
    return head + value


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def image(**changes: bytes) -> dict[int, tuple[bytes, bytes]]:
    """Return the elements of a CT image of 16 x 16 pixels of 16 bits, but for the pixels.

    Keywords are tags (``t00280010=...``); the VR of a new one is taken to be DS.
    """
    elements = {
        0x00080016: (b"UI", CT.encode()),
        0x00080018: (b"UI", b"1.2.3.4"),
        0x00080060: (b"CS", b"CT"),
        0x0020000D: (b"UI", b"1.2.3"),
        0x0020000E: (b"UI", b"1.2.3.1"),
        0x00280002: (b"US", us(1)),
        0x00280004: (b"CS", b"MONOCHROME2"),
        0x00280010: (b"US", us(16)),
        0x00280011: (b"US", us(16)),
        0x00280100: (b"US", us(16)),
        0x00280101: (b"US", us(16)),
        0x00280102: (b"US", us(15)),
        0x00280103: (b"US", us(0)),
        0x00281052: (b"DS", b"-1024"),
        0x00281053: (b"DS", b"1"),
    }
    for name, value in changes.items():
        tag = int(name[1:], 16)
        vr = b"IS" if tag == 0x00280008 else elements.get(tag, (b"DS", b""))[0]
        elements[tag] = (vr, value)
    return elements


def body(elements: dict[int, tuple[bytes, bytes]], before_pixels: bytes = b"") -> bytes:
    return b"".join(element(tag, *elements[tag]) for tag in sorted(elements)) + before_pixels


def native(pixels: bytes) -> bytes:
    return element(0x7FE00010, b"OW", pixels)


def encapsulated(*fragments: bytes) -> bytes:
    """Return pixel data in fragments with an empty offset table (PS3.5 A.4)."""
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(f) + len(f) % 2) + f + b"\0" * (len(f) % 2)
        for f in (b"", *fragments)
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return element(0x7FE00010, b"OB", b"", 0xFFFFFFFF) + items + end


def file_of(data: bytes, syntax: str = EXPLICIT) -> bytes:
    """Return a file of the data set `data` (PS3.10 7.1)."""
    meta = element(0x00020001, b"OB", b"\0\1")
    meta += element(0x00020002, b"UI", CT.encode()) + element(0x00020003, b"UI", b"1.2.3.4")
    meta += element(0x00020010, b"UI", syntax.encode())
    return (
        bytes(128)
        + b"DICM"
        + element(0x00020000, b"UL", struct.pack("<I", len(meta)))
        + meta
        + data
    )


def deflated(head: bytes, zeros: int) -> bytes:
    """Return deflated `head` and then so many MiB of zeros, made in no time.

    A full flush forgets all that was before, so that one deflated MiB can be repeated.
    """
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    piece = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return start + piece * zeros + deflate.flush()


def nested(depth: int, *, defined: bool) -> bytes:
    """Return a sequence (0008,1115) in a sequence in a sequence ... of that depth."""
    if not defined:
        start = element(0x00081115, b"SQ", b"", 0xFFFFFFFF)
        start += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        return start * depth + end * depth
    heads, length = [], 0
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, length)
        length += 8
        heads.append(element(0x00081115, b"SQ", b"", length) + item)
        length += 12
    return b"".join(reversed(heads))
