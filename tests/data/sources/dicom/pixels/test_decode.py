"""Words of every transfer syntax, and what is refused before or while it is decoded."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg.data.options import DicomPixels
from medimg.data.sources.dicom.pixels.read import read_frames
from medimg.data.sources.dicom.pixels.rle import rle_bytes
from medimg.errors import PixelError
from medimg.testing.dicom import make_dicom
from medimg.testing.dicom_bytes import encapsulate
from medimg.testing.dicom_pixels import SYNTAXES

RANDOM = np.random.default_rng(5)
GREY = RANDOM.integers(0, 4096, (40, 36), dtype=np.uint16)
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def stored(path: Path) -> NDArray[Any]:
    return read_frames(path.read_bytes(), DicomPixels(modality="never")).stored


def refused(data: bytes) -> PixelError:
    with pytest.raises(PixelError) as caught:
        read_frames(data, DicomPixels())
    return caught.value


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16"])
def test_every_lossless_coding_gives_the_same_values(
    tmp_path: Path, syntax: str, kind: str
) -> None:
    info = np.iinfo(kind)
    array = RANDOM.integers(info.min, info.max, (33, 37), dtype=kind, endpoint=True)
    found = stored(make_dicom(tmp_path / "x", array, transfer_syntax=syntax))
    np.testing.assert_array_equal(found[0], array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big endian"])
@pytest.mark.parametrize("kind", ["uint32", "int32"])
def test_32_bits_keep_every_bit(tmp_path: Path, syntax: str, kind: str) -> None:
    array = np.array([[0, 1, 2**31 - 1], [7, 2**30 + 1, 5]]).astype(kind)
    np.testing.assert_array_equal(
        stored(make_dicom(tmp_path / "x", array, transfer_syntax=syntax))[0], array
    )


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", ["explicit", "big endian", "RLE", "JPEG 2000"])
def test_colours_come_out_by_pixel_whatever_the_planes(
    tmp_path: Path, syntax: str, planar: int
) -> None:
    array = RANDOM.integers(0, 256, (33, 34, 3), dtype=np.uint8)
    path = make_dicom(
        tmp_path / "x",
        array,
        modality="US",
        photometric="RGB",
        planar=planar,
        transfer_syntax=syntax,
    )
    np.testing.assert_array_equal(stored(path)[0], array)


def test_one_bit_frames_that_end_within_a_byte_are_told_apart(tmp_path: Path) -> None:
    array = RANDOM.integers(0, 2, (3, 5, 3)).astype(bool)  # 15 bits a frame
    path = make_dicom(tmp_path / "x", array, modality="OT")
    np.testing.assert_array_equal(stored(path), array)
    for frame in range(3):
        found = read_frames(path.read_bytes(), DicomPixels(), frame).stored
        np.testing.assert_array_equal(found[0], array[frame])


def test_one_frame_of_many_is_read_alone(tmp_path: Path) -> None:
    array = RANDOM.integers(0, 99, (4, 5, 6), dtype=np.uint16)
    for syntax in ("explicit", "RLE"):
        data = make_dicom(tmp_path / syntax, array, transfer_syntax=syntax).read_bytes()
        np.testing.assert_array_equal(
            read_frames(data, DicomPixels(modality="never"), 2).stored[0], array[2]
        )


def test_native_pixels_are_all_there_or_refused(tmp_path: Path) -> None:
    data = make_dicom(tmp_path / "x", GREY).read_bytes()
    np.testing.assert_array_equal(read_frames(data, DicomPixels()).stored[0], GREY)
    for missing in (1, 2, 40, GREY.nbytes):
        assert refused(data[:-missing]).code == "corrupt"


def test_native_pixels_that_would_make_another_frame_are_refused(tmp_path: Path) -> None:
    both = np.stack([GREY, GREY]).astype("<u2").tobytes()
    data = make_dicom(tmp_path / "x", GREY, extra={"PixelData": both}).read_bytes()
    assert refused(data).code == "header"
    slack = GREY.astype("<u2").tobytes() + b"\0" * 128
    padded = make_dicom(tmp_path / "y", GREY, extra={"PixelData": slack}).read_bytes()
    np.testing.assert_array_equal(read_frames(padded, DicomPixels()).stored[0], GREY)


@pytest.mark.parametrize("syntax", ["RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"])
def test_a_codestream_of_another_size_than_its_header_is_refused(
    tmp_path: Path, syntax: str
) -> None:
    good = make_dicom(tmp_path / "x", GREY, transfer_syntax=syntax).read_bytes()
    for rows in (39, 41, 80, 65535):
        there = good.index(b"\x28\x00\x10\x00US") + 8
        data = good[:there] + struct.pack("<H", rows) + good[there + 2 :]
        assert refused(data).code in ("corrupt", "too_large"), rows


def test_rle_that_promises_less_than_its_frame_is_refused_before_it_is_decoded() -> None:
    header = struct.pack("<16L", 1, 64, *[0] * 14)
    with pytest.raises(PixelError) as caught:
        rle_bytes(header + b"\x81\0" * 7, 1 << 40, 1, 1)
    assert caught.value.code == "corrupt"


def test_rle_is_unpacked_by_the_book_and_no_further_than_its_frame() -> None:
    header = struct.pack("<16L", 1, 64, *[0] * 14)
    # Two literal bytes 1 2, no operation, -2 repeats 3 three times (annex G.3.1).
    frame = header + bytes([1, 1, 2, 128, 254, 3])
    np.testing.assert_array_equal(rle_bytes(frame, 5, 1, 1).reshape(-1), [1, 2, 3, 3, 3])
    np.testing.assert_array_equal(rle_bytes(frame + b"\0", 4, 1, 1).reshape(-1), [1, 2, 3, 3])
    for count, rest in ((5, b"\x81\x09" * 100_000), (3, b""), (6, b"")):
        with pytest.raises(PixelError):
            rle_bytes(frame + rest, count, 1, 1)


def test_rle_runs_of_every_length_and_kind_are_unpacked() -> None:
    segment, plain = b"", b""
    for head in (*range(256), *range(255, -1, -1)):
        body = bytes((head + n) % 251 for n in range(head + 1 if head < 128 else head > 128))
        segment += bytes([head]) + body
        plain += body if head < 128 else body * (257 - head)
    frame = np.array([1, 64, *[0] * 14], "<u4").tobytes() + segment
    assert rle_bytes(frame, len(plain), 1, 1).tobytes() == plain


def test_rle_segments_stand_most_significant_first() -> None:
    header = struct.pack("<16L", 2, 64, 68, *[0] * 13)
    planes = rle_bytes(header + bytes([1, 0x12, 0x34, 128]) + bytes([1, 0x56, 0x78, 128]), 2, 1, 2)
    np.testing.assert_array_equal(planes.view("<u2").reshape(-1), [0x1256, 0x3478])


@pytest.mark.parametrize(
    "offsets", [(2, 64, 64), (2, 70, 66), (3, 64, 66), (2, 10, 66), (2, 64, 10**6)]
)
def test_rle_with_odd_segments_is_refused(offsets: tuple[int, ...]) -> None:
    header = struct.pack("<16L", *offsets, *[0] * (16 - len(offsets)))
    with pytest.raises(PixelError):
        rle_bytes(header + bytes([1, 1, 2, 128] * 2), 2, 1, 2)


def frames_of(array: NDArray[Any], tmp_path: Path, **table: Any) -> bytes:
    """Return a JPEG-LS file of two frames, each in two fragments."""
    import jpeg_ls

    pieces = []
    for frame in array:
        stream = bytes(jpeg_ls.encode_array(frame))
        stream += b"\0" * (len(stream) % 2)
        pieces += [stream[:30], stream[30:]]
    basic = b""
    if table.get("basic"):
        offsets = [0, sum(len(p) + 8 for p in pieces[:2])]
        basic = struct.pack("<2L", *offsets)
    value = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(p)) + p for p in [basic, *pieces])
    value += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    path = make_dicom(tmp_path / "x", array, transfer_syntax="JPEG-LS")
    data = path.read_bytes()
    start = data.index(b"\xe0\x7f\x10\x00")
    return data[: start + 12] + value


@pytest.mark.parametrize("basic", [True, False])
def test_frames_in_several_fragments_are_put_together(tmp_path: Path, basic: bool) -> None:
    array = RANDOM.integers(0, 65536, (2, 16, 20), dtype=np.uint16)
    data = frames_of(array, tmp_path, basic=basic)
    np.testing.assert_array_equal(read_frames(data, DicomPixels(modality="never")).stored, array)


def test_fewer_frames_than_the_header_says_are_refused(tmp_path: Path) -> None:
    array = np.stack([GREY] * 3)
    data = make_dicom(tmp_path / "x", array, transfer_syntax="RLE").read_bytes()
    place = data.index(b"\x28\x00\x08\x00IS") + 8
    for text in (b"4 ", b"2 ", b"9 "):
        assert refused(data[:place] + text + data[place + 2 :]).code == "corrupt"


@pytest.mark.parametrize("syntax", ["RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"])
def test_a_cut_within_compressed_pixels_is_refused(tmp_path: Path, syntax: str) -> None:
    data = make_dicom(tmp_path / "x", GREY, transfer_syntax=syntax).read_bytes()
    start = data.index(b"\xe0\x7f\x10\x00")
    for end in range(start, len(data) - 8, 7):
        assert refused(data[:end]).code == "corrupt", end
    whole = read_frames(data[:-8], DicomPixels(modality="never"))  # but for the delimiter
    np.testing.assert_array_equal(whole.stored[0], GREY)


@pytest.mark.parametrize("syntax", ["JPEG lossless", "JPEG-LS", "JPEG 2000"])
def test_a_codestream_without_its_end_is_refused(tmp_path: Path, syntax: str) -> None:
    """Decoders fill what is missing; a fragment of lawful length does not show the cut."""
    array = np.zeros((64, 64), np.uint8)
    array[::3] = 200
    data = make_dicom(tmp_path / "x", array, transfer_syntax=syntax).read_bytes()
    start = data.index(b"\xe0\x7f\x10\x00")
    frame = data[start + 28 : -8].rstrip(b"\0")
    short = frame[:-8]
    short += b"\0" * (len(short) % 2)
    value = encapsulate([short])
    cut = make_dicom(
        tmp_path / "y", array, transfer_syntax=syntax, extra={"PixelData": value}
    ).read_bytes()
    assert refused(cut).code == "corrupt"


def baseline(picture: NDArray[np.uint8], **options: Any) -> bytes:
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=95, subsampling=0, **options)
    return stream.getvalue()


def jpeg_file(tmp_path: Path, array: NDArray[Any], stream: bytes, **options: Any) -> bytes:
    stream += b"\0" * (len(stream) % 2)
    return make_dicom(
        tmp_path / "x",
        array,
        modality="OT",
        transfer_syntax=JPEG_BASELINE,
        extra={"PixelData": encapsulate([stream])},
        **options,
    ).read_bytes()


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_lossless_jpeg_that_lacks_data_before_its_end_marker_is_refused(
    tmp_path: Path, kind: str
) -> None:
    array = RANDOM.integers(0, 256, (20, 24)).astype(kind)
    data = make_dicom(tmp_path / "x", array, transfer_syntax="JPEG lossless").read_bytes()
    start = data.index(b"\xe0\x7f\x10\x00") + 12 + 12
    frame = data[start + 8 : -8].rstrip(b"\0")
    for missing in (2, 3, 40, 200):
        value = encapsulate([frame[: -2 - missing] + b"\xff\xd9"])
        cut = make_dicom(
            tmp_path / "y",
            array,
            transfer_syntax="JPEG lossless",
            extra={"PixelData": value},
        )
        assert refused(cut.read_bytes()).code == "corrupt", missing


@pytest.mark.parametrize("side", [16, 400])
def test_baseline_jpeg_that_lacks_data_before_its_end_marker_is_refused(
    tmp_path: Path, side: int
) -> None:
    picture = RANDOM.integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = baseline(picture)
    whole = jpeg_file(tmp_path, picture, stream, photometric="YBR_FULL")
    assert read_frames(whole, DicomPixels()).stored.shape == (1, side, side, 3)
    for missing in (20, 40, 200):
        cut = jpeg_file(
            tmp_path, picture, stream[: -2 - missing] + b"\xff\xd9", photometric="YBR_FULL"
        )
        assert refused(cut).code == "corrupt", missing


def block(red: int, green: int, blue: int) -> NDArray[np.uint8]:
    return np.full((16, 16, 3), (red, green, blue), np.uint8)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
def test_jpeg_is_converted_once_as_its_stream_says(tmp_path: Path, photometric: str) -> None:
    picture = block(200, 40, 90)
    stream = baseline(picture)  # JFIF: YCbCr
    data = jpeg_file(tmp_path, picture, stream, photometric=photometric)
    found = read_frames(data, DicomPixels()).stored[0].astype(int)
    assert abs(found - picture).max() <= 2


@pytest.mark.parametrize(("photometric", "converted"), [("RGB", False), ("YBR_FULL", True)])
def test_jpeg_that_says_nothing_is_what_the_header_says(
    tmp_path: Path, photometric: str, converted: bool
) -> None:
    picture = block(200, 40, 90)
    stream = baseline(picture)
    length = struct.unpack(">H", stream[4:6])[0]
    bare = stream[:2] + stream[4 + length :]  # without its JFIF segment
    data = jpeg_file(tmp_path, picture, bare, photometric=photometric)
    found = read_frames(data, DicomPixels()).stored[0, 0, 0].astype(int)
    # C.7.6.3.1.2: Y = .299 R + .587 G + .114 B, CB = (B - Y) / 1.772 + 128, CR = (R - Y) / 1.402 + 128
    expected = [200, 40, 90] if converted else [94, 126, 204]
    assert abs(found - expected).max() <= 2


def test_progressive_and_12_bit_jpeg_are_refused_by_name(tmp_path: Path) -> None:
    picture = block(1, 2, 3)[..., 0]
    data = jpeg_file(tmp_path, picture, baseline(picture, progressive=True))
    error = refused(data)
    assert (error.code, "progressive" in error.message) == ("unsupported", True)
    stream = bytearray(baseline(picture))
    stream[stream.index(b"\xff\xc0") + 4] = 12
    error = refused(jpeg_file(tmp_path, picture.astype(np.uint16), bytes(stream), bits_stored=12))
    assert (error.code, "12-bit" in error.message) == ("unsupported", True)


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.1.2.4.102", "MPEG-4"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL"),
        ("1.2.840.10008.1.2.4.55", "Progression"),
        ("1.2.840.10008.1.2.4.94", "JPIP"),
        ("1.2.3.4", "transfer syntax"),
    ],
)
def test_a_transfer_syntax_without_decoder_is_refused_by_name(
    tmp_path: Path, uid: str, name: str
) -> None:
    data = make_dicom(tmp_path / "x", GREY, transfer_syntax="RLE").read_bytes()
    old = b"1.2.840.10008.1.2.5\0"
    place = data.index(old)
    new = uid.encode() + b"\0" * (len(uid) % 2)
    data = data[: place - 2] + struct.pack("<H", len(new)) + new + data[place + len(old) :]
    error = refused(data)
    assert error.code == "unsupported"
    assert name in error.message


def test_jpeg_ls_that_is_filled_up_before_its_end_marker_is_read(tmp_path: Path) -> None:
    import jpeg_ls

    array = np.arange(1024, dtype=np.uint8).reshape(32, 32)
    stream = bytes(jpeg_ls.encode_array(array)).rstrip(b"\0")
    filled = stream[:-2] + b"\0" + stream[-2:]
    filled += b"\0" * (len(filled) % 2)
    path = make_dicom(
        tmp_path / "x",
        array,
        transfer_syntax="JPEG-LS",
        extra={"PixelData": encapsulate([filled])},
    )
    np.testing.assert_array_equal(stored(path)[0], array)
