"""What the walker of headers remembers: element heads, texts, and stretches of earlier files.

Files of a series differ in a dozen of their hundred and fifty elements; so what was understood
once is looked up, never worked out again.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from medimg.data.sources.dicom.headers.tags import KEPT, PIXELS, SLOT, SPECIFIC_CHARACTER_SET, plain

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
UNDEFINED = 0xFFFFFFFF
#: Where the elements begin, behind preamble and prefix (PS3.10 7.1).
START = 132
LENGTH = Struct("<L").unpack_from

# The values of a walk: one text a kept element, then two that are needed on the way.
SIGNED, CHARACTER_SET = len(KEPT), len(KEPT) + 1
PADDING = SLOT[KEPT["PixelPaddingValue"].tag]
# In place of a slot: an element to step over, one that a run may begin with, one of 32-bit
# length, the pixels.
STEP, RUN, LONG, PIXEL = -1, -2, -3, -4
#: How many bytes of a run say which one it may be.
KEY = 96

#: Character sets in which the bytes of ASCII mean ASCII (PS3.3 C.12.1.1.2); ISO_IR 13 is not
#: among them: it has a yen sign where the backslash is.
_ASCII_SETS = frozenset(
    f"{prefix} {number}"
    for prefix in ("ISO_IR", "ISO 2022 IR")
    for number in (6, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192)
) | {"", "GB18030", "GBK"}
#: Sequences that are stepped over in implicit VR, where PS3.6 alone tells that they are some:
#: those of codes, references and requests, which come in ordinary images.
_SEQUENCES = frozenset(
    {
        *(0x00080096, 0x00081032, 0x00081049, 0x00081052, 0x00081062, 0x00081072, 0x00081084),
        *(0x00081110, 0x00081111, 0x00081115, 0x00081120, 0x00081140, 0x00081199, 0x00081250),
        *(0x00082112, 0x00082218, 0x00082228, 0x00089215, 0x00101002, 0x00120064, 0x00180012),
        *(0x00180014, 0x00283000, 0x00283010, 0x00321064, 0x00400008, 0x00400220, 0x00400260),
        *(0x00400275, 0x00400293, 0x00400320, 0x00400321, 0x00400324, 0x00400440, 0x00400555),
        *(0x0040A043, 0x0040A170, 0x00540016, 0x00540220, 0x00540222, 0x00880200),
    }
)
_LARGE = 4096
#: Heads, or texts of one kind; runs.
_REMEMBERED, _RUNS = 100_000, 2_000

#: Tag, length of the element with its first 8 bytes, slot.
Head = tuple[int, int, int]
_UNKNOWN: Head = (-1, 0, STEP)


class Unclear(Exception):
    """What stands here is for pydicom to understand; seen by nobody outside a walk."""


class Run(NamedTuple):
    """A stretch of elements that two files shared, byte for byte, and the texts of its slots."""

    data: bytes
    last: int
    start: int
    stop: int
    values: list[str]


class Heads(dict[bytes, Head]):
    """The 8 bytes that an element begins with -> `Head`; many files have the same ones.

    Whatever is no plain element is unknown: its tag is -1.
    """

    def __init__(self, understand: Callable[[int, bytes], Head]) -> None:
        super().__init__()
        self._understand = understand
        #: The first bytes of a run -> the run.
        self.runs: dict[bytes, Run] = {}
        #: What a run begins with -> what it is by itself, for there `RUN` is the slot.
        self.alone: dict[bytes, Head] = {}

    def __missing__(self, head: bytes) -> Head:
        if len(head) < 8:
            return _UNKNOWN
        tag = int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        group = tag >> 16
        lawful = group == 2 or 8 <= group < 0xFFFC
        known = self._understand(tag, head) if lawful else _UNKNOWN
        if len(self) >= _REMEMBERED:
            self.clear()
        self[head] = known
        return known

    def add_run(self, run: Run) -> None:
        """Have a run looked for wherever an element begins as it does."""
        if len(self.runs) >= _RUNS:
            self.update(self.alone)
            self.runs.clear()
            self.alone.clear()
        head = run.data[:8]
        tag, length, _ = self.alone.setdefault(head, self[head])
        self[head] = (tag, length, RUN)
        self.runs[run.data[:KEY]] = run


def _explicit_head(tag: int, head: bytes) -> Head:
    vr = head[4:6]
    if vr in LONG_VRS:
        if tag in SLOT or tag == SPECIFIC_CHARACTER_SET or head[6:] != b"\0\0":
            return _UNKNOWN
        return (tag, 0, PIXEL if tag in PIXELS else LONG)
    if vr not in SHORT_VRS or tag in PIXELS:
        return _UNKNOWN
    slot = _slot(tag)
    if slot == PADDING and vr == b"SS":
        slot = SIGNED
    elif slot >= 0 and vr.decode() not in _VRS[slot]:
        return _UNKNOWN
    return (tag, 8 + int.from_bytes(head[6:], "little"), slot)


def _implicit_head(tag: int, head: bytes) -> Head:
    (length,) = LENGTH(head, 4)
    if tag in PIXELS:
        return (tag, 0, PIXEL)
    slot = _slot(tag)
    if tag >> 16 == 2 or (length >= _LARGE and slot >= 0):
        return _UNKNOWN
    if length < _LARGE:
        return (tag, 8 + length, slot)
    return (tag, 0, LONG) if length != UNDEFINED or tag in _SEQUENCES else _UNKNOWN


def _slot(tag: int) -> int:
    return CHARACTER_SET if tag == SPECIFIC_CHARACTER_SET else SLOT.get(tag, STEP)


class Texts(dict[bytes, str]):
    """A value as it is stored -> its text; most values of a file were in the file before."""

    def __init__(self, understand: Callable[[bytes], str]) -> None:
        super().__init__()
        self._understand = understand

    def __missing__(self, value: bytes) -> str:
        text = self._understand(value)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[value] = text
        return text


def _word(value: bytes) -> str:
    """Return text whose meaning no character set changes (PS3.5 6.1)."""
    try:
        text = value.rstrip(b" \0").decode("ascii")
    except UnicodeDecodeError:
        raise Unclear from None
    if not text.isprintable():
        raise Unclear
    return plain(text)


def _number(format_: str) -> Callable[[bytes], str]:
    struct = Struct(format_)

    def text(value: bytes) -> str:
        if value and len(value) != struct.size:
            raise Unclear
        return repr(struct.unpack(value)[0]) if value else ""

    return text


def _character_set(value: bytes) -> str:
    text = _word(value)
    if not _ASCII_SETS.issuperset(text.split("\\")):
        raise Unclear
    return text


def _texts() -> list[Texts]:
    unsigned, words = Texts(_number("<H")), Texts(_word)
    by_vr = {"US": unsigned, "US or SS": unsigned, "FD": Texts(_number("<d"))}
    kept = [by_vr.get(vr, words) for vr in _VRS[:SIGNED]]
    return [*kept, Texts(_number("<h")), Texts(_character_set)]


_VRS = [*(kept.vr for kept in KEPT.values()), "SS", "CS"]
EXPLICIT, IMPLICIT, TEXTS = Heads(_explicit_head), Heads(_implicit_head), _texts()
