"""What a compressed frame says of itself: size, components, precision, colour, completeness.

Read before anything is decoded: a codestream larger than its header is a bomb, and decoders
fill what a truncated one lacks with grey, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from
from typing import NamedTuple

from medimg.data.sources.dicom.pixels.dataset import corrupt

SCAN, END = 0xDA, b"\xff\xd9"
_APP0, _APP14, _SOF55 = 0xE0, 0xEE, 0xF7
#: SOFn, without DHT (C4), JPG (C8) and DAC (CC): ISO/IEC 10918-1 table B.1.
_FRAMES = frozenset({*range(0xC0, 0xD0), _SOF55} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SOC_SIZ = b"\xff\x4f\xff\x51"


class Codestream(NamedTuple):
    """The frame header of a codestream.

    `process` is the last byte of the SOF marker (0xC0 baseline, 0xC1 extended, 0xC2
    progressive, 0xC3 lossless, 0xF7 JPEG-LS), 0x51 for JPEG 2000. `ybr` is what the stream
    says of its colours: True YCbCr, False RGB, None nothing.
    """

    process: int
    rows: int
    columns: int
    components: int
    precision: int
    signed: bool
    ybr: bool | None


def jpeg(data: bytes) -> Codestream:
    """Return the frame header of a JPEG or JPEG-LS codestream (ISO/IEC 10918-1 B.2, 14495-1 C).

    Raises
    ------
    PixelError
        ``corrupt``: no such codestream, or one without its end.
    """
    frame: tuple[int, ...] | None = None
    ids, jfif, adobe, scan = b"", False, -1, 0
    for marker, start, end in segments(data):
        body = data[start:end]
        if marker == _APP0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker in _FRAMES:
            if len(body) < 6 or len(body) < 6 + 3 * body[5]:
                raise corrupt("a frame header of JPEG is too short")
            frame = (marker, *unpack_from(">BHHB", body))
            ids = body[6 : 6 + 3 * body[5] : 3]
        scan = end
    if frame is None:
        raise corrupt("a frame has no header of JPEG")
    if data.rfind(END) < scan:
        raise corrupt("a frame ends before its end marker")
    process, precision, rows, columns, components = frame
    ybr = _jpeg_colour(ids, jfif, adobe)
    return Codestream(process, rows, columns, components, precision, False, ybr)


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the bodies of JPEG's segments, the last that of the scan.

    The entropy-coded data begin where it ends.

    Raises
    ------
    PixelError
        ``corrupt``: no JPEG, or cut within its header.
    """
    if data[:2] != b"\xff\xd8":
        raise corrupt("a frame does not begin like JPEG")
    marker, end = 0, 2
    while marker != SCAN:
        marker, start, end = _segment(data, end)
        yield marker, start, end


def _segment(data: bytes, position: int) -> tuple[int, int, int]:
    """Return marker, start and end of the body of the segment at `position`."""
    while data[position : position + 2] == b"\xff\xff":  # fill bytes, B.1.1.2
        position += 1
    if position + 2 > len(data) or data[position] != 0xFF:
        raise corrupt("a marker of JPEG is missing")
    marker = data[position + 1]
    if marker in _ALONE:
        return marker, position + 2, position + 2
    if position + 4 > len(data):
        raise corrupt("a frame ends within its header")
    (length,) = unpack_from(">H", data, position + 2)
    end = position + 2 + length
    if length < 2 or end > len(data):
        raise corrupt("a frame ends within its header")
    return marker, position + 4, end


def _jpeg_colour(ids: bytes, jfif: bool, adobe: int) -> bool | None:
    """Return whether the components are YCbCr (True) or RGB (False), as the stream says.

    The identifiers R, G, B speak for themselves; JFIF is YCbCr; Adobe's transform flag is 0
    for none (ISO/IEC 10918-6 6.5). Without any of these nothing is said: the header decides.
    """
    if len(ids) != 3:
        return None
    if ids in (b"RGB", b"rgb"):
        return False
    if jfif:
        return True
    return None if adobe < 0 else adobe != 0


def j2k(data: bytes) -> Codestream:
    """Return the SIZ and COD of a JPEG 2000 or HTJ2K codestream (ISO/IEC 15444-1 A.5, A.6).

    One inside a JP2 file, which PS3.5 A.4.4 forbids and some writers store, is found too.

    Raises
    ------
    PixelError
        ``corrupt``: no such codestream, one without its end, or components that differ.
    """
    start = data.find(_SOC_SIZ, 0, 4096)
    if start < 0 or len(data) < start + 42:
        raise corrupt("a frame does not begin like JPEG 2000")
    x1, y1, x0, y0 = unpack_from(">4I", data, start + 8)
    (components,) = unpack_from(">H", data, start + 40)
    sizes = data[start + 42 : start + 42 + 3 * components]
    if components == 0 or len(sizes) < 3 * components or len(set(sizes[0::3])) > 1:
        raise corrupt("the components of a JPEG 2000 frame differ in their precision")
    if set(sizes[1::3]) | set(sizes[2::3]) != {1}:
        raise corrupt("the components of a JPEG 2000 frame differ in their size")
    if data.rfind(END) < start + 42:
        raise corrupt("a frame ends before its end marker")
    precision, signed = (sizes[0] & 0x7F) + 1, bool(sizes[0] & 0x80)
    return Codestream(0x51, y1 - y0, x1 - x0, components, precision, signed, None)
