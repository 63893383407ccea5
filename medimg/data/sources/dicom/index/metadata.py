"""Which elements of a header become columns of a manifest, and in what form.

Values that break the form of their representation (PS3.5 section 6.2) are blanked there: a code
string may hold a name where somebody typed one, and a manifest travels further than the table
of its instances.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from medimg.data.sources.dicom.headers.known import picked
from medimg.data.sources.dicom.headers.tags import COMPUTED, KEPT

#: The columns of metadata of a DICOM manifest, in order: what filters and audits look at.
METADATA = (
    *("Modality", "BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality"),
    *("PatientSex", "PatientAge", "StudyDate", "IssuerOfPatientID", "InstitutionName"),
    *("StationName", "Manufacturer", "ManufacturerModelName", "StudyDescription"),
    *("SeriesDescription", "ProtocolName", "ContrastBolusAgent", "ConvolutionKernel", "KVP"),
    *("Exposure", "XRayTubeCurrent", "GantryDetectorTilt", "SliceThickness"),
    *("SpacingBetweenSlices", "EchoTime", "RepetitionTime", "MagneticFieldStrength"),
    *("DiffusionBValue", "ImageType", "PhotometricInterpretation", "PresentationIntentType"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "RescaleType", "BurnedInAnnotation"),
    "LossyImageCompression",
)
NUMBER = re.compile(r"[+-]?(\d{1,16}(\.\d{0,16})?|\.\d{1,16})([eE][+-]?\d{1,3})?")
_NUMBERS = ("DS", "IS", "US", "FD", "US or SS")
#: Elements whose values are numbers.
NUMBERS = frozenset((*(k for k, kept in KEPT.items() if kept.vr in _NUMBERS), *COMPUTED[1:]))
#: Value representation -> the form of one value; long strings: any text of one line.
_FORMS = {
    "CS": re.compile(r"[A-Z0-9 _]{0,16}"),
    "AS": re.compile(r"(\d{3}[DWMY])?"),
    "DA": re.compile(r"(\d{8})?"),
    **dict.fromkeys(_NUMBERS, re.compile(f"({NUMBER.pattern})?")),
}
#: Elements of closed lists -> their values: these go into predictions.
_CLOSED = {
    # PS3.3 C.7.3.1.1.1, images alone, and those of older editions.
    "Modality": re.compile(
        "(AR|BI|BMD|CF|CP|CR|CS|CT|DD|DF|DG|DM|DX|EC|EPS|ES|FA|FS|GM|IO|IVOCT|IVUS|KER|LEN|LP|LS|"
        "MA|MG|MR|MS|NM|OAM|OCT|OP|OPM|OPR|OPT|OPTBSV|OPTENF|OPV|OSS|OT|PT|PX|REG|RF|RG|RTDOSE|"
        "RTIMAGE|SC|SEG|SM|ST|TG|US|VA|VF|VL|XA|XC)?"
    ),
    "PatientSex": re.compile("[MFO]?"),
    "Laterality": re.compile("[RLUB]?"),
    "ImageLaterality": re.compile("[RLUB]?"),
}
_LINE = re.compile(r"[^\x00-\x1f\x7f]*")


def metadata(
    columns: Mapping[str, Sequence[str]], cases: Sequence[Sequence[int]]
) -> dict[str, list[str]]:
    """Return the columns of metadata of cases; those without any value are left out.

    Parameters
    ----------
    columns : mapping of str to sequence of str (I,)
        Those of a `Scan`.
    cases : sequence of sequence of int (N,)
        The instances of each case; where they differ in a value, the case has none.
    """
    several = [(n, members) for n, members in enumerate(cases) if len(members) > 1]
    first = picked({name: columns[name] for name in METADATA}, [members[0] for members in cases])
    found = {}
    for keyword, raw in first.items():
        column = columns[keyword]
        form = _CLOSED.get(keyword) or _FORMS.get(KEPT[keyword].vr, _LINE)
        formed = {text: _formed(text, form) for text in set(raw)}
        if not any(formed.values()):
            continue
        texts = list(map(formed.__getitem__, raw))
        for number, members in several:
            if any(column[row] != column[members[0]] for row in members):
                texts[number] = ""
        if any(texts):
            found[keyword] = texts
    return found


def _formed(text: str, form: re.Pattern[str]) -> str:
    """Return a value, several of them joined by a backslash; a blank where one is odd."""
    return text if all(form.fullmatch(part.strip()) for part in text.split("\\")) else ""
