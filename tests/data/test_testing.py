"""The public makers: same arguments, same bytes, and the calibration that they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medimg.calibrator import Calibrator, log_likelihood_terms
from medimg.labels import LabelSpace, class_index
from medimg.testing import (
    make_dicom,
    make_dicom_folder,
    make_enhanced,
    make_manifest,
    make_nifti,
    make_npz,
    make_pictures,
    make_predictions,
    make_series,
    make_twins,
)
from medimg.testing.dicom_pixels import SYNTAXES, image_module, pixel_element

THREE = LabelSpace(("a", "b", "c"))
MANY = LabelSpace(("a", "b", "c"), "multilabel")


def test_makers_give_the_same_bytes_again(tmp_path: Path) -> None:
    for maker in (
        lambda p: make_npz(p.with_suffix(".npz"), seed=4),
        lambda p: make_nifti(p.with_suffix(".nii.gz"), np.zeros((3, 3, 3), np.int16)),
    ):
        assert maker(tmp_path / "1").read_bytes() == maker(tmp_path / "2").read_bytes()
    assert make_predictions(50, seed=3).fingerprint == make_predictions(50, seed=3).fingerprint
    assert make_predictions(50, seed=3).fingerprint != make_predictions(50, seed=4).fingerprint


@pytest.mark.parametrize("space", (THREE, MANY, LabelSpace(("a", "b"))))
def test_predictions_have_the_temperature_that_was_asked_for(space: LabelSpace) -> None:
    predictions = make_predictions(20_000, space, seed=1, temperature=2.5)
    grid = np.linspace(1.5, 4, 26)

    def loss(temperature: float) -> float:
        logits = Calibrator("temperature", {"temperature": temperature}).apply(predictions.logits)
        return float(log_likelihood_terms(logits, predictions.targets, space).mean())

    best = grid[np.argmin([loss(t) for t in grid])]
    assert abs(best - 2.5) <= 0.2


def test_predictions_are_calibrated_by_construction() -> None:
    predictions = make_predictions(100_000, seed=2)
    p, y = predictions.probabilities[:, 1], predictions.targets[:, 1]
    bins = (p * 10).astype(int)
    gaps = [abs(p[bins == b].mean() - y[bins == b].mean()) for b in range(10)]
    assert max(gaps) < 0.02


def test_unknown_patients_and_splits_are_as_asked() -> None:
    manifest = make_manifest(200, patients=20, splits=("train", "test"), unknown=0.25, seed=1)
    assert len(set(manifest.frame["patient_id"])) == 20
    assert len(manifest.rows("test")) == 100
    assert 0.15 < (class_index(manifest.targets) == -1).mean() < 0.35
    assert len(set(make_predictions(60, patients=6).patient_id)) == 6  # type: ignore[arg-type]


def test_pictures_can_be_told_apart_by_their_class() -> None:
    labels = np.arange(30) % 3
    for shape, channels in (((16, 16), 1), ((16, 16), 3), ((4, 16, 16), 1)):
        pictures = make_pictures(labels, shape=shape, channels=channels)
        rows = np.moveaxis(pictures, len(shape) - 1, 1).reshape(30, 16, -1).mean(axis=2)
        assert (np.searchsorted([5, 11], rows.argmax(axis=1), side="right") == labels).mean() > 0.9


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_dicom_makers_give_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("1", "2"):
        make_twins(tmp_path / name / "twins", seed=3)
        make_series(tmp_path / name / "series", 3, localizer=True, shuffled=True, seed=3)
        make_dicom_folder(tmp_path / name / "set", patients=2, seed=3)
        make_enhanced(tmp_path / name / "enhanced.dcm", np.zeros((2, 3, 4), np.uint8))
    first, second = _bytes(tmp_path / "1"), _bytes(tmp_path / "2")
    assert first == second
    assert len(first) == 18 + 4 + 5 + 1


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("kind", ("uint8", "uint16", "int16", "colour", "frames"))
def test_dicom_pixels_come_back_from_every_transfer_syntax(
    tmp_path: Path, syntax: str, kind: str
) -> None:
    ramp = np.add.outer(np.arange(40), np.arange(36))
    colour = np.stack([ramp, ramp // 2, 255 - ramp], axis=-1)
    array = {
        "uint8": ramp.astype(np.uint8),
        "uint16": (ramp * 50).astype(np.uint16),
        "int16": (ramp * 50 - 2000).astype(np.int16),
        "colour": colour.astype(np.uint8),
        "frames": np.stack([ramp, ramp + 1, ramp + 2]).astype(np.uint8),
    }[kind]
    path = make_dicom(
        tmp_path / "a.dcm",
        array,
        photometric="RGB" if kind == "colour" else "MONOCHROME2",
        transfer_syntax=syntax,
    )
    assert (pydicom.dcmread(path).pixel_array == array).all()


def test_bits_stand_where_the_maker_was_told() -> None:
    # 12 bits on top of 16, rubbish below: 0xABC -> 0xABC5
    image = image_module(np.array([[0xABC]], np.uint16), "MONOCHROME2", 12, 15, False, 0)
    cells = pixel_element(np.array([[0xABC]], np.uint16), image, 5, SYNTAXES["explicit"])
    assert cells["PixelData"][1].tolist() == [[0xABC5]]


def test_a_header_value_of_bytes_is_written_as_it_is(tmp_path: Path) -> None:
    data = np.zeros((2, 2), np.uint8)
    path = make_dicom(
        tmp_path / "a.dcm",
        data,
        extra={"RescaleSlope": b"1O24", "StudyDate": None, 0x00091001: ("LO", "secret")},
    )
    content = path.read_bytes()
    assert b"\x28\x00\x53\x10DS\x04\x001O24" in content
    assert b"\x09\x00\x01\x10LO\x06\x00secret" in content
    assert b"\x08\x00\x20\x00DA" not in content


def test_sequences_nest_and_padding_may_be_unsigned(tmp_path: Path) -> None:
    path = make_dicom(
        tmp_path / "a.dcm",
        np.zeros((2, 2), np.int16),
        padding=63536,
        extra={"VOILUTSequence": [{"LUTDescriptor": [2, -5, 16], "LUTData": [1, 2]}, {}]},
    )
    dataset = pydicom.dcmread(path)
    assert dataset["PixelPaddingValue"].VR == "US"
    assert dataset.VOILUTSequence[0].LUTDescriptor == [2, -5, 16]
    assert len(dataset.VOILUTSequence) == 2


def test_a_series_lies_where_it_was_asked_to(tmp_path: Path) -> None:
    paths = make_series(
        tmp_path, 5, step=2.5, missing=(1,), duplicates=(3,), tilt=45, shuffled=True, localizer=True
    )
    heads = [pydicom.dcmread(p) for p in paths]
    assert [h.ImagePositionPatient[2] for h in heads[:-1]] == [-30.0, -25.0, -22.5, -22.5, -20.0]
    assert [h.ImagePositionPatient[1] for h in heads[:-1]] == [-20.0, -15.0, -12.5, -12.5, -10.0]
    assert heads[-1].ImageType[2] == "LOCALIZER"
    numbers = [int(h.InstanceNumber) for h in heads[:-1]]
    assert sorted(numbers) == [1, 2, 3, 4, 5] != numbers
    assert len({h.SOPInstanceUID for h in heads}) == 6
    assert len({h.SeriesInstanceUID for h in heads}) == 1


def test_twins_differ_in_the_file_and_agree_in_hounsfield_units(tmp_path: Path) -> None:
    twins = make_twins(tmp_path)
    assert len({p.read_bytes() for p in twins.values()}) == len(twins) == 18
    reference = None
    for name, path in twins.items():
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        if name == "high_bits":
            stored = np.frombuffer(dataset.PixelData, "<u2").reshape(64, 64) // 16
        hu = stored.astype(float) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        hu = np.where(hu == -2000, -1024, 2047 - hu if name.endswith("monochrome1") else hu)
        reference = hu if reference is None else reference
        assert (hu == reference + 100 * (name == "raised")).all(), name
    assert reference is not None and reference.max() > 2000


def test_a_labelled_folder_joins_by_patient_and_study(tmp_path: Path) -> None:
    labels = make_dicom_folder(tmp_path, patients=3, per_patient=2, slices=2)
    rows = [line.split(",") for line in labels.read_text().splitlines()]
    assert rows[0] == ["PatientID", "AccessionNumber", "StudyInstanceUID", "label"]
    files = [pydicom.dcmread(p) for p in (tmp_path / "scans").rglob("*.dcm")]
    assert len(files) == 12
    keys = {(f.PatientID, f.AccessionNumber, f.StudyInstanceUID) for f in files}
    assert keys == {tuple(row[:3]) for row in rows[1:]}
    assert [row[3] for row in rows[1:]] == ["benign", "malignant", "benign"]


def test_testing_loads_without_pydicom() -> None:
    code = "import sys, medimg.testing; sys.exit(bool({'pydicom', 'gdcm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
