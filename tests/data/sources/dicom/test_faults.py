"""Hostile and broken DICOM: identical pixels or a code, in bounded time and memory, always."""

from __future__ import annotations

import random
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from oracles import raw_dicom as raw

from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pool import Answer, Pool
from medimg.data.sources.dicom.reader import pixels_of, submit_image
from medimg.errors import PixelError

Outcome = Pixels | PixelError
PIXELS = np.arange(256, dtype="<u2").tobytes()
#: Seconds and bytes that a bomb may cost.
SOON, GROWTH = 2.0, 100 << 20
#: Takes the ranges of every object, and no image is left out for what it is.
ALL = DicomPixels(for_processing=True, whole_slide=True)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(2, seconds=20) as made:
        yield made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


def outcome(future: Future[Answer]) -> Outcome:
    """Return pixels or their refusal; every other exception is an escape, and fails the test."""
    try:
        return pixels_of(future.result(120))
    except PixelError as error:
        assert error.remedy
        return error


def read(pool: Pool, place: Path, data: bytes, options: DicomPixels = ALL) -> Outcome:
    return next(read_all(pool, place, [data], options))


def read_all(
    pool: Pool, place: Path, files: Iterable[bytes], options: DicomPixels = ALL
) -> Iterator[Outcome]:
    """Return the outcome of each file, a few of them under way at once."""
    under_way: deque[tuple[Path, Future[Answer]]] = deque()

    def first() -> Outcome:
        path, future = under_way.popleft()
        try:
            return outcome(future)
        finally:
            path.unlink()

    for number, data in enumerate(files):
        path = place / f"{number}.dcm"
        path.write_bytes(data)
        under_way.append((path, submit_image(pool, place, path.name, None, "0", options)))
        if len(under_way) > 6:
            yield first()
    while under_way:
        yield first()


def code_of(pool: Pool, place: Path, data: bytes) -> str:
    found = read(pool, place, data)
    assert isinstance(found, PixelError), f"pixels of shape {found.array.shape}"
    return found.code


def same(one: Pixels, other: Pixels) -> bool:
    masks = (one.valid is None) == (other.valid is None) and (
        one.valid is None or np.array_equal(one.valid, other.valid)  # type: ignore[arg-type]
    )
    meaning = (one.low, one.high, one.units) == (other.low, other.high, other.units)
    return masks and meaning and np.array_equal(one.array, other.array)


class Cost(NamedTuple):
    seconds: float
    growth: int


def cost_of(pool: Pool, place: Path, data: bytes) -> tuple[str, Cost]:
    """Return the code of a refusal, and what it cost the parent in time and resident memory."""
    read(pool, place, raw.file_of(raw.body(raw.image()) + raw.native(PIXELS)))  # warm
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _memory("VmRSS"), time.monotonic()
    code = code_of(pool, place, data)
    return code, Cost(time.monotonic() - start, _memory("VmHWM") - before)


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) << 10


# -- truncation ----------------------------------------------------------------------------------

TRUNCATED = (
    "wg04/CT1_UNC",
    "wg04/NM1_RLE",
    "wg04/MR3_J2KR",
    "wg04/MR3_JLSL",
    "wg04/MR3_JPLL",
    "odd/image_dfl.dcm",
    "odd/ExplVR_BigEnd.dcm",
    "odd/HTJ2KLossless_08_RGB.dcm",
)


