"""Options of the data half: small, frozen, without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from medimg.errors import UsageError, nearest

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Use = Literal["require", "if-present", "never"]


class Options(BaseModel):
    """The manners of every options model: frozen, keyword-only, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _days(text: str) -> str:
    """Return a number of days such as ``30d``."""
    if not re.fullmatch(r"[0-9]{1,5}d", text):
        said = text if re.fullmatch(r"[0-9]{1,5}", text) else "30"
        raise PydanticCustomError("days", "no number of days: write it as {said}d", {"said": said})
    return text


class IndexOptions(Options):
    """How a source is turned into a manifest."""

    labels: str | None = Field(None, description="table of labels beside a folder of images")
    path: str | None = Field(None, description="column of the image paths (found where plain)")
    label: tuple[str, ...] = Field((), description="column of the label; several: multi-label")
    patient_id: str | None = Field(None, description="column of the patient (found where plain)")
    split: str | None = Field(None, description="column of the split (found where plain)")
    kind: Literal["multiclass", "multilabel", "ordinal"] | None = Field(
        None, description="how the classes relate; ordinal from the lowest to the highest"
    )
    classes: tuple[str, ...] = Field((), description="class names, in order")
    positive: str | None = Field(None, description="the target condition, for two classes")
    separator: str | None = Field(None, description="what joins several labels in one cell")
    uncertain: Literal["unknown", "positive", "negative"] | None = Field(
        None, description="what -1 means in a multi-label table; refused until it is said"
    )
    blank: Literal["unknown", "negative"] | None = Field(
        None, description="what a blank label means; refused until it is said"
    )
    unit: Literal["image", "frame", "series", "study"] | None = Field(
        None, description="DICOM: what is one case; null: each file is an image"
    )
    where: tuple[str, ...] = Field(
        (), description="DICOM: which images to take, as Modality=CT or ImageType!~LOCALIZER"
    )
    key: str | None = Field(
        None,
        description="DICOM: column of the labels that names the scans, COLUMN or COLUMN=WHAT; "
        "WHAT is file, SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID, AccessionNumber or "
        "PatientID (found where plain)",
    )
    key_date: str | None = Field(
        None, description="DICOM: column of the date that says which study of a patient is meant"
    )
    within: Annotated[str, AfterValidator(_days)] | None = Field(
        None, description="DICOM: how far that study may lie from key_date, as 30d"
    )
    all_studies: bool = Field(
        False, description="DICOM: a patient's label holds for all studies of the patient"
    )
    label_from_name: str | None = Field(
        None, description="DICOM: regular expression whose one group is the class in a file's name"
    )


def index_options(given: Mapping[str, Any]) -> IndexOptions:
    """Return checked options; `label` and `where` may be one text.

    Raises
    ------
    UsageError
        By the name of an option that is unknown (with the nearest) or has a wrong value.
    """
    given = dict(given)
    for name in ("label", "where"):
        if isinstance(given.get(name), str):
            given[name] = (given[name],)
    unknown = sorted(set(given) - set(IndexOptions.model_fields))
    if unknown:
        raise UsageError(
            f"index has no option {unknown[0]!r}{nearest(unknown[0], IndexOptions.model_fields)}",
            remedy=f"one of {', '.join(IndexOptions.model_fields)}",
        )
    try:
        return IndexOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"index option {first['loc'][0]}: {first['msg']}, not {first['input']!r}",
            remedy=str(IndexOptions.model_fields[str(first["loc"][0])].description),
        ) from error


def _as_tuple(given: Any) -> Any:
    """Return one text as a tuple of one."""
    return (given,) if isinstance(given, str) else given


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class SplitOptions(Options):
    """Shares of the splits that the source does not bring, and what is never parted."""

    train: Positive = Field(0.7, description="share of the patients that is learnt from")
    val: Share = Field(0.1, description="share that picks the epoch")
    calib: Share = Field(0.1, description="share that fits the calibrator; 0: none is fitted")
    test: Share = Field(0.1, description="share that is scored, once")
    by: Annotated[Texts, Field(min_length=1)] = Field(
        ("patient_id",),
        description="columns whose values are never parted; several are chained: patient, lesion",
    )
    missing: Literal["own", "refuse"] = Field(
        "own", description="a case without any of these ids: its own group, or refused"
    )
    hold_out: Texts = Field(
        (), description="what is tested, and nothing else, as site=B; train, val, calib: the rest"
    )
    after: str | None = Field(
        None, description="the same by the day, as date=2024-01-01: that day and later"
    )


class DicomPixels(Options):
    """Which transforms of the grayscale pipeline (PS3.3 C.11, PS3.4 N.2) a reader applies.

    The defaults differ by modality, see `medimg.data.sources.dicom.pixels.output`: CT takes a fixed
    range in HU and never the header's window (an operator chose it, and it can give the label
    away); MR, NM and PT percentiles of the valid pixels; everything else its VOI LUT or window
    where there is one, else what the stored bits can hold; values in units that have neither
    need a declared range.
    """

    modality: Use = Field(
        "if-present", description="modality LUT or rescale: require, if-present or never"
    )
    voi: Use | None = Field(
        None, description="VOI LUT or window; null: by modality (CT, MR, NM, PT never)"
    )
    polarity: Use = Field(
        "if-present", description="MONOCHROME1 and inverse presentation: bright is high"
    )
    range: tuple[float, float] | None = Field(
        None, description="[low, high] in units after the modality transform, as [-1024, 3071] HU"
    )
    percentiles: tuple[Percent, Percent] = Field(
        (0.5, 99.5), description="range of MR, NM and PT where none is declared"
    )
    for_processing: bool = Field(False, description="take FOR PROCESSING images")
    whole_slide: bool = Field(False, description="take whole-slide images")
    shear: bool = Field(False, description="straighten volumes of a tilted gantry")

    @model_validator(mode="after")
    def _fits(self) -> DicomPixels:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range {list(self.range)} is empty; give [low, high]")
        if self.range is not None and self.voi in ("require", "if-present"):
            raise ValueError("range and voi exclude each other; set one of them to null")
        if not self.percentiles[0] < self.percentiles[1]:
            raise ValueError(f"percentiles {list(self.percentiles)} are empty")
        return self
