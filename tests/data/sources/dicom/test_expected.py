"""Every DICOM file at hand beside the table that other people's decoders made of it.

`tests/dicom_expected.csv` is made by `scripts/make_dicom_expected.py`, whose docstring says
what its columns are. Files of another version than the table's are skipped, by their SHA-256.
"""

from __future__ import annotations

import csv
import hashlib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg.data.options import DicomPixels
from medimg.data.sources.dicom.pixels.read import read_frames, read_image
from medimg.data.sources.dicom.pool import Pool
from medimg.data.sources.dicom.reader import pixels_of, submit_image
from medimg.errors import PixelError

Row = dict[str, str]

with (Path(__file__).resolve().parents[3] / "dicom_expected.csv").open(newline="") as handle:
    TABLE = list(csv.DictReader(handle))
WITH_VALUES = [row for row in TABLE if row["outcome"] in ("pixels", "no_range")]
NEMA = [row["file"] for row in TABLE if row["set"] == "wg04" and row["outcome"] == "pixels"]
LOSSLESS = [name for name in NEMA if name.endswith(("_RLE", "_JPLL", "_JLSL", "_J2KR"))]
NEAR_LOSSLESS = [name for name in NEMA if name.endswith("_JLSN")]
#: Ends of a worker: none of the files at hand may cause one.
ENDS = {"crashed", "time_limit", "memory_limit"}
#: Refuses nothing that can be read at all.
ANY_RANGE = DicomPixels(range=(0, 1))


def every(rows: list[Row]) -> Any:
    """Return the parameters of a test over rows; those of the real data carry its marker."""
    return pytest.mark.parametrize(
        "row",
        [
            pytest.param(
                row,
                id=f"{row['set']}/{row['file']}",
                marks=[] if row["set"].startswith("pydicom/") else [pytest.mark.data],
            )
            for row in rows
        ],
    )


def folder_of(place: str, request: pytest.FixtureRequest) -> Path:
    """Return the folder of a set."""
    if place.startswith("pydicom/"):
        spec = find_spec("pydicom")
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin).parent / "data" / place.removeprefix("pydicom/")
    root: Path = request.getfixturevalue("data_root")
    return root / "dicom" / place


@pytest.fixture
def data(row: Row, request: pytest.FixtureRequest) -> bytes:
    """The bytes of a row's file."""
    path = folder_of(row["set"], request) / row["file"]
    if not path.is_file():
        pytest.skip("this version of pydicom does not bring the file")
    found = path.read_bytes()
    if hashlib.sha256(found).hexdigest() != row["sha256"]:
        pytest.skip("another version of the file than the table's")
    return found


def outcome_of(data: bytes, frame: str) -> str:
    """Return how a default read ends, in the table's words."""
    try:
        read_image(data, frame, DicomPixels())
    except PixelError as error:
        return "no image" if error.code == "no_image" else error.code
    return "pixels"


def frames_of(row: Row) -> int:
    return int(row["shape"].partition("x")[0])


def check(values: np.ndarray[Any, Any], row: Row, stage: str) -> None:
    """Compare one stage with its columns."""
    kind = np.float64 if stage == "modality" or values.dtype.kind == "f" else np.int64
    canonical = np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<"))
    apart = 0.0 if row[f"{stage}_sha256"] else float(row["tolerance"])
    low, high, mean = (float(row[f"{stage}_{name}"]) for name in ("min", "max", "mean"))
    assert float(canonical.min()) == pytest.approx(low, rel=1e-12, abs=apart)
    assert float(canonical.max()) == pytest.approx(high, rel=1e-12, abs=apart)
    assert canonical.mean(dtype=np.float64) == pytest.approx(mean, rel=1e-9, abs=0.5 * bool(apart))
    if row[f"{stage}_sha256"]:
        assert hashlib.sha256(canonical.tobytes()).hexdigest() == row[f"{stage}_sha256"]


