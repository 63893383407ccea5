"""`medimg evaluate`: a table of predictions to a report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from medimg.calibrator import ScoreKind
from medimg.config import parse_yaml
from medimg.errors import UsageError
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.options import EvaluateOptions
from medimg.files import claim_folder
from medimg.inference.about import read_about, read_members
from medimg.inference.checker import checker, why_unchecked
from medimg.inference.seen import NO, NOT_CHECKED, SEEN, seen_of, sentences
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.provenance import provenance
from medimg.report.terminal import print_table
from medimg.report.write import write_report

_BY_IDS = "looked for by case and patient id alone: pictures were not compared"
_NOT_FOUND = "not found by id, which rules nothing out"
_OTHER = "the predictions' column `seen` is of another bundle and was left aside"


def evaluate_file(
    table: Path,
    out: Path,
    split: str | None,
    kind: str | None,
    space: Path | None,
    *,
    bundle: Path | None,
    resamples: int,
    seed: int,
    overwrite: bool,
) -> None:
    """Evaluate `table`, print the numbers and write the report folder `out`.

    What is known of the cases' part in the training comes first, in both.
    """
    if kind not in (None, "logits", "probabilities"):
        raise UsageError(f"--kind {kind!r}", remedy="logits or probabilities")
    if resamples < 100 or seed < 0:
        raise UsageError(
            f"--resamples {resamples} --seed {seed}", remedy="at least 100 resamples, seed from 0"
        )
    predictions = Predictions.load(
        table, kind=cast(ScoreKind, kind), space=None if space is None else read_space(space)
    )
    options = EvaluateOptions(resamples=resamples, seed=seed)
    about = provenance() | {
        "predictions": predictions.fingerprint,
        "bundle": predictions.bundle_id,
    }
    notes = _membership(predictions, split, bundle)
    evaluation = evaluate(predictions, options, split=split, provenance=about)
    folder = claim_folder(out, "index.html", overwrite=overwrite)
    page = write_report(folder, evaluation, title=table.name, notes=notes)
    sys.stdout.write("".join(f"{note}\n" for note in notes))
    print_table(evaluation)
    sys.stdout.write(f"report  {page}\n")


def _membership(predictions: Predictions, split: str | None, bundle: Path | None) -> list[str]:
    """Return whether the cases that are evaluated were in the bundle's training set."""
    cases = predictions if split is None else predictions.select(split)
    cases = cases.take(cases.known)
    if bundle is None:
        return sentences(seen_of(cases), "name the bundle that made them with --bundle")
    about = read_about(bundle)
    seen = _told_of(about, cases)
    notes = [_OTHER] if SEEN in cases.metadata and cases.bundle_id not in _ids(about) else []
    if NOT_CHECKED not in seen:
        return sentences(seen)
    members = read_members(bundle, about)
    check = checker(members)
    if check is None:
        return [*sentences(seen, why_unchecked(members)), *notes]
    by_ids = check.seen(cases.case_id, cases.patient_id, None)
    seen = [new if old == NOT_CHECKED else old for old, new in zip(seen, by_ids, strict=True)]
    return [*sentences(seen, _NOT_FOUND, compared=False), _BY_IDS, *notes]


def _told_of(about: Mapping[str, Any], cases: Predictions) -> list[str]:
    """Return what the column `seen` says of the bundle's own training set.

    Before it was calibrated, a bundle could not know which cases would calibrate it: of what it
    found then all holds, and of the others nothing is known.
    """
    seen = seen_of(cases)
    if cases.bundle_id == about["bundle_id"]:
        return seen
    holds = cases.bundle_id in _ids(about)
    return [word if holds and word != NO else NOT_CHECKED for word in seen]


def _ids(about: Mapping[str, Any]) -> set[str]:
    """Return the ids of a bundle, with its calibrator and without."""
    return {about["bundle_id"], about.get("uncalibrated_id", about["bundle_id"])}


def read_space(path: Path) -> LabelSpace:
    """Return the label space of a YAML file with classes, kind and positive."""
    try:
        value: Any = parse_yaml(path.read_text(encoding="utf-8"), str(path))
        return LabelSpace(
            tuple(map(str, value["classes"])),
            value.get("kind", "multiclass"),
            value.get("positive"),
        )
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"--space {path} is no label space: {error}",
            remedy="write classes: [a, b], kind: multiclass, positive: a",
        ) from error
