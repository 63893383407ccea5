"""Only regular files below the folder are opened, none without bound, and no path is told."""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import zipfile
from pathlib import Path

import pytest

from medimg.data.sources.dicom import opening
from medimg.data.sources.dicom.opening import open_regular, read_bytes
from medimg.errors import PixelError

DATA = bytes(range(256)) * 50


def code_of(path: Path | str, member: str | None = None, root: Path | None = None) -> str:
    with pytest.raises(PixelError) as caught:
        read_bytes(str(path), member, None if root is None else str(root))
    assert "Doe" not in str(caught.value), "a message tells no name of a file"
    assert caught.value.remedy
    return caught.value.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Doe^Jane"
    made.mkdir()
    (made / "Doe.dcm").write_bytes(DATA)
    return made


def test_a_file_is_read_whole(folder: Path) -> None:
    assert read_bytes(str(folder / "Doe.dcm"), None, str(folder)) == DATA
    (folder / "Doe.dcm").write_bytes(b"")
    assert read_bytes(str(folder / "Doe.dcm")) == b""


@pytest.mark.parametrize(
    "name",
    ["a\nb", "-rf", "x" * 255, "caf\udce9", "  ", "'; --", "a#b", "é", "\\", ".hidden", "*"],
    ids=ascii,
)
def test_a_file_of_any_name_is_read(folder: Path, name: str) -> None:
    (folder / name).write_bytes(DATA)
    assert read_bytes(f"{folder}/{name}", None, str(folder)) == DATA


def test_a_descriptor_is_not_inherited_and_does_not_wait(folder: Path) -> None:
    descriptor, status = open_regular(str(folder / "Doe.dcm"))
    try:
        assert status.st_size == len(DATA)
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_what_is_not_there_is_said_so(folder: Path) -> None:
    for path in (
        folder / "none",
        folder / "Doe.dcm" / "below",
        folder / ("x" * 256),
        f"{folder}/Doe\0.dcm",
    ):
        assert code_of(path) == "not_found"
    (folder / "loop").symlink_to("loop")
    assert code_of(folder / "loop") == "not_found"
    (folder / "dangling").symlink_to("none")
    assert code_of(folder / "dangling") == "not_found"


@pytest.mark.timeout(10)
def test_a_fifo_is_refused_unopened(folder: Path) -> None:
    os.mkfifo(folder / "Doe.fifo")
    assert code_of(folder / "Doe.fifo") == "not_regular"
    (folder / "link").symlink_to("Doe.fifo")
    assert code_of(folder / "link") == "not_regular"
    # A writer finds no reader, now or before: nobody has opened it.
    with pytest.raises(OSError, match="No such device"):
        os.open(folder / "Doe.fifo", os.O_WRONLY | os.O_NONBLOCK)


def test_folders_devices_and_sockets_are_refused(folder: Path) -> None:
    assert code_of(folder) == "not_regular"
    assert code_of("/dev/null") == "not_regular"
    assert code_of("/dev/zero") == "not_regular"
    (folder / "device").symlink_to("/dev/zero")
    assert code_of(folder / "device", root=folder) == "not_regular"
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket holds 107 bytes at most
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        assert code_of(folder / "socket") == "not_regular"


def test_links_within_the_folder_are_lawful_and_links_out_of_it_are_not(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "Doe.dcm").write_bytes(DATA)
    (folder / "within").symlink_to("Doe.dcm")
    (folder / "out").symlink_to(outside / "Doe.dcm")
    (folder / "out_by_folder").symlink_to(outside)
    (folder.parent / "Doe^Jane2").mkdir()
    (folder.parent / "Doe^Jane2" / "x").write_bytes(DATA)
    assert read_bytes(str(folder / "within"), None, str(folder)) == DATA
    assert code_of(folder / "out", root=folder) == "not_permitted"
    assert code_of(folder / "out_by_folder" / "Doe.dcm", root=folder) == "not_permitted"
    assert code_of(f"{folder}/../outside/Doe.dcm", root=folder) == "not_permitted"
    assert code_of(f"{folder}/../Doe^Jane2/x", root=folder) == "not_permitted"
    assert read_bytes(str(folder / "out")) == DATA


def test_the_folder_may_be_a_link_itself_and_be_turned(folder: Path) -> None:
    root = folder.parent / "root"
    root.symlink_to(folder)
    assert read_bytes(f"{root}/Doe.dcm", None, str(root)) == DATA
    other = folder.parent / "other"
    other.mkdir()
    (other / "Doe.dcm").write_bytes(b"other")
    root.unlink()
    root.symlink_to(other)
    assert read_bytes(f"{root}/Doe.dcm", None, str(root)) == b"other"
    assert read_bytes("/etc/hostname", None, "/")


