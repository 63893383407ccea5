"""The walker says what pydicom says, or nothing; and it reads no more than it must."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import struct
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from oracles import raw_dicom as raw

from medimg.data.sources.dicom.headers import head, learn, lookup
from medimg.data.sources.dicom.headers.by_pydicom import read_header
from medimg.data.sources.dicom.headers.head import CHUNK, Read, is_dicom, walk
from medimg.data.sources.dicom.headers.tags import COLUMNS, KEPT, SLOT, plain
from medimg.errors import PixelError

IMPLICIT = "1.2.840.10008.1.2"
UNDEFINED = 0xFFFFFFFF
PIXELS = raw.native(bytes(512))
ITEM = b"\xfe\xff\x00\xe0"
ITEM_END, SEQUENCE_END = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def walked(data: bytes) -> dict[str, str] | None:
    values = walk(data[:CHUNK], len(data), reader(data))
    return None if values is None else dict(zip(KEPT, values, strict=True))


def reader(data: bytes) -> Read:
    return lambda offset, count: data[offset : offset + count]


def routed(data: bytes) -> dict[str, str] | None:
    """What pydicom's route says, or None where it refuses."""
    try:
        header = read_header(data[:CHUNK], len(data), reader(data))
    except PixelError:
        return None
    return dict(zip(KEPT, header.values, strict=True)) | {"kind": header.kind}


