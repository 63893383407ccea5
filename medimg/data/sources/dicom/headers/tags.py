"""The elements that an index keeps: one table for the walker, pydicom's route and the manifest.

None of them names a patient in clear text; the ids of patients and studies are among them,
because labels are joined by them.
"""

from __future__ import annotations

from typing import NamedTuple


class Kept(NamedTuple):
    """One element of the index: its number (group, element) and VR in PS3.6 chapter 6."""

    tag: int
    vr: str


#: Keyword -> element. The value of each is kept as text: numbers of binary VRs in decimal,
#: several values joined by a backslash (PS3.5 6.4), blank where it is empty or absent.
KEPT: dict[str, Kept] = {
    "TransferSyntaxUID": Kept(0x00020010, "UI"),
    "ImageType": Kept(0x00080008, "CS"),
    "SOPClassUID": Kept(0x00080016, "UI"),
    "SOPInstanceUID": Kept(0x00080018, "UI"),
    "StudyDate": Kept(0x00080020, "DA"),
    "AcquisitionDate": Kept(0x00080022, "DA"),
    "AccessionNumber": Kept(0x00080050, "SH"),
    "Modality": Kept(0x00080060, "CS"),
    "PresentationIntentType": Kept(0x00080068, "CS"),
    "Manufacturer": Kept(0x00080070, "LO"),
    "InstitutionName": Kept(0x00080080, "LO"),
    "StationName": Kept(0x00081010, "SH"),
    "StudyDescription": Kept(0x00081030, "LO"),
    "SeriesDescription": Kept(0x0008103E, "LO"),
    "ManufacturerModelName": Kept(0x00081090, "LO"),
    "PatientID": Kept(0x00100020, "LO"),
    "IssuerOfPatientID": Kept(0x00100021, "LO"),
    "PatientSex": Kept(0x00100040, "CS"),
    "PatientAge": Kept(0x00101010, "AS"),
    "ContrastBolusAgent": Kept(0x00180010, "LO"),
    "BodyPartExamined": Kept(0x00180015, "CS"),
    "SliceThickness": Kept(0x00180050, "DS"),
    "KVP": Kept(0x00180060, "DS"),
    "RepetitionTime": Kept(0x00180080, "DS"),
    "EchoTime": Kept(0x00180081, "DS"),
    "MagneticFieldStrength": Kept(0x00180087, "DS"),
    "SpacingBetweenSlices": Kept(0x00180088, "DS"),
    "ProtocolName": Kept(0x00181030, "LO"),
    "GantryDetectorTilt": Kept(0x00181120, "DS"),
    "XRayTubeCurrent": Kept(0x00181151, "IS"),
    "Exposure": Kept(0x00181152, "IS"),
    "ImagerPixelSpacing": Kept(0x00181164, "DS"),
    "ConvolutionKernel": Kept(0x00181210, "SH"),
    "ViewPosition": Kept(0x00185101, "CS"),
    "DiffusionBValue": Kept(0x00189087, "FD"),
    "StudyInstanceUID": Kept(0x0020000D, "UI"),
    "SeriesInstanceUID": Kept(0x0020000E, "UI"),
    "SeriesNumber": Kept(0x00200011, "IS"),
    "AcquisitionNumber": Kept(0x00200012, "IS"),
    "InstanceNumber": Kept(0x00200013, "IS"),
    "ImagePositionPatient": Kept(0x00200032, "DS"),
    "ImageOrientationPatient": Kept(0x00200037, "DS"),
    "FrameOfReferenceUID": Kept(0x00200052, "UI"),
    "Laterality": Kept(0x00200060, "CS"),
    "ImageLaterality": Kept(0x00200062, "CS"),
    "TemporalPositionIdentifier": Kept(0x00200100, "IS"),
    "SamplesPerPixel": Kept(0x00280002, "US"),
    "PhotometricInterpretation": Kept(0x00280004, "CS"),
    "NumberOfFrames": Kept(0x00280008, "IS"),
    "Rows": Kept(0x00280010, "US"),
    "Columns": Kept(0x00280011, "US"),
    "PixelSpacing": Kept(0x00280030, "DS"),
    "BitsAllocated": Kept(0x00280100, "US"),
    "BitsStored": Kept(0x00280101, "US"),
    "HighBit": Kept(0x00280102, "US"),
    "PixelRepresentation": Kept(0x00280103, "US"),
    "PixelPaddingValue": Kept(0x00280120, "US or SS"),
    "BurnedInAnnotation": Kept(0x00280301, "CS"),
    "WindowCenter": Kept(0x00281050, "DS"),
    "WindowWidth": Kept(0x00281051, "DS"),
    "RescaleIntercept": Kept(0x00281052, "DS"),
    "RescaleSlope": Kept(0x00281053, "DS"),
    "RescaleType": Kept(0x00281054, "LO"),
    "VOILUTFunction": Kept(0x00281056, "CS"),
    "LossyImageCompression": Kept(0x00282110, "CS"),
    "PresentationLUTShape": Kept(0x20500020, "CS"),
}
#: What is known of a file beside its elements: ``kind`` is "image" or "none", ``size`` in
#: bytes, ``mtime_ns`` of the file (of the archive, for a member of one).
COMPUTED = ("kind", "size", "mtime_ns")
#: The columns of a header index, in order.
COLUMNS = (*KEPT, *COMPUTED)

SLOT = {kept.tag: slot for slot, kept in enumerate(KEPT.values())}

#: Float, Double Float and Pixel Data: reading of a header stops at the first (PS3.3 C.7.6.24,
#: C.7.6.25, C.7.6.3).
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
SPECIFIC_CHARACTER_SET = 0x00080005
DIRECTORY_RECORD_SEQUENCE = 0x00041220

#: Where a control character would break a line of a table: C0 and DEL as their pictures
#: (U+2400), so that two ids that differ stay different; C1, separators and surrogates as U+FFFD.
_PICTURES: dict[int, int] = {
    **{code: 0x2400 + code for code in range(0x20)},
    0x7F: 0x2421,
    **dict.fromkeys((*range(0x80, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000)), 0xFFFD),
}


def plain(text: str) -> str:
    """Return decoded text as the index keeps it.

    Spaces and NUL around each value are padding (PS3.5 6.2). What is not printable is made
    visible, so that every value is one line.
    """
    if "\\" in text:
        return "\\".join([plain(value) for value in text.split("\\")])
    text = text.strip(" \0")
    return text if text.isprintable() else text.translate(_PICTURES)
