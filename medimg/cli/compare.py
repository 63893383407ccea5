"""`medimg compare`: two or more models on the same cases."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medimg.cli.tables import evaluate_options, load, names_of, tables_of
from medimg.evaluation.compare.compare import compare
from medimg.files import claim_folder, require_free
from medimg.provenance import provenance
from medimg.report.comparison import PAGE, print_comparison, write_comparison


def compare_files(
    models: Sequence[Path],
    out: Path,
    split: str | None,
    kind: str | None,
    space: Path | None,
    *,
    metric: str,
    margin: float | None,
    given: dict[str, Any],
    overwrite: bool,
) -> None:
    """Compare the models, the first being the reference; print and write the folder `out`.

    A model is a table, a run folder, or a folder of several: runs of one model, taken together.
    """
    options = evaluate_options(given)
    names = names_of(models)
    found = [tables_of(path) for path in models]
    names_of([table for tables in found for table in tables])  # refuses one that stands twice
    require_free(out, PAGE, overwrite=overwrite)
    tables = [[load(table, kind, space) for table in tables] for tables in found]
    comparison = compare(
        dict(zip(names, tables, strict=True)),
        options,
        metric=metric,
        margin=margin,
        split=split,
        provenance=provenance(),
    )
    page = write_comparison(claim_folder(out, PAGE, overwrite=overwrite), comparison)
    print_comparison(comparison)
    sys.stdout.write(f"report  {page}\n")
