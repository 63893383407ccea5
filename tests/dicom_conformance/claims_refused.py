"""What must be refused by name: objects without pixels, raw data, broken and hostile headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dicom_conformance.claims import Claim, Make
from dicom_conformance.claims_stored import picture

from medimg.testing import make_dicom, write_dicom

FOUR = [[1, 2], [3, 4]]


def no_pixels(sop_class: str, modality: str, **elements: Any) -> Make:
    """Return a maker of an object without pixels."""

    def make(folder: Path) -> Path:
        dataset = {
            "SOPClassUID": sop_class,
            "SOPInstanceUID": "1.2.3.4",
            "Modality": modality,
            "PatientID": "P1",
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.3.1",
            **elements,
        }
        return write_dicom(folder / "a.dcm", dataset)

    return make


def cut(share: float, syntax: str = "explicit") -> Make:
    """Return a maker of a file that ends after a share of its bytes."""

    def make(folder: Path) -> Path:
        array = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint16)
        path = make_dicom(folder / "a.dcm", array, modality="OT", transfer_syntax=syntax)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return make


def with_pixels_of(count: int, syntax: str = "explicit") -> Make:
    """Return a maker of a 2x2 image of 16 bits whose pixel data have `count` bytes."""
    extra = {"PixelData": ("OW", bytes(count))}
    return picture(FOUR, "u2", extra=extra, transfer_syntax=syntax)


def text(folder: Path) -> Path:
    """Write a file that is no DICOM."""
    path = folder / "a.dcm"
    path.write_text("Dear colleague, the pictures are in the other folder.\n" * 20)
    return path


def broken(**extra: Any) -> Make:
    """Return a maker of a 2x2 image with one lie in its header."""
    return picture(FOUR, "u2", extra=extra)


HEADER = ("header",)
CLAIMS = [
    Claim(
        "a structured report is no image",
        "PS3.3 A.35 (no Image Pixel module)",
        no_pixels("1.2.840.10008.5.1.4.1.1.88.11", "SR", ValueType="CONTAINER"),
        "refused",
        ("no_image",),
    ),
    Claim(
        "a structure set is no image",
        "PS3.3 A.19",
        no_pixels("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT", StructureSetLabel="S"),
        "refused",
        ("no_image",),
    ),
    Claim(
        "a presentation state is no image",
        "PS3.3 A.33",
        no_pixels("1.2.840.10008.5.1.4.1.1.11.1", "PR", ContentLabel="P"),
        "refused",
        ("no_image",),
    ),
    Claim(
        "an image for processing is refused unless asked for",
        "PS3.3 C.8.11.1, Presentation Intent Type",
        picture(
            FOUR,
            "u2",
            modality="DX",
            extra={
                "PresentationIntentType": "FOR PROCESSING",
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1",
            },
        ),
        "refused",
        ("for_processing",),
        rule=True,
    ),
    Claim(
        "a whole-slide image is refused unless asked for",
        "PS3.3 A.32.8, C.8.12.4",
        picture(
            [FOUR, FOUR],
            "u1",
            modality="SM",
            extra={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"},
        ),
        "refused",
        ("whole_slide",),
        frame=0,
        rule=True,
    ),
    Claim(
        "several frames are not one image",
        "PS3.3 C.7.6.6",
        picture([FOUR, FOUR], "u1"),
        "refused",
        ("frames",),
        rule=True,
    ),
    Claim(
        "a frame past the last is refused",
        "PS3.3 C.7.6.6",
        picture([FOUR, FOUR], "u1"),
        "refused",
        ("frames", "not_found"),
        frame=2,
        rule=True,
    ),
    Claim(
        "a file that is no DICOM is refused",
        "PS3.10 7.1",
        text,
        "refused",
        ("unknown_format", "corrupt"),
    ),
    Claim("a file cut in its pixels is refused", "PS3.5 8.1.1", cut(0.7), "refused", ("corrupt",)),
    Claim(
        "a file cut in its header is refused",
        "PS3.10 7.1",
        cut(0.06),
        "refused",
        ("corrupt", "header", "unknown_format"),
    ),
    Claim(
        "a deflated file cut in its pixels is refused",
        "PS3.5 A.5",
        cut(0.7, "deflated"),
        "refused",
        ("corrupt",),
    ),
    Claim(
        "an RLE file cut in its pixels is refused",
        "PS3.5 annex G",
        cut(0.8, "RLE"),
        "refused",
        ("corrupt",),
    ),
    Claim(
        "a JPEG 2000 file cut in its pixels is refused",
        "PS3.5 A.4.4",
        cut(0.9, "JPEG 2000"),
        "refused",
        ("corrupt",),
    ),
    Claim(
        "pixel data that are shorter than the image are refused",
        "PS3.5 8.1.1",
        with_pixels_of(6),
        "refused",
        ("corrupt", "header"),
    ),
    Claim(
        "an image without pixel data is refused",
        "PS3.3 C.7.6.3",
        broken(PixelData=None),
        "refused",
        ("no_image", "header", "corrupt"),
    ),
    Claim(
        "a number of frames of -1 is refused",
        "PS3.3 C.7.6.6.1.1",
        broken(NumberOfFrames=b"-1"),
        "refused",
        HEADER,
    ),
    Claim(
        "a number of frames of 1A is refused",
        "PS3.5 6.2 IS",
        broken(NumberOfFrames=b"1A"),
        "refused",
        HEADER,
    ),
    Claim(
        "a thousand million frames in eight bytes are refused",
        "PS3.3 C.7.6.6.1.1",
        broken(NumberOfFrames=b"1000000000"),
        "refused",
        ("header", "corrupt", "too_large", "frames"),
    ),
    Claim(
        "an image of no rows is refused",
        "PS3.3 C.7.6.3",
        broken(Rows=0),
        "refused",
        ("header", "corrupt"),
    ),
    Claim(
        "rows that are missing are refused",
        "PS3.3 C.7.6.3 (type 1)",
        broken(Rows=None),
        "refused",
        HEADER,
    ),
    Claim(
        "an image of 65535 rows in eight bytes is refused",
        "PS3.5 8.1.1",
        broken(Rows=65535),
        "refused",
        ("corrupt", "header"),
    ),
    Claim(
        "more bits stored than allocated are refused",
        "PS3.3 C.7.6.3; PS3.5 8.1.1",
        broken(BitsStored=17),
        "refused",
        HEADER,
    ),
    Claim(
        "a high bit below the value is refused", "PS3.5 8.1.1", broken(HighBit=7), "refused", HEADER
    ),
    Claim(
        "three samples of a grey image are refused",
        "PS3.3 C.7.6.3.1.2",
        broken(SamplesPerPixel=3),
        "refused",
        HEADER,
    ),
    Claim(
        "a palette without its tables is refused",
        "PS3.3 C.7.6.3.1.5",
        broken(PhotometricInterpretation="PALETTE COLOR"),
        "refused",
        HEADER,
    ),
    Claim(
        "a photometric interpretation that nobody defined is refused",
        "PS3.3 C.7.6.3.1.2",
        broken(PhotometricInterpretation="SEPIA"),
        "refused",
        ("header", "unsupported"),
        rule=True,
    ),
    Claim(
        "a slope of 1O24 is refused",
        "PS3.5 6.2 DS",
        broken(RescaleSlope=b"1O24", RescaleIntercept=0),
        "refused",
        HEADER,
    ),
    Claim(
        "a slope of NaN is refused",
        "PS3.5 6.2 DS",
        broken(RescaleSlope=b"NaN ", RescaleIntercept=0),
        "refused",
        HEADER,
    ),
    Claim(
        "a slope of 0 is refused",
        "PS3.3 C.11.1.1.2",
        broken(RescaleSlope=b"0 ", RescaleIntercept=0),
        "refused",
        HEADER,
        rule=True,
    ),
    Claim(
        "an intercept without a slope is refused",
        "PS3.3 C.11.1 (slope: type 1C)",
        broken(RescaleIntercept=-1024),
        "refused",
        HEADER,
        rule=True,
    ),
    Claim(
        "a window of width 0 is refused",
        "PS3.3 C.11.2.1.2 (at least 1)",
        picture(FOUR, "u2", window=(40, 0)),
        "refused",
        HEADER,
        ask={"voi": "require"},
        rule=True,
    ),
    Claim(
        "a window is refused where one is asked for and none is there",
        "PS3.3 C.11.2",
        picture(FOUR, "u2"),
        "refused",
        ("no_voi",),
        ask={"voi": "require"},
        rule=True,
    ),
    Claim(
        "a modality LUT shorter than it says is refused",
        "PS3.3 C.11.1.1.1",
        broken(
            ModalityLUTSequence=[
                {"LUTDescriptor": [9, 0, 16], "LUTData": [1, 2], "ModalityLUTType": "US"}
            ]
        ),
        "refused",
        HEADER,
        rule=True,
    ),
    Claim(
        "video is refused",
        "PS3.5 A.4.5 (MPEG2)",
        with_pixels_of(8, "1.2.840.10008.1.2.4.100"),
        "refused",
        ("unsupported",),
    ),
    Claim(
        "a transfer syntax that nobody defined is refused",
        "PS3.6 annex A",
        with_pixels_of(8, "1.2.840.10008.1.2.4.999"),
        "refused",
        ("unsupported", "corrupt"),
    ),
]
