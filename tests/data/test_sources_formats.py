"""Formats: chosen by content, read right, and whatever the bytes are, one type of error."""

from __future__ import annotations

import gzip
import os
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg.data import pixels
from medimg.data.index import index
from medimg.data.manifest import Case
from medimg.data.pixels import Pixels
from medimg.data.sources import guard, idx, npz
from medimg.data.sources.formats import read_case, read_cases, sniff, source_path
from medimg.data.sources.guard import stamp
from medimg.errors import PixelError
from medimg.testing import make_idx, make_nifti, make_npz, make_pictures, write_idx

GREY = make_pictures(np.arange(3) % 3, shape=(12, 10), seed=3)[1]
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
Maker = Callable[[Path], tuple[str, str]]


def raster(ending: str, picture: np.ndarray = COLOUR, **options: object) -> Maker:
    def make(folder: Path) -> tuple[str, str]:
        Image.fromarray(picture).save(folder / f"a{ending}", **options)
        return f"a{ending}", ""

    return make


def an_npz(folder: Path) -> tuple[str, str]:
    return f"{make_npz(folder / 'a.npz', n={'train': 5}).name}#train", "2"


def an_idx(ending: str) -> Maker:
    def make(folder: Path) -> tuple[str, str]:
        return write_idx(folder / f"images{ending}", make_pictures(np.arange(5))).name, "2"

    return make


def a_nifti(ending: str) -> Maker:
    def make(folder: Path) -> tuple[str, str]:
        voxels = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
        return make_nifti(folder / f"a{ending}", voxels, slope=2, inter=-10).name, ""

    return make


FORMATS: dict[str, Maker] = {
    "png": raster(".png"),
    "png16": raster(".png", GREY.astype(np.uint16) * 257),
    "jpeg": raster(".jpg"),
    "bmp": raster(".bmp"),
    "tiff": raster(".tif"),
    "tiff_lzw": raster(".tif", compression="tiff_lzw"),
    "npz": an_npz,
    "idx": an_idx(""),
    "idx_gz": an_idx(".gz"),
    "nifti": a_nifti(".nii"),
    "nifti_gz": a_nifti(".nii.gz"),
}


def refused(folder: Path, source: str, frame: str = "") -> PixelError:
    with pytest.raises(PixelError) as caught:
        read_case(folder, source, frame)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("name", FORMATS)
def test_reader_is_chosen_by_content_not_by_name(tmp_path: Path, name: str) -> None:
    source, frame = FORMATS[name](tmp_path)
    file, _, member = source.partition("#")
    (tmp_path / file).rename(tmp_path / "misnamed.txt")
    read = read_case(tmp_path, "misnamed.txt" + (f"#{member}" if member else ""), frame)
    assert read.array.dtype == np.float32
    assert read.low < read.high
    assert np.isfinite(read.array).all()


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_file_is_refused_or_reads_the_same(tmp_path: Path, name: str) -> None:
    source, frame = FORMATS[name](tmp_path)
    path = tmp_path / source.partition("#")[0]
    whole, right = path.read_bytes(), read_case(tmp_path, source, frame).array
    for length in sorted({*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1}):
        path.write_bytes(whole[:length])
        os.utime(path, ns=(length, length))
        try:
            read = read_case(tmp_path, source, frame).array
        except PixelError as error:
            assert error.code in PixelError.CODES
        else:
            assert np.array_equal(read, right), f"{length} of {len(whole)} bytes"


@pytest.mark.parametrize("name", FORMATS)
def test_no_mutant_raises_anything_but_a_pixel_error(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "PIXEL_CAP", 1 << 20)
    source, frame = FORMATS[name](tmp_path)
    path = tmp_path / source.partition("#")[0]
    whole, generator = path.read_bytes(), random.Random(name)
    for number in range(500):
        path.write_bytes(mutant(whole, generator))
        os.utime(path, ns=(number, number))
        try:
            read = read_case(tmp_path, source, frame)
        except PixelError as error:
            assert error.code in PixelError.CODES
        else:
            assert np.isfinite(read.array).all()


