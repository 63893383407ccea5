"""Metadata that predict the label: what a network may learn in place of the disease.

A scanner, a window or a kernel that goes with the label shows in the pixels too. So each column
of metadata, and some of them jointly, are asked to predict the label of patients that were not
learned from, and the answer is set beside what chance alone would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.data.checks.bins import binned
from medimg.data.checks.findings import Finding
from medimg.data.checks.permute import TAIL, null_range
from medimg.data.checks.ridge import within_fold_auroc
from medimg.data.checks.sample import FOLDS, Sample, plain_name
from medimg.data.manifest import Manifest

#: How often the folds are drawn anew.
REPEATS = 5
#: Columns that say how and where a picture was made, as `plain_name` gives them: keywords of
#: DICOM, and names that tables use. How old somebody is, and what they look like, is not there.
_ACQUISITION = (
    *("modality", "bodypartexamined", "viewposition", "view", "projection"),
    *("institutionname", "institution", "hospital", "site", "center", "centre", "department"),
    *("stationname", "station", "scanner", "device", "machine", "camera"),
    *("manufacturer", "vendor", "manufacturermodelname", "model", "scannermodel"),
    *("protocolname", "protocol", "sequence", "convolutionkernel", "kernel"),
    *("contrastbolusagent", "kvp", "exposure", "xraytubecurrent", "gantrydetectortilt"),
    *("slicethickness", "spacingbetweenslices", "pixelspacing", "imagerpixelspacing", "spacing"),
    *("rows", "columns", "height", "width", "originalimagewidth", "originalimageheight"),
    *("echotime", "repetitiontime", "magneticfieldstrength", "fieldstrength", "diffusionbvalue"),
    *("imagetype", "photometricinterpretation", "presentationintenttype"),
    *("windowcenter", "windowwidth", "voilutfunction", "rescaletype", "rescaleslope"),
    *("rescaleintercept", "bitsstored", "burnedinannotation", "lossyimagecompression"),
)
#: Columns that a finding names in words; its table has all.
_NAMED = 5
#: Joint model -> its columns.
JOINTS = {"window": ("windowcenter", "windowwidth"), "acquisition": _ACQUISITION}


@dataclass(frozen=True)
class Predictors:
    """What metadata alone say of the label.

    Parameters
    ----------
    rows : tuple of mapping
        One a column or joint of columns: `name`, `columns`, `auroc` (macro over labels), `low`
        and `high` (95% of the permutations), `cases`, `outside` (whether it lies above or
        below), `classes` (the AUROC of each label). Where it was not tried, `auroc` is None and
        `reason` says why.
    notes : tuple of str
        What has to be known to read them.
    finding : Finding or None
        Those above the range. Below it is none: where a value's cases happen to be of one class
        in four folds and of the other in the fifth, the model is wrong there and the AUROC
        falls under one half, though nothing predicts anything.
    """

    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    finding: Finding | None


def predictors(manifest: Manifest, *, groups: NDArray[np.intp], seed: int = 0) -> Predictors:
    """Try every column of metadata, and those of the acquisition jointly, as predictors.

    Each column is cut into categories (`bins.binned`), and a ridge regression on them is scored
    in 5 folds by patient, 5 times over (`ridge.within_fold_auroc`). The same is done with the
    labels dealt out anew 200 times among whole patients (`permute.Blocks.permuted`); the middle
    95% of these is the range of chance.

    Parameters
    ----------
    groups : int (N,)
        Whose each case is. Cases of split `none`, and those without any known label, take no
        part.
    seed : int
        Of the permutations, the folds and, in large sets, the cases.
    """
    metadata = manifest.metadata
    if not len(metadata.columns):
        return Predictors((), ("metadata: there are none",), None)
    sample = Sample.of(manifest, groups, seed)
    if not sample.names:
        return Predictors((), sample.notes, None)
    cells, owners = metadata.iloc[sample.blocks.rows], sample.blocks.groups
    cut = {str(name): binned(cells[name].to_numpy(), owners) for name in metadata}
    codes = {name: column.codes for name, column in cut.items() if not column.reason}
    folds = sample.blocks.folds(FOLDS, REPEATS, np.random.default_rng([seed, 1]))
    rows = [
        _row(name, names, [codes[n] for n in names], sample, folds)
        for name, names in [*((name, [name]) for name in codes), *_joints(codes)]
    ]
    rows.sort(key=lambda row: (not _above(row), -row["auroc"], row["name"]))
    passed = [_passed_over(name, cut[name].reason) for name in cut if name not in codes]
    notes = (*sample.notes, *_by_chance(rows))
    return Predictors((*rows, *passed), notes, _finding(rows))


def _joints(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return the joint models of several columns, no two of the same ones."""
    found: dict[str, list[str]] = {}
    for joint, known in JOINTS.items():
        there = [name for name in names if plain_name(name) in known]
        if len(there) > 1 and there not in found.values():
            found[f"{joint} ({len(there)} columns)"] = there
    return list(found.items())


def _row(
    name: str,
    columns: list[str],
    codes: Sequence[NDArray[np.intp]],
    sample: Sample,
    folds: NDArray[np.int8],
) -> dict[str, Any]:
    joined, n = np.hstack(codes), len(sample.labels)
    each = np.concatenate(
        [
            within_fold_auroc(joined, sample.labels[part].reshape(n, -1), folds).reshape(
                -1, len(sample.names)
            )
            for part in sample.parts()
        ]
    )
    own, *permuted = each.mean(axis=1)
    low, high = null_range(np.array(permuted))
    classes = zip(sample.names, each[0].round(4).tolist(), strict=True)
    return {
        "name": name,
        "columns": columns,
        "auroc": round(float(own), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "cases": n,
        "outside": bool(own > high or own < low),
        "classes": dict(classes),
    }


def _passed_over(name: str, reason: str) -> dict[str, Any]:
    return {"name": name, "columns": [name], "auroc": None, "reason": reason}


def _above(row: Mapping[str, Any]) -> bool:
    return bool(row["outside"] and row["auroc"] > row["low"])


def _by_chance(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    return [
        f"metadata: {len(rows)} models of columns were tried, of which {TAIL * len(rows):.1f} "
        "would lie above their range of chance if nothing predicted the label"
    ]


def _finding(rows: Sequence[Mapping[str, Any]]) -> Finding | None:
    above = [row for row in rows if _above(row)]
    if not above:
        return None
    shown = ("auroc", "low", "high", "cases")
    words = [
        f"{row['name']}: AUROC {row['auroc']:.2f}, by chance {row['low']:.2f} to {row['high']:.2f}"
        for row in above[:_NAMED]
    ]
    if len(above) > _NAMED:
        words.append(f"and {len(above) - _NAMED} more")
    table = [{"columns": row["name"], **{key: row[key] for key in shown}} for row in above]
    return Finding("metadata_predicts_label", (), {"words": words, "predictors": table})