def by_dcmread(data: bytes) -> dict[str, str]:
    """What a caller of pydicom gets, as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, force=True)
        values = {name: _text(dataset.get(name)) for name in KEPT}
        values["TransferSyntaxUID"] = _text(dataset.file_meta.get("TransferSyntaxUID"))
        padding = dataset.get("PixelPaddingValue")
        if isinstance(padding, bytes):  # implicit, so that pydicom leaves its VR open
            code = "<h" if dataset.get("PixelRepresentation") == 1 else "<H"
            values["PixelPaddingValue"] = str(struct.unpack(code, padding)[0])
    return values


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, pydicom.multival.MultiValue):
        return "\\".join(_text(one) for one in value)
    return plain(getattr(value, "original_string", None) or str(value))


def real_files(data_root: Path) -> Iterator[Path]:
    folders = [data_root / "dicom", data_root / "ct_contrast" / "dicom_dir", *packaged()]
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def packaged() -> list[Path]:
    folders = [Path(pydicom.__file__).parent / "data"]
    store = importlib.util.find_spec("data_store")
    if store is not None and store.origin is not None:
        folders.append(Path(store.origin).parent)
    return folders


def dicom_files(data_root: Path) -> Iterator[tuple[str, bytes]]:
    for path in real_files(data_root):
        data = path.read_bytes()
        if is_dicom(data[:CHUNK]):
            yield path.name, data


@pytest.mark.data
def test_walker_says_what_pydicom_says_of_every_real_file(data_root: Path) -> None:
    count = understood = 0
    for name, data in dicom_files(data_root):
        count += 1
        values = walked(data)
        if values is not None:
            understood += 1
            assert values == by_dcmread(data), name
            assert {**values, "kind": "image"} == routed(data), name
    assert count > 300
    assert understood > 0.7 * count


@pytest.mark.data
def test_walker_understands_every_ct_slice(data_root: Path) -> None:
    slices = sorted((data_root / "ct_contrast" / "dicom_dir").iterdir())
    assert len(slices) == 100
    assert all(walked(path.read_bytes()) is not None for path in slices)


@pytest.mark.data
def test_walker_says_of_mutants_what_pydicom_says(data_root: Path) -> None:
    check_mutants(data_root, count=2_000, seed=0)


@pytest.mark.data
@pytest.mark.slow
def test_walker_says_of_many_mutants_what_pydicom_says(data_root: Path) -> None:
    check_mutants(data_root, count=100_000, seed=1)


def check_mutants(data_root: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)
    originals = [data[: 24 << 10] for _, data in dicom_files(data_root) if walked(data)]
    understood = 0
    for _ in range(count):
        data = mutant(rng.choice(originals), rng)
        values = walked(data)
        if values is None:
            continue
        understood += 1
        # Of a mutant that pydicom's route refuses the walker must have said nothing.
        assert {**values, "kind": "image"} == routed(data)
        with contextlib.suppress(OverflowError):  # pydicom's, where an IS is infinite
            assert values == by_dcmread(data)
    assert understood > count // 20


def mutant(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with bytes flipped, moved or lost, most of them in its first elements."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(132, min(len(made), rng.choice((400, 2_000, 24 << 10))))
        change = rng.randrange(6)
        if change == 0:
            made[place] = rng.randrange(256)
        elif change == 1:
            made[place] ^= 1 << rng.randrange(8)
        elif change == 2:
            made[place : place + 2] = struct.pack("<H", rng.randrange(64))
        elif change == 3:
            made[place : place + 4] = rng.choice(
                (b"\xff" * 4, ITEM, b"SQ\0\0", b"UN\0\0", b"\0" * 4)
            )
        elif change == 4:
            del made[place : place + rng.choice((1, 2, 8, 40))]
        else:
            del made[rng.randrange(132, len(made)) :]
            made.extend(bytes(200))
    return bytes(made)


def series(**changes: bytes) -> bytes:
    return raw.file_of(raw.body(raw.image(**changes)) + PIXELS)


def test_walker_reads_a_plain_file() -> None:
    values = walked(series(t00281050=b"40\\400 ", t00281051=b" 7"))
    assert values is not None
    assert values["Modality"] == "CT"
    assert values["Rows"] == "16"
    assert values["WindowCenter"] == "40\\400"
    assert values["WindowWidth"] == "7"
    assert values["RescaleIntercept"] == "-1024"
    assert values["PatientID"] == ""


def test_what_an_earlier_file_taught_changes_no_value() -> None:
    rng = random.Random(0)
    # Enough elements to be learnt from, and one that changes now and then in each place.
    names = {0x00081030: b"LO", 0x00180050: b"DS", 0x00200011: b"IS", 0x00204000: b"LT"}
    extra = {0x00090000 + i * 2 + 0x1010: (b"LO", b"private") for i in range(40)}
    for number in range(300):
        elements = raw.image() | extra
        for tag, vr in names.items():
            if rng.random() < 0.7:
                elements[tag] = (vr, b"%d" % rng.choice((3, 3, 3, 12345)))
        if rng.random() < 0.5:
            elements[0x00280120] = (rng.choice((b"US", b"SS")), struct.pack("<H", 63536))
        elements[0x00080018] = (b"UI", b"1.2.%d" % number)
        data = raw.file_of(raw.body(elements) + PIXELS)
        values = walked(data)
        assert values == by_dcmread(data)
    assert any(heads.runs for heads in (lookup.EXPLICIT, lookup.IMPLICIT))


def test_what_files_of_other_patients_taught_changes_no_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookup, "_RUNS", 12)
    for heads in (lookup.EXPLICIT, lookup.IMPLICIT):
        for known in (heads, heads.runs, heads.alone):
            known.clear()
    learner = learn.Learner()
    monkeypatch.setattr(head, "_LEARNER", learner)
    rng, helped = random.Random(0), 0
    for number in range(600):
        patient = rng.randrange(5)
        private = {0x00091010 + i: (b"LO", b"%d of %d" % (i, patient)) for i in range(50)}
        elements = raw.image() | private | {0x00100020: (b"LO", b"P%d" % patient)}
        elements[0x00080018] = (b"UI", b"1.2.%d" % number)
        elements[0x00181151] = (b"IS", b"%d" % rng.randrange(4))
        data = raw.file_of(raw.body(elements) + PIXELS)
        if patient == 0:
            data = implicit(elements)
        before = learner._new
        assert walked(data) == by_dcmread(data)
        helped += before and not learner._new
        assert all(len(heads.runs) <= 12 for heads in (lookup.EXPLICIT, lookup.IMPLICIT))
    assert helped


def test_padding_is_signed_as_its_vr_says() -> None:
    for vr, text in ((b"US", "63536"), (b"SS", "-2000")):
        elements = raw.image() | {0x00280120: (vr, struct.pack("<H", 63536))}
        values = walked(raw.file_of(raw.body(elements) + PIXELS))
        assert values is not None
        assert values["PixelPaddingValue"] == text


def implicit(elements: dict[int, tuple[bytes, bytes]]) -> bytes:
    body = b""
    for tag in sorted(elements):
        value = elements[tag][1]
        value += b" " * (len(value) % 2)
        body += struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
    return raw.file_of(body + struct.pack("<HHI", 0x7FE0, 0x0010, 512) + bytes(512), IMPLICIT)


def test_padding_of_implicit_vr_is_signed_as_the_pixels_are() -> None:
    for representation, text in ((0, "63536"), (1, "-2000")):
        elements = raw.image() | {
            0x00280103: (b"US", raw.us(representation)),
            0x00280120: (b"US", struct.pack("<H", 63536)),
        }
        data = implicit(elements)
        values = walked(data)
        assert values is not None
        assert values["PixelPaddingValue"] == text
        assert values == by_dcmread(data)


def test_sequences_of_undefined_length_are_stepped_over() -> None:
    inner = raw.element(0x00080100, b"SH", b"X") + raw.element(0x00081150, b"UI", b"1.2")
    nested = raw.element(0x00081140, b"SQ", b"", UNDEFINED) + (
        ITEM + struct.pack("<I", UNDEFINED) + inner + ITEM_END
        + ITEM + struct.pack("<I", len(inner)) + inner
        + ITEM + struct.pack("<I", 0)
        + SEQUENCE_END
    )  # fmt: skip
    whole = raw.element(0x00081032, b"SQ", b"", UNDEFINED)
    whole += ITEM + struct.pack("<I", UNDEFINED) + nested + ITEM_END + SEQUENCE_END
    elements = raw.image()
    start = {tag: value for tag, value in elements.items() if tag < 0x00081032}
    rest = {tag: value for tag, value in elements.items() if tag > 0x00081032}
    data = raw.file_of(raw.body(start) + whole + raw.body(rest) + PIXELS)
    values = walked(data)
    assert values is not None
    assert values == by_dcmread(data)
    # An item whose elements overrun it is read differently by every reader.
    broken = data.replace(ITEM + struct.pack("<I", len(inner)), ITEM + struct.pack("<I", 4))
    assert walked(broken) is None


@pytest.mark.parametrize(
    "data",
    [
        series().replace(b"CS\x02\0CT", b"CS\x02\0\xc4\xd6"),
        series().replace(b"CS\x02\0CT", b"CS\x02\0C\n"),
        series().replace(b"CS\x02\0CT", b"ZZ\x02\0CT"),
        series().replace(b"CS\x02\0CT", b"IS\x02\0CT"),
        raw.file_of(raw.body(raw.image()) + PIXELS, "1.2.840.10008.1.2.2"),
        raw.file_of(raw.body(raw.image()) + PIXELS, "1.2.840.10008.1.2.1.99"),
        raw.file_of(raw.body(raw.image()) + PIXELS, ""),
        raw.file_of(raw.element(0x00080005, b"CS", b"ISO_IR 13") + raw.body(raw.image()) + PIXELS),
        raw.file_of(raw.body(raw.image()) + raw.element(0x00080060, b"CS", b"MR") + PIXELS),
        raw.file_of(raw.body(raw.image()) + raw.element(0x00280103, b"US", raw.us(1)) + PIXELS),
        raw.file_of(raw.element(0x00081032, b"UN", b"", UNDEFINED) + SEQUENCE_END + PIXELS),
        raw.file_of(raw.body(raw.image())),
        raw.file_of(raw.body(raw.image()) + PIXELS[:8]),
        raw.file_of(raw.body(raw.image()))[:-3],
        series()[132:],
        b"",
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_walker_leaves_to_pydicom_what_it_does_not_understand(data: bytes) -> None:
    assert walked(data) is None


def test_large_elements_are_jumped_over_and_pixels_never_read() -> None:
    large = 80 << 20
    start = raw.file_of(raw.body({t: v for t, v in raw.image().items() if t < 0x00100000}))
    private = raw.element(0x00110010, b"LO", b"TEST") + raw.element(0x00111001, b"OB", b"", large)
    rest = raw.body({t: v for t, v in raw.image().items() if t > 0x00100000}) + PIXELS[:12]
    first, after = start + private, len(start) + len(private) + large
    size, read = after + len(rest) + (1 << 30), []

    def sparse(offset: int, count: int) -> bytes:
        read.append(count)
        if offset < len(first):
            return (first[offset:] + bytes(count))[:count]
        return (bytes(max(0, after - offset)) + rest[max(0, offset - after) :] + bytes(count))[
            :count
        ]

    values = walk(sparse(0, CHUNK), size, sparse)
    assert values is not None
    assert dict(zip(KEPT, values, strict=True))["Rows"] == "16"
    assert sum(read) <= 4 * CHUNK


def test_headers_longer_than_the_first_read_are_understood() -> None:
    many = {0x00091000 + i: (b"LO", b"x" * 64) for i in range(0x10, 0xFF)}
    many |= {0x00111000 + i: (b"LO", b"x" * 64) for i in range(0x10, 0xFF)}
    data = raw.file_of(raw.body(raw.image() | many) + PIXELS)
    assert len(data) > 2 * CHUNK
    values = walked(data)
    assert values == by_dcmread(data)


def test_dicom_is_known_by_its_beginning() -> None:
    body = raw.body(raw.image())
    assert is_dicom(series()[:CHUNK])
    assert is_dicom(body)
    assert is_dicom(raw.file_of(body)[132:])
    assert is_dicom(struct.pack("<HHI4s", 8, 5, 4, b"ISO ") + struct.pack("<HHI2s", 8, 8, 2, b"A "))
    assert is_dicom(struct.pack(">HH2sH4s", 8, 5, b"CS", 4, b"ISO ") + b"\0\x08\0\x08CS\0\0")
    for other in (b"", b"\x08", b"\x08\0\x05\0", b"\x08\0" * 40, b"PK\x03\x04" + bytes(200)):
        assert not is_dicom(other)
    assert not is_dicom(bytes(132) + b"DICM")


def test_kept_elements_stand_in_the_order_of_their_tags() -> None:
    tags = [kept.tag for kept in KEPT.values()]
    assert tags == sorted(set(tags))
    assert len(COLUMNS) == len(set(COLUMNS)) == len(KEPT) + 3


def test_kept_elements_are_those_of_the_data_dictionary() -> None:
    for name, kept in KEPT.items():
        assert pydicom.datadict.keyword_for_tag(kept.tag) == name
        assert pydicom.datadict.dictionary_VR(kept.tag) == kept.vr


def test_every_value_is_one_printable_line() -> None:
    assert plain(" A \\ B\0") == "A\\B"
    assert plain("1.2\n3") != plain("1.2\r3")
    for code in (*range(0x300), 0x2028, 0x2029, 0xD800, 0xDFFF):
        text = plain(f"a{chr(code)}b")
        assert text.isprintable() or "\xa0" in text or "\xad" in text
        assert len(text.splitlines()) == 1
        text.encode()


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_REMEMBERED", 50)
    texts = lookup.TEXTS[SLOT[0x00080018]]
    texts.clear()
    for number in range(200):
        assert walked(series(t00080018=b"1.2.%d" % number)) is not None
        assert len(texts) <= 50
