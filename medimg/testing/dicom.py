"""One DICOM file at a time: any pixel type, any header, every transfer syntax that is read.

The bytes depend on the arguments alone: UIDs are made of the seed and the ids, dates are fixed.
Nothing is checked: what the arguments say is what is written, so that unlawful files can be made.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medimg.testing.dicom_bytes import DataSet, Elements, encode
from medimg.testing.dicom_pixels import SYNTAXES, Array, image_module, pixel_element
from medimg.testing.pictures import PathLike

#: Modality -> SOP class of its plain images (PS3.4 table B.5-1); others: Secondary Capture.
SOP_CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
    "SM": "1.2.840.10008.5.1.4.1.1.77.1.6",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
}
_ENHANCED = {
    "CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "PT": "1.2.840.10008.5.1.4.1.1.130",
}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

Window = tuple[float, float]


def make_uid(*parts: object) -> str:
    """Return a UID of the form 2.25.NUMBER (PS3.5 annex B.2), always the same for the same."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def make_dicom(
    path: PathLike,
    array: Array,
    *,
    modality: str = "CT",
    photometric: str = "MONOCHROME2",
    bits_stored: int | None = None,
    high_bit: int | None = None,
    signed: bool | None = None,
    other_bits: int | Array = 0,
    planar: int = 0,
    slope: float | None = None,
    intercept: float | None = None,
    window: Window | Sequence[Window] | None = None,
    window_function: str | None = None,
    padding: int | None = None,
    padding_limit: int | None = None,
    position: Sequence[float] | None = None,
    orientation: Sequence[float] | None = None,
    spacing: Sequence[float] | None = None,
    patient: str = "P0001",
    study: str = "1",
    series: str = "1",
    instance: int = 1,
    transfer_syntax: str = "explicit",
    extra: DataSet | None = None,
    seed: int = 0,
) -> Path:
    """Write one file; return its path.

    Parameters
    ----------
    array : bool, integer, float32 or float64 ([F,] H, W) or ([F,] H, W, 3)
        The stored values. bool is written as 1 bit a pixel, floats as (Double) Float Pixel
        Data, integers in as many bits as their type has. Three samples where `photometric`
        is a colour.
    bits_stored, high_bit : int, optional
        Where the value stands in its cell (PS3.5 section 8.1.1); default: the whole type, and
        the lowest bits.
    signed : bool, optional
        Pixel Representation; default: as the type is.
    other_bits : int or array
        OR-ed onto the cells: overlays and rubbish outside of the stored value.
    planar : {0, 1}
        Colour by pixel, or by plane.
    slope, intercept : float, optional
        Rescale Slope and Rescale Intercept; to Hounsfield units for CT.
    window : (center, width) or several of them, optional
    padding, padding_limit : int, optional
        Pixel Padding Value and its range limit: signed where negative, else unsigned.
    position, orientation : 3 and 6 float, optional
        Image Position and Image Orientation (Patient), in mm.
    spacing : 2 float, optional
        Pixel Spacing: between rows, between columns, in mm.
    patient, study, series, instance
        Where equal, the UIDs are equal; `patient` is the PatientID too.
    transfer_syntax : str
        One of `SYNTAXES`, or the UID of a native or deflated one.
    extra : mapping
        Written last, over everything else: see `medimg.testing.dicom_bytes`. ``PixelData`` as
        bytes replaces what `array` would give; None leaves an element out.
    """
    uid = SYNTAXES.get(transfer_syntax, transfer_syntax)
    image = image_module(array, photometric, bits_stored, high_bit, signed, planar)
    ids = _ids(modality, patient, study, series, instance, seed)
    look: Elements = {
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
        "RescaleType": "HU" if slope is not None and modality == "CT" else None,
        "VOILUTFunction": window_function,
        "PixelPaddingValue": padding,
        "PixelPaddingRangeLimit": padding_limit,
        "ImagePositionPatient": position,
        "ImageOrientationPatient": orientation,
        "PixelSpacing": spacing,
        **_windows(window),
    }
    pixels = {} if "PixelData" in (extra or {}) else pixel_element(array, image, other_bits, uid)
    return write_dicom(path, {**ids, **image, **look, **pixels, **(extra or {})}, uid)


