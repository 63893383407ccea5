"""A small DICOM reader of its own, by which `make_dicom_expected.py` stays independent.

Little endian only, explicit or implicit VR: dcmconv has turned everything else into that.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
UNDEFINED = 0xFFFFFFFF
PIXELS = {(0x7FE0, 0x0010): "u", (0x7FE0, 0x0008): "f4", (0x7FE0, 0x0009): "f8"}


class Unreadable(Exception):
    """The bytes do not follow PS3.5 7."""


class Element(NamedTuple):
    """One data element: a value, the items of a sequence, or the fragments of pixel data."""

    value: bytes = b""
    items: Sequence[Elements] = ()
    fragments: Sequence[bytes] = ()

    @property
    def text(self) -> str:
        return self.value.decode("latin-1").strip(" \0")

    @property
    def number(self) -> int:
        return struct.unpack("<H", self.value[:2])[0]


Elements = dict[tuple[int, int], Element]


class Image(NamedTuple):
    """The Image Pixel module (PS3.3 C.7.6.3)."""

    syntax: str
    elements: Elements
    kind: str
    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    bits: int
    high: int
    signed: bool
    photometric: str
    planar: int
    pixels: Element

    @property
    def palette(self) -> bool:
        return self.photometric == "PALETTE COLOR"

    @property
    def shape(self) -> tuple[int, ...]:
        colour = (self.samples,) if self.samples > 1 else ()
        return (self.frames, self.rows, self.columns, *colour)


def unpack(form: str, data: bytes, at: int) -> tuple[int, ...]:
    """Return numbers at an offset."""
    if at + struct.calcsize(form) > len(data):
        raise Unreadable("it ends within an element")
    return struct.unpack_from(form, data, at)


def syntax_of(data: bytes) -> str:
    """Return the transfer syntax of a file's meta information (PS3.10 7.1), or nothing."""
    meta, _ = meta_of(data)
    return meta[2, 0x10].text if (2, 0x10) in meta else ""


def meta_of(data: bytes) -> tuple[Elements, int]:
    """Return the file meta information and where the data set begins."""
    start = 132 if data[128:132] == b"DICM" else 0
    if data[start : start + 2] != b"\2\0":
        return {}, start
    return parse(data, start, len(data), True, only_group=2)


def header(data: bytes) -> tuple[str, Elements]:
    """Return the transfer syntax and the elements of a file."""
    syntax, (_, at) = syntax_of(data), meta_of(data)
    explicit = data[at + 4 : at + 6].isalpha() and data[at + 4 : at + 6].isupper()
    return syntax, parse(data, at, len(data), explicit)[0]


def parse(
    data: bytes, at: int, end: int, explicit: bool, only_group: int | None = None
) -> tuple[Elements, int]:
    """Return the elements from `at` to `end`, or to the delimiter of an item."""
    found: Elements = {}
    while at < end:
        group, element = unpack("<HH", data, at)
        if only_group is not None and group != only_group:
            break
        if (group, element) == (0xFFFE, 0xE00D):
            return found, at + 8
        vr = data[at + 4 : at + 6] if explicit else b""
        if explicit and vr in LONG:
            at, (length,) = at + 12, unpack("<I", data, at + 8)
        elif explicit and vr.isalpha() and vr.isupper():
            at, (length,) = at + 8, unpack("<H", data, at + 6)
        elif not explicit:
            at, (length,) = at + 8, unpack("<I", data, at + 4)
        else:
            raise Unreadable("no value representation")
        found[group, element], at = value_at(data, at, length, vr, explicit, (group, element))
    return found, at


def value_at(
    data: bytes, at: int, length: int, vr: bytes, explicit: bool, tag: tuple[int, int]
) -> tuple[Element, int]:
    """Return one element and where the next begins."""
    if tag == (0x7FE0, 0x10) and length == UNDEFINED:
        fragments, at = items_at(data, at, UNDEFINED, None)
        return Element(fragments=fragments), at
    if vr == b"SQ" or length == UNDEFINED:  # UN of undefined length is implicit: PS3.5 6.2.2
        items, at = items_at(data, at, length, explicit and vr == b"SQ")
        return Element(items=items), at
    if at + length > len(data):
        raise Unreadable("an element is longer than the file")
    return Element(data[at : at + length]), at + length