def test_links_are_told_without_proc_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> str:
        raise FileNotFoundError(2, "no /proc", path)

    monkeypatch.setattr(opening, "_opened_path", missing)
    (folder / "out").symlink_to("/etc/hostname")
    (folder / "within").symlink_to("Doe.dcm")
    assert read_bytes(str(folder / "within"), None, str(folder)) == DATA
    assert code_of(folder / "out", root=folder) == "not_permitted"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said_so(folder: Path) -> None:
    (folder / "Doe.dcm").chmod(0)
    assert code_of(folder / "Doe.dcm") == "not_permitted"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((1, "not_permitted"), (13, "not_permitted"), (21, "not_regular"), (2, "not_found")),
        *((5, "corrupt"), (116, "corrupt"), (None, "corrupt"), (99999, "corrupt")),
    ],
)
def test_errors_of_the_system_have_a_code(number: int | None, code: str) -> None:
    error = OSError(number, "Doe", "/Doe/Jane") if number else OSError("Doe")
    assert opening.refusal(error).code == code
    assert "Doe" not in str(opening.refusal(error))


def test_a_file_over_the_cap_is_refused_unread(folder: Path) -> None:
    with (folder / "large").open("wb") as handle:
        handle.truncate(opening.FILE_CAP + 1)
    assert code_of(folder / "large") == "too_large"


def test_a_file_that_shrinks_or_vanishes_while_it_is_read_does_no_harm(folder: Path) -> None:
    path = folder / "changing"
    path.write_bytes(DATA)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            path.write_bytes(DATA)
            os.truncate(path, 10)
            path.unlink()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(500):
            try:
                assert DATA.startswith(read_bytes(str(path)))
            except PixelError as error:
                assert error.code == "not_found"
    finally:
        done.set()
        thread.join()


# -- zip archives --------------------------------------------------------------------------------


@pytest.fixture
def archive(folder: Path) -> Path:
    path = folder / "Doe.zip"
    with zipfile.ZipFile(path, "w") as handle:
        handle.writestr("stored.dcm", DATA)
        handle.writestr("a/é/deflated.dcm", DATA, zipfile.ZIP_DEFLATED)
        handle.writestr("empty", b"", zipfile.ZIP_DEFLATED)
        handle.writestr("lzma", DATA, zipfile.ZIP_LZMA)
        handle.writestr("../../out", DATA)
    return path


def test_members_are_read(archive: Path, folder: Path) -> None:
    for _ in range(2):
        for member in ("stored.dcm", "a/é/deflated.dcm", "../../out"):
            assert read_bytes(str(archive), member, str(folder)) == DATA
        assert read_bytes(str(archive), "empty") == b""


def test_members_that_are_missing_or_packed_oddly_are_refused(archive: Path, folder: Path) -> None:
    assert code_of(archive, "none") == "not_found"
    assert code_of(archive, "lzma") == "unsupported"
    assert code_of(folder / "Doe.dcm", "x") == "corrupt"
    assert code_of(folder / "none.zip", "x") == "not_found"


def test_an_encrypted_member_is_refused(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert code_of(archive, "stored.dcm") == "unsupported"


def test_a_member_that_claims_more_than_the_archive_holds_is_damaged(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<II", data, entry + 20, 1 << 30, 1 << 30)
    archive.write_bytes(data)
    assert code_of(archive, "stored.dcm") == "corrupt"


def test_an_archive_that_is_written_again_is_read_again(archive: Path) -> None:
    assert read_bytes(str(archive), "stored.dcm") == DATA
    with zipfile.ZipFile(archive, "w") as handle:
        handle.writestr("stored.dcm", b"new")
    assert read_bytes(str(archive), "stored.dcm") == b"new"


def test_more_archives_than_are_remembered_are_read(folder: Path) -> None:
    for _ in range(2):
        for number in range(10):
            path = folder / f"{number}.zip"
            with zipfile.ZipFile(path, "w") as handle:
                handle.writestr("x", str(number))
            assert read_bytes(str(path), "x") == str(number).encode()
    assert len(opening._DIRECTORIES) <= 4


@pytest.mark.parametrize("claimed", [None, 100, 1 << 20, 1 << 40])
def test_a_bomb_inflates_no_further_than_its_cap(folder: Path, claimed: int | None) -> None:
    """What the directory claims may be a lie (APPNOTE.TXT 4.4.9)."""
    import tracemalloc

    path = folder / "bomb.zip"
    size = 600 << 20
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as handle,
        handle.open("x", "w") as member,
    ):
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    if claimed is not None:
        data = bytearray(path.read_bytes())
        entry = data.index(b"PK\x01\x02")
        struct.pack_into("<I", data, entry + 24, min(claimed, 0xFFFFFFF0))
        path.write_bytes(data)
    tracemalloc.start()
    try:
        assert code_of(path, "x") == ("corrupt" if claimed in (100, 1 << 20) else "too_large")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_damage_of_an_archive_is_told_or_harmless(archive: Path) -> None:
    whole = archive.read_bytes()
    rng = random.Random(0)
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        archive.write_bytes(data[: rng.choice([None, rng.randrange(len(data))])])
        try:
            assert read_bytes(str(archive), "a/é/deflated.dcm") == DATA
        except PixelError as error:
            assert error.code in ("corrupt", "not_found", "unsupported", "too_large")
            assert error.code != "not_found" or "member" in error.message