@pytest.mark.data
@pytest.mark.parametrize("name", TRUNCATED)
def test_a_truncated_file_is_refused_or_whole(
    pool: Pool, place: Path, data_root: Path, name: str
) -> None:
    data = (data_root / "dicom" / name).read_bytes()
    whole = read(pool, place, data)
    assert isinstance(whole, Pixels)
    lengths = [0, 100, 128, 131, 132, 200, *(len(data) * n // 100 for n in range(1, 100))]
    lengths += [len(data) - n for n in (1, 2, 3, 8, 9, 16)]
    read_in_part = [
        length
        for length, found in zip(
            lengths, read_all(pool, place, (data[:length] for length in lengths)), strict=True
        )
        if isinstance(found, Pixels) and not same(found, whole)
    ]
    assert not read_in_part


def _frame_of(data: bytes) -> tuple[int, bytes]:
    """Return where the pixel data of a single frame begin, and its codestream."""
    start = data.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff")
    position, fragments = start + 12, []
    while data[position : position + 4] == b"\xfe\xff\x00\xe0":
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        fragments.append(data[position + 8 : position + 8 + length])
        position += 8 + length
    return start, b"".join(fragments[1:])


def _of_pydicom(name: str) -> Path:
    from pydicom.data import get_testdata_file

    found = get_testdata_file(name, download=False)
    assert found is not None
    return Path(str(found))


CUT = {
    "wg04/CT1_JPLL": b"\xff\xd9",
    "wg04/MR3_JPLL": b"\xff\xd9",
    "wg04/MR3_JLSL": b"\xff\xd9",
    "wg04/CT1_JLSN": b"\xff\xd9",
    "wg04/MR3_J2KR": b"\xff\xd9",
    "wg04/US1_J2KI": b"\xff\xd9",
    "wg04/NM1_RLE": b"",
    "odd/HTJ2KLossless_08_RGB.dcm": b"\xff\xd9",
    "SC_rgb_jpeg_gdcm.dcm": b"\xff\xd9",
    "SC_jpeg_no_color_transform.dcm": b"\xff\xd9",
    "SC_rgb_jpeg_dcmtk.dcm": b"\xff\xd9",
    "SC_rgb_small_odd_jpeg.dcm": b"\xff\xd9",
}


@pytest.mark.data
@pytest.mark.parametrize("name", CUT)
def test_a_frame_cut_short_in_a_whole_file_is_refused(
    pool: Pool, place: Path, data_root: Path, name: str
) -> None:
    """Its end marker stands, and the decoders would fill up with grey what is missing.

    Less than what libjpeg reads ahead, 8 bytes, is more than can be told of JPEG.
    """
    path = data_root / "dicom" / name if "/" in name else _of_pydicom(name)
    data = path.read_bytes()
    start, frame = _frame_of(data)
    lengths = [len(frame) * n // 100 for n in range(2, 100, 3)]
    lengths = [length for length in lengths if length < len(frame) - 12]
    whole = read(pool, place, data)
    assert isinstance(whole, Pixels)
    cut = (data[:start] + raw.encapsulated(frame[:length] + CUT[name]) for length in lengths)
    in_part = [
        length
        for length, found in zip(lengths, read_all(pool, place, cut), strict=True)
        if isinstance(found, Pixels) and not same(found, whole)
    ]
    assert not in_part


# -- bombs ---------------------------------------------------------------------------------------


def test_a_deflate_bomb_is_refused(pool: Pool, place: Path) -> None:
    head = raw.body(raw.image()) + raw.element(0x7FE00010, b"OW", b"", 0x7FFFFFFE)
    data = raw.file_of(raw.deflated(head, 2048), raw.DEFLATED)
    assert len(data) < 4 << 20
    code, cost = cost_of(pool, place, data)
    assert code in ("too_large", "corrupt")
    assert cost.seconds < SOON
    assert cost.growth < GROWTH


@pytest.mark.parametrize("side", [20_000, 65_535])
def test_an_rle_bomb_is_refused(pool: Pool, place: Path, side: int) -> None:
    """A run of two bytes becomes 128 (PS3.5 G.3.1), and what is missing must not be made up."""
    head = raw.body(raw.image(t00280010=raw.us(side), t00280011=raw.us(side)))
    half = b"\x81\x07" * 1750
    frame = struct.pack("<16I", 2, 64, 64 + len(half), *[0] * 13) + half + half
    data = raw.file_of(head + raw.encapsulated(frame), raw.RLE)
    code, cost = cost_of(pool, place, data)
    assert code in ("too_large", "corrupt")
    assert cost.seconds < SOON
    assert cost.growth < GROWTH


@pytest.mark.data
@pytest.mark.parametrize("side", [600, 20_000, 60_000, 0x7FFFFFFF])
@pytest.mark.parametrize("name", ["CT1_J2KR", "CT1_J2KI"])
def test_a_codestream_larger_than_its_header_is_refused(
    pool: Pool, place: Path, data_root: Path, name: str, side: int
) -> None:
    """The size in the SIZ marker (ISO 15444-1 A.5.1) is not that of Rows and Columns."""
    data = bytearray((data_root / "dicom" / "wg04" / name).read_bytes())
    siz = data.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">II", data, siz + 8, side, side)
    code, cost = cost_of(pool, place, bytes(data))
    assert code in ("too_large", "corrupt", "header")
    assert cost.seconds < SOON
    assert cost.growth < GROWTH


@pytest.mark.data
@pytest.mark.parametrize(("name", "marker"), [("CT1_JPLL", b"\xff\xc3"), ("CT1_JLSL", b"\xff\xf7")])
def test_a_jpeg_frame_larger_than_its_header_is_refused(
    pool: Pool, place: Path, data_root: Path, name: str, marker: bytes
) -> None:
    data = bytearray((data_root / "dicom" / "wg04" / name).read_bytes())
    frame = data.index(marker, data.index(b"\xff\xd8\xff"))
    struct.pack_into(">HH", data, frame + 5, 60_000, 60_000)
    code, cost = cost_of(pool, place, bytes(data))
    assert code in ("too_large", "corrupt", "header")
    assert cost.seconds < SOON
    assert cost.growth < GROWTH


@pytest.mark.parametrize("defined", [True, False], ids=["defined length", "undefined length"])
@pytest.mark.parametrize("depth", [100, 50_000])
def test_nested_sequences_end_no_process(
    pool: Pool, place: Path, depth: int, *, defined: bool
) -> None:
    elements = raw.body(raw.image())
    split = elements.index(struct.pack("<HH", 0x0020, 0x000D))
    deep = elements[:split] + raw.nested(depth, defined=defined) + elements[split:]
    deaths = pool.deaths
    start = time.monotonic()
    found = read(pool, place, raw.file_of(deep + raw.native(PIXELS)))
    assert time.monotonic() - start < SOON + 3
    assert pool.deaths == deaths
    if isinstance(found, Pixels):
        assert np.array_equal(found.array.ravel() + 1024, np.arange(256))
    else:
        assert found.code in ("corrupt", "header", "unsupported")


# -- headers -------------------------------------------------------------------------------------


def with_(**changes: bytes) -> bytes:
    return raw.file_of(raw.body(raw.image(**changes)) + raw.native(PIXELS))


@pytest.mark.parametrize(
    "value", [b"1e9", b"1A", b"-1", b"0", b"1000000000", b"1.5", b"\xff", b"1\\2"]
)
def test_an_impossible_number_of_frames_is_refused(pool: Pool, place: Path, value: bytes) -> None:
    assert code_of(pool, place, with_(t00280008=value)) in ("header", "corrupt", "too_large")


@pytest.mark.parametrize("tag", ["t00280010", "t00280011"], ids=["Rows", "Columns"])
@pytest.mark.parametrize("value", [0, 65_535])
def test_impossible_rows_and_columns_are_refused(
    pool: Pool, place: Path, tag: str, value: int
) -> None:
    code = code_of(pool, place, with_(**{tag: raw.us(value)}))
    assert code in ("header", "corrupt", "too_large")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("t00280100", raw.us(0)),
        ("t00280100", raw.us(65_535)),
        ("t00280101", raw.us(0)),
        ("t00280101", raw.us(17)),
        ("t00280102", raw.us(16)),
        ("t00280102", raw.us(3)),
        ("t00280103", raw.us(2)),
        ("t00280002", raw.us(0)),
        ("t00280002", raw.us(3)),
        ("t00280002", raw.us(65_535)),
        ("t00280004", b"NONSENSE"),
        ("t00280004", b""),
        ("t00280010", b""),
        ("t00280010", b"\1"),
    ],
)
def test_a_contradictory_description_of_the_pixels_is_refused(
    pool: Pool, place: Path, tag: str, value: bytes
) -> None:
    assert code_of(pool, place, with_(**{tag: value})) in (
        *("header", "corrupt", "unsupported", "channels", "too_large"),
    )


