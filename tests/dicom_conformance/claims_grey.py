"""Modality transform, VOI and polarity: PS3.3 C.11.1, C.11.2, C.7.6.3.1.2, C.7.6.16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dicom_conformance.claims import Claim, Make
from dicom_conformance.claims_stored import picture

from medimg.testing import make_dicom, make_enhanced

VOI = {"voi": "if-present"}
CT_RANGE = {"range": (-1024.0, 3071.0)}
WIDE = {"range": (0.0, 65535.0)}


def enhanced(values: Any, dtype: str = "u2", **options: Any) -> Make:
    """Return a maker of an enhanced multi-frame file."""

    def make(folder: Path) -> Path:
        return make_enhanced(folder / "a.dcm", np.array(values, dtype), **options)

    return make


def lut(
    keyword: str, values: Any, descriptor: list[int], data: list[int], dtype: str = "u2"
) -> Any:
    """Return a maker of an image with one table in a sequence."""
    kind = {"ModalityLUTType": "US"} if keyword == "ModalityLUTSequence" else {}
    item = {"LUTDescriptor": descriptor, "LUTData": data, **kind}
    return picture(values, dtype, modality="CR", extra={keyword: [item]})


def mapped(slope: float, intercept: float, first: int, last: int) -> dict[str, Any]:
    """Return the functional group of a Real World Value Mapping."""
    mapping = {
        "RealWorldValueFirstValueMapped": first,
        "RealWorldValueLastValueMapped": last,
        "RealWorldValueIntercept": float(intercept),
        "RealWorldValueSlope": float(slope),
        "LUTLabel": "toy",
        "MeasurementUnitsCodeSequence": [
            {"CodeValue": "1", "CodingSchemeDesignator": "UCUM", "CodeMeaning": "no units"}
        ],
    }
    return {"RealWorldValueMappingSequence": [mapping]}


def table_of_65536(folder: Path) -> Path:
    """Write an image whose modality LUT has 65536 entries, which 16 bits write as 0."""
    table = (65535 - np.arange(65536)).astype(np.uint16)
    item = {"LUTDescriptor": [0, 0, 16], "LUTData": ("OW", table), "ModalityLUTType": "US"}
    return make_dicom(
        folder / "a.dcm",
        np.array([[0, 40000, 65535]], np.uint16),
        modality="OT",
        extra={"ModalityLUTSequence": [item]},
    )


PARAMETRIC_MAP = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.30"}

MODALITY = [
    Claim(
        "a rescale is slope times value plus intercept",
        "PS3.3 C.11.1.1.2",
        picture(
            [[0, 1], [100, 4095]], "u2", bits_stored=12, modality="CT", slope=0.5, intercept=-10.5
        ),
        "values",
        [[-10.5, -10.0], [39.5, 2037.0]],  # 100/2 - 10.5; 4095/2 - 10.5
        ask=CT_RANGE,
    ),
    Claim(
        "a signed value is rescaled with its sign",
        "PS3.3 C.11.1.1.2; C.7.6.3.1.1",
        picture([[-1000, 24]], "i2", modality="CT", slope=1, intercept=-24),
        "values",
        [[-1024, 0]],
        ask=CT_RANGE,
    ),
    Claim(
        "a fractional slope is not rounded",
        "PS3.3 C.11.1.1.2; PS3.5 6.2 DS",
        picture([[0, 1000]], "u2", modality="PT", slope=0.7331, intercept=0),
        "values",
        [[0.0, 733.1]],
        tolerance=1e-3,
    ),
    Claim(
        "a modality LUT maps what is below and above it to its first and last entry",
        "PS3.3 C.11.1.1.1",
        lut("ModalityLUTSequence", [[5, 10, 12], [13, 14, 200]], [4, 10, 16], [100, 200, 300, 400]),
        "values",
        [[100, 100, 300], [400, 400, 400]],
        ask=WIDE,
    ),
    Claim(
        "the first value mapped of a modality LUT is signed where the pixels are",
        "PS3.3 C.11.1.1.1 (US or SS by Pixel Representation)",
        lut("ModalityLUTSequence", [[-5, -2, -1], [0, 3, 9]], [3, -2, 16], [7, 8, 9], "i2"),
        "values",
        [[7, 7, 8], [9, 9, 9]],
        ask=WIDE,
    ),
    Claim(
        "a table of 65536 entries says 0",
        "PS3.3 C.11.1.1.1",
        table_of_65536,
        "values",
        [[65535, 25535, 0]],  # 65535 - 40000
        ask=WIDE,
    ),
    Claim(
        "each frame has its own rescale",
        "PS3.3 C.7.6.16.2.9",
        enhanced([[[50, 60]], [[50, 60]]], slopes=[1, 2], intercepts=[0, -100]),
        "values",
        [[0, 20]],  # 2 * 50 - 100; 2 * 60 - 100
        frame=1,
    ),
    Claim(
        "a rescale of all frames stands in the shared group",
        "PS3.3 C.7.6.16.1, C.7.6.16.2.9",
        enhanced(
            [[[50, 60]], [[70, 80]]],
            shared_groups={
                "PixelValueTransformationSequence": [
                    {"RescaleSlope": 2, "RescaleIntercept": -1000, "RescaleType": "HU"}
                ]
            },
        ),
        "values",
        [[-860, -840]],  # 2 * 70 - 1000; 2 * 80 - 1000
        frame=1,
    ),
    Claim(
        "a parametric map is in real world values",
        "PS3.3 C.7.6.16.2.11; C.8.32.2",
        enhanced(
            [[[10, 20]]],
            modality="OT",
            extra=PARAMETRIC_MAP,
            shared_groups=mapped(0.5, 3, 0, 65535),
        ),
        "values",
        [[8, 13]],  # 10/2 + 3; 20/2 + 3
        frame=0,
        ask=WIDE,
    ),
    Claim(
        "a real world value mapping does not replace the rescale of CT",
        "PS3.3 C.7.6.16.2.11.1.2 (independent of the modality LUT)",
        picture(
            [[1024, 2024]],
            "u2",
            modality="CT",
            slope=1,
            intercept=-1024,
            extra=mapped(7, 0, 0, 65535),
        ),
        "values",
        [[0, 1000]],
        ask=CT_RANGE,
    ),
    Claim(
        "a dose is its stored value times the dose grid scaling",
        "PS3.3 C.8.8.3, Dose Grid Scaling",
        picture(
            [[1000, 2500], [70000, 0]],
            "u4",
            modality="RTDOSE",
            extra={
                "DoseGridScaling": 0.001,
                "DoseUnits": "GY",
                "DoseType": "PHYSICAL",
                "DoseSummationType": "PLAN",
            },
        ),
        "values",
        [[1.0, 2.5], [70.0, 0.0]],
        ask={"range": (0.0, 100.0)},
    ),
]

CR: dict[str, Any] = {"modality": "CR"}
WINDOWS = [
    Claim(
        "a window of 2**(n-1), 2**n is the identity on n bits",
        "PS3.3 C.11.2.1.2.1, note on the identity",
        picture([[0, 2048, 4095]], "u2", bits_stored=12, window=(2048, 4096), **CR),
        "grey",
        [[0.0, 0.500122, 1.0]],  # (2048 - 2047.5) / 4095 + 0.5
        ask=VOI,
    ),
    Claim(
        "a window of width 1 is a threshold at its center",
        "PS3.3 C.11.2.1.2.1, note on a width of 1",
        picture([[8, 9, 10, 11]], "u1", window=(10, 1), **CR),
        "grey",
        [[0, 0, 1, 1]],  # 9 <= 9.5 - 0; 10 > 9.5 + 0
        ask=VOI,
    ),
    Claim(
        "a window of width 2 has one level between",
        "PS3.3 C.11.2.1.2.1",
        # values 9, 9.5, 10: 9 <= 9.5 - 0.5; (9.5 - 9.5) / 1 + 0.5; (10 - 9.5) / 1 + 0.5
        picture([[18, 19, 20]], "u1", slope=0.5, intercept=0, window=(10, 2), **CR),
        "grey",
        [[0.0, 0.5, 1.0]],
        ask=VOI,
    ),
    Claim(
        "a window at 0 of width 100 has its ends at -50 and 49",
        "PS3.3 C.11.2.1.2.1, note with this example",
        picture([[-51, -50, 0, 24, 49, 50]], "i2", window=(0, 100), **CR),
        "grey",
        # (0 + 0.5) / 99 + 0.5; (24 + 0.5) / 99 + 0.5; (49 + 0.5) / 99 + 0.5
        [[0.0, 0.0, 0.505051, 0.747475, 1.0, 1.0]],
        ask=VOI,
    ),
    Claim(
        "LINEAR_EXACT has neither half a unit nor w - 1",
        "PS3.3 C.11.2.1.3.2",
        picture(
            [[-50, -49, 0, 25, 49, 50]], "i2", window=(0, 100), window_function="LINEAR_EXACT", **CR
        ),
        "grey",
        [[0.0, 0.01, 0.5, 0.75, 0.99, 1.0]],  # x / 100 + 0.5
        ask=VOI,
    ),
    Claim(
        "SIGMOID is 1 / (1 + exp(-4 (x - c) / w))",
        "PS3.3 C.11.2.1.3.1",
        picture([[100, 110, 80, 140]], "u1", window=(100, 40), window_function="SIGMOID", **CR),
        "grey",
        # 1/(1+e**0), 1/(1+e**-1), 1/(1+e**2), 1/(1+e**-4)
        [[0.5, 0.731059, 0.119203, 0.982014]],
        ask=VOI,
    ),
    Claim(
        "the first of several windows is taken",
        "PS3.3 C.11.2.1.2 (alternative views)",
        picture([[4, 10, 15]], "u1", window=[(10, 11), (200, 20)], **CR),
        "grey",
        [[0.0, 0.55, 1.0]],  # 4 <= 9.5 - 5; (10 - 9.5) / 10 + 0.5; 15 > 9.5 + 5
        ask=VOI,
    ),
    Claim(
        "a window is in units after the rescale",
        "PS3.3 C.11.2.1.2",
        # x = 100, 300, 400: 100 <= 299.5 - 100; (300 - 299.5) / 200 + 0.5; 400 > 299.5 + 100
        picture([[0, 100, 150]], "u1", slope=2, intercept=100, window=(300, 201), **CR),
        "grey",
        [[0.0, 0.5025, 1.0]],
        ask=VOI,
    ),
    Claim(
        "a VOI LUT maps what is below and above it to its first and last entry",
        "PS3.3 C.11.2.1.1",
        lut(
            "VOILUTSequence",
            [[99, 100, 101], [102, 103, 104]],
            [4, 100, 8],
            [0, 50, 200, 255],
            "u1",
        ),
        "grey",
        [[0.0, 0.0, 0.196078], [0.784314, 1.0, 1.0]],  # 50 / 255, 200 / 255
        ask=VOI,
    ),
    Claim(
        "a VOI LUT goes before a window",
        "PS3.3 C.11.2.1.1 (one of them; the table is the more exact)",
        picture(
            [[99, 101, 103]],
            "u1",
            window=(10, 11),
            extra={
                "VOILUTSequence": [{"LUTDescriptor": [4, 100, 8], "LUTData": [0, 50, 200, 255]}]
            },
            **CR,
        ),
        "grey",
        [[0.0, 0.196078, 1.0]],
        ask=VOI,
        rule=True,
    ),
    Claim(
        "the first of several VOI LUTs is taken",
        "PS3.3 C.11.2.1.1 (only one shall be applied)",
        picture(
            [[0, 1]],
            "u1",
            extra={
                "VOILUTSequence": [
                    {"LUTDescriptor": [2, 0, 8], "LUTData": [51, 102]},
                    {"LUTDescriptor": [2, 0, 8], "LUTData": [255, 0]},
                ]
            },
            **CR,
        ),
        "grey",
        [[0.2, 0.4]],  # 51 / 255, 102 / 255
        ask=VOI,
    ),
    Claim(
        "a VOI LUT of twelve bits ends at 4095",
        "PS3.3 C.11.2.1.1, third value of LUT Descriptor",
        lut("VOILUTSequence", [[0, 1, 2]], [3, 0, 12], [0, 819, 4095], "u1"),
        "grey",
        [[0.0, 0.2, 1.0]],  # 819 / 4095
        ask=VOI,
    ),
    Claim(
        "each frame has its own window",
        "PS3.3 C.7.6.16.2.10",
        enhanced([[[50]], [[50]]], modality="MR", windows=[(50, 101), (100, 101)]),
        "grey",
        [[0.005]],  # (50 - 99.5) / 100 + 0.5
        frame=1,
        ask={"voi": "require"},
    ),
    Claim(
        "a window may lie below zero",
        "PS3.3 C.11.2.1.2.1, note on signed ranges",
        # HU -600: (-600 + 600.5) / 1599 + 0.5; HU 300 > -600.5 + 799.5; HU -1500 <= -600.5 - 799.5
        picture(
            [[-600, 300, -1500]], "i2", modality="CT", slope=1, intercept=0, window=(-600, 1600)
        ),
        "grey",
        [[0.500313, 1.0, 0.0]],
        ask={"voi": "require"},
    ),
    Claim(
        "CT in a fixed range of HU does not use the window of its header",
        "PS3.3 C.11.2.1.2 (a view that may be applied)",
        picture(
            [[0, 1024, 4095]],
            "u2",
            bits_stored=12,
            modality="CT",
            slope=1,
            intercept=-1024,
            window=(40, 400),
        ),
        "grey",
        [[0.0, 0.250061, 1.0]],  # (0 + 1024) / 4095, rule=True,
    ),
    Claim(
        "without a window the range is what the stored bits hold",
        "PS3.3 C.11.2.1.2.1, note on the identity; C.7.6.3.1.1",
        picture([[0, 819, 1638]], "u2", bits_stored=12, **CR),
        "grey",
        [[0.0, 0.2, 0.4]],  # 819 / 4095, 1638 / 4095: not the picture's own maximum
    ),
]

ONE: dict[str, Any] = {"photometric": "MONOCHROME1"}
POLARITY = [
    Claim(
        "the lowest value of MONOCHROME1 is white",
        "PS3.3 C.7.6.3.1.2",
        picture([[0, 255, 100]], "u1", **CR, **ONE),
        "grey",
        [[1.0, 0.0, 0.607843]],  # (255 - 100) / 255
    ),
    Claim(
        "of two pixels of MONOCHROME1 the higher is the darker",
        "PS3.3 C.7.6.3.1.2",
        picture([[0, 200, 100]], "u1", **CR, **ONE),
        "order",
        [(0, 1), (0, 2), (0, 0)],
    ),
    Claim(
        "of two pixels of MONOCHROME2 the higher is the brighter",
        "PS3.3 C.7.6.3.1.2",
        picture([[0, 200, 100]], "u1", **CR),
        "order",
        [(0, 0), (0, 2), (0, 1)],
    ),
    Claim(
        "MONOCHROME1 and an inverse presentation are one inversion",
        "PS3.3 C.8.11.3, Presentation LUT Shape (MONOCHROME1 goes with INVERSE)",
        picture(
            [[0, 255, 51]], "u1", modality="DX", **ONE, extra={"PresentationLUTShape": "INVERSE"}
        ),
        "grey",
        [[1.0, 0.0, 0.8]],  # (255 - 51) / 255
    ),
    Claim(
        "an inverse presentation inverts MONOCHROME2",
        "PS3.3 C.11.6.1.2 (INVERSE: P-Value = maximum value - output value)",
        picture([[0, 255, 51]], "u1", modality="DX", extra={"PresentationLUTShape": "INVERSE"}),
        "grey",
        [[1.0, 0.0, 0.8]],
    ),
    Claim(
        "the inversion comes after the window",
        "PS3.3 C.7.6.3.1.2 (after any VOI transformations); PS3.4 N.2",
        # (10 - 9.5) / 10 + 0.5 = 0.55, inverted
        picture([[4, 10, 15]], "u1", window=(10, 11), **CR, **ONE),
        "grey",
        [[1.0, 0.45, 0.0]],
        ask=VOI,
    ),
    Claim(
        "the inversion comes after the VOI LUT",
        "PS3.3 C.7.6.3.1.2; PS3.4 N.2",
        picture(
            [[0, 1]],
            "u1",
            extra={"VOILUTSequence": [{"LUTDescriptor": [2, 0, 8], "LUTData": [51, 255]}]},
            **CR,
            **ONE,
        ),
        "grey",
        [[0.8, 0.0]],  # 1 - 51 / 255
        ask=VOI,
    ),
]

CLAIMS = [*MODALITY, *WINDOWS, *POLARITY]
