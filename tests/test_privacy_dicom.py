"""What a header says of a person goes no further than the tables that are meant to hold it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medimg.testing import make_dicom

#: Elements of text and what is planted in them; `{}` is the number of the patient.
TEXTS = {
    "PatientName": "CanaryName^Nn{}",
    "PatientID": "CANARYID{}",
    "OtherPatientNames": "CanaryOther^Oo{}",
    "PatientAddress": "CanaryStreet {}",
    "PatientTelephoneNumbers": "CANARYPHONE{}",
    "PatientMotherBirthName": "CanaryMother{}",
    "PatientComments": "CanaryComment{}",
    "AdditionalPatientHistory": "CanaryHistory{}",
    "Occupation": "CanaryJob{}",
    "AccessionNumber": "CANARYACC{}",
    "StudyID": "CANARYSTUDY{}",
    "InstitutionName": "CanaryClinic{}",
    "InstitutionAddress": "CanaryPlace{}",
    "StationName": "CANARYSTATION{}",
    "ReferringPhysicianName": "CanaryDoctor^Rr{}",
    "OperatorsName": "CanaryOperator^Oo{}",
    "StudyDescription": "CanaryStudyText{}",
    "SeriesDescription": "CanarySeriesText{}",
    "ProtocolName": "CanaryProtocol{}",
    "ImageComments": "CanaryImageComment{}",
    "ContrastBolusAgent": "CanaryAgent{}",
    "ConvolutionKernel": "CANARYKERNEL{}",
    "DeviceSerialNumber": "CANARYSERIAL{}",
    "WindowCenterWidthExplanation": "CanaryWindow{}",
    "IssuerOfPatientID": "CanaryIssuer{}",
}
#: Elements of a fixed form whose value breaks it: date, birth date, age, sex, body part, kV.
BROKEN = (
    (0x00080020, "DA", "CANARYDATE"),
    (0x00100030, "DA", "CANARYBIRTH"),
    (0x00101010, "AS", "CANARYAGE"),
    (0x00100040, "CS", "Canary*Sex"),
    (0x00180015, "CS", "Canary*Body"),
    (0x00180060, "DS", "CanaryKvp"),
)
PRIVATE, SEQUENCE, FILE, FOLDER = "CanaryPrivate", "CanaryRequest", "CanaryFile", "CanaryFolder"
#: The tables that are meant to identify, and what is decoded from them under other names.
IDENTIFIED = {"manifest.csv", "instances.csv", "identities.csv"}


def planted() -> set[str]:
    """Every text that may not turn up, as far as it is the same for all patients."""
    names = [text.format("").split("^")[0] for text in TEXTS.values()]
    return {*names, *(value for *_, value in BROKEN), PRIVATE, SEQUENCE, FILE, FOLDER}


def write_scan(path: Path, number: int, extra: dict[str, object] | None = None) -> None:
    """Write a CT image full of names."""
    patient = number // 2
    values = np.random.default_rng(number).integers(900, 1200, (16, 16), dtype=np.uint16)
    values[: 8 if number % 4 < 2 else 0] += 400
    malformed = {tag: (vr, value.encode() + b" " * (len(value) % 2)) for tag, vr, value in BROKEN}
    make_dicom(
        path,
        values,
        bits_stored=12,
        slope=1,
        intercept=-1024,
        spacing=(1, 1),
        patient=f"{patient}",
        instance=number,
        extra={
            **{keyword: text.format(patient) for keyword, text in TEXTS.items()},
            **malformed,
            0x00990010: ("LO", b"CANARYCREATOR "),
            0x00991001: ("LO", PRIVATE.encode() + b" "),
            "RequestAttributesSequence": [{"RequestedProcedureDescription": SEQUENCE}],
            **(extra or {}),
        },
    )


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scans in which names stand everywhere, some of them unreadable."""
    root = tmp_path_factory.mktemp("scans")
    for number in range(64):
        write_scan(root / f"{FOLDER}{number // 2}" / f"{FILE}{number}.dcm", number)
    write_scan(root / FOLDER / f"{FILE}-short.dcm", 70, {"PixelData": bytes(100)})
    write_scan(root / FOLDER / f"{FILE}-slope.dcm", 71, {0x00281053: ("DS", b"CanarySlope ")})
    (root / FOLDER / f"{FILE}-text.dcm").write_text(f"{PRIVATE} is no DICOM")
    (root / FOLDER / f"{FILE}-cut.dcm").write_bytes(bytes(128) + b"DICM" + PRIVATE.encode())
    rows = [f"{FOLDER}{n // 2}/{FILE}{n}.dcm,{'ab'[n % 4 < 2]}" for n in range(64)]
    rows += [f"{FOLDER}/{FILE}-{what}.dcm,a" for what in ("short", "slope")]
    (root / "labels.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    return root


def medimg(*words: object) -> str:
    """Run the command; return all it says."""
    done = subprocess.run(
        [sys.executable, "-m", "medimg", *map(str, words)],
        capture_output=True,
        timeout=240,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode in (0, 3), said
    return said


def leaks(text: bytes) -> set[str]:
    """The planted texts that stand in `text`."""
    low = text.lower()
    return {word for word in planted() if word.lower().encode() in low} | (
        {"CanarySlope"} if b"canaryslope" in low else set()
    )


def test_nothing_planted_in_scans_leaves_the_identified_tables(scans: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"data: {{source: {scans}, labels: {scans / 'labels.csv'}, label: [label]}}\n"
        "preprocess: {size: [16, 16], channels: 1, dicom: {range: [-200, 800]}}\n"
        "model: {name: mlp, hidden: [8]}\nfit: {epochs: 2, batch_size: 8}\n"
        "split: {train: 0.4, val: 0.2, calib: 0.2, test: 0.2}\n"
        "evaluate: {resamples: 100}\n"
    )
    out = tmp_path / "out"
    said = medimg(
        "index", scans, "--labels", scans / "labels.csv", "-o", out / "index" / "manifest.csv"
    )
    said += medimg("train", config, "-o", out / "run")
    said += medimg("predict", out / "run" / "bundle", scans, "-o", out / "predicted", "--settle", 0)
    said += medimg("evaluate", out / "run" / "predictions" / "test.csv", "-o", out / "report")
    said += medimg("show", out / "index" / "manifest.csv")
    assert len(planted()) >= 30
    assert not leaks(said.encode())
    written = [p for p in out.rglob("*") if p.is_file() and p.name not in IDENTIFIED]
    assert {"errors.csv", "predictions.csv", "index.html", "bundle.json", "log.jsonl"} <= {
        p.name for p in written
    }
    found = {str(p.relative_to(out)): leaks(p.read_bytes()) for p in written}
    assert not {name: words for name, words in found.items() if words}
    assert not [p for p in written if leaks(str(p.relative_to(out)).encode())]
    assert leaks((out / "index" / "manifest.csv").read_bytes()), "the plants are there to be found"