@every(WITH_VALUES)
def test_values_of_each_stage_are_those_of_other_decoders(row: Row, data: bytes) -> None:
    frames = read_frames(data, ANY_RANGE)
    assert row["transfer_syntax"] in (frames.transfer_syntax, "")  # without meta information
    samples = "x3" if row["space"] == "PALETTE COLOR" else ""
    assert "x".join(map(str, frames.values.shape)) == row["shape"] + samples
    if row["space"] in ("", "RGB"):
        check(frames.stored, row, "stored")
    check(frames.values, row, "modality")


@every(WITH_VALUES)
def test_padding_is_found_where_the_stored_values_have_it(row: Row, data: bytes) -> None:
    if not row["stored_sha256"]:
        pytest.skip("lossy: decoders differ in how many pixels keep the padding value")
    valid = read_frames(data, ANY_RANGE).valid
    assert (0 if valid is None else int((~valid).sum())) == int(row["padded"])


@every(TABLE)
def test_only_what_the_table_refuses_is_refused_and_with_its_code(row: Row, data: bytes) -> None:
    several = row["shape"] and frames_of(row) > 1
    assert outcome_of(data, "0" if several else "") == row["outcome"]


@every([row for row in WITH_VALUES if frames_of(row) > 1])
def test_one_of_several_frames_has_to_be_named(row: Row, data: bytes) -> None:
    assert outcome_of(data, "") == "frames"
    assert outcome_of(data, str(frames_of(row) - 1)) == row["outcome"]


@pytest.mark.data
@pytest.mark.parametrize("place", ["wg04", "odd"])
def test_every_real_file_stands_in_the_table(place: str, request: pytest.FixtureRequest) -> None:
    there = {path.name for path in folder_of(place, request).iterdir()}
    assert there == {row["file"] for row in TABLE if row["set"] == place}


def nema(name: str, data_root: Path) -> np.ndarray[Any, Any]:
    """Return the stored values of a file of NEMA's compression samples."""
    frames = read_frames((data_root / "dicom" / "wg04" / name).read_bytes(), ANY_RANGE)
    stored: np.ndarray[Any, Any] = np.asarray(frames.stored, np.int64)
    return stored


@pytest.mark.data
@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_nema_files_equal_their_uncompressed_reference(name: str, data_root: Path) -> None:
    reference = nema(name.split("_")[0] + "_UNC", data_root)
    assert np.array_equal(nema(name, data_root), reference)


@pytest.mark.data
@pytest.mark.parametrize("name", NEAR_LOSSLESS)
def test_near_lossless_nema_files_lie_within_four(name: str, data_root: Path) -> None:
    reference = nema(name.split("_")[0] + "_UNC", data_root)
    assert 0 < np.abs(nema(name, data_root) - reference).max() <= 4


def survey(pool: Pool, root: Path, files: list[str]) -> dict[str, str]:
    """Return how each file ends in the workers."""
    ends = {}
    tasks = {name: submit_image(pool, root, name, None, "0", ANY_RANGE) for name in files}
    for name, task in tasks.items():
        try:
            pixels_of(task.result(timeout=120))
        except PixelError as error:
            ends[name] = error.code
        else:
            ends[name] = "pixels"
    return ends


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("wg04", marks=pytest.mark.data),
        pytest.param("odd", marks=pytest.mark.data),
        "pydicom/test_files",
        "pydicom/charset_files",
        "pydicom/palettes",
    ],
)
def test_no_file_of_the_table_ends_a_worker(place: str, request: pytest.FixtureRequest) -> None:
    files = [row["file"] for row in TABLE if row["set"] == place]
    with Pool(2) as pool:
        ends = survey(pool, folder_of(place, request), files)
        assert pool.deaths == 0
    assert not ENDS & set(ends.values())


def test_no_file_of_the_pydicom_data_package_ends_a_worker() -> None:
    try:
        listed = metadata.files("pydicom-data") or []
    except metadata.PackageNotFoundError:
        pytest.skip("the package pydicom-data is not installed")
    paths = [Path(str(file.locate())) for file in listed if file.suffix == ".dcm"]
    with Pool(2) as pool:
        ends = survey(pool, paths[0].parent, [path.name for path in paths])
        assert pool.deaths == 0
    assert not ENDS & set(ends.values())
    refused = {name: end for name, end in ends.items() if end != "pixels"}
    assert refused == {}
