"""Which tables of predictions a path stands for, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from medimg.calibrator import ScoreKind
from medimg.config import parse_yaml
from medimg.errors import MedimgError, PredictionsError, UsageError, nearest
from medimg.evaluation.options import EvaluateOptions
from medimg.labels import LabelSpace
from medimg.predictions import Predictions

#: Where a folder keeps the predictions that are scored: of one training, over folds, of scans.
_SCORED = ("predictions/test.csv", "predictions/out_of_fold.csv", "predictions.csv")
#: Tables beside predictions that are none.
_OTHERS = ("errors", "manifest", "identities", "instances", "folds")
_SPACE = ("classes", "kind", "positive")


def tables_of(path: Path) -> list[Path]:
    """Return the tables that a path stands for: itself, those of a run, or those of a folder.

    Raises
    ------
    UsageError
        Nothing there, or a folder without a table or run.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"{path} is not there", remedy="name a table of predictions, or a run")
    found = _of_run(path)
    if not found:
        found = [t for one in sorted(path.iterdir()) if one.is_dir() for t in _of_run(one)]
    if not found:
        tables = (t for t in path.iterdir() if t.suffix in (".csv", ".parquet"))
        found = sorted(t for t in tables if t.stem not in _OTHERS)
    if not found:
        raise UsageError(
            f"{path} holds no predictions",
            remedy="name a table, a finished run, or a folder of either; a run begun and not "
            "finished goes on with `medimg train ... --resume`",
        )
    return found


def _of_run(folder: Path) -> list[Path]:
    """Return the predictions of a run's folder, or of one that `medimg predict` wrote."""
    return [folder / name for name in _SCORED if (folder / name).is_file()][:1]


def load(table: Path, kind: str | None, space: Path | None) -> Predictions:
    """Return the predictions of a table; `kind` and `space` are wanted for a foreign one.

    Raises
    ------
    MedimgError
        What is wrong with the table, which is named.
    """
    if kind not in (None, "logits", "probabilities"):
        raise UsageError(f"--kind {kind!r}", remedy="logits or probabilities")
    classes = None if space is None else read_space(space)
    try:
        predictions = Predictions.load(table, kind=cast(ScoreKind, kind), space=classes)
    except MedimgError as error:
        if str(table) in error.message:
            raise
        raise type(error)(f"{table}: {error.message}", remedy=error.remedy) from None
    if not len(predictions):
        raise PredictionsError(
            f"{table} has a header and not one case", remedy="give it a row for each case"
        )
    return predictions


def read_space(path: Path) -> LabelSpace:
    """Return the label space of a YAML file with classes, kind and positive."""
    try:
        value: Any = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise _no_space(path, str(error)) from error
    if not isinstance(value, dict) or not isinstance(value.get("classes"), list):
        raise _no_space(path, "it has no list of classes")
    for key in value:
        if key not in _SPACE:
            raise _no_space(path, f"key {key!r} is unknown{nearest(str(key), _SPACE)}")
    positive = value.get("positive")
    try:
        return LabelSpace(
            tuple(map(str, value["classes"])),
            value.get("kind", "multiclass"),
            None if positive is None else str(positive),
        )
    except MedimgError as error:
        raise _no_space(path, error.message) from None


def _no_space(path: Path, why: str) -> UsageError:
    return UsageError(
        f"--space {path} is no label space: {why}",
        remedy="write classes: [a, b], kind: multiclass, positive: a",
    )


def evaluate_options(given: Mapping[str, Any]) -> EvaluateOptions:
    """Return the options that were given, checked and each value once.

    Those that are None (or a list of nothing) keep their default.
    """
    lists = {name: tuple(dict.fromkeys(v)) for name, v in given.items() if isinstance(v, list)}
    try:
        return EvaluateOptions(
            **{n: v for n, v in {**given, **lists}.items() if v is not None and v != ()}
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        raise UsageError(
            f"{flag_of(name)} {first['input']!r}: {first['msg']}", remedy="see --help"
        ) from None


#: Options whose flag has another name.
_FLAGS = {"subgroups": "by", "operating_points": "at", "prevalences": "prevalence"}


def flag_of(option: str) -> str:
    """Return the flag of an option of `EvaluateOptions`."""
    return "--" + _FLAGS.get(option, option).replace("_", "-")


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return a name for each path, as short as tells them apart.

    Raises
    ------
    UsageError
        A path that stands twice.
    """
    whole = [path.resolve() for path in paths]
    for path in whole:
        if whole.count(path) > 1:
            raise UsageError(f"{path} is named twice", remedy="name different predictions")
    for depth in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.with_suffix("").parts[-depth:]) for path in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in whole]