def make_enhanced(
    path: PathLike,
    array: Array,
    *,
    positions: Sequence[Sequence[float]] | None = None,
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    spacing: Sequence[float] = (1, 1),
    slopes: Sequence[float] | None = None,
    intercepts: Sequence[float] | None = None,
    windows: Sequence[Window] | None = None,
    modality: str = "CT",
    frame_groups: Sequence[DataSet] | None = None,
    shared_groups: DataSet | None = None,
    extra: DataSet | None = None,
    **options: Any,
) -> Path:
    """Write an enhanced multi-frame file (PS3.3 C.7.6.16): geometry and values by frame.

    Parameters
    ----------
    array : integers (F, H, W)
    positions : F times 3 float, optional
        Default: 1 mm apart along the third axis.
    slopes, intercepts, windows : F values each, optional
        Pixel Value Transformation and Frame VOI LUT of each frame.
    frame_groups, shared_groups
        Further functional groups, one mapping a frame and one for all frames.
    options
        As in `make_dicom`.
    """
    count = len(array)
    places = positions if positions is not None else [(0, 0, k) for k in range(count)]
    frames: list[Elements] = []
    for k in range(count):
        group: Elements = {
            "PlanePositionSequence": [{"ImagePositionPatient": places[k]}],
            "FrameContentSequence": [{"DimensionIndexValues": [1, k + 1], "StackID": "1"}],
        }
        if slopes is not None and intercepts is not None:
            group["PixelValueTransformationSequence"] = [
                {"RescaleSlope": slopes[k], "RescaleIntercept": intercepts[k], "RescaleType": "HU"}
            ]
        if windows is not None:
            group["FrameVOILUTSequence"] = [_windows(windows[k])]
        frames.append({**group, **(frame_groups[k] if frame_groups else {})})
    shared: Elements = {
        "PlaneOrientationSequence": [{"ImageOrientationPatient": orientation}],
        "PixelMeasuresSequence": [{"PixelSpacing": spacing}],
        **(shared_groups or {}),
    }
    groups: Elements = {
        "SOPClassUID": _ENHANCED.get(modality, _ENHANCED["CT"]),
        "NumberOfFrames": count,
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
    }
    return make_dicom(path, array, modality=modality, extra={**groups, **(extra or {})}, **options)


def write_dicom(path: PathLike, dataset: DataSet, transfer_syntax: str = "explicit") -> Path:
    """Write a data set of any kind behind preamble and file meta information (PS3.10 7.1)."""
    uid = SYNTAXES.get(transfer_syntax, transfer_syntax)
    meta = encode(
        {
            0x00020001: ("OB", b"\0\1"),
            0x00020002: dataset.get("SOPClassUID") or "",
            0x00020003: dataset.get("SOPInstanceUID") or "",
            0x00020010: uid,
            0x00020012: make_uid("medimg.testing"),
        },
        _look_up,
    )
    body = encode(
        dataset,
        _look_up,
        implicit=uid == SYNTAXES["implicit"],
        big=uid == SYNTAXES["big endian"],
    )
    if uid == SYNTAXES["deflated"]:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
        body += b"\0" * (len(body) % 2)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    path.write_bytes(b"\0" * 128 + b"DICM" + length + meta + body)
    return path


def _look_up(key: str | int) -> tuple[int, str]:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(key) if isinstance(key, str) else key
    if tag is None:
        raise KeyError(key)
    return tag, dictionary_VR(tag) if tag >> 16 & 1 == 0 else "UN"


def _ids(
    modality: str, patient: str, study: str, series: str, instance: int, seed: int
) -> Elements:
    ids = (seed, patient, study)
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SOPClassUID": SOP_CLASSES.get(modality, _SECONDARY_CAPTURE),
        "SOPInstanceUID": make_uid("instance", *ids, series, instance),
        "StudyDate": "20200102",
        "SeriesDate": "20200102",
        "AcquisitionDate": "20200102",
        "StudyTime": "120000",
        "AccessionNumber": f"A{make_uid(*ids)[-8:]}",
        "Modality": modality,
        "Manufacturer": "medimg",
        "PatientName": f"Toy^{patient}",
        "PatientID": patient,
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyInstanceUID": make_uid("study", *ids),
        "SeriesInstanceUID": make_uid("series", *ids, series),
        "StudyID": study,
        "SeriesNumber": series if series.isdigit() else "",
        "AcquisitionNumber": 1,
        "InstanceNumber": instance,
        "FrameOfReferenceUID": make_uid("frame of reference", *ids),
    }


def _windows(window: Window | Sequence[Window] | None) -> Elements:
    if window is None:
        return {}
    pairs = np.array(window, float).reshape(-1, 2)
    return {"WindowCenter": pairs[:, 0].tolist(), "WindowWidth": pairs[:, 1].tolist()}
