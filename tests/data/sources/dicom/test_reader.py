"""What the rest of the house asks of the workers: DICOM in, `Pixels` or `PixelError` out."""

from __future__ import annotations

import os
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from oracles import raw_dicom as raw

from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pool import Answer, Pool
from medimg.data.sources.dicom.reader import pixels_of, submit_image, submit_volume
from medimg.errors import PixelError

STORED = np.arange(256, dtype="<u2").reshape(16, 16)
FILE = raw.file_of(raw.body(raw.image()) + raw.native(STORED.tobytes()))


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(1, seconds=20) as made:
        yield made


def read(pool: Pool, root: Path, source: str, member: str | None = None) -> Pixels:
    return pixels_of(submit_image(pool, root, source, member, "", DicomPixels()).result(60))


def code_of(pool: Pool, root: Path, source: str) -> str:
    with pytest.raises(PixelError) as caught:
        read(pool, root, source)
    assert str(root) not in str(caught.value)
    return caught.value.code


def test_an_image_arrives_with_all_that_is_known_of_it(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(FILE)
    pixels = read(pool, tmp_path, "a.dcm")
    assert pixels.array.dtype == np.float32
    assert np.array_equal(pixels.array[0], STORED.astype(np.float32) - 1024)
    assert (pixels.low, pixels.high, pixels.units) == (-1024.0, 3071.0, "HU")
    assert isinstance(pixels.steps, tuple)
    assert pixels.spacing_mm is None
    assert pixels.array.flags.writeable


def test_optional_parts_survive_the_way() -> None:
    valid = np.eye(3, dtype=bool)
    value = {"low": 0.0, "high": 1.0, "units": "HU", "spacing_mm": [0.5, 2.0], "steps": ["a", "b"]}
    arrays = {"array": np.ones((1, 3, 3), np.float32), "valid": valid, "affine": np.eye(4)}
    pixels = pixels_of(Answer(value, arrays))
    assert pixels.spacing_mm == (0.5, 2.0)
    assert pixels.steps == ("a", "b")
    assert pixels.valid is valid
    assert np.array_equal(pixels.affine, np.eye(4))  # type: ignore[arg-type]


def test_options_arrive_in_the_worker(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(FILE)
    options = DicomPixels(range=(-1000, -900))
    pixels = pixels_of(submit_image(pool, tmp_path, "a.dcm", None, "", options).result(60))
    assert (pixels.low, pixels.high) == (-1000, -900)
    assert pixels.array.max() == -900


def test_a_member_of_an_archive_is_read(pool: Pool, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/b.dcm", FILE)
    assert read(pool, tmp_path, "a.zip", "x/b.dcm").array.max() == 255 - 1024


def test_a_volume_of_files_and_members_is_read(pool: Pool, tmp_path: Path) -> None:
    slices = [
        raw.file_of(
            raw.body(
                raw.image(
                    t00080018=b"1.2.3.%d" % number,
                    t00200032=b"0\\0\\%d" % (2 * number),
                    t00200037=b"1\\0\\0\\0\\1\\0",
                    t00280030=b"0.5\\0.5",
                )
            )
            + raw.native((STORED + number).tobytes())
        )
        for number in range(4)
    ]
    (tmp_path / "a.dcm").write_bytes(slices[2])
    (tmp_path / "b.dcm").write_bytes(slices[0])
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("3", slices[3])
        archive.writestr("1", slices[1])
    files = [("a.dcm", None), ("b.dcm", None), ("c.zip", "3"), ("c.zip", "1")]
    pixels = pixels_of(submit_volume(pool, tmp_path, files, DicomPixels()).result(60))
    assert pixels.array.shape == (1, 4, 16, 16)
    assert pixels.array[0, :, 0, 0].tolist() == [-1024, -1023, -1022, -1021]
    assert pixels.spacing_mm == (2.0, 0.5, 0.5)
    assert pixels.affine is not None
    assert pixels.affine.dtype == np.float64
    assert np.diag(pixels.affine).tolist() == [-0.5, -0.5, 2, 1]


def test_a_relative_root_is_the_callers(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dcm").write_bytes(FILE)
    monkeypatch.chdir(tmp_path)
    assert read(pool, Path(), "a.dcm").array.shape == (1, 16, 16)


@pytest.mark.parametrize(
    "name", ["a\nb", "-rf", "x" * 255, "caf\udce9", " ", "é", ".hidden", "'; --", "a#b"], ids=ascii
)
def test_a_file_of_any_name_is_read(pool: Pool, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILE)
    assert read(pool, tmp_path, name).array.shape == (1, 16, 16)


@pytest.mark.timeout(60)
def test_what_is_no_file_is_refused_at_once(pool: Pool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.dcm")
    (tmp_path / "device.dcm").symlink_to("/dev/zero")
    (tmp_path / "folder.dcm").mkdir()
    (tmp_path / "empty.dcm").touch()
    assert code_of(pool, tmp_path, "fifo.dcm") == "not_regular"
    assert code_of(pool, tmp_path, "device.dcm") == "not_regular"
    assert code_of(pool, tmp_path, "folder.dcm") == "not_regular"
    assert code_of(pool, tmp_path, "none.dcm") == "not_found"
    assert code_of(pool, tmp_path, "empty.dcm") in ("corrupt", "unknown_format")


@pytest.mark.timeout(60)
def test_a_socket_is_refused_at_once(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket holds 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.dcm")
        assert code_of(pool, tmp_path, "socket.dcm") == "not_regular"


def test_links_out_of_the_folder_are_refused(pool: Pool, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.dcm").write_bytes(FILE)
    (root / "inside.dcm").write_bytes(FILE)
    (root / "out.dcm").symlink_to(tmp_path / "outside.dcm")
    (root / "in.dcm").symlink_to("inside.dcm")
    assert code_of(pool, root, "out.dcm") == "not_permitted"
    assert read(pool, root, "in.dcm").array.shape == (1, 16, 16)
