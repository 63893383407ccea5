"""Every file below a folder is exactly one of: a row, a refusal, no DICOM."""

from __future__ import annotations

import os
import shutil
import socket
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from oracles import raw_dicom as raw

from medimg.data.sources.dicom.headers import scan as module
from medimg.data.sources.dicom.headers.batch import dicomdir, headers
from medimg.data.sources.dicom.headers.found import File, Stamps
from medimg.data.sources.dicom.headers.references import broken
from medimg.data.sources.dicom.headers.scan import Scan, scan, stamp_digest
from medimg.data.sources.dicom.headers.tags import COLUMNS
from medimg.data.sources.dicom.pool import Pool
from medimg.errors import PixelError

PIXELS = raw.native(bytes(512))
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"


class Answer(NamedTuple):
    value: dict[str, Any]


class Inline:
    """Does what a pool does, here and now; `before` may end a worker."""

    def __init__(self, before: Callable[[dict[str, Any]], None] = lambda task: None) -> None:
        self.before = before
        self.asked: list[str] = []
        self.limits: list[tuple[int, float | None]] = []

    def submit(self, task: dict[str, Any], *, seconds: float | None = None) -> Future[Any]:
        future: Future[Any] = Future()
        self.asked += [path for path, _ in task["files"]]
        self.limits.append((len(task["files"]), seconds))
        try:
            self.before(task)
            ops = {"headers": headers, "dicomdir": dicomdir}
            future.set_result(Answer(ops[task["op"]](task)[0]))
        except PixelError as error:
            future.set_exception(error)
        return future


def slice_(number: int = 0) -> bytes:
    changes = {"t00080018": b"1.2.3.%d" % number}
    return raw.file_of(raw.body(raw.image(**changes)) + PIXELS)


def write(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(slice_(number))


def codes(found: Scan) -> dict[str, str]:
    return {source: error.code for source, error in found.refusals}


def accounted(found: Scan) -> list[str]:
    return sorted([*found.columns["source"], *codes(found), *found.others])


def assert_same(one: Scan, other: Scan) -> None:
    assert one.columns == other.columns
    assert one.others == other.others
    assert codes(one) == codes(other)


def test_every_file_is_listed_once(tmp_path: Path) -> None:
    write(tmp_path, "b/2.dcm", "b/10.dcm", "a", ".hidden/x", "b/1.2.840.1")
    for name in ("notes.txt", "b/table.csv", ".DS_Store", "scan.dcm", "noending", "x.ima", "1.2.3"):
        (tmp_path / name).write_bytes(b"no DICOM")
    found = scan(tmp_path, Inline())
    rows = [".hidden/x", "a", "b/1.2.840.1", "b/10.dcm", "b/2.dcm"]
    assert found.columns["source"] == rows
    assert set(found.columns) == {"source", *COLUMNS}
    assert {len(column) for column in found.columns.values()} == {5}
    assert found.columns["SOPInstanceUID"] == [f"1.2.3.{i}" for i in (3, 2, 4, 1, 0)]
    assert found.others == [".DS_Store", "b/table.csv", "notes.txt"]
    assert codes(found) == dict.fromkeys(
        ("scan.dcm", "noending", "x.ima", "1.2.3"), "unknown_format"
    )
    everything = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]
    assert accounted(found) == sorted(everything)


def test_no_image_is_a_row_of_its_kind(tmp_path: Path) -> None:
    report = {0x00080016: (b"UI", REPORT.encode()), 0x00080060: (b"CS", b"SR")}
    (tmp_path / "report").write_bytes(raw.file_of(raw.body(report)))
    found = scan(tmp_path, Inline())
    assert (found.columns["kind"], found.columns["Modality"]) == (["none"], ["SR"])


def test_only_regular_files_below_the_folder_are_opened(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(root, "sub/a.dcm")
    write(tmp_path, "out/b.dcm")
    os.mkfifo(root / "fifo.dcm")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(root / "s"))
    (root / "inner.dcm").symlink_to("sub/a.dcm")
    (root / "inner-folder").symlink_to("sub")
    (root / "outer.dcm").symlink_to(tmp_path / "out" / "b.dcm")
    (root / "outer-folder").symlink_to(tmp_path / "out")
    (root / "device").symlink_to("/dev/zero")
    (root / "gone").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "up").symlink_to(".")
    pool = Inline()
    started = time.monotonic()
    found = scan(root, pool)
    server.close()
    assert time.monotonic() - started < 10
    assert sorted(pool.asked) == ["inner.dcm", "sub/a.dcm"]
    assert found.columns["source"] == ["inner.dcm", "sub/a.dcm"]
    assert codes(found) == {
        "fifo.dcm": "not_regular",
        "s": "not_regular",
        "outer.dcm": "not_permitted",
        "outer-folder": "not_permitted",
        "device": "not_permitted",
        "gone": "not_found",
        "loop": "not_found",
    }


