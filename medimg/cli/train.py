"""What `medimg train` prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from medimg.config import RunConfig
from medimg.crossval import FoldedRun, run_folds
from medimg.flow.follow import follow
from medimg.recipe import run
from medimg.report.terminal import print_table
from medimg.report.words import label
from medimg.training.distributed import World


def train_and_print(
    config: RunConfig, path: Path, out: Path, *, overwrite: bool, resume: bool, folds: int = 0
) -> int:
    """Run a config, print the table and where things are; return how many cases were refused."""
    near = [path.resolve().parent]
    if not World.current().first:
        follow(config, out, near=near, folds=folds)
        return 0
    if folds:
        return _train_folds(config, near, out, folds, overwrite=overwrite, resume=resume)
    done = run(config, out, near=near, overwrite=overwrite, resume=resume)
    _print_first(done.first)
    print_table(done.evaluation)
    _say_where(out, "bundle", len(done.refusals))
    return len(done.refusals)


def _train_folds(
    config: RunConfig, near: list[Path], out: Path, folds: int, *, overwrite: bool, resume: bool
) -> int:
    done = run_folds(
        config,
        out,
        folds,
        near=near,
        overwrite=overwrite,
        resume=resume,
        tell=_tell,
    )
    _print_first(done.first)
    print_table(done.evaluation)
    _print_spread(done)
    _say_where(out, "fold-*/bundle", len(done.refusals))
    return len(done.refusals)


def _print_first(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _print_spread(done: FoldedRun) -> None:
    """Print each metric of every fold, their mean and standard deviation."""
    table = done.spread.assign(metric=[label(name) for name in done.spread["metric"]])
    text = table.to_string(index=False, na_rep="-", float_format="{:.3f}".format)
    sys.stdout.write(f"\nby fold, each by its own model:\n{text}\n")


def _say_where(out: Path, bundle: str, refused: int) -> None:
    write = sys.stdout.write
    write(f"report  {out / 'report' / 'index.html'}\n")
    write(f"bundle  {out / bundle}\n")
    if refused:
        write(f"refused {refused} cases: {out / 'errors.csv'}\n")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
