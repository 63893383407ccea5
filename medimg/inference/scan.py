"""New scans to a ledger: every case stands exactly once in `predictions.csv` or `errors.csv`."""

from __future__ import annotations

import math
import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from medimg.data.store import with_pseudonyms
from medimg.errors import DataError, Refusal, UsageError
from medimg.files import ERRORS_CSV, write_json, write_refusals
from medimg.inference.bundle import ModelBundle
from medimg.inference.forward import pick_device
from medimg.inference.found import (
    Found,
    cases_below,
    chosen_cases,
    common_folder,
    given_manifest,
    listed_cases,
)
from medimg.inference.identities import write_identities
from medimg.inference.ledger import MARKER, Journal, claimed
from medimg.inference.plan import Files, Plan, make_plan
from medimg.inference.rows import RowMaker, predictions_of
from medimg.inference.seen import counts, seen_of
from medimg.inference.stream import predict_into
from medimg.predictions import Predictions
from medimg.privacy import load_key, pseudonym

PREDICTIONS_CSV = "predictions.csv"


@dataclass(frozen=True)
class ScanResult:
    """What became of the scans.

    Parameters
    ----------
    predictions : Predictions
        All rows of `predictions.csv`: of this run, and those of earlier ones that still hold.
    refusals : list of Refusal
        All rows of `errors.csv`; those of the code ``recent`` wait for the next run.
    summary : mapping
        What `run.json` says.
    """

    predictions: Predictions
    refusals: list[Refusal]
    summary: Mapping[str, Any] = field(default_factory=dict)


class Limit(NamedTuple):
    """How many refusals are taken: a number, or a share of the cases found."""

    text: str
    number: Fraction
    is_share: bool

    def allows(self, refused: int, found: int) -> bool:
        """Whether so many of so many may be refused."""
        return refused <= self.number * (found if self.is_share else 1)


def predict_scans(
    bundle: ModelBundle,
    scans: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    device: str = "auto",
    keep_ids: bool = False,
    overwrite: bool = False,
    max_refused: str | int | None = None,
    settle: float = 60.0,
    unit: str | None = None,
    where: Sequence[str] | str = (),
) -> ScanResult:
    """Predict files, folders or one manifest, and write the ledger to the folder `out`.

    `out` gets `predictions.csv` with its sidecar, `errors.csv`, `identities.csv` where there are
    DICOM cases and, last, `run.json`. Batches stand in its `journal.jsonl` as they are done: a
    run that was stopped goes on where it was when it is called again, and one that was finished
    predicts what is new or changed since (by source, size and modification time) and tries what
    it refused again. The row of a case whose files are not at hand any more stays.

    The column `seen` says of each case whether its picture, its patient or its id stood in the
    bundle's training set: ``train``, ``val`` or ``calib``, ``patient in train``, ``case id in
    train``, ``no``; ``not checked`` without the pseudonym key that the bundle was made under.

    Parameters
    ----------
    keep_ids : bool
        Keep patient ids and every column of metadata as they are; else pseudonyms.
    overwrite : bool
        Begin anew, whatever medimg wrote there.
    max_refused : str or int, optional
        How many refusals are taken, as ``12`` or, of the cases found, ``"5%"``; default: any
        number, as long as one case is predicted.
    settle : float
        Seconds that a file must have been left alone. One that changed later, and may still be
        written, is listed with the code ``recent`` and left for the next call.
    unit : {"image", "frame", "series", "study"}, optional
        What of DICOM is one case; default: a series where the bundle is for volumes, else an
        image.
    where : str or sequence of str
        Which DICOM to take, as ``Modality=CT``; the rest counts as passed over.

    Raises
    ------
    DataError
        Not one case could be predicted, or more than `max_refused` were refused; everything is
        written before, and `errors.csv` says why.
    BundleError
        A manifest of other classes, or a network whose numbers are not finite.
    FolderExists
        `out` is somebody else's, or was begun with another bundle, other scans, or another
        `keep_ids`, `unit` or `where`.
    UsageError
        An option that is wrong, or another process is writing `out`.
    """
    start = time.monotonic()
    paths = [Path(p) for p in ([scans] if isinstance(scans, str | os.PathLike) else scans)]
    pick_device(device)
    limit = parse_limit(max_refused)
    _check_settle(settle)
    where = [where] if isinstance(where, str) else sorted(set(where))
    chosen = chosen_cases(bundle, unit, where)
    given = given_manifest(paths, bundle, unit, where)
    root = common_folder(paths) if given is None else given.root
    tied = _tied_to(bundle, root, chosen.unit, where, keep_ids=keep_ids)
    out = Path(out)
    with claimed(out, tied, overwrite=overwrite) as journal:
        if given is None:
            found = cases_below(paths, bundle, root, out, chosen)
        else:
            found = listed_cases(given, paths[0])
        files = Files(root)
        plan = make_plan(found, journal, files, settle=settle)
        write_identities(out, found, {row.case_id for row in plan.kept})
        maker = None
        if found.manifest is not None:
            shown = found.manifest if keep_ids else with_pseudonyms(found.manifest)
            maker = RowMaker(shown, plan.stamps, files)
            if plan.todo:
                predict_into(journal, bundle, maker, plan.todo, device)
        result = _finish(out, bundle, journal, found, plan, maker, start)
    _judge(result, limit, out)
    return result


