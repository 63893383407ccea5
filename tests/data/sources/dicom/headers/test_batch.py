"""A batch of files becomes columns; each file that is wrong is a refusal of its own."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from oracles import raw_dicom as raw

from medimg.data.sources.dicom.headers import by_pydicom
from medimg.data.sources.dicom.headers.batch import dicomdir, headers
from medimg.data.sources.dicom.headers.by_pydicom import read_header
from medimg.data.sources.dicom.headers.tags import COLUMNS, KEPT
from medimg.errors import PixelError

PIXELS = raw.native(bytes(512))
CT_FILE = raw.file_of(raw.body(raw.image()) + PIXELS)


def read(root: Path, *files: str | tuple[str, str]) -> dict[str, Any]:
    asked = [[f, None] if isinstance(f, str) else list(f) for f in files]
    value, arrays = headers({"root": str(root), "files": asked})
    assert not arrays
    return value


def column(value: dict[str, Any], name: str) -> list[str]:
    if name in value["same"]:
        return [value["same"][name]] * len(value["rows"])
    return str(value["lines"][name]).split("\n")


def codes(value: dict[str, Any]) -> dict[int, str]:
    return {number: code for number, code, *_ in value["refused"]}


def header(data: bytes) -> by_pydicom.Header:
    return read_header(data[:16384], len(data), lambda start, count: data[start : start + count])


def values(data: bytes) -> dict[str, str]:
    return dict(zip(KEPT, header(data).values, strict=True))


def test_a_batch_is_answered_in_columns(tmp_path: Path) -> None:
    for number in range(3):
        changes = {"t00080018": b"1.2.%d" % number}
        data = raw.file_of(raw.body(raw.image(**changes)) + PIXELS)
        (tmp_path / f"{number}").write_bytes(data)
    os.utime(tmp_path / "1", ns=(5, 7))
    value = read(tmp_path, "0", "1", "2")
    assert value["rows"] == [0, 1, 2]
    assert {*value["same"], *value["lines"]} == set(COLUMNS)
    assert column(value, "SOPInstanceUID") == ["1.2.0", "1.2.1", "1.2.2"]
    assert value["same"]["Modality"] == "CT"
    assert value["same"]["kind"] == "image"
    assert column(value, "size") == [str((tmp_path / "0").stat().st_size)] * 3
    assert column(value, "mtime_ns")[1] == "7"


def test_what_the_walker_leaves_is_read_by_pydicom(tmp_path: Path) -> None:
    latin = raw.element(0x00080005, b"CS", b"ISO_IR 100")
    body = raw.body(raw.image() | {0x00100020: (b"LO", b"M\xfcller")})
    (tmp_path / "a").write_bytes(CT_FILE)
    (tmp_path / "b").write_bytes(raw.file_of(latin + body + PIXELS))
    value = read(tmp_path, "a", "b")
    assert column(value, "PatientID") == ["", "Müller"]


def test_each_wrong_file_is_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(CT_FILE)
    (tmp_path / "cut").write_bytes(CT_FILE[:140])
    (tmp_path / "text").write_text("nothing", encoding="utf-8")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "x").write_bytes(CT_FILE)
    (tmp_path / "link").symlink_to(outside / "x")
    (tmp_path / "folder-link").symlink_to(outside)
    (tmp_path / "inner-link").symlink_to("good")
    files = ["good", "cut", "text", "empty", "folder", "fifo", "link", "folder-link/x"]
    value = read(tmp_path, *files, "inner-link", "gone", f"../{outside.name}/x", "a\0b")
    assert value["rows"] == [0, 8]
    assert value["others"] == [2, 3]
    assert codes(value) == {
        1: "corrupt",
        4: "not_regular",
        5: "not_regular",
        6: "not_permitted",
        7: "not_permitted",
        9: "not_found",
        10: "not_permitted",
        11: "not_found",
    }
    assert str(tmp_path) not in str(value["refused"])


def open_descriptors() -> int:
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.is_dir() else 0


def test_descriptors_are_closed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "good").write_bytes(CT_FILE)
    (tmp_path / "bad").write_bytes(CT_FILE[:140])
    before = open_descriptors()
    for _ in range(5):
        read(tmp_path, "a/good", "bad", "gone", "a")
    assert open_descriptors() == before


def test_members_of_archives_are_listed_and_then_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/1", CT_FILE)
        archive.writestr("read.me", "text")
    (tmp_path / "broken.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:-30])
    value = read(tmp_path, "a.zip", "broken.zip")
    [[number, mtime_ns, members]] = value["archives"]
    assert (number, mtime_ns) == (0, (tmp_path / "a.zip").stat().st_mtime_ns)
    assert members == [["in/1", len(CT_FILE)], ["read.me", 4]]
    assert codes(value) == {1: "corrupt"}
    value = read(tmp_path, ("a.zip", "in/1"), ("a.zip", "read.me"), ("a.zip", "no"), ("b.zip", "x"))
    assert value["rows"] == [0]
    assert value["others"] == [1]
    assert codes(value) == {2: "not_found", 3: "not_found"}
    assert column(value, "size") == [str(len(CT_FILE))]


def test_nothing_after_the_header_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = raw.element(0x7FE00010, b"OW", b"", 3 << 30)
    body = raw.body(raw.image()) + pixels
    for name, data in (("walked", raw.file_of(body)), ("by-pydicom", body)):
        with (tmp_path / name).open("wb") as file:
            file.write(data)
            file.truncate(3 << 30)
    seen: list[int] = []
    plain_read = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: seen.append(a[1]) or plain_read(*a))
    value = read(tmp_path, "walked", "by-pydicom")
    assert value["rows"] == [0, 1]
    assert sum(seen) <= 2 << 20


def test_a_header_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_pydicom, "_PARTS", (4096, 8192))
    data = raw.file_of(
        raw.body(raw.image()) + raw.element(0x00091001, b"UN", bytes(20_000)) + PIXELS
    )
    with pytest.raises(PixelError) as caught:
        header(data)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("end", [132, 150, CT_FILE.rindex(raw.CT.encode()) + 5])
def test_a_file_that_ends_before_it_says_what_it_is_is_damaged(end: int) -> None:
    with pytest.raises(PixelError) as caught:
        header(CT_FILE[:end])
    assert caught.value.code == "corrupt"


def test_kind_is_told_by_pixels_or_by_the_class_of_the_object() -> None:
    report = raw.image(t00080016=b"1.2.840.10008.5.1.4.1.1.88.11")
    for tag in [tag for tag in report if tag >> 16 == 0x0028]:
        del report[tag]
    without = {tag: value for tag, value in raw.image().items() if tag >> 16 != 0x0028}
    assert header(CT_FILE).kind == "image"
    assert header(raw.file_of(raw.body(raw.image()))).kind == "image"
    assert header(raw.file_of(raw.body(without))).kind == "image"
    assert header(raw.file_of(raw.body(report))).kind == "none"
    assert header(raw.file_of(raw.body(report) + PIXELS)).kind == "image"


def test_values_stand_as_they_were_written() -> None:
    elements = raw.image(t00281050=b"1O24", t00281053=b"1.50\\nan")
    elements |= {
        0x00200013: (b"IS", b"1.0"),
        0x00280010: (b"US", b"\1\0\2\0"),
        0x00280011: (b"UL", struct.pack("<I", 70_000)),
        0x00280120: (b"US", struct.pack("<H", 63536)),
        0x00189087: (b"FD", struct.pack("<d", 1000.5)),
        0x00280103: (b"US", raw.us(1)),
    }
    found = values(raw.file_of(raw.body(elements) + PIXELS))
    assert found["WindowCenter"] == "1O24"
    assert found["RescaleSlope"] == "1.50\\nan"
    assert found["InstanceNumber"] == "1.0"
    assert found["Rows"] == "1\\2"
    assert found["Columns"] == "70000"
    assert found["PixelPaddingValue"] == "63536"
    assert found["DiffusionBValue"] == "1000.5"


def test_control_characters_break_no_line() -> None:
    changes = {0x00100020: (b"LO", b"a\nb\x1bc"), 0x0020000D: (b"UI", b"../../x\0y")}
    found = values(raw.file_of(raw.body(raw.image() | changes) + PIXELS))
    assert found["PatientID"] == "a␊b␛c"
    assert found["StudyInstanceUID"] == "../../x␀y"


@pytest.mark.data
def test_references_of_a_directory_are_given_as_they_stand() -> None:
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
    value = read(folder, "DICOMDIR")
    assert value["directories"] == value["rows"] == [0]
    assert column(value, "kind") == ["none"]
    answer, _ = dicomdir({"root": str(folder), "files": [["DICOMDIR", None]]})
    references = answer["references"]
    assert len(references) == 31
    assert all((folder.joinpath(*components)).is_file() for components in references)
