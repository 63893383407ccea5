"""Bytes to a data set: what is read, what is skipped, what is refused, and what is never said."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from medimg.data.sources.dicom.pixels.dataset import open_dataset, shown
from medimg.data.sources.dicom.pixels.elements import code, number, numbers
from medimg.errors import PixelError
from medimg.testing.dicom import make_dicom

PICTURE = np.arange(12, dtype=np.uint16).reshape(3, 4)


def written(tmp_path: Path, **options: object) -> bytes:
    return make_dicom(tmp_path / "x", PICTURE, **options).read_bytes()  # type: ignore[arg-type]


def refused(data: bytes) -> PixelError:
    with pytest.raises(PixelError) as caught:
        open_dataset(data)
    return caught.value


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "deflated", "big endian"])
def test_every_native_coding_of_a_header_reads_alike(tmp_path: Path, syntax: str) -> None:
    parsed = open_dataset(written(tmp_path, transfer_syntax=syntax, slope=2.5, intercept=-3))
    assert number(parsed.dataset, "Rows") == 3
    assert number(parsed.dataset, "RescaleSlope") == 2.5
    assert code(parsed.dataset, "Modality") == "CT"
    assert parsed.little_endian == (syntax != "big endian")
    assert parsed.pixels is not None
    assert parsed.pixels.length == len(parsed.pixels.value) == 24
    assert not parsed.cut


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big endian"])
def test_a_file_without_preamble_and_meta_is_read_by_what_is_there(
    tmp_path: Path, syntax: str
) -> None:
    data = written(tmp_path, transfer_syntax=syntax)
    (length,) = struct.unpack_from("<L", data, 140)
    bare = open_dataset(data[144 + length :])
    assert number(bare.dataset, "Columns") == 4
    assert bare.transfer_syntax == open_dataset(data).transfer_syntax


def test_the_pixel_reader_keeps_nothing_of_the_patient(tmp_path: Path) -> None:
    data = written(tmp_path)
    assert len(open_dataset(data).dataset.group_dataset(0x0010)) == 0
    whole = open_dataset(data, pixels=False)
    assert whole.dataset.PatientID == "P0001"
    assert whole.pixels == open_dataset(data).pixels


def test_sequences_of_undefined_length_are_stepped_over_at_any_depth(tmp_path: Path) -> None:
    data = written(tmp_path)
    depth = 50_000
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    opening = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + item
    nested = opening * depth + (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * depth
    place = data.index(b"\x08\x00\x16\x00UI")
    parsed = open_dataset(data[:place] + nested + data[place:])
    assert number(parsed.dataset, "Rows") == 3
    assert parsed.pixels is not None


def test_nested_sequences_that_are_wanted_end_in_a_code(tmp_path: Path) -> None:
    from medimg.data.options import DicomPixels
    from medimg.data.sources.dicom.pixels.read import read_image

    data = written(tmp_path)
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    opening = b"\x28\x00\x00\x30SQ\0\0\xff\xff\xff\xff" + item
    place = data.index(b"\xe0\x7f\x10\x00")
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    with pytest.raises(PixelError):
        read_image(
            data[:place] + opening * 50_000 + closing * 50_000 + data[place:], "", DicomPixels()
        )


@pytest.mark.parametrize("data", [b"", b"DICM", b"<!DOCTYPE html>" * 40, b"\0" * 400, b"\x89PNG"])
def test_what_is_no_dicom_is_said_to_be_none(data: bytes) -> None:
    assert refused(data).code == "unknown_format"


def test_a_deflated_bomb_is_refused_before_it_has_filled_the_memory(tmp_path: Path) -> None:
    data = written(tmp_path, transfer_syntax="deflated")
    (length,) = struct.unpack_from("<L", data, 140)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(256)) + packer.flush()
    assert refused(data[: 144 + length] + bomb).code == "too_large"


def test_the_end_of_the_data_within_the_header_is_noted(tmp_path: Path) -> None:
    data = written(tmp_path)
    place = data.index(b"\x28\x00\x11\x00US")  # Columns
    assert open_dataset(data[: place + 9]).cut
    assert open_dataset(data[: place + 9]).pixels is None
    assert not open_dataset(data).cut


def test_a_number_is_read_or_refused_by_its_keyword(tmp_path: Path) -> None:
    good = open_dataset(
        written(tmp_path, extra={"WindowCenter": "40\\ -1.5E1", "RescaleSlope": " 001.000000E+00 "})
    )
    assert numbers(good.dataset, "WindowCenter") == (40.0, -15.0)
    assert number(good.dataset, "RescaleSlope") == 1.0
    assert numbers(good.dataset, "WindowWidth") == ()
    for text in ("1O24", "1,5", "nan", "inf", "0x10", "1 2", "--1"):
        bad = open_dataset(written(tmp_path, extra={"RescaleSlope": text}))
        with pytest.raises(PixelError) as caught:
            number(bad.dataset, "RescaleSlope")
        assert caught.value.code == "header"
        assert "RescaleSlope" in caught.value.message
        assert text not in caught.value.message


def test_messages_show_numbers_and_never_a_text() -> None:
    assert shown(-12.5) == "-12.5"
    assert shown("1E-3") == "1E-3"
    assert shown("DOE") == "(a text of 3 characters)"
    assert shown("Müller^Anna") == "(a text of 11 characters)"
    assert shown("Doe John") == "(a text of 8 characters)"