def _tied_to(
    bundle: ModelBundle, root: Path, unit: str | None, where: Sequence[str], *, keep_ids: bool
) -> dict[str, Any]:
    """Return what an output folder is begun with, and must be gone on with."""
    key = load_key()
    return {
        "bundle_id": bundle.bundle_id,
        "scans": pseudonym(key, "scans", str(root.resolve())),
        "keep_ids": keep_ids,
        "unit": None if unit == chosen_cases(bundle, None, ()).unit else unit,
        "where": pseudonym(key, "where", *where) if where else None,  # it may name a patient
    }


def parse_limit(text: str | int | None) -> Limit | None:
    """Return the limit that ``12`` or ``"5%"`` means.

    Raises
    ------
    UsageError
        Anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", str(text).strip(), re.ASCII)
    if match is None or Fraction(match[2] or 0) > 100:
        raise UsageError(
            f"max-refused {text!r} is neither a number of cases nor a share of them",
            remedy="give 12, or 5%",
        )
    if match[1]:
        return Limit(str(text), Fraction(match[1]), is_share=False)
    return Limit(str(text), Fraction(match[2]) / 100, is_share=True)


def _check_settle(seconds: float) -> None:
    if not (isinstance(seconds, int | float) and 0 <= seconds < math.inf):
        raise UsageError(
            f"settle {seconds!r} is no number of seconds", remedy="give 0, or more: --settle 60"
        )


def _finish(
    out: Path,
    bundle: ModelBundle,
    journal: Journal,
    found: Found,
    plan: Plan,
    maker: RowMaker | None,
    start: float,
) -> ScanResult:
    """Write the tables and, last, `run.json`."""
    rows, refused = [], [*plan.refused]
    for number in sorted([*plan.done, *plan.todo]):
        assert maker is not None
        case_id = maker.manifest.case_id[number]
        if case_id in journal.rows:
            rows.append(maker.renewed(number, journal.rows[case_id]))
        else:
            refused.append(journal.refused[case_id][1])
    holding, refusals = [*rows, *plan.kept], [*refused, *plan.recent]
    predictions = predictions_of(bundle, holding, [] if maker is None else maker.columns)
    write_refusals(out / ERRORS_CSV, refusals)
    predictions.save(out / PREDICTIONS_CSV)
    journal.compact(holding)
    summary = {
        "found": len(rows) + len(refusals),
        "predicted": len(rows),
        "predicted_before": len(plan.done),
        "refused": dict(sorted(Counter(r.code for r in refused).items())),
        "recent": len(plan.recent),
        "kept": len(plan.kept),
        "passed_over": found.passed,
        "seen": counts(seen_of(predictions)),
        "seconds": round(time.monotonic() - start, 3),
        "bundle_id": bundle.bundle_id,
    }
    write_json(out / MARKER, summary)
    return ScanResult(predictions, refusals, summary)


def _judge(result: ScanResult, limit: Limit | None, out: Path) -> None:
    """Raise where all or too many were refused; what waits for the next run is no failure."""
    found, codes = result.summary["found"], result.summary["refused"]
    refused = sum(codes.values())
    if not len(result.predictions) and not result.summary["recent"]:
        raise DataError(
            f"none of {found} cases could be predicted ({codes})",
            remedy=f"{out / ERRORS_CSV} names each with its remedy",
        )
    if limit is not None and not limit.allows(refused, found):
        raise DataError(
            f"{refused} of {found} cases were refused, more than {limit.text} ({codes})",
            remedy=f"{out / ERRORS_CSV} names each with its remedy; the others are predicted",
        )
