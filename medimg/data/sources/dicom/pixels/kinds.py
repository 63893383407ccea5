"""What kind of image a data set is: its modality, also where Modality is blank (PS3.4 B.5)."""

from __future__ import annotations

import pydicom

from medimg.data.sources.dicom.pixels.elements import code

_CLASS = "1.2.840.10008.5.1.4.1.1."
#: SOP classes of one modality alone: classic, enhanced, legacy converted (PS3.4 table B.5-1).
_MODALITIES = {
    _CLASS + number: modality
    for modality, numbers in {
        "CT": ("2", "2.1", "2.2"),
        "MR": ("4", "4.1", "4.4"),
        "NM": ("20",),
        "PT": ("128", "128.1", "130"),
    }.items()
    for number in numbers
}
#: X-ray angiography, fluoroscopy and the retired biplane of both.
_XA = frozenset(_CLASS + number for number in ("12.1", "12.2", "12.3"))


def modality_of(dataset: pydicom.Dataset) -> str:
    """Return Modality; where it is blank that of the SOP class, or ""."""
    return code(dataset, "Modality") or _MODALITIES.get(code(dataset, "SOPClassUID"), "")


def modality_lut_is_aside(dataset: pydicom.Dataset) -> bool:
    """Return whether a modality LUT leads back to X-ray intensity and is no step of display.

    So it does in XA and XRF, where it undoes the LOG of PixelIntensityRelationship (PS3.3
    C.8.7.1.1.2); what displays them shall ignore it (PS3.4 N.2).
    """
    if code(dataset, "SOPClassUID") in _XA:
        return True
    xray = code(dataset, "Modality") in ("XA", "RF")
    return xray and code(dataset, "PixelIntensityRelationship") == "LOG"
