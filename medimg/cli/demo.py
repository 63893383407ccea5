"""`medimg demo`: the whole flow on scikit-learn's digits, offline."""

from __future__ import annotations

import sys
from pathlib import Path

from medimg.cli.train import train_and_print
from medimg.config import builtin_config, load_config
from medimg.data.fetch import fetch
from medimg.inference.bundle import ModelBundle
from medimg.inference.scan import predict_scans


def run_demo(out: Path, *, overwrite: bool) -> None:
    """Train, calibrate and evaluate an MLP and a CNN, then predict with the CNN's bundle."""
    digits = fetch("digits", out.parent / "data" if out.parent.name else None)
    for name in ("digits_mlp", "digits_cnn"):
        sys.stdout.write(f"\n{name}: 8 x 8 handwritten digits, ten classes\n")
        path = builtin_config(name)
        config = load_config(path, [f"data.source={digits.resolve()}"])
        train_and_print(config, path, out / name, overwrite=overwrite, resume=False)
    bundle = ModelBundle.load(out / "digits_cnn" / "bundle")
    result = predict_scans(bundle, digits, out / "predictions", overwrite=overwrite, settle=0)
    sys.stdout.write(
        f"\n{len(result.predictions)} digits predicted with that bundle: "
        f"{out / 'predictions' / 'predictions.csv'}\n"
    )