def mutant(whole: bytes, generator: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(generator.choice((1, 1, 2, 8))):
        # Headers are short and decide most; half of all changes go there.
        end = len(data) if generator.random() < 0.5 else min(len(data), 64)
        data[generator.randrange(end)] = generator.choice(
            (0, 1, 127, 255, generator.randrange(256))
        )
    return bytes(data)


@pytest.mark.parametrize("name", ("png", "npz", "idx_gz", "nifti_gz"))
def test_flipped_bit_in_the_pixels_is_refused_where_the_format_has_a_checksum(
    tmp_path: Path, name: str
) -> None:
    source, frame = FORMATS[name](tmp_path)
    path = tmp_path / source.partition("#")[0]
    if name == "npz":
        np.savez(path, train_images=make_pictures(np.arange(5)))
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 30 if name == "png" else len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    assert refused(tmp_path, source, frame).code == "corrupt"


def test_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    start = time.monotonic()
    assert refused(tmp_path, "a.png").code == "not_regular"
    assert time.monotonic() - start < 1


def test_folder_and_missing_file_have_their_own_codes(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert refused(tmp_path, "sub").code == "not_regular"
    assert refused(tmp_path, "a.png").code == "not_found"
    assert refused(tmp_path, "a\0b").code == "not_found"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_not_permitted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "a.png").chmod(0)
    assert refused(tmp_path, "a.png").code == "not_permitted"


@pytest.mark.parametrize("source", ("../a.png", "/etc/passwd", "x/../../a.png"))
def test_source_that_leaves_its_root_is_refused(tmp_path: Path, source: str) -> None:
    assert refused(tmp_path / "sub", source).code == "not_permitted"
    with pytest.raises(PixelError):
        source_path(tmp_path, source)


def test_hash_in_a_file_name_is_no_member(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a#1.png")
    assert source_path(tmp_path, "a#1.png") == (tmp_path / "a#1.png", None)
    assert source_path(tmp_path, "a.npz#train") == (tmp_path / "a.npz", "train")
    assert np.array_equal(read_case(tmp_path, "a#1.png").array[0], GREY)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unknown_format"),
        (b"patient,label\n1,2\n", "unknown_format"),
        (b"BM and so it began, the tale of bitmaps", "unknown_format"),
        (b"\0" * 400, "unknown_format"),
        (b"\0" * 128 + b"DICM" + b"\0" * 40, "no_image"),
        (gzip.compress(b"plain text", mtime=0), "unknown_format"),
    ],
)
def test_foreign_content_is_named(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    error = refused(tmp_path, "a.png")
    assert error.code == code


def test_zip_bomb_is_refused_before_it_inflates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PIXEL_CAP", 1 << 20)
    monkeypatch.setattr(npz, "read_array", pytest.fail)
    head = npy_header((16, 1024, 1024))
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("train_images.npy", "w") as entry,
    ):
        entry.write(head)
        entry.write(bytes(16 << 20))
    assert refused(tmp_path, "a.npz#train", "0").code == "too_large"


def npy_header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


def test_picture_over_the_cap_is_refused_from_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(pixels, "PIXEL_CAP", 1000)
    assert refused(tmp_path, "a.png").code == "too_large"


def test_picture_over_the_limit_of_pillow_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_case(tmp_path, "a.png").array.shape == (3, 12, 10)


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=np.array([{"a": 1}] * 3, object))
    assert refused(tmp_path, "a.npz#train", "0").code == "unsupported"


@pytest.mark.parametrize("dtype", (np.float32, np.int64, np.int32))
def test_numbers_without_a_shared_range_are_refused(tmp_path: Path, dtype: type) -> None:
    np.savez(tmp_path / "a.npz", images=np.ones((2, 4, 4), dtype))
    error = refused(tmp_path, "a.npz#images", "0")
    assert error.code == "unsupported"
    assert "uint16" in error.remedy


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.uint8, 0, 255), (np.int16, -32768, 32767), (np.uint16, 0, 65535), (bool, 0, 1)],
)
def test_range_of_an_array_is_that_of_its_type(
    tmp_path: Path, dtype: type, low: float, high: float
) -> None:
    np.savez(tmp_path / "a.npz", images=np.ones((2, 4, 4), dtype))
    read = read_case(tmp_path, "a.npz#images", "1")
    assert (read.low, read.high) == (low, high)


def test_fortran_order_is_read_right(tmp_path: Path) -> None:
    images = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    np.savez(tmp_path / "a.npz", images=np.asfortranarray(images))
    assert np.array_equal(read_case(tmp_path, "a.npz#images", "2").array[0], images[2])


@pytest.mark.parametrize(
    ("frame", "code"),
    [("", "frames"), ("x", "frames"), ("-1", "frames"), ("1" * 5000, "frames"), ("5", "not_found")],
)
@pytest.mark.parametrize("name", ("npz", "idx"))
def test_row_that_is_not_there_is_refused(tmp_path: Path, name: str, frame: str, code: str) -> None:
    source, _ = FORMATS[name](tmp_path)
    assert refused(tmp_path, source, frame).code == code


def test_member_that_is_not_there_is_refused(tmp_path: Path) -> None:
    an_npz(tmp_path)
    assert refused(tmp_path, "a.npz#val", "0").code == "not_found"


