"""Pictures: every lawful variant comes out upright, in its own range, or is refused."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from medimg.data.pixels import Pixels
from medimg.data.sources.formats import read_case
from medimg.data.sources.raster import orientation
from medimg.errors import PixelError

GENERATOR = np.random.default_rng(5)
GREY = GENERATOR.integers(0, 256, (9, 7), dtype=np.uint8)
COLOUR = GENERATOR.integers(0, 256, (9, 7, 3), dtype=np.uint8)
ALPHA = np.array([[0, 128, 255]], np.uint8).repeat(9, 0)


def read(folder: Path, image: Image.Image, ending: str = ".png", **options: object) -> Pixels:
    image.save(folder / f"a{ending}", **options)
    return read_case(folder, f"a{ending}")


def code(folder: Path, image: Image.Image, ending: str, **options: object) -> str:
    with pytest.raises(PixelError) as caught:
        read(folder, image, ending, **options)
    return caught.value.code


@pytest.mark.parametrize("ending", (".png", ".bmp", ".tif"))
def test_grey_and_colour_come_out_channels_first(tmp_path: Path, ending: str) -> None:
    grey = read(tmp_path, Image.fromarray(GREY), ending)
    assert np.array_equal(grey.array, GREY[None])
    assert (grey.low, grey.high, grey.units, grey.valid) == (0, 255, "stored", None)
    colour = read(tmp_path, Image.fromarray(COLOUR), ending)
    assert np.array_equal(colour.array, np.moveaxis(COLOUR, -1, 0))


def test_jpeg_comes_out_as_pillow_decodes_it(tmp_path: Path) -> None:
    colour = read(tmp_path, Image.fromarray(COLOUR), ".jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.array_equal(colour.array, np.moveaxis(np.asarray(image), -1, 0))
    assert read(tmp_path, Image.fromarray(GREY), ".jpg").array.shape == (1, 9, 7)


@pytest.mark.parametrize("ending", (".png", ".tif"))
def test_sixteen_bits_keep_their_range(tmp_path: Path, ending: str) -> None:
    deep = GENERATOR.integers(0, 65536, (9, 7), dtype=np.uint16)
    got = read(tmp_path, Image.fromarray(deep), ending)
    assert np.array_equal(got.array, deep[None])
    assert (got.low, got.high) == (0, 65535)


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    flat = Image.fromarray((COLOUR // 64) * 80)
    got = read(tmp_path, flat.quantize(64, dither=Image.Dither.NONE))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(got.array, np.moveaxis(np.asarray(image.convert("RGB")), -1, 0))


def test_alpha_is_laid_over_black_and_nothing_is_where_it_is_zero(tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([COLOUR[:, :3], ALPHA]))
    got = read(tmp_path, image)
    assert got.valid is not None
    assert got.valid.tolist() == [[False, True, True]] * 9
    wanted = np.moveaxis(COLOUR[:, :3], -1, 0) * (ALPHA / np.float32(255))
    np.testing.assert_allclose(got.array, wanted, atol=1e-4)
    grey = Image.fromarray(np.dstack([GREY[:, :3], ALPHA]), mode=None).convert("LA")
    assert read(tmp_path, grey).array.shape == (1, 9, 3)


def test_opaque_alpha_changes_nothing(tmp_path: Path) -> None:
    got = read(tmp_path, Image.fromarray(COLOUR).convert("RGBA"))
    assert got.valid is None
    assert np.array_equal(got.array, np.moveaxis(COLOUR, -1, 0))


def test_transparent_colour_key_is_no_picture(tmp_path: Path) -> None:
    got = read(tmp_path, Image.fromarray(GREY), transparency=int(GREY[2, 3]))
    assert got.valid is not None
    assert not got.valid[2, 3]
    assert got.valid.sum() == (GREY[2, 3] != GREY).sum()


def test_one_bit_is_zero_and_one(tmp_path: Path) -> None:
    got = read(tmp_path, Image.fromarray(GREY > 128))
    assert np.array_equal(got.array[0], GREY > 128)
    assert (got.low, got.high) == (0, 1)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("ending", (".jpg", ".png", ".tif"))
def test_pictures_come_out_upright(tmp_path: Path, turn: int, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    got = read(tmp_path, Image.fromarray(COLOUR), ending, exif=exif)
    with Image.open(tmp_path / f"a{ending}") as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(got.array, np.moveaxis(wanted, -1, 0))


def test_damaged_exif_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    block = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\x01\0\0\0\x63\0\0\0" * 2
    assert orientation(block) == 1
    assert orientation(b"Exif\0\0II*\0\xff\xff\xff\xff") == 1
    assert read(tmp_path, Image.fromarray(COLOUR), ".jpg", exif=block).array.shape == (3, 9, 7)


@pytest.mark.parametrize(
    ("image", "ending", "options"),
    [
        (Image.fromarray(COLOUR).convert("CMYK"), ".jpg", {}),
        (Image.fromarray(COLOUR).convert("CMYK"), ".tif", {}),
        (Image.fromarray(COLOUR).convert("LAB"), ".tif", {}),
        (Image.fromarray(GREY.astype(np.float32)), ".tif", {}),
        (Image.fromarray(GREY.astype(np.int32)), ".tif", {}),
    ],
)
def test_what_cannot_be_read_plainly_is_unsupported(
    tmp_path: Path, image: Image.Image, ending: str, options: dict[str, object]
) -> None:
    assert code(tmp_path, image, ending, **options) == "unsupported"


def test_colours_of_sixteen_bits_are_not_cut_to_eight(tmp_path: Path) -> None:
    data = struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", data)
    png += chunk(b"IDAT", zlib.compress(b"\0" + bytes(6))) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png)
    with pytest.raises(PixelError, match="16 bits") as caught:
        read_case(tmp_path, "a.png")
    assert caught.value.code == "unsupported"


def chunk(name: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def tiff(tags: dict[int, tuple[int, int]], data: bytes) -> bytes:
    """A little-endian TIFF of one strip; `tags` are (type, value)."""
    count = len(tags) + 1
    start = 8 + 2 + 12 * count + 4
    entries = {**tags, 273: (4, start)}
    packed = b"".join(struct.pack("<HHII", t, k, 1, v) for t, (k, v) in sorted(entries.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + packed + b"\0\0\0\0" + data


def grey_tiff(bits: int, photometric: int, sample_format: int, data: bytes) -> bytes:
    tags = {256: (4, 2), 257: (4, 1), 258: (3, bits), 259: (3, 1), 262: (3, photometric)}
    tags |= {277: (3, 1), 278: (4, 1), 279: (4, len(data)), 339: (3, sample_format)}
    return tiff(tags, data)


@pytest.mark.parametrize(
    ("bits", "photometric", "signed", "data", "wanted", "ends"),
    [
        (16, 1, 1, struct.pack("<2H", 5, 60000), [5, 60000], (0, 65535)),
        (16, 0, 1, struct.pack("<2H", 5, 60000), [65530, 5535], (0, 65535)),
        (16, 1, 2, struct.pack("<2h", -5, 300), [-5, 300], (-32768, 32767)),
        (12, 1, 1, bytes([0x12, 0x3F, 0xFF]), [0x123, 0xFFF], (0, 4095)),
        (8, 0, 1, bytes([5, 250]), [250, 5], (0, 255)),
        (8, 1, 2, struct.pack("<2b", -5, 100), [-5, 100], (-128, 127)),
    ],
)
def test_grey_tiffs_of_every_depth_keep_sign_and_polarity(
    tmp_path: Path,
    bits: int,
    photometric: int,
    signed: int,
    data: bytes,
    wanted: list[int],
    ends: tuple[float, float],
) -> None:
    (tmp_path / "a.tif").write_bytes(grey_tiff(bits, photometric, signed, data))
    got = read_case(tmp_path, "a.tif")
    assert got.array.ravel().tolist() == wanted
    assert (got.low, got.high) == ends


def test_unknown_layout_of_a_tiff_is_unsupported(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(grey_tiff(24, 1, 1, bytes(6)))
    with pytest.raises(PixelError) as caught:
        read_case(tmp_path, "a.tif")
    assert caught.value.code == "unsupported"


def test_strips_that_leave_a_part_out_are_refused(tmp_path: Path) -> None:
    whole = grey_tiff(8, 1, 1, bytes([7, 9]))
    taller = whole.replace(struct.pack("<HHII", 257, 4, 1, 1), struct.pack("<HHII", 257, 4, 1, 9))
    (tmp_path / "a.tif").write_bytes(taller)
    with pytest.raises(PixelError, match="a part of it") as caught:
        read_case(tmp_path, "a.tif")
    assert caught.value.code == "corrupt"


def test_several_pages_are_refused_until_one_is_named(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    assert code(tmp_path, pages[0], ".tif", save_all=True, append_images=pages[1:]) == "frames"
    assert np.array_equal(read_case(tmp_path, "a.tif", "1").array[0], 255 - GREY)


def test_animation_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    assert code(tmp_path, pages[0], ".png", save_all=True, append_images=pages[1:]) == "frames"


def test_other_formats_of_pillow_are_never_tried(tmp_path: Path) -> None:
    for ending in (".gif", ".webp", ".ppm"):
        assert code(tmp_path, Image.fromarray(COLOUR), ending) == "unknown_format"


def test_pillow_stays_strict_and_its_limits_as_they_were(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    read(tmp_path, Image.fromarray(GREY))
    assert limit == Image.MAX_IMAGE_PIXELS
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_threads_leave_the_warning_filters_as_they_were(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(COLOUR).save(buffer, "TIFF")
    (tmp_path / "a.tif").write_bytes(buffer.getvalue())
    before = list(warnings.filters)

    def work() -> None:
        for _ in range(50):
            read_case(tmp_path, "a.tif")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