@pytest.mark.parametrize("value", [b"0", b"", b"NaN", b"1O24", b"inf", b"1e400", b"-", b"1\\2"])
def test_an_impossible_slope_is_refused(pool: Pool, place: Path, value: bytes) -> None:
    assert code_of(pool, place, with_(t00281053=value)) in ("header", "not_finite")


@pytest.mark.parametrize("value", [b"", b"NaN", b"1O24", b"inf", b"1e400"])
def test_an_impossible_intercept_is_refused(pool: Pool, place: Path, value: bytes) -> None:
    assert code_of(pool, place, with_(t00281052=value)) in ("header", "not_finite")


@pytest.mark.parametrize("tag", ["t00080018", "t0020000d", "t0020000e", "t00080016"])
@pytest.mark.parametrize("value", [b"../../x", b"1" * 200, b"1.2\x00.3", b"", b"/etc/x", b"\xff\n"])
def test_a_uid_is_never_a_path_nor_part_of_a_message(
    pool: Pool, place: Path, tag: str, value: bytes
) -> None:
    found = read(pool, place, with_(**{tag: value}))
    if isinstance(found, Pixels):
        assert np.array_equal(found.array.ravel() + 1024, np.arange(256))
        assert not any("x" in step and ".." in step for step in found.steps)
    else:
        assert found.code in ("header", "corrupt", "unsupported", "no_image", "no_range")
        assert not value or value.decode("latin-1") not in str(found)
    assert not list(place.iterdir())


