"""medimg behind the interface of the claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dicom_conformance.claims import Claim, Refused, Volume

from medimg.data.index import index
from medimg.data.options import DicomPixels
from medimg.data.pixels import Pixels
from medimg.data.sources.dicom.pixels.read import Stages, read_stages
from medimg.data.sources.formats import read, read_case
from medimg.errors import MedimgError, PixelError
from medimg.labels import LabelSpace


class Medimg:
    """The house's own reader: in a worker, but for the stages that it does not hand out."""

    name = "medimg"

    def answer(self, claim: Claim, files: Path | Sequence[Path]) -> Any:
        """Read; raise `Refused` with the code."""
        try:
            return self._answer(claim, files, DicomPixels(**claim.ask))
        except PixelError as error:
            raise Refused(error.code) from error
        except MedimgError as error:
            raise Refused(type(error).__name__) from error

    def _answer(self, claim: Claim, files: Path | Sequence[Path], options: DicomPixels) -> Any:
        frame = "" if claim.frame is None else str(claim.frame)
        if claim.kind == "volumes":
            return _volumes(files, options)
        if claim.kind in ("world", "affine") or not isinstance(files, Path):
            return _volume(read([files] if isinstance(files, Path) else files, dicom=options))
        if claim.kind in ("stored", "values", "valid"):
            return _stage(read_stages(files.read_bytes(), claim.frame, options), claim.kind)
        pixels = read(files, frame, dicom=options)
        if claim.kind == "spacing":
            return pixels.spacing_mm
        share = (pixels.array.astype(np.float64) - pixels.low) / (pixels.high - pixels.low)
        return share[0] if len(share) == 1 else np.moveaxis(share, 0, -1)


def _stage(stages: Stages, kind: str) -> Any:
    if kind == "stored":
        return stages.stored
    if kind == "values":
        return stages.modality
    return np.ones(stages.stored.shape, bool) if stages.valid is None else stages.valid


def _volume(pixels: Pixels) -> Volume:
    assert pixels.affine is not None, "a volume without an affine"
    return Volume(pixels.array[0].transpose(2, 1, 0), pixels.affine)


def _volumes(files: Path | Sequence[Path], options: DicomPixels) -> list[Volume]:
    """Return each volume of the folder that the files lie in."""
    assert not isinstance(files, Path)
    manifest = index(files[0].parent, space=LabelSpace(("a", "b")), unit="series")
    cases = manifest.cases()
    read_one = (
        read_case(manifest.root, c.source, c.frame, files=c.files, dicom=options) for c in cases
    )
    return [_volume(pixels) for pixels in read_one]
