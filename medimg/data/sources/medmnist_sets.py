"""The 18 sets of MedMNIST v2 (Yang et al., Scientific Data 2023): what their numbers mean.

Names follow the `INFO` of the package medmnist; `breastmnist`'s "normal, benign" and the one
of `bloodmnist` that has no blank before its bracket are written so that they can be read.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

from medimg.labels import Kind, LabelSpace


class MedMnistSet(NamedTuple):
    """One set: its label space, channels (1 or 3) and dimensions (2 or 3)."""

    space: LabelSpace
    channels: int
    dimensions: int


def _set(
    *classes: str,
    kind: Kind = "multiclass",
    positive: str | None = None,
    channels: int = 1,
    dimensions: int = 2,
) -> MedMnistSet:
    return MedMnistSet(LabelSpace(classes, kind, positive), channels, dimensions)


_ORGANS = (
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
)

SETS: dict[str, MedMnistSet] = {
    "pathmnist": _set(
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
        channels=3,
    ),
    "chestmnist": _set(
        "atelectasis",
        "cardiomegaly",
        "effusion",
        "infiltration",
        "mass",
        "nodule",
        "pneumonia",
        "pneumothorax",
        "consolidation",
        "edema",
        "emphysema",
        "fibrosis",
        "pleural",
        "hernia",
        kind="multilabel",
    ),
    "dermamnist": _set(
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
        channels=3,
    ),
    "octmnist": _set("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    "pneumoniamnist": _set("normal", "pneumonia", positive="pneumonia"),
    "retinamnist": _set("0", "1", "2", "3", "4", kind="ordinal", channels=3),
    "breastmnist": _set("malignant", "normal or benign", positive="malignant"),
    "bloodmnist": _set(
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocytes (myelocytes, metamyelocytes and promyelocytes)",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
        channels=3,
    ),
    "tissuemnist": _set(
        "Collecting Duct, Connecting Tubule",
        "Distal Convoluted Tubule",
        "Glomerular endothelial cells",
        "Interstitial endothelial cells",
        "Leukocytes",
        "Podocytes",
        "Proximal Tubule Segments",
        "Thick Ascending Limb",
    ),
    "organamnist": _set(*_ORGANS),
    "organcmnist": _set(*_ORGANS),
    "organsmnist": _set(*_ORGANS),
    "organmnist3d": _set(
        "liver",
        "kidney-right",
        "kidney-left",
        "femur-right",
        "femur-left",
        "bladder",
        "heart",
        "lung-right",
        "lung-left",
        "spleen",
        "pancreas",
        dimensions=3,
    ),
    "nodulemnist3d": _set("benign", "malignant", positive="malignant", dimensions=3),
    "adrenalmnist3d": _set("normal", "hyperplasia", positive="hyperplasia", dimensions=3),
    "fracturemnist3d": _set(
        "buckle rib fracture",
        "nondisplaced rib fracture",
        "displaced rib fracture",
        dimensions=3,
    ),
    "vesselmnist3d": _set("vessel", "aneurysm", positive="aneurysm", dimensions=3),
    "synapsemnist3d": _set("inhibitory synapse", "excitatory synapse", dimensions=3),
}


def set_name(path: PurePath | str) -> str:
    """Return the name by which a file would be looked up: its stem up to the first ``_``."""
    return PurePath(path).name.partition(".")[0].partition("_")[0].lower()