def test_damage_is_told_without_what_the_header_says(pool: Pool, place: Path) -> None:
    canary = b"CANARY^JANE"
    for tag in ("t00281053", "t00281052", "t00280008", "t00280004", "t00281050", "t00280030"):
        found = read(pool, place, with_(**{tag: canary, "t00100010": canary}))
        text = str(found) if isinstance(found, PixelError) else " ".join(found.steps)
        assert "CANARY" not in text


# -- mutants -------------------------------------------------------------------------------------

#: One or more of each transfer syntax, modality and layout; small ones, so that many are tried.
SEEDS = (
    *("wg04/CT1_J2KI", "wg04/CT1_JLSN", "wg04/CT1_JPLL", "wg04/CT1_RLE", "wg04/CT1_UNC"),
    *("wg04/MR3_J2KR", "wg04/MR3_JLSL", "wg04/MR3_JPLL", "wg04/NM1_J2KI", "wg04/NM1_JPLL"),
    *("wg04/NM1_RLE", "wg04/US1_J2KI", "wg04/VL6_J2KI", "odd/CR_MONOCHROME1_6154.dcm"),
    *("odd/ExplVR_BigEnd.dcm", "odd/HTJ2K_08_RGB.dcm", "odd/JLSL_RGB_ILV0.dcm"),
    *("odd/JLSL_08_07_0_1F.dcm", "odd/MR_truncated.dcm", "odd/OT-PAL-8-face.dcm"),
    *("odd/color-pl.dcm", "odd/eCT_Supplemental.dcm", "odd/emri_small.dcm", "odd/image_dfl.dcm"),
    *("odd/liver_rle.dcm", "odd/liver_deflate.dcm", "odd/liver_nonbyte_aligned.dcm"),
    *("odd/mlut_18.dcm", "odd/vlut_04.dcm", "odd/parametric_map_float.dcm", "odd/no_meta.dcm"),
    *("odd/rtdose_1frame.dcm", "odd/test-SR.dcm", "odd/badVR.dcm", "odd/bad_sequence.dcm"),
)
_TELLING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _place(rng: random.Random, data: bytearray) -> int:
    """Return where to do harm: anywhere, in the header, or where a codestream begins."""
    pixels = data.find(b"\xe0\x7f\x10\x00")
    kind = rng.random()
    if kind < 0.3 and pixels > 132:
        return rng.randrange(132, pixels)
    if kind < 0.6 and 0 < pixels < len(data) - 28:
        # Past the heads of the element and of its first items, harm to which is soon found out.
        return pixels + min(28 + rng.randrange(300), len(data) - pixels - 1)
    return rng.randrange(len(data))