def test_awkward_names_are_read_or_refused_by_name(tmp_path: Path) -> None:
    names = ["a\nb.dcm", "-rf", "x" * 251 + ".dcm", "a#b.dcm", "ü.dcm", " ", "'\";,.dcm"]
    write(tmp_path, *names)
    write(tmp_path, "\udcff.dcm")
    found = scan(tmp_path, Inline())
    assert found.columns["source"] == sorted(names)
    assert codes(found) == {"\\udcff.dcm": "unsupported"}
    for source in accounted(found):
        source.encode()


def test_files_that_vanish_or_may_not_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.dcm", "b.dcm", "c/d.dcm")

    def vanish(task: dict[str, Any]) -> None:
        (tmp_path / "b.dcm").unlink(missing_ok=True)

    plain = os.scandir

    def deny(path: str) -> Any:
        if path.rstrip("/").endswith("/c"):
            raise PermissionError(13, "denied", path)
        return plain(path)

    monkeypatch.setattr(os, "scandir", deny)
    found = scan(tmp_path, Inline(vanish))
    assert found.columns["source"] == ["a.dcm"]
    assert codes(found) == {"b.dcm": "not_found", "c/": "not_permitted"}
    assert str(tmp_path) not in str([error.message for _, error in found.refusals])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm")
    (tmp_path / "a.dcm").chmod(0)
    assert codes(scan(tmp_path, Inline())) == {"a.dcm": "not_permitted"}


def test_a_file_that_ends_its_worker_is_listed_alone(tmp_path: Path) -> None:
    names = [f"{number:04d}.dcm" for number in range(100)]
    write(tmp_path, *names)

    def kill(task: dict[str, Any]) -> None:
        if any(path in ("0007.dcm", "0050.dcm") for path, _ in task["files"]):
            raise PixelError("crashed", "the decoder died on it", remedy="look at it")

    found = scan(tmp_path, Inline(kill))
    assert codes(found) == {"0007.dcm": "crashed", "0050.dcm": "crashed"}
    assert found.columns["source"] == [n for n in names if n not in ("0007.dcm", "0050.dcm")]


def test_files_of_a_batch_that_took_too_long_are_read_alone_and_wait_less(tmp_path: Path) -> None:
    names = [f"{number:04d}.dcm" for number in range(100)]
    write(tmp_path, *names)

    def hang(task: dict[str, Any]) -> None:
        if ["0050.dcm", None] in [list(file) for file in task["files"]]:
            raise PixelError("time_limit", "it took too long", remedy="look at it")

    pool = Inline(hang)
    found = scan(tmp_path, pool)
    assert codes(found) == {"0050.dcm": "time_limit"}
    assert found.columns["source"] == [name for name in names if name != "0050.dcm"]
    limits = dict(pool.limits)
    assert limits.pop(1) == module._ALONE
    assert set(limits.values()) == {None}


def test_stamps_that_a_scan_takes_are_those_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "a/1", "a/2", "a-b/1", "a.dcm", "b/c/1")
    (tmp_path / "own.csv").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    stamps = Stamps({"own.csv"})
    found = scan(tmp_path, Inline(), stamps=stamps)
    assert found.columns["source"] == ["a-b/1", "a.dcm", "a/1", "a/2", "b/c/1"]
    assert stamps.digest() == stamp_digest(tmp_path, skip={"own.csv"})


