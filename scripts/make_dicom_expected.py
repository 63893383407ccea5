#!/usr/bin/env python3
"""Make `tests/dicom_expected.csv`: what every DICOM test file holds, by other people's decoders.

    apt-get install dcmtk libgdcm-tools libopenjp2-tools openjph-tools
    python scripts/make_dicom_expected.py DICOM_FOLDER -o tests/dicom_expected.csv

`DICOM_FOLDER` holds `wg04/` and `odd/`; the files that ship with pydicom (its folders
`test_files`, `charset_files` and `palettes`) are found where it is installed. Neither pydicom
nor medimg is imported: bytes are decompressed by DCMTK (dcmconv, dcmdjpeg, dcmdjpls, dcmdrle)
and GDCM (gdcmconv --raw), JPEG 2000 by GDCM and opj_decompress, HTJ2K by ojph_expand, and all
else is the few lines of `dicom_values.py` beside this file.

One row a file:

set, file, sha256 : where it lies, and its bytes, by which other versions are told apart
transfer_syntax : as the file says it
outcome : ``pixels``, ``no image`` (a DICOM object without a pixel element) or the code of
    `PixelError` with which a default read is refused. ``no_range`` alone brings values, because
    the file reads well once a range is declared. A file of several frames has the outcome of
    each of its frames.
shape : frames x rows x columns[ x samples]
decoder : the decoders whose stored values agree bit for bit
stored_min, stored_max, stored_mean, stored_sha256 : of the stored values of all frames: after
    decompression, shift, mask and sign extension (PS3.5 8.1.1); of colour the samples,
    interleaved, in the colour space that the decompressed data are in; 4:2:2 with each chroma
    sample repeated; of PALETTE COLOR the indices
space : the colour space of the stored samples, where there are three, or PALETTE COLOR
modality_min, ... modality_sha256 : the same after the modality LUT or the rescale (PS3.3 C.11.1,
    C.7.6.16.2.9) or the dose's scaling (C.8.8.3), padding included; of colour the RGB values; of PALETTE COLOR the entries of
    its three tables
padded : how many pixels are padding (PS3.3 C.7.5.1.1.2)
tolerance : what has a hash holds exactly. Where there is none lawful decoders round differently:
    minimum and maximum may lie this far off, the mean by 0.5
note : why it is refused, or what had to be decided, and by which clause

A hash is SHA-256 over the array in C order, little endian: int64 of integers, float64 of
floats and of modality values (stored times slope plus intercept, computed in float64).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from dicom_decoders import (
    ENCAPSULATED,
    Undecided,
    decoded,
    precision_of_jpeg,
    ran,
    signed_codestream,
)
from dicom_values import (
    Elements,
    Image,
    Unreadable,
    header,
    image_of,
    padded,
    rgb,
    syntax_of,
    units,
    wants_range,
)

STAGES = ("stored", "modality")
FIGURES = ("min", "max", "mean", "sha256")
VALUES = [f"{stage}_{figure}" for stage in STAGES for figure in FIGURES]
COLUMNS = [
    *("set", "file", "sha256", "transfer_syntax", "outcome", "shape", "decoder", "space"),
    *(*VALUES, "padded", "tolerance", "note"),
]
FOLDERS = ("test_files", "charset_files", "palettes")

NO_DICOM = "no DICOM: neither DICM after 128 bytes nor elements from the first byte on"
CUT = "cut short; DCMTK refuses it"
CUT_OFF = "an Image Pixel module without pixels: cut off before them"
NO_MODULE = "a pixel element without the Image Pixel module (PS3.3 C.7.6.3)"
TWELVE = "JPEG of 12 bits: no decoder of a free licence is pinned for it"
RANGE = "wide integers or floats without window: a range has to be declared"
NO_HU = "CT whose RescaleType is US: no HU (PS3.3 C.11.1.1.2), a range has to be declared"

#: What was looked at and decided: name -> (outcome, why); an empty outcome keeps the values.
DECIDED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("MR_truncated.dcm", "rtplan_truncated.dcm"), ("corrupt", CUT)),
    **dict.fromkeys(("meta_missing_tsyntax.dcm", "nested_priv_SQ.dcm"), ("header", NO_MODULE)),
    **dict.fromkeys(
        ("html_mikethwolff_test2.dcm", "html_mikethwolff_test6.dcm", "zipMR.gz", "crayons.icc"),
        ("unknown_format", NO_DICOM),
    ),
    **dict.fromkeys(
        ("README", "README.md", "README.txt", "FileInfo.txt", "test1.json", "test_PN.json"),
        ("unknown_format", NO_DICOM),
    ),
    **dict.fromkeys(("rtplan.dump", "rtstruct.dump"), ("unknown_format", NO_DICOM)),
    "no_meta.dcm": ("unknown_format", "no meta information, and a stray byte before the elements"),
    "badVR.dcm": ("header", "NumberOfFrames is 1A: no integer (PS3.5 6.2, IS)"),
    "966.dcm": (
        "corrupt",
        "a COM segment after the last tile-part (not allowed by ISO/IEC 15444-1 A.9.2); GDCM and "
        "OpenJPEG refuse it",
    ),
    "emri_small_jpeg_2k_lossless_too_short.dcm": (
        "",
        "its last eight bytes, a delimiter, are missing; every frame is whole; equal to emri_small",
    ),
    "JPEG2000-embedded-sequence-delimiter.dcm": (
        "corrupt",
        "four bytes of the codestream's SIZ marker are overwritten; GDCM and OpenJPEG refuse it",
    ),
    "TOSHIBA_J2K_SIZ1_PixRep0.dcm": (
        "",
        "the codestream is signed, PixelRepresentation is 0: the codestream governs (PS3.5 8.2.4); "
        "equal to TOSHIBA_J2K_SIZ0_PixRep1",
    ),
    "TOSHIBA_J2K_SIZ0_PixRep1.dcm": ("", "unsigned codestream of signed words"),
    "eCT_Supplemental.dcm": ("no_range", NO_HU),
    "J2K_pixelrep_mismatch.dcm": ("", "unsigned codestream of signed words of 13 bits"),
    "SC_rgb_jpeg.dcm": ("", "compressed, yet in implicit VR (against PS3.5 A.4); DCMTK refuses it"),
    "SC_rgb_rle_16bit.dcm": ("", "GDCM differs; DCMTK equals pydicom-data's SC_rgb_16bit.dcm"),
    "SC_rgb_rle_32bit.dcm": ("", "GDCM differs; DCMTK equals pydicom-data's SC_rgb_32bit.dcm"),
    "GDCMJ2K_TextGBR.dcm": ("", "a JP2 header before the codestream (against PS3.5 A.4.4)"),
}
#: Big endian cells of 32 bits: DCMTK and GDCM swap OW by 16-bit words (PS3.5 8.1.1 would put the
#: low word first), the files hold whole 32-bit numbers. The originals say what they mean.
COPIES = {"rtdose_expb.dcm": "rtdose.dcm", "rtdose_expb_1frame.dcm": "rtdose_1frame.dcm"}
COPY = "32 bits, big endian, as numbers of 32 bits: DCMTK and GDCM swap by 16; a copy of "


def numbers(values: np.ndarray, name: str, exact: bool) -> dict[str, str]:
    """Return the figures of one stage."""
    kind = np.float64 if values.dtype.kind == "f" or name == "modality" else np.int64
    canonical = np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<"))
    return {
        f"{name}_min": f"{values.min():.17g}",
        f"{name}_max": f"{values.max():.17g}",
        f"{name}_mean": f"{values.mean(dtype=np.float64):.10g}",
        f"{name}_sha256": hashlib.sha256(canonical.tobytes()).hexdigest() if exact else "",
    }


def elements_of(path: Path) -> tuple[str, Elements]:
    """Return a file's transfer syntax and elements; what is not compressed by way of dcmconv."""
    syntax = syntax_of(path.read_bytes())
    if syntax in ENCAPSULATED:
        return header(path.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.dcm"
        if not ran("dcmconv", "+te", path, out):
            raise Unreadable("DCMTK does not read it")
        return syntax, header(out.read_bytes())[1]


def row_of(path: Path, place: str, name: str) -> dict[str, str]:
    """Return the row of one file."""
    data = path.read_bytes()
    row = dict.fromkeys(COLUMNS, "")
    row |= {"set": place, "file": name, "sha256": hashlib.sha256(data).hexdigest()}
    outcome, row["note"] = DECIDED.get(path.name, ("", ""))
    try:
        syntax, elements = elements_of(path)
        row["transfer_syntax"] = syntax
        image = image_of(syntax, elements)
    except Unreadable as error:
        if not outcome:
            raise Undecided(f"{place}/{name}: {error}") from None
        return row | {"outcome": outcome}
    if image is None and (0x28, 0x10) in elements:
        return row | {"outcome": "corrupt", "note": CUT_OFF}
    if image is None:
        return row | {"outcome": outcome or "no image"}
    if not outcome and precision_of_jpeg(image) == 12:
        outcome, row["note"] = "unsupported", TWELVE
    if not outcome and wants_range(image):
        outcome, row["note"] = "no_range", RANGE
    if outcome == "no_range":
        return row | values_of(path, image) | {"outcome": outcome}
    if outcome:
        return row | {"outcome": outcome}
    return row | values_of(path, image) | {"outcome": "pixels"}


def values_of(path: Path, image: Image) -> dict[str, str]:
    """Return the columns that describe the values of an image."""
    image = image._replace(signed=image.signed or signed_codestream(image))
    stored, space, decoder, tolerance = decoded(path, image)
    after = rgb(stored, space, image) if space or image.palette else units(stored, image)
    converted = 1 if space.startswith("YBR") else 0
    return {
        "shape": "x".join(map(str, stored.shape)),
        "decoder": decoder,
        "space": "PALETTE COLOR" if image.palette else space,
        "padded": str(padded(stored, image)),
        "tolerance": str(max(tolerance, converted)),
        **numbers(stored, "stored", exact=tolerance == 0),
        **numbers(after, "modality", exact=tolerance == 0 and not converted),
    }


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    spec = find_spec("pydicom")  # found, not imported
    if spec is None or spec.origin is None:
        sys.exit("pydicom is not installed here: its test files are part of the table")
    shipped = Path(spec.origin).parent / "data"
    roots = {place: options.folder / place for place in ("wg04", "odd")}
    roots |= {f"pydicom/{name}": shipped / name for name in FOLDERS}
    rows, undecided = [], []
    for place, root in roots.items():
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            try:
                rows.append(row_of(path, place, path.relative_to(root).as_posix()))
            except Undecided as error:
                undecided.append(str(error))
    figures = {row["file"]: {k: row[k] for k in VALUES} for row in rows}
    for row in rows:
        if row["file"] in COPIES:
            original = COPIES[row["file"]]
            row |= figures[original] | {"decoder": f"of {original}", "note": COPY + original}
    if undecided:
        sys.exit("look at these and decide:\n" + "\n".join(undecided))
    with options.out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
