# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # DICOM: from bytes to a prediction
#
# A DICOM file does not hold a picture. It holds stored values, and a dozen elements that say what
# these mean: which bits count, which values are padding, how they become Hounsfield units, which
# part of the range is to be shown, whether bright is high. A reader that skips one of them gives
# a picture all the same, only a wrong one.
#
# 1. One image, stage by stage
# 2. The same picture, written in many ways
# 3. A series as a volume
# 4. What is refused
# 5. Index a folder
# 6. Train, and predict on scans
#
# The first and the last parts use CT slices of the set *CT Medical Images* (from TCGA-LUAD) where
# they are at hand, and toy scans elsewhere.
#
# **This is research software, not a medical device.**

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import medimg as mi
from medimg.errors import PixelError
from medimg.testing import make_dicom, make_dicom_folder, make_series, make_twins

QUICK = os.environ.get("MEDIMG_QUICK", "0") not in ("", "0")  # fewer epochs
scratch = tempfile.TemporaryDirectory()
work = Path(scratch.name)
os.environ.setdefault("MEDIMG_KEY_FILE", str(work / "key"))  # pseudonyms of this notebook alone


# %%
def find_scans():
    """The folder of CT slices in $MEDIMG_DATA or shared/data beside or above, or None."""
    roots = [Path(os.environ["MEDIMG_DATA"])] if os.environ.get("MEDIMG_DATA") else []
    roots += [folder / "shared" / "data" for folder in (Path.cwd(), *Path.cwd().parents)]
    return next((r / "ct_contrast" for r in roots if (r / "ct_contrast").is_dir()), None)


real = find_scans()
if real is not None:
    scan = sorted((real / "dicom_dir").glob("*.dcm"))[0]
else:
    scan = make_twins(work / "first")["padded_as_unsigned"]

# %% [markdown]
# ## 1. One image, stage by stage
#
# `read` gives `Pixels`: the numbers, their nominal range, their unit, their spacing, and the steps
# by which they were reached. `DicomPixels` says which transforms are applied. Without the modality
# transform the values are as the scanner stored them; with it they are Hounsfield units.

# %%
plain = mi.DicomPixels(modality="never", polarity="never", range=(-2048, 4095))
stored = mi.read(scan, dicom=plain)
hounsfield = mi.read(scan)
for pixels in (stored, hounsfield):
    print(pixels.array.shape, pixels.units, [pixels.low, pixels.high])
    print("   ", "; ".join(pixels.steps))

# %% [markdown]
# What CT gives by default is a fixed range, never the window of the header: an operator chose that
# window, often because of what the scan shows, so that a network may learn the window instead of
# the patient. A window of one's own is a range:

# %%
soft = mi.read(scan, dicom=mi.DicomPixels(range=(-160, 240)))
lung = mi.read(scan, dicom=mi.DicomPixels(range=(-1000, 200)))
figure, places = plt.subplots(1, 3, figsize=(10, 3.6))
for place, pixels, name in zip(
    places, (hounsfield, soft, lung), ("default", "-160 to 240 HU", "-1000 to 200 HU"), strict=True
):
    place.imshow(pixels.array[0], cmap="gray", vmin=pixels.low, vmax=pixels.high)
    place.set_title(name)
    place.axis("off")

# %% [markdown]
# Some scanners fill the corners outside of the round field of view with a value that is no
# measurement. `valid` is False there; such pixels become the lowest value of the output, after
# everything else.

# %%
corner = make_twins(work / "padding")["padded_as_unsigned"]
masked = mi.read(corner)
print(f"{(~masked.valid).sum()} of {masked.valid.size} pixels are padding")
print("the file says 63536 and means -2000: the padding value has the sign of the pixels")

# %% [markdown]
# ## 2. The same picture, written in many ways
#
# Inverted greys, 12 or 16 bits, with or without sign, padding, big endian, compressed: what comes
# out is the same picture. And a picture that is 100 HU brighter stays 100 HU brighter, which a
# reader that scales each picture to its own minimum and maximum would lose.