def test_members_of_archives_are_sources(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("s/2.dcm", slice_(2))
        archive.writestr("s/1", slice_(1))
        archive.writestr("s/bad.dcm", b"nothing")
        archive.writestr("s/notes.txt", b"nothing")
        archive.writestr("../out.dcm", slice_(3))
        archive.writestr("empty/", b"")
    for name in ("report.docx", "b.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("noending", b"nothing")
            archive.writestr("x.txt", b"nothing")
    (tmp_path / "c.zip").write_bytes(b"PK\x03\x04 and then nothing")
    found = scan(tmp_path, Inline())
    assert found.columns["source"] == ["a.zip#s/1", "a.zip#s/2.dcm"]
    assert codes(found) == {
        "a.zip#../out.dcm": "not_permitted",
        "a.zip#s/bad.dcm": "unknown_format",
        "c.zip": "corrupt",
    }
    assert found.others == ["a.zip#s/notes.txt", "b.zip", "report.docx"]
    again = Inline()
    assert_same(scan(tmp_path, again, known=found.columns), found)
    assert again.asked.count("a.zip") == 3  # its directory, and the two members that are no rows
    named = scan(tmp_path, Inline(), files=["a.zip#s/1"])
    assert named.columns["source"] == ["a.zip#s/1"]


def test_what_is_known_and_unchanged_is_not_read_again(tmp_path: Path) -> None:
    names = [f"{number}.dcm" for number in range(20)]
    write(tmp_path, *names)
    first = scan(tmp_path, Inline())
    again = Inline()
    assert scan(tmp_path, again, known=first.columns) == first
    assert again.asked == []
    (tmp_path / "3.dcm").write_bytes(slice_(77))
    (tmp_path / "4.dcm").unlink()
    write(tmp_path, "new.dcm")
    grown = scan(tmp_path, again, known=first.columns)
    assert sorted(again.asked) == ["3.dcm", "new.dcm"]
    assert grown == scan(tmp_path, Inline())
    partial = {name: column for name, column in first.columns.items() if name != "KVP"}
    assert scan(tmp_path, Inline(), known=partial) == grown


def test_named_files_alone_are_read(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm", "b.dcm", "c#d.dcm")
    pool = Inline()
    found = scan(tmp_path, pool, files=["c#d.dcm", "a.dcm", "gone.dcm", "../x", "a.dcm"])
    assert found.columns["source"] == ["a.dcm", "c#d.dcm"]
    assert codes(found) == {"gone.dcm": "not_found", "../x": "not_found"}


def test_an_empty_folder_is_an_empty_table(tmp_path: Path) -> None:
    found = scan(tmp_path, Inline())
    assert found == Scan({name: [] for name in ("source", *COLUMNS)}, [], [])


@pytest.mark.data
def test_what_a_directory_references_must_be_there(tmp_path: Path) -> None:
    import pydicom

    origin = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
    ignored = shutil.ignore_patterns("DICOMDIR?*")
    shutil.copytree(origin, tmp_path / "cd", ignore=ignored)
    found = scan(tmp_path, Inline())
    row = found.columns["source"].index("cd/DICOMDIR")
    assert found.columns["kind"][row] == "none"
    assert "not_found" not in codes(found).values()
    gone = tmp_path / "cd" / "77654033" / "CR1" / "6154"
    gone.unlink()
    lost = scan(tmp_path, Inline(), known=found.columns)
    assert codes(lost)["cd/77654033/CR1/6154"] == "not_found"
    evil = (origin / "DICOMDIR").read_bytes().replace(b"77654033\\CR1\\6154", b"../../..\\..\\6154")
    (tmp_path / "cd" / "DICOMDIR").write_bytes(evil)
    refused = codes(scan(tmp_path, Inline()))
    assert list(refused.values()).count("not_permitted") == 1
    assert "not_found" not in refused.values()


def test_names_may_differ_in_case_from_the_directory(tmp_path: Path) -> None:
    file = File("cd/dicomdir", "cd/dicomdir", None)
    assert not list(broken([["IMAGES", "IM1"]], file, str(tmp_path), {"cd/images/im1"}))


def test_the_digest_tells_any_change(tmp_path: Path) -> None:
    write(tmp_path, "a/1", "a/2", "b/1")
    seen = {stamp_digest(tmp_path)}
    assert stamp_digest(str(tmp_path)) in seen
    changes = [
        lambda: os.utime(tmp_path / "a" / "1", ns=(1, 1)),
        lambda: (tmp_path / "a" / "2").write_bytes(b""),
        lambda: (tmp_path / "b" / "1").rename(tmp_path / "b" / "2"),
        lambda: (tmp_path / "b" / "2").rename(tmp_path / "2"),
        lambda: (tmp_path / "2").unlink(),
        lambda: write(tmp_path, "\udcff"),
    ]
    for change in changes:
        change()
        digest = stamp_digest(tmp_path)
        assert digest not in seen
        seen.add(digest)


def test_workers_read_what_one_process_reads(tmp_path: Path) -> None:
    write(tmp_path, *(f"s{number % 7}/{number}.dcm" for number in range(300)))
    (tmp_path / "s1" / "broken.dcm").write_bytes(slice_()[:140])
    with Pool(2) as pool:
        found = scan(tmp_path, pool)
    inline = scan(tmp_path, Inline())
    assert found.columns == inline.columns
    assert codes(found) == codes(inline) == {"s1/broken.dcm": "corrupt"}


def test_archives_within_archives_and_members_of_one_name_are_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("1.dcm", slice_(1))
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "outer.zip", "w") as archive:
        archive.write(inner, "inner.zip")
        archive.writestr("2.dcm", slice_(2))
    with (
        zipfile.ZipFile(tmp_path / "in" / "twice.zip", "w") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("a.dcm", slice_(3))
        archive.writestr("a.dcm", slice_(4))
    found = scan(tmp_path / "in", Inline())
    assert found.columns["source"] == ["outer.zip#2.dcm"]
    assert {source: error.code for source, error in found.refusals} == {
        "outer.zip#inner.zip": "unsupported",
        "twice.zip": "unsupported",
    }
