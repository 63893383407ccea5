"""The files that `bench_dicom.py` reads: many with real headers, and one slice in each coding."""

from __future__ import annotations

import importlib
import io
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

#: Placeholders of equal length that each copy of a template fills with its own number.
UID = "1.2.826.0.1.3680043.10.1561.99.1{:011d}"
SERIES = "1.2.826.0.1.3680043.10.1561.98.1{:011d}"
#: Transfer syntax -> how a native file becomes one of it.
SYNTAXES = {
    "native": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "big endian": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "HTJ2K": "1.2.840.10008.1.2.4.201",
}


def real_slices() -> list[Path]:
    """Return the CT slices at hand."""
    root = Path(os.environ.get("MEDIMG_DATA", "../shared/data")) / "ct_contrast"
    found = sorted(p.resolve() for p in root.rglob("*.dcm"))
    return found or [Path(pydicom.__file__).parent / "data/test_files/CT_small.dcm"]


def saved(dataset: pydicom.Dataset, syntax: str) -> bytes:
    """Return the file of a native data set in an uncompressed transfer syntax."""
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = io.BytesIO()
    implicit = syntax == ImplicitVRLittleEndian
    pydicom.dcmwrite(
        buffer,
        dataset,
        implicit_vr=implicit,
        little_endian=syntax != SYNTAXES["big endian"],
        enforce_file_format=True,
    )
    return buffer.getvalue()


def template(source: Path, kind: str, side: int) -> bytes:
    """Return a file with placeholders, its pixels cut to `side` squared."""
    if kind == "mr":
        source = Path(pydicom.__file__).parent / "data/test_files/MR_small.dcm"
    dataset = pydicom.dcmread(source)
    pixels = np.resize(dataset.pixel_array, (side, side))
    dataset.PixelData, dataset.Rows, dataset.Columns = pixels.tobytes(), side, side
    dataset["PixelData"].VR = "OW"
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = UID.format(0), SERIES.format(0)
    dataset.StudyInstanceUID = SERIES.format(0)
    syntax = ImplicitVRLittleEndian if kind == "implicit" else ExplicitVRLittleEndian
    return saved(dataset, syntax)


def make_headers(root: Path, files: int, side: int) -> list[Path]:
    """Write the files, 100 a folder and study, and labels in a table beside; return the files."""
    slices = real_slices()
    kinds = ["ct"] * 14 + ["implicit"] * 3 + ["mr"] * 3
    made: dict[tuple[int, str], bytes] = {}
    paths = []
    for number in range(files):
        series = number // 100
        key = (number % len(slices), kinds[series % len(kinds)])
        if key not in made:
            made[key] = template(slices[key[0]], key[1], side)
        data = made[key].replace(UID.format(0).encode(), UID.format(number).encode())
        data = data.replace(SERIES.format(0).encode(), SERIES.format(series).encode())
        path = root / f"{series:05d}" / f"{number:07d}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        paths.append(path)
    rows = [f"{SERIES.format(n)},{'ab'[n % 2]}" for n in range(-(-files // 100))]
    table = "\n".join(["StudyInstanceUID,label", *rows, ""])
    root.with_suffix(".csv").write_text(table, encoding="utf-8")
    return paths


def compressed(source: Path, syntax: str, folder: Path) -> bytes | None:
    """Return a slice in a transfer syntax, or None where nothing here can write it."""
    dataset = pydicom.dcmread(source)
    dataset["PixelData"].VR = "OW"
    name = {v: k for k, v in SYNTAXES.items()}[syntax]
    if name == "big endian":
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    if name in ("native", "implicit", "big endian", "deflated"):
        return saved(dataset, syntax)
    if name == "JPEG lossless":
        return by_gdcm(source, folder)
    if name == "HTJ2K":
        return by_openjph(dataset, folder)
    dataset.compress(syntax)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def by_gdcm(source: Path, folder: Path) -> bytes | None:
    """Return a slice as JPEG lossless, process 14, selection value 1."""
    gdcm = importlib.import_module("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    if not reader.Read():
        return None
    change.SetInput(reader.GetImage())
    writer = gdcm.ImageWriter()
    out = folder / "gdcm.dcm"
    writer.SetFileName(str(out))
    if not change.Change():
        return None
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    return out.read_bytes() if writer.Write() else None


def by_openjph(dataset: pydicom.Dataset, folder: Path) -> bytes | None:
    """Return a slice as lossless HTJ2K, where OpenJPH's tool is installed."""
    if shutil.which("ojph_compress") is None:
        return None
    image, out = folder / "x.pgm", folder / "x.j2c"
    words = np.frombuffer(dataset.PixelData, "<u2").astype(">u2")
    image.write_bytes(b"P5\n%d %d\n65535\n" % (dataset.Columns, dataset.Rows) + words.tobytes())
    command = ["ojph_compress", "-i", image, "-o", out, "-reversible", "true"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    dataset.PixelData = encapsulate([out.read_bytes()])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return saved(dataset, SYNTAXES["HTJ2K"])