# %%
twins = {name: mi.read(path) for name, path in make_twins(work / "twins").items()}
first = twins["monochrome2"].array
pd.DataFrame(
    [
        {
            "written as": name,
            "largest difference (HU)": float(np.abs(pixels.array - first).max()),
            "mean difference (HU)": float((pixels.array - first).mean()),
            "decoded": pixels.steps[0],
        }
        for name, pixels in twins.items()
    ]
).round(2)

# %% [markdown]
# ## 3. A series as a volume
#
# Slices are sorted by where they lie in the patient, never by instance number or file name, and
# the distance between them is measured, never taken from a header that states a thickness. The
# affine leads from voxels to millimetres in the patient.

# %%
HU = {"slope": 1, "intercept": 0}  # without a rescale a CT is refused: its values are no HU
slices = make_series(work / "series", 8, step=2.5, shuffled=True, **HU)
volume = mi.read(slices)
print(volume.array.shape, volume.spacing_mm)
print(volume.affine)
print("means of the slices, lowest first:", volume.array[0].mean(axis=(1, 2)).round().tolist())

# %% [markdown]
# ## 4. What is refused
#
# A scan that cannot be read right is refused, with a code and a way out. It is never replaced by
# another picture, nor skipped in silence.

# %%
picture = np.zeros((8, 8), np.int16)
broken = {
    "a slice is missing": make_series(work / "gap", 8, missing=[3], **HU),
    "a slice is there twice": make_series(work / "twice", 8, duplicates=[2], **HU),
    "a tilted gantry": make_series(work / "tilt", 8, tilt=15, **HU),
    "a slope of 0": make_dicom(work / "slope.dcm", picture, slope=0, intercept=0),
    "raw detector values": make_dicom(
        work / "raw.dcm",
        picture,
        modality="DX",
        extra={"PresentationIntentType": "FOR PROCESSING"},
    ),
}
rows = []
for what, path in broken.items():
    try:
        mi.read(path)
    except PixelError as error:
        rows.append({"scan": what, "code": error.code, "way out": error.remedy})
pd.DataFrame(rows)

# %% [markdown]
# ## 5. Index a folder
#
# Indexing reads headers alone. Labels are joined by file name, by one of the UIDs, by accession
# number or by patient, as text: what matches nothing is counted and listed. `PatientID` is the
# group by which splits are made.

# %%
if real is not None:
    source, labels = real, real / "overview.csv"
    options = {"key": "dicom_name", "label": "Contrast"}
else:
    labels = make_dicom_folder(work / "toy", patients=40, per_patient=2)
    source, options = work / "toy" / "scans", {"key": "PatientID", "label": "label"}
manifest = mi.split(mi.index(source, labels=labels, **options), seed=1)
print(f"{len(manifest)} scans of {len(set(manifest.groups))} patients, {manifest.space.classes}")
manifest.counts()

# %% [markdown]
# ## 6. Train, and predict on scans
#
# From here on nothing knows that the pictures were DICOM: the store holds the preprocessed
# integers, and the bundle holds how they were made, so that new scans are read in the same way.

# %%
prep = mi.Preprocess(size=(64, 64), channels=1, dicom=mi.DicomPixels(range=(-200, 500)))
store = mi.ImageStore.build(manifest, prep, work / "store")
model = mi.build_model("cnn", shape=store.shape, classes=manifest.space.k, seed=0, widths=(8, 16))
options = mi.FitOptions(epochs=2 if QUICK else 30, batch_size=16, lr=1e-3, optimizer="adamw")
bundle, history = mi.fit(model, store, options, seed=0)
result = mi.evaluate(bundle.predict(store, "test"))
mi.print_table(result)

# %% [markdown]
# The interval is the message: a test split of a dozen patients says next to nothing. And in this
# set the window of the header alone predicts the label, so that even a good figure would not show
# that the network sees the contrast agent.

# %%
bundle.save(work / "bundle")
done = mi.predict_scans(bundle, source, work / "predicted", settle=0)
print(f"{len(done.predictions)} predicted, {len(done.refusals)} refused")
print(sorted(path.name for path in (work / "predicted").iterdir()))

# %% [markdown]
# `predictions.csv` names every scan by a keyed pseudonym; `identities.csv`, which only its owner
# may read, joins the results back to the files. Stopped and started again, the same command goes
# on where it was.

# %%
scratch.cleanup()