def test_idx_types_and_dimensions_are_read(tmp_path: Path) -> None:
    volumes = np.arange(2 * 6 * 4 * 5, dtype=np.int16).reshape(2, 6, 4, 5) - 50
    write_idx(tmp_path / "a", volumes)
    read = read_case(tmp_path, "a", "1")
    assert np.array_equal(read.array, volumes[1][None])
    assert (read.low, read.high) == (-32768, 32767)
    write_idx(tmp_path / "labels", np.arange(4, dtype=np.uint8))
    assert sniff(stamp(str(tmp_path / "labels"))) == "idx-labels"
    assert refused(tmp_path, "labels", "0").code == "unsupported"


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a", np.zeros((2, 4, 4), np.uint8))
    assert read_case(tmp_path, "a", "0").array.max() == 0
    write_idx(path, np.full((2, 4, 4), 9, np.uint8))
    os.utime(path, ns=(1, 1))
    assert read_case(tmp_path, "a", "0").array.min() == 9


def test_damaged_archive_fails_fast_for_every_row(tmp_path: Path) -> None:
    source, _ = an_npz(tmp_path)
    path = tmp_path / "a.npz"
    path.write_bytes(path.read_bytes()[:-40])
    start = time.monotonic()
    for row in range(2000):
        assert refused(tmp_path, source, str(row)).code == "corrupt"
    assert time.monotonic() - start < 2


@pytest.mark.data
def test_seventy_thousand_reads_cost_little(data_root: Path) -> None:
    manifest = index(data_root / "mnist")
    rows = list(zip(manifest.frame["source"], manifest.frame["frame"], strict=True))
    start = time.perf_counter()
    for source, frame in rows:
        read_case(manifest.root, source, frame)
    assert len(rows) == 70_000
    assert time.perf_counter() - start < 5  # about 1 s on an idle core


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("breastmnist", (1, 28, 28)),
        ("retinamnist", (3, 28, 28)),
        ("adrenalmnist3d", (1, 28, 28, 28)),
        ("pneumoniamnist_reconstructed", (1, 28, 28)),
    ],
)
def test_real_medmnist_rows_are_those_of_numpy(
    data_root: Path, name: str, shape: tuple[int, ...]
) -> None:
    arrays = np.load(data_root / "medmnist" / f"{name}.npz")
    for split, row in (("train", 0), ("val", 7), ("test", 77)):
        read = read_case(data_root, f"medmnist/{name}.npz#{split}", str(row))
        wanted = arrays[f"{split}_images"][row]
        wanted = np.moveaxis(wanted, -1, 0) if shape[0] == 3 else wanted[None]
        assert read.array.shape == shape
        assert np.array_equal(read.array, wanted)
        assert (read.low, read.high, read.units) == (0, 255, "stored")


@pytest.mark.data
def test_real_idx_rows_are_those_of_the_bytes(data_root: Path) -> None:
    packed = data_root / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    images = np.frombuffer(gzip.decompress(packed.read_bytes())[16:], np.uint8)
    read = read_case(data_root, "fashion-mnist/t10k-images-idx3-ubyte.gz", "9999")
    assert np.array_equal(read.array[0], images.reshape(-1, 28, 28)[9999])


@pytest.mark.data
def test_real_ct_comes_from_the_workers_in_order_in_hounsfield_units(data_root: Path) -> None:
    names = sorted(p.name for p in (data_root / "ct_contrast" / "dicom_dir").iterdir())
    cases = [Case(f"dicom_dir/{name}") for name in names]
    found = list(read_cases(data_root / "ct_contrast", cases))
    assert all(isinstance(pixels, Pixels) for pixels in found)
    read = [pixels for pixels in found if isinstance(pixels, Pixels)]
    assert {(p.low, p.high, p.units, p.array.shape) for p in read} == {
        (-1024.0, 3071.0, "HU", (1, 512, 512))
    }
    assert all(p.array.min() >= -1024 and p.array.max() <= 3071 for p in read)
    masked = [p for p in read if p.valid is not None]
    assert len(masked) == 9  # the others that name a padding value hold no such pixel
    assert all((p.array[0][~p.valid] == -1024).all() and 0.7 < p.valid.mean() < 0.8 for p in masked)
    alone = read_case(data_root / "ct_contrast", cases[42].source)
    assert np.array_equal(alone.array, read[42].array)


def test_labels_are_found_beside_images(tmp_path: Path) -> None:
    make_idx(tmp_path, packed=False)
    twin = idx.twin(tmp_path / "train-images-idx3-ubyte")
    assert twin == tmp_path / "train-labels-idx1-ubyte"
    assert idx.twin(tmp_path / "other") is None


def test_colour_with_its_channels_first_is_refused_and_not_taken_for_slices(tmp_path: Path) -> None:
    pictures = np.zeros((4, 3, 16, 16), np.uint8)
    np.savez(tmp_path / "x.npz", images=pictures, labels=np.arange(4) % 2)
    with pytest.raises(PixelError, match="channels first"):
        read_case(tmp_path, "x.npz#images", "0")
