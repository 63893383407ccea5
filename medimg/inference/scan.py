"""New scans to a ledger: every case stands exactly once in `predictions.csv` or `errors.csv`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medimg.data.index import index_unlabelled
from medimg.data.manifest import Manifest
from medimg.data.preprocess import Integers
from medimg.data.sources.formats import read_case
from medimg.data.store import with_pseudonyms
from medimg.errors import BundleError, DataError, PixelError, Refusal
from medimg.files import ERRORS_CSV, claim_folder, read_json, write_json, write_refusals
from medimg.inference.bundle import ModelBundle
from medimg.inference.forward import batch_length
from medimg.predictions import Predictions


@dataclass(frozen=True)
class ScanResult:
    """What became of the scans."""

    predictions: Predictions
    refusals: list[Refusal]


def predict_scans(
    bundle: ModelBundle,
    scans: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    device: str = "auto",
    keep_ids: bool = False,
    overwrite: bool = False,
) -> ScanResult:
    """Predict files, folders or one manifest, and write the ledger to the folder `out`.

    `out` gets `predictions.csv` with its sidecar, `errors.csv` and, last, `run.json`.

    Raises
    ------
    DataError
        Not one case could be predicted; `errors.csv` says why.
    BundleError
        A manifest of other classes.
    """
    paths = [Path(p) for p in ([scans] if isinstance(scans, str | os.PathLike) else scans)]
    start = time.monotonic()
    manifest, refusals = _cases(paths, bundle)
    out = claim_folder(out, "run.json", overwrite=overwrite)
    found = len(refusals) + (0 if manifest is None else len(manifest))
    predictions = None
    if manifest is not None:
        manifest = manifest if keep_ids else with_pseudonyms(manifest)
        predictions, refused = stream(bundle, manifest, device=device)
        refusals = [*refusals, *refused]
    write_refusals(out / ERRORS_CSV, refusals)
    codes = dict(sorted(Counter(r.code for r in refusals).items()))
    if predictions is None:
        raise DataError(
            f"none of {found} cases could be predicted ({codes})",
            remedy=f"{out / ERRORS_CSV} names each with its remedy",
        )
    predictions.save(out / "predictions.csv")
    write_json(
        out / "run.json",
        {
            "found": found,
            "predicted": len(predictions),
            "refused": codes,
            "seconds": round(time.monotonic() - start, 3),
            "bundle_id": bundle.bundle_id,
        },
    )
    return ScanResult(predictions, refusals)


def stream(
    bundle: ModelBundle, manifest: Manifest, *, device: str = "auto"
) -> tuple[Predictions | None, list[Refusal]]:
    """Read, preprocess and predict case by case, keeping one batch in memory."""
    reader = _Reader(bundle, manifest)
    scores = bundle.logits(reader.batches(), len(manifest), device=device)
    if not reader.read:
        return None, reader.refusals
    rows = np.array(reader.read)
    part = manifest.take(rows)
    return bundle.predictions(part.frame, scores, part.targets), reader.refusals


class _Reader:
    """Yields batches of the cases that can be read, and notes the others."""

    def __init__(self, bundle: ModelBundle, manifest: Manifest) -> None:
        self.preprocess, self.root = bundle.preprocess, manifest.root
        columns = (manifest.frame[c] for c in ("case_id", "source", "frame"))
        self.rows: list[tuple[str, str, str]] = list(zip(*columns, strict=True))
        self.read: list[int] = []
        self.refusals: list[Refusal] = []

    def batches(self) -> Iterator[Integers]:
        """Yield integers (B, C, [D,] H, W)."""
        length = batch_length(self.preprocess.shape)
        batch: list[Integers] = []
        for row in range(len(self.rows)):
            integers = self._read(row)
            if integers is not None:
                batch.append(integers)
                self.read.append(row)
            if len(batch) == length:
                yield np.stack(batch)
                batch = []
        if batch:
            yield np.stack(batch)

    def _read(self, row: int) -> Integers | None:
        case_id, source, frame = self.rows[row]
        try:
            return self.preprocess.apply(read_case(self.root, source, frame))
        except PixelError as error:
            self.refusals.append(Refusal.of(error, case_id, frame, "decode", self.root))
            return None


def _cases(paths: Sequence[Path], bundle: ModelBundle) -> tuple[Manifest | None, list[Refusal]]:
    if len(paths) == 1 and is_manifest(paths[0]):
        manifest = Manifest.load(paths[0])
        if manifest.space != bundle.space:
            raise BundleError(
                f"{paths[0]} has classes {list(manifest.space.classes)}, the bundle "
                f"{list(bundle.space.classes)}",
                remedy="predict the folder of the scans instead of the manifest",
            )
        return manifest, []
    return index_unlabelled(paths, bundle.space)


def is_manifest(path: Path) -> bool:
    """Whether `path` is a table with a manifest's sidecar."""
    sidecar = path.with_suffix(".json")
    if path.suffix not in (".csv", ".parquet") or not path.is_file() or not sidecar.is_file():
        return False
    about = read_json(sidecar)
    return isinstance(about, dict) and about.get("format") == "medimg.manifest"
