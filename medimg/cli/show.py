"""`medimg show`: manifests, bundles, runs, stores and configs in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from medimg.errors import SourceNotFound
from medimg.files import read_json


def show_thing(thing: str) -> None:
    """Print what `thing` (a path, or the word config) holds."""
    path = Path(thing)
    if thing == "config" and not path.exists():
        _show_keys()
    elif path.is_dir() and (path / "bundle.json").is_file():
        _show_bundle(path)
    elif path.is_dir() and (path / "config.yaml").is_file():
        _show_run(path)
    elif path.is_dir() and (path / "store.json").is_file():
        _print_pairs(read_json(path / "store.json"))
    elif path.suffix in (".yaml", ".yml") and path.is_file():
        from medimg.config import load_config

        sys.stdout.write(load_config(path).to_yaml())
    elif path.suffix in (".csv", ".parquet") and path.is_file():
        from medimg.data.manifest import Manifest

        print_counts(Manifest.load(path))
    else:
        raise SourceNotFound(
            f"{thing} is no manifest, bundle, run, store or config",
            remedy="name one of them, or the word config for every key",
        )


def print_counts(manifest: Any) -> None:
    """Print cases and patients a split, and how many of each class."""
    counts = manifest.counts()
    space = manifest.space
    lines = [
        f"{len(manifest)} cases, {space.k} classes ({space.kind}"
        f"{', target condition ' + space.positive if space.positive else ''})",
        counts.fillna("-").to_string(index=False),
        f"fingerprint {manifest.fingerprint}",
    ]
    if manifest.folds is not None:
        lines.insert(2, f"{manifest.folds.shape[1]} folds, split {manifest.split_fingerprint}")
    sys.stdout.write("\n".join(lines) + "\n")


def _show_bundle(path: Path) -> None:
    from medimg.inference.bundle import ModelBundle

    bundle = ModelBundle.load(path)
    _print_pairs(
        {
            "bundle_id": bundle.bundle_id,
            "model": f"{bundle.spec.name} {json.dumps(bundle.spec.options)}",
            "parameters": sum(p.numel() for p in bundle.model.parameters()),
            "input": list(bundle.spec.shape),
            "classes": list(bundle.space.classes),
            "kind": bundle.space.kind,
            "target condition": bundle.space.positive,
            "preprocess": bundle.preprocess.model_dump(mode="json"),
            "logit shift": list(bundle.logit_shift),
            "calibrator": None if bundle.calibrator is None else bundle.calibrator.to_dict(),
            "operating points": [str(point) for point in bundle.thresholds],
            "provenance": dict(bundle.provenance),
        }
    )


def _show_run(path: Path) -> None:
    marker = path / "run.json"
    if not marker.is_file():
        sys.stdout.write(f"{path} was begun and not finished; go on with --resume\n")
        return
    _print_pairs(read_json(marker))
    metrics = read_json(path / "report" / "metrics.json")
    for name, estimate in metrics["metrics"].items():
        sys.stdout.write(f"{name}: {_estimate(estimate)}\n")


def _estimate(estimate: Mapping[str, Any]) -> str:
    if estimate["value"] is None:
        return f"none ({estimate['reason']})"
    if estimate["low"] is None:
        return f"{estimate['value']:.4f} (no interval: {estimate['reason']})"
    ends = f"{estimate['low']:.4f} to {estimate['high']:.4f}"
    return f"{estimate['value']:.4f} ({ends}, {estimate['method']}, by {estimate['unit']})"


def _show_keys() -> None:
    from pydantic_core import PydanticUndefined

    from medimg.config import config_keys
    from medimg.models.options import OPTIONS

    keys = config_keys()
    for name, options in OPTIONS.items():
        keys |= {f"model.{key} ({name})": f for key, f in options.model_fields.items()}
    for key, field in keys.items():
        default = field.get_default(call_default_factory=True)
        shown = "(wanted)" if default is PydanticUndefined else json.dumps(default, default=str)
        parts = [f"{key}: {shown}", " | ".join(_choices(field.annotation)), field.description]
        sys.stdout.write("  ".join(part for part in parts if part) + "\n")


def _choices(annotation: Any) -> list[str]:
    """Return the words that a key takes, where it takes some of a few."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    if get_origin(annotation) in (Union, UnionType):
        return [word for part in get_args(annotation) for word in _choices(part)]
    return []


def _print_pairs(pairs: Mapping[str, Any]) -> None:
    for key, value in pairs.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        sys.stdout.write(f"{key}: {text}\n")
