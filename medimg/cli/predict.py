"""`medimg predict`: scans to a ledger, and what became of them in a few lines."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medimg.data.sources.dicom.index.listing import count
from medimg.inference.bundle import ModelBundle
from medimg.inference.checker import why_unchecked
from medimg.inference.scan import PREDICTIONS_CSV, ScanResult, parse_limit, predict_scans
from medimg.inference.seen import seen_of, sentences


def predict_and_print(bundle: Path, scans: Sequence[Path], out: Path, **options: Any) -> bool:
    """Predict `scans` as `predict_scans` does, and print counts.

    Returns
    -------
    bool
        Whether `errors.csv` has rows.
    """
    parse_limit(options["max_refused"])
    loaded = ModelBundle.load(bundle)
    result = predict_scans(loaded, scans, out, **options)
    lines = _lines(result, out, options["settle"])
    lines += sentences(seen_of(result.predictions), why_unchecked(loaded.members))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return bool(result.refusals)


def _lines(result: ScanResult, out: Path, settle: float) -> list[str]:
    said = result.summary
    now = said["predicted"] - said["predicted_before"]
    lines = [f"{now:,} predicted now, {len(result.predictions):,} in all: {out / PREDICTIONS_CSV}"]
    if said["kept"]:
        lines.append(f"{said['kept']:,} of them kept, of files that are no longer there")
    if said["refused"]:
        lines.append(f"{_counted('refused', said['refused'])}; {out / 'errors.csv'} says why")
    if said["recent"]:
        lines.append(f"{said['recent']:,} left for the next run, changed within {settle:g} s")
    if said["passed_over"]:
        lines.append(_counted("passed over", said["passed_over"]))
    return lines


def _counted(what: str, numbers: Mapping[str, int]) -> str:
    return f"{sum(numbers.values()):,} {what}: {count(numbers)}"
