"""What `medimg train` prints."""

from __future__ import annotations

import sys
from pathlib import Path

from medimg.config import RunConfig
from medimg.recipe import run
from medimg.report.terminal import print_table


def train_and_print(
    config: RunConfig, path: Path, out: Path, *, overwrite: bool, resume: bool
) -> int:
    """Run a config, print the table and where things are; return how many cases were refused."""
    done = run(config, out, near=[path.resolve().parent], overwrite=overwrite, resume=resume)
    print_table(done.evaluation)
    write = sys.stdout.write
    write(f"report  {out / 'report' / 'index.html'}\n")
    write(f"bundle  {out / 'bundle'}\n")
    if done.refusals:
        write(f"refused {len(done.refusals)} cases: {out / 'errors.csv'}\n")
    return len(done.refusals)
