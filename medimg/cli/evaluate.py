"""`medimg evaluate`: a table of predictions to a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from medimg.calibrator import ScoreKind
from medimg.config import parse_yaml
from medimg.errors import UsageError
from medimg.evaluation.evaluate import evaluate
from medimg.evaluation.options import EvaluateOptions
from medimg.files import claim_folder
from medimg.labels import LabelSpace
from medimg.predictions import Predictions
from medimg.provenance import provenance
from medimg.report.terminal import print_table
from medimg.report.write import write_report


def evaluate_file(
    table: Path,
    out: Path,
    split: str | None,
    kind: str | None,
    space: Path | None,
    *,
    resamples: int,
    seed: int,
    overwrite: bool,
) -> None:
    """Evaluate `table`, print the numbers and write the report folder `out`."""
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
    evaluation = evaluate(predictions, options, split=split, provenance=about)
    folder = claim_folder(out, "index.html", overwrite=overwrite)
    page = write_report(folder, evaluation, title=table.name)
    print_table(evaluation)
    sys.stdout.write(f"report  {page}\n")


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