def items_at(data: bytes, at: int, length: int, explicit: bool | None) -> tuple[list, int]:
    """Return the items of a sequence (PS3.5 7.5), or fragments where `explicit` is None."""
    found: list = []
    end = len(data) if length == UNDEFINED else at + length
    while at < end:
        group, element, size = unpack("<HHI", data, at)
        at += 8
        if (group, element) == (0xFFFE, 0xE0DD):
            return found, at
        if (group, element) != (0xFFFE, 0xE000):
            raise Unreadable("no item where one should be")
        if explicit is None:
            if at + size > len(data):
                raise Unreadable("a fragment is longer than the file")
            found.append(data[at : at + size])
            at += size
        else:
            stop = len(data) if size == UNDEFINED else at + size
            item, at = parse(data, at, stop, explicit)
            found.append(item)
    if length == UNDEFINED and explicit is not None:
        raise Unreadable("no delimiter of a sequence")
    return found, at


def image_of(syntax: str, elements: Elements) -> Image | None:
    """Return what the header says of the pixels; None where there are none."""
    tag = next((tag for tag in PIXELS if tag in elements), None)
    if tag is None:
        return None
    try:
        frames = int(elements[0x28, 8].text or 1) if (0x28, 8) in elements else 1
        numbers = [elements[0x28, e].number for e in (0x10, 0x11, 2, 0x100)]
    except (KeyError, ValueError, struct.error) as error:
        raise Unreadable("the Image Pixel module is not whole") from error
    bits = elements[0x28, 0x101].number if (0x28, 0x101) in elements else numbers[3]
    high = elements[0x28, 0x102].number if (0x28, 0x102) in elements else bits - 1
    signed = (0x28, 0x103) in elements and elements[0x28, 0x103].number == 1
    planar = elements[0x28, 6].number if elements.get((0x28, 6), Element()).value else 0
    name, pixels = elements[0x28, 4].text, elements[tag]
    kind = PIXELS[tag]
    return Image(syntax, elements, kind, frames, *numbers, bits, high, signed, name, planar, pixels)


