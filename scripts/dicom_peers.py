"""Other readers of DICOM behind the interface of `tests/dicom_conformance`.

Each is asked in the way that its documentation gives, and its answer is brought into the form of
the claims: MONAI and torchio document their arrays as (W, H[, D]), which are turned; the scale of
torchxrayvision (-1024 to 1024 for 0 to the highest that the stored bits hold) is undone where
stored values are asked for. What a reader does not promise is not asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dicom_conformance.claims import Claim, NotOffered, Reader, Refused, Volume

#: What a plain radiograph may be; torchxrayvision reads nothing else.
_RADIOGRAPHS = ("CR", "DX", "MG", "OT", "RG", "")


class Monai:
    """MONAI's `LoadImage` with its `PydicomReader`: arrays, rescale, affine, series of a folder."""

    name = "MONAI"

    def __init__(self) -> None:
        from monai.data import PydicomReader
        from monai.transforms import LoadImage

        self.load = LoadImage(reader=PydicomReader(), image_only=True, dtype=np.float64)

    def answer(self, claim: Claim, files: Path | Sequence[Path]) -> Any:
        """Read; whatever is raised is a refusal."""
        if claim.kind in ("grey", "valid"):
            raise NotOffered("no window, no range, no padding")
        image = _refusing(lambda: self.load(_one(files)))
        array, affine = np.asarray(image), np.asarray(image.affine, float)
        if claim.kind in ("world", "affine", "volumes"):
            volume = Volume(np.atleast_3d(array), affine)
            return [volume] if claim.kind == "volumes" else volume
        if claim.kind == "spacing":
            spacing = image.meta.get("spacing")
            return None if spacing is None else tuple(np.asarray(spacing, float)[:2])
        array = np.swapaxes(array, 0, 1)  # undoes swap_ij, its default
        if claim.kind != "colour" and array.ndim == 4:  # a segmentation: (H, W, F, segments)
            return array[:, :, claim.frame or 0, 0]
        if claim.frame is not None and array.ndim > 2:
            array = array[claim.frame]
        return array / _highest(files) if claim.kind == "colour" else array


class Torchio:
    """torchio's `ScalarImage`, which reads DICOM through SimpleITK."""

    name = "torchio"

    def __init__(self) -> None:
        import torchio

        self.torchio = torchio

    def answer(self, claim: Claim, files: Path | Sequence[Path]) -> Any:
        """Read; whatever is raised is a refusal."""
        if claim.kind in ("grey", "valid"):
            raise NotOffered("no window, no range, no padding")
        return _refusing(lambda: self._answer(claim, files))

    def _answer(self, claim: Claim, files: Path | Sequence[Path]) -> Any:
        image = self.torchio.ScalarImage(_one(files))
        data, affine = image.data.numpy(), np.asarray(image.affine, float)  # (C, W, H, D)
        if claim.kind in ("world", "affine", "volumes"):
            volume = Volume(data[0], affine)
            return [volume] if claim.kind == "volumes" else volume
        if claim.kind == "spacing":
            return tuple(np.linalg.norm(affine[:3, [1, 0]], axis=0))
        frame = data[..., claim.frame or 0].transpose(0, 2, 1)
        if claim.kind == "colour":
            return np.moveaxis(frame, 0, -1) / _highest(files)
        one_bit = claim.kind == "stored" and _highest(files) == 1
        return frame[0] / 255 if one_bit else frame[0]  # ITK gives 255 for the 1 of one bit


class Torchxrayvision:
    """torchxrayvision's `read_xray_dcm`: one radiograph, its polarity, its VOI where asked for."""

    name = "torchxrayvision"

    def __init__(self) -> None:
        from torchxrayvision.utils import read_xray_dcm

        self.read = read_xray_dcm

    def answer(self, claim: Claim, files: Path | Sequence[Path]) -> Any:
        """Read; whatever is raised is a refusal."""
        if claim.kind not in ("stored", "grey", "order", "refused"):
            raise NotOffered("no units, no colour, no geometry")
        if not isinstance(files, Path) or claim.frame is not None:
            raise NotOffered("one radiograph of one frame")
        if claim.kind == "grey" and "C.7.5.1.1.2" in claim.clause:
            raise NotOffered("no padding")
        bits = None if claim.kind == "refused" else _radiograph(files)
        window = claim.ask.get("voi") is not None
        picture = _refusing(lambda: self.read(str(files), voi_lut=window)) / 2048 + 0.5
        if bits and claim.kind == "stored":  # float32 has rounded them
            return np.round(picture.astype(np.float64) * (2.0**bits - 1))
        return picture


READERS: dict[str, Callable[[], Reader]] = {
    "MONAI": Monai,
    "torchxrayvision": Torchxrayvision,
    "torchio": Torchio,
}
PACKAGES = {"MONAI": "monai", "torchxrayvision": "torchxrayvision", "torchio": "torchio"}


def _highest(files: Path | Sequence[Path]) -> float:
    """Return the highest value that the bits of a stored or palette colour hold."""
    import pydicom

    head = pydicom.dcmread(_first(files), stop_before_pixels=True, force=True)
    table = head.get("RedPaletteColorLookupTableDescriptor")
    # ITK hands out the entries of a palette in 8 bits
    return float(2 ** (8 if table else int(head.BitsStored)) - 1)


def _first(files: Path | Sequence[Path]) -> Path:
    return files if isinstance(files, Path) else files[0]


def _one(files: Path | Sequence[Path]) -> Path:
    """Return the file, or the folder that the files of a series lie in."""
    return files if isinstance(files, Path) else files[0].parent


def _refusing(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:
        raise Refused(type(error).__name__) from error


def _radiograph(path: Path) -> int:
    """Return the bits stored of a grey radiograph."""
    import pydicom

    head = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if head.get("Modality", "") not in _RADIOGRAPHS or head.get("SamplesPerPixel") != 1:
        raise NotOffered("no radiograph")
    if head.get("BitsAllocated", 0) not in (8, 16):
        raise NotOffered("no radiograph")
    return int(head.BitsStored)
