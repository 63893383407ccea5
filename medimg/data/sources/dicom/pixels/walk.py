"""One pass over the elements of a data set, which skips what the pixels do not need.

pydicom reads every element of a header into an object of its own, which costs more than all
the pixels of a native slice. This walk jumps from element to element (PS3.5 7.1), keeps those
that are wanted as pydicom's raw elements, and steps over sequences of undefined length (PS3.5
7.5) without recursion, however deep they are nested. What it does not understand it leaves to
pydicom.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

#: Groups and elements that say what pixels mean; none holds the name of a person.
WANTED_GROUPS = frozenset({0x0028, 0x2050, 0x3004, 0x5200, 0x7FE0})
WANTED_TAGS = frozenset(
    {
        0x00080008,  # ImageType
        0x00080016,  # SOPClassUID
        0x00080060,  # Modality
        0x00080068,  # PresentationIntentType
        0x00180081,  # EchoTime
        0x00181164,  # ImagerPixelSpacing
        0x00189087,  # DiffusionBValue
        0x0020000E,  # SeriesInstanceUID
        0x00200012,  # AcquisitionNumber
        0x00200032,  # ImagePositionPatient
        0x00200037,  # ImageOrientationPatient
        0x00200052,  # FrameOfReferenceUID
        0x00200100,  # TemporalPositionIdentifier
        0x00209222,  # DimensionIndexSequence
        0x00409096,  # RealWorldValueMappingSequence
        0x00541001,  # Units
    }
)
PIXEL_TAGS = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD

_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_VRS = _LONG | frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_IMPLICIT = {True: Struct("<HHL").unpack_from, False: Struct(">HHL").unpack_from}
_EXPLICIT = {True: Struct("<HH2sH").unpack_from, False: Struct(">HH2sH").unpack_from}
_LENGTH = {True: Struct("<L").unpack_from, False: Struct(">L").unpack_from}


class Head(NamedTuple):
    """Tag, VR (None where implicit), length and start of the value of one element."""

    tag: int
    vr: bytes | None
    length: int
    start: int


class Walk(NamedTuple):
    """The wanted elements, where the pixels stand, and whether the data ended within one."""

    elements: dict[BaseTag, RawDataElement]
    pixels: Head | None
    cut: bool


def head_at(data: bytes, position: int, *, implicit: bool, little: bool) -> Head | None:
    """Return the head of the element at `position`; None where there is none that is lawful.

    Items and delimiters have no VR in any transfer syntax (PS3.5 7.5).
    """
    if position + 8 > len(data):
        return None
    if not implicit:
        group, element, vr, length = _EXPLICIT[little](data, position)
        if vr in _VRS:
            if vr not in _LONG:
                return Head(group << 16 | element, vr, length, position + 8)
            if position + 12 > len(data):
                return None
            (length,) = _LENGTH[little](data, position + 8)
            return Head(group << 16 | element, vr, length, position + 12)
        if group != 0xFFFE:
            return None
    group, element, length = _IMPLICIT[little](data, position)
    return Head(group << 16 | element, None, length, position + 8)


def walk(data: bytes, position: int, *, implicit: bool, little: bool) -> Walk | None:
    """Return the wanted elements of the data set at `position`, up to its pixels.

    Returns None where the bytes are not plain elements one after the other.
    """
    elements: dict[BaseTag, RawDataElement] = {}
    end = len(data)
    plain = (_IMPLICIT if implicit else _EXPLICIT)[little]
    while position + 8 <= end:
        # `head_at`, written out: a call an element would double the time of a header.
        if implicit:
            group, element, length = plain(data, position)
            vr, start = None, position + 8
        else:
            group, element, vr, length = plain(data, position)
            start = position + 8
            if vr in _LONG:
                if position + 12 > end:
                    break
                (length,) = _LENGTH[little](data, start)
                start += 4
            elif vr not in _VRS:
                return None
        tag = group << 16 | element
        if tag in PIXEL_TAGS:
            return Walk(elements, Head(tag, vr, length, start), False)
        if length == UNDEFINED:
            if vr != b"SQ" and not implicit:
                return None
            stop = skip_sequence(data, start, implicit=implicit, little=little)
            if stop is None:
                return None
            length, position = stop - 8 - start, stop
        else:
            position = start + length
        if position > end:
            break
        if group in WANTED_GROUPS or tag in WANTED_TAGS:
            name = BaseTag(tag)
            value = data[start : start + length]
            text = None if vr is None else vr.decode()
            elements[name] = RawDataElement(name, text, length, value, start, implicit, little)
    return Walk(elements, None, position != end)


def skip_sequence(data: bytes, position: int, *, implicit: bool, little: bool) -> int | None:
    """Return where a sequence of undefined length that starts at `position` ends.

    The end is past its delimiter (PS3.5 7.5.2); None where the bytes are no such sequence.
    """
    inside = [SEQUENCE_END]  # what ends each open sequence or item, outermost first
    while inside:
        head = head_at(data, position, implicit=implicit, little=little)
        if head is None:
            return None
        tag, vr, length, position = head
        if tag == inside[-1]:
            inside.pop()
        elif inside[-1] == SEQUENCE_END:
            if tag != ITEM:
                return None
            if length == UNDEFINED:
                inside.append(ITEM_END)
            else:
                position += length
        elif tag >> 16 == 0xFFFE:
            return None
        elif length != UNDEFINED:
            position += length
        elif vr == b"SQ" or implicit:
            inside.append(SEQUENCE_END)
        else:
            return None
    return position