def native(image: Image) -> np.ndarray:
    """Return the stored values of uncompressed pixel data (PS3.5 8.1, 8.2; C.7.6.3.1)."""
    count, raw = int(np.prod(image.shape)), image.pixels.value
    if image.kind != "u":
        return np.frombuffer(raw, "<" + image.kind, count).reshape(image.shape)
    if image.allocated == 1:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
        return bits[:count].reshape(image.shape).astype(np.int64)
    if image.photometric == "YBR_FULL_422" and len(raw) < count:
        pairs = np.frombuffer(raw, np.uint8, count * 2 // 3).reshape(-1, 4)  # Y Y Cb Cr
        return pairs[:, [0, 2, 3, 1, 2, 3]].reshape(image.shape).astype(np.int64)
    words = np.frombuffer(raw, f"<u{image.allocated // 8}", count).astype(np.int64)
    if image.samples > 1 and image.planar == 1:
        planes = words.reshape(image.frames, image.samples, image.rows, image.columns)
        words = np.moveaxis(planes, 1, -1)
    return significant(words.reshape(image.shape), image)


def significant(words: np.ndarray, image: Image) -> np.ndarray:
    """Return the value of each pixel cell: shifted, masked, sign-extended (PS3.5 8.1.1)."""
    values = (words >> (image.high + 1 - image.bits)) & ((1 << image.bits) - 1)
    return values - ((values >> (image.bits - 1)) << image.bits) if image.signed else values


def units(stored: np.ndarray, image: Image) -> np.ndarray:
    """Return float64 values after the modality transform of each frame."""
    root = image.elements
    for item in root.get((0x28, 0x3000), Element()).items:
        if item.get((0x28, 0x3006), Element()).value:
            return looked_up(stored, item, image).astype(np.float64)
    out = np.empty(stored.shape, np.float64)
    for frame in range(image.frames):
        slope, intercept = rescale_of(root, frame)
        out[frame] = stored[frame].astype(np.float64) * slope + intercept
    return out


def rescale_of(root: Elements, frame: int) -> tuple[float, float]:
    """Return slope and intercept: of the frame, of all frames, or of the data set."""
    groups = []
    for tag, index in (((0x5200, 0x9230), frame), ((0x5200, 0x9229), 0)):
        groups += [root[tag].items[index]] if tag in root and root[tag].items else []
    places = [g[0x28, 0x9145].items[0] for g in groups if (0x28, 0x9145) in g]
    for place in (*places, root):
        if (0x28, 0x1053) in place and place[0x28, 0x1053].text:
            return float(place[0x28, 0x1053].text), float(place[0x28, 0x1052].text)
    if (0x3004, 0xE) in root:  # Dose Grid Scaling, PS3.3 C.8.8.3
        return float(root[0x3004, 0xE].text), 0.0
    return 1.0, 0.0


def looked_up(stored: np.ndarray, item: Elements, image: Image) -> np.ndarray:
    """Return the entries of a modality LUT (PS3.3 C.11.1.1)."""
    form = "<HhH" if image.signed else "<HHH"
    entries, first, _bits = struct.unpack(form, item[0x28, 0x3002].value)
    table = np.frombuffer(item[0x28, 0x3006].value, "<u2")[: entries or 65536]
    return table[np.clip(stored - first, 0, len(table) - 1)]


def wants_range(image: Image) -> bool:
    """Return whether nothing in the header says which numbers are dark and bright.

    Grey values of more than 16 bits, of a modality whose range is not fixed or measured, and
    without a window, in the data set or the functional groups.
    """
    root = image.elements
    if image.samples > 1 or (image.kind == "u" and image.bits <= 16):
        return False
    groups = [
        g for tag in ((0x5200, 0x9229), (0x5200, 0x9230)) if tag in root for g in root[tag].items
    ]
    window = (0x28, 0x1050) in root or any((0x28, 0x9132) in g for g in groups)
    modality = root.get((8, 0x60), Element()).text
    return not window and modality not in ("CT", "MR", "NM", "PT")


def padded(stored: np.ndarray, image: Image) -> int:
    """Return how many pixels are padding; its value has the pixels' signedness."""
    if image.kind != "u" or not image.elements.get((0x28, 0x120), Element()).value:
        return 0
    form = "<h" if image.signed else "<H"
    ends = [struct.unpack(form, image.elements[0x28, 0x120].value[:2])[0]]
    limit = image.elements.get((0x28, 0x121), Element()).value
    ends += struct.unpack(form, limit[:2]) if limit else ()
    return int(((stored >= min(ends)) & (stored <= max(ends))).sum())


def rgb(stored: np.ndarray, space: str, image: Image) -> np.ndarray:
    """Return RGB: by the palettes, or by the inverse of C.7.6.3.1.2's equations."""
    if image.palette:
        return np.stack([palette(stored, image, channel) for channel in range(3)], -1)
    if not space.startswith("YBR_FULL"):
        return stored
    half = 1 << (image.bits - 1)
    y, b, r = stored[..., 0], stored[..., 1] - half, stored[..., 2] - half
    g = (y - 0.299 * (y + 1.402 * r) - 0.114 * (y + 1.772 * b)) / 0.587
    out = np.stack([y + 1.402 * r, g, y + 1.772 * b], -1)
    return np.clip(np.rint(out), 0, (1 << image.bits) - 1)


def palette(stored: np.ndarray, image: Image, channel: int) -> np.ndarray:
    """Return the entries of one palette (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6)."""
    root = image.elements
    form = "<HhH" if image.signed else "<HHH"
    entries, first, bits = struct.unpack(form, root[0x28, 0x1101 + channel].value)
    entries = entries or 65536
    if (0x28, 0x1221 + channel) in root:
        table = expanded(np.frombuffer(root[0x28, 0x1221 + channel].value, "<u2").tolist())
    else:
        raw = root[0x28, 0x1201 + channel].value
        packed = bits == 8 and len(raw) < 2 * entries
        table = np.frombuffer(raw, "u1" if packed else "<u2")[:entries]
    if len(table) != entries:
        raise Unreadable("a palette is shorter than its descriptor says")
    return table[np.clip(stored - first, 0, entries - 1)]


def expanded(words: list[int]) -> np.ndarray:
    """Return a segmented palette in full (PS3.3 C.7.9.2); indirect segments are refused."""
    out: list[int] = []
    at = 0
    while at + 1 < len(words):
        code, count = words[at], words[at + 1]
        if code == 0:
            out += words[at + 2 : at + 2 + count]
            at += 2 + count
        elif code == 1:
            start, goal = out[-1], words[at + 2]
            out += [round(start + (goal - start) * k / count) for k in range(1, count + 1)]
            at += 3
        else:
            raise Unreadable("an indirect segment")
    return np.asarray(out, np.int64)