def _flip(rng: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(rng.randint(1, 8)):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(rng.randint(1, 3)):
        value, width = rng.choice(_TELLING), rng.choice((1, 2, 4))
        order = rng.choice((True, False))
        number = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little" if order else "big")
        at = _place(rng, data)
        data[at : at + width] = number


def _truncate(rng: random.Random, data: bytearray, other: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def _cut_out(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 8, 100, 5000))]


def _repeat(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + rng.choice((1, 2, 8, 100, 5000))] * rng.choice((1, 1, 50))


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = _place(rng, data)
    data[at:] = other[rng.randrange(len(other)) :]


def _noise(rng: random.Random, data: bytearray, other: bytes) -> None:
    at, length = _place(rng, data), rng.choice((2, 16, 500))
    data[at : at + length] = rng.randbytes(length)


_HARMS: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    *(_flip, _flip, _flip, _overwrite, _overwrite, _overwrite, _noise, _noise),
    *(_truncate, _cut_out, _repeat, _splice),
)


def mutant(seeds: list[bytes], number: int) -> bytes:
    """Return mutant `number`: always the same one."""
    rng = random.Random(number)
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if data:
            rng.choice(_HARMS)(rng, data, rng.choice(seeds))
    return bytes(data)


def survive(place: Path, data_root: Path, numbers: range) -> tuple[Counter[str], int]:
    """Read these mutants; return how often which outcome, and how many workers died.

    An exception that is no `PixelError` escapes from here, and a hang runs into its limit.
    """
    seeds = [(data_root / "dicom" / name).read_bytes() for name in SEEDS]
    counts: Counter[str] = Counter()
    with Pool(seconds=20) as pool:
        for found in read_all(pool, place, (mutant(seeds, number) for number in numbers)):
            counts["pixels" if isinstance(found, Pixels) else found.code] += 1
        deaths = pool.deaths
        whole = read(pool, place, with_())
        assert isinstance(whole, Pixels), "the workers live on"
    assert counts.total() == len(numbers)
    print(f"mutants {numbers}: {dict(counts.most_common())}, {deaths} workers died")
    return counts, deaths


@pytest.mark.data
def test_two_thousand_mutants_are_read_or_refused(place: Path, data_root: Path) -> None:
    counts, _ = survive(place, data_root, range(2_000))
    assert counts["pixels"] > 100
    assert counts["corrupt"] > 100


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_ten_thousand_mutants_are_read_or_refused(place: Path, data_root: Path) -> None:
    survive(place, data_root, range(2_000, 12_000))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("chunk", range(100))
def test_a_million_mutants_are_read_or_refused(place: Path, data_root: Path, chunk: int) -> None:
    """Chunk by chunk, ten thousand each: ``pytest -m slow -k 'million and 17'``."""
    survive(place, data_root, range(12_000 + chunk * 10_000, 22_000 + chunk * 10_000))
